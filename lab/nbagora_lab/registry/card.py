"""The AgentCard as the registry sees it: which fields it has, what of it is content, and the content's hash.

Shapes are those of A2A 1.0's ``a2a.proto`` in ProtoJSON. The room stands below the A2A library, so they are written
down here, and a test holds them against the library's descriptors. Fields that only A2A 0.3 has are let through.

Content is the card without its version, interfaces and signatures (and 0.3's forms of these): the parts that a server
puts in. Two cards that mean the same have the same content: what ProtoJSON lets a writer leave out (null, an empty
list, a default) is left out, and numbers that are whole are written as such.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import LabError, TooLarge, UsageError
from nbagora_lab.registry.model import NAMESPACE, Draft, check_version

__all__ = ["CARD_LIMIT", "Problem", "card_problems", "content_hash", "difference", "read_card"]

CARD_LIMIT = 1 << 20
"""Largest content of a card, in bytes of its canonical JSON."""

_SERVED = frozenset(
    {
        "supportedInterfaces",
        "signatures",
        "version",
        "url",
        "preferredTransport",
        "additionalInterfaces",
        "protocolVersion",
    }
)

# A type is string, bool, object (any JSON object) or any, or the name of another shape; [x] is a list of x, {x} a map
# to x; ! marks what must be there and not be empty, ? what keeps its default when it is given (explicit presence).
_SHAPES: dict[str, dict[str, str]] = {
    "AgentCard": {
        "name": "string!",
        "description": "string!",
        "version": "string",
        "supportedInterfaces": "[AgentInterface]",
        "provider": "AgentProvider",
        "documentationUrl": "string?",
        "capabilities": "AgentCapabilities",
        "securitySchemes": "{SecurityScheme}",
        "securityRequirements": "[SecurityRequirement]",
        "defaultInputModes": "[string]",
        "defaultOutputModes": "[string]",
        "skills": "[AgentSkill]",
        "signatures": "[AgentCardSignature]",
        "iconUrl": "string?",
    },
    "AgentInterface": {
        "url": "string!",
        "protocolBinding": "string!",
        "tenant": "string",
        "protocolVersion": "string!",
    },
    "AgentProvider": {"url": "string!", "organization": "string!"},
    "AgentCapabilities": {
        "streaming": "bool?",
        "pushNotifications": "bool?",
        "extensions": "[AgentExtension]",
        "extendedAgentCard": "bool?",
    },
    "AgentExtension": {"uri": "string", "description": "string", "required": "bool", "params": "object"},
    "AgentSkill": {
        "id": "string!",
        "name": "string!",
        "description": "string!",
        "tags": "[string]",
        "examples": "[string]",
        "inputModes": "[string]",
        "outputModes": "[string]",
        "securityRequirements": "[SecurityRequirement]",
    },
    "AgentCardSignature": {"protected": "string!", "signature": "string!", "header": "object"},
    "SecurityRequirement": {"schemes": "{StringList}"},
    "StringList": {"list": "[string]"},
    "SecurityScheme": {
        "apiKeySecurityScheme": "APIKeySecurityScheme",
        "httpAuthSecurityScheme": "HTTPAuthSecurityScheme",
        "oauth2SecurityScheme": "OAuth2SecurityScheme",
        "openIdConnectSecurityScheme": "OpenIdConnectSecurityScheme",
        "mtlsSecurityScheme": "MutualTlsSecurityScheme",
    },
    "APIKeySecurityScheme": {"description": "string", "location": "string!", "name": "string!"},
    "HTTPAuthSecurityScheme": {"description": "string", "scheme": "string!", "bearerFormat": "string"},
    "OAuth2SecurityScheme": {"description": "string", "flows": "OAuthFlows", "oauth2MetadataUrl": "string"},
    "OpenIdConnectSecurityScheme": {"description": "string", "openIdConnectUrl": "string!"},
    "MutualTlsSecurityScheme": {"description": "string"},
    "OAuthFlows": {
        "authorizationCode": "AuthorizationCodeOAuthFlow",
        "clientCredentials": "ClientCredentialsOAuthFlow",
        "implicit": "ImplicitOAuthFlow",
        "password": "PasswordOAuthFlow",
        "deviceCode": "DeviceCodeOAuthFlow",
    },
    "AuthorizationCodeOAuthFlow": {
        "authorizationUrl": "string!",
        "tokenUrl": "string!",
        "refreshUrl": "string",
        "scopes": "{string}",
        "pkceRequired": "bool",
    },
    "ClientCredentialsOAuthFlow": {"tokenUrl": "string!", "refreshUrl": "string", "scopes": "{string}"},
    "ImplicitOAuthFlow": {"authorizationUrl": "string", "refreshUrl": "string", "scopes": "{string}"},
    "PasswordOAuthFlow": {"tokenUrl": "string", "refreshUrl": "string", "scopes": "{string}"},
    "DeviceCodeOAuthFlow": {
        "deviceAuthorizationUrl": "string!",
        "tokenUrl": "string!",
        "refreshUrl": "string",
        "scopes": "{string}",
    },
}

_LEGACY: dict[str, frozenset[str]] = {  # what A2A 0.3 has and 1.0 has not; taken as it is
    "AgentCard": frozenset(
        {
            "url",
            "preferredTransport",
            "additionalInterfaces",
            "protocolVersion",
            "security",
            "supportsAuthenticatedExtendedCard",
        }
    ),
    "AgentCapabilities": frozenset({"stateTransitionHistory"}),
    "AgentSkill": frozenset({"security"}),
    "SecurityScheme": frozenset(
        {
            "type",
            "description",
            "in",
            "name",
            "scheme",
            "bearerFormat",
            "flows",
            "oauth2MetadataUrl",
            "openIdConnectUrl",
        }
    ),
}

_DEEPEST = 64
_EXACT = 1 << 53  # whole numbers beyond it are not the same to every reader of JSON
_ABSENT: Any = object()


class Problem(NamedTuple):
    """One thing that is wrong with a card.

    Attributes:
        pointer: JSON pointer (RFC 6901) to it.
        text: What is wrong there.
    """

    pointer: str
    text: str

    def __str__(self) -> str:
        return f"{self.pointer or 'the card'} {self.text}"


def read_card(card: Mapping[str, Any], namespace: str = NAMESPACE) -> Draft:
    """Checks a card and takes its content.

    Args:
        card: An A2A 1.0 AgentCard as ProtoJSON.
        namespace: Where it is to be published.

    Raises:
        UsageError: The card does not fit; names all problems at once, each with its JSON pointer.
        TooLarge: Its content is above `CARD_LIMIT`.
        BadName: The namespace breaks the rules for names.
    """
    check_name(namespace, "namespace")
    content, problems = _read_all(card)
    if problems:
        shown = "; ".join(str(problem) for problem in problems[:10])
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UsageError(
            f"the card has {count}: {shown}{more}",
            "a card is A2A 1.0's AgentCard in ProtoJSON, with names in camelCase",
        )
    version = content.get("version")
    content = {name: value for name, value in content.items() if name not in _SERVED}
    content.setdefault("capabilities", {})
    canonical = _canonical(content)
    if len(canonical) > CARD_LIMIT:
        raise TooLarge(
            f"the card of '{content['name']}' has {len(canonical)} bytes, the limit is {CARD_LIMIT}",
            "keep long texts outside the card and link to them",
        )
    return Draft(namespace, content["name"], content, version, hashlib.sha256(canonical).hexdigest())


def card_problems(card: object) -> list[Problem]:
    """All that is wrong with a card; nothing if it may be published."""
    return _read_all(card)[1]


def content_hash(card: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of the canonical JSON of a card's content.

    Raises:
        UsageError: The card does not fit.
        TooLarge: Its content is above `CARD_LIMIT`.
    """
    return read_card(card).hash


def difference(published: object, offered: object, pointer: str = "") -> Iterator[str]:
    """Says where two contents differ, one line a place, in the order of the fields' names.

    Example:
        >>> list(difference({"a": [1, 2]}, {"a": [1], "b": "x"}))
        ['/a/1: 2 was taken away', '/b: "x" was added']
    """
    if isinstance(published, dict) and isinstance(offered, dict):
        for name in sorted(published.keys() | offered.keys()):
            yield from difference(published.get(name, _ABSENT), offered.get(name, _ABSENT), _below(pointer, name))
    elif isinstance(published, list) and isinstance(offered, list):
        for index in range(max(len(published), len(offered))):
            old, new = (values[index] if index < len(values) else _ABSENT for values in (published, offered))
            yield from difference(old, new, _below(pointer, index))
    elif published is _ABSENT:
        yield f"{pointer}: {_shown(offered)} was added"
    elif offered is _ABSENT:
        yield f"{pointer}: {_shown(published)} was taken away"
    elif published != offered or type(published) is not type(offered):
        yield f"{pointer}: {_shown(published)} became {_shown(offered)}"


def _read_all(card: object) -> tuple[dict[str, Any], list[Problem]]:
    problems: list[Problem] = []
    content = _read(card, "AgentCard", "", problems)
    if not isinstance(content, dict):
        return {}, problems
    for field, check in (("name", lambda name: check_name(name, "agent")), ("version", check_version)):
        if isinstance(value := content.get(field), str):
            try:
                check(value)
            except LabError as error:
                problems.append(Problem(f"/{field}", f"does not fit: {error.what}"))
    return content, problems


def _read(value: Any, kind: str, pointer: str, problems: list[Problem]) -> Any:
    """The canonical form of `value`, or `_ABSENT` if it says no more than its absence; notes what does not fit."""
    bare = kind.rstrip("!?")
    if bare in {"any", "object"}:
        if bare == "object" and not isinstance(value, Mapping):
            return _unfit(value, "an object", pointer, problems)
        return _read_json(value, pointer, problems, 0)
    if bare == "string":
        if not isinstance(value, str):
            return _unfit(value, "a string", pointer, problems)
        _check_text(value, pointer, problems)
        if kind.endswith("!") and not value:
            problems.append(Problem(pointer, "is empty"))
        return value if value or kind.endswith("?") else _ABSENT
    if bare == "bool":
        if not isinstance(value, bool):
            return _unfit(value, "true or false", pointer, problems)
        return value if value or kind.endswith("?") else _ABSENT
    if bare.startswith("["):
        if not isinstance(value, list | tuple):
            return _unfit(value, "a list", pointer, problems)
        items = [_read(item, bare[1:-1] + "?", _below(pointer, index), problems) for index, item in enumerate(value)]
        return items or _ABSENT
    if not isinstance(value, Mapping):
        return _unfit(value, "an object", pointer, problems)
    if bare.startswith("{"):
        entries = {
            name: _read(item, bare[1:-1] + "?", _below(pointer, name), problems)
            for name, item in value.items()
            if _is_key(name, pointer, problems)
        }
        return entries or _ABSENT
    return _read_shape(value, bare, pointer, problems)


def _read_shape(value: Mapping[Any, Any], shape: str, pointer: str, problems: list[Problem]) -> dict[str, Any]:
    fields = _SHAPES[shape]
    legacy = _LEGACY.get(shape, frozenset())
    read: dict[str, Any] = {}
    for name, item in value.items():
        if not _is_key(name, pointer, problems):
            continue
        if name not in fields and name not in legacy:
            near = difflib.get_close_matches(name, fields, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            problems.append(Problem(_below(pointer, name), f"is no field of {shape}{meant}"))
        elif item is not None:  # ProtoJSON: null is absence
            content = _read(item, fields.get(name, "any"), _below(pointer, name), problems)
            if content is not _ABSENT:
                read[name] = content
    problems.extend(
        Problem(_below(pointer, name), "is missing")
        for name, kind in fields.items()
        if kind.endswith("!") and value.get(name) is None
    )
    return read


def _read_json(value: Any, pointer: str, problems: list[Problem], depth: int) -> Any:
    """Free JSON in canonical form."""
    if depth > _DEEPEST:
        problems.append(Problem(pointer, f"is nested more than {_DEEPEST} deep"))
        return None
    if isinstance(value, Mapping):
        return {
            name: _read_json(item, _below(pointer, name), problems, depth + 1)
            for name, item in value.items()
            if _is_key(name, pointer, problems)
        }
    if isinstance(value, list | tuple):
        return [_read_json(item, _below(pointer, index), problems, depth + 1) for index, item in enumerate(value)]
    if isinstance(value, str):
        _check_text(value, pointer, problems)
        return value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if abs(value) < _EXACT:
            return int(value) if value == int(value) else value
        if isinstance(value, float) and math.isfinite(value):
            return value
        return _unfit(value, "a number that JSON holds exactly", pointer, problems)
    return _unfit(value, "a JSON value", pointer, problems)


def _unfit(value: object, takes: str, pointer: str, problems: list[Problem]) -> Any:
    problems.append(Problem(pointer, f"is {_kind_of(value)}; it takes {takes}"))
    return _ABSENT


def _kind_of(value: object) -> str:
    names: dict[type, str] = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    if type(value) in names:
        return names[type(value)]
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "null" if value is None else f"a Python {type(value).__name__}"


def _is_key(name: object, pointer: str, problems: list[Problem]) -> bool:
    if isinstance(name, str):
        return _check_text(name, pointer, problems)
    problems.append(Problem(pointer, f"has a key that is {_kind_of(name)}; keys are strings"))
    return False


def _check_text(text: str, pointer: str, problems: list[Problem]) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        problems.append(Problem(pointer, "has half a surrogate pair"))
        return False
    return True


def _below(pointer: str, name: str | int) -> str:
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _canonical(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
