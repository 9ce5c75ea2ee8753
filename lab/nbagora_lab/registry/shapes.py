"""What fits where in a card, a server's description and a prompt, and the canonical form of what does.

Canonical: what ProtoJSON lets a writer leave out (null, an empty list, a default) is left out, and numbers that are
whole are written as such; so two contents that mean the same are the same, byte by byte.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["ABSENT", "Problem", "below", "read_shape"]

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
    "McpServer": {
        "name": "string!",
        "title": "string",
        "description": "string!",
        "version": "string",
        "provider": "AgentProvider",
        "documentationUrl": "string?",
        "tags": "[string]",
        "command": "McpCommand",
        "tools": "[McpTool]",
    },
    "McpCommand": {"program": "string!", "arguments": "[string]", "environment": "[string]"},
    "McpTool": {
        "name": "string!",
        "title": "string",
        "description": "string",
        "inputSchema": "object",
        "outputSchema": "object",
        "annotations": "object",
    },
    "Prompt": {
        "name": "string!",
        "description": "string!",
        "version": "string",
        "tags": "[string]",
        "template": "string!",
        "variables": "[PromptVariable]",
    },
    "PromptVariable": {"name": "string!", "type": "string", "description": "string", "default": "any"},
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
ABSENT: Any = object()
"""Says no more than its absence."""


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


def _read(value: Any, kind: str, pointer: str, problems: list[Problem]) -> Any:
    """The canonical form of `value`, or `ABSENT` if it says no more than its absence; notes what does not fit."""
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
        return value if value or kind.endswith("?") else ABSENT
    if bare == "bool":
        if not isinstance(value, bool):
            return _unfit(value, "true or false", pointer, problems)
        return value if value or kind.endswith("?") else ABSENT
    if bare.startswith("["):
        if not isinstance(value, list | tuple):
            return _unfit(value, "a list", pointer, problems)
        items = [_read(item, bare[1:-1] + "?", below(pointer, index), problems) for index, item in enumerate(value)]
        return items or ABSENT
    if not isinstance(value, Mapping):
        return _unfit(value, "an object", pointer, problems)
    if bare.startswith("{"):
        entries = {
            name: _read(item, bare[1:-1] + "?", below(pointer, name), problems)
            for name, item in value.items()
            if _is_key(name, pointer, problems)
        }
        return entries or ABSENT
    return read_shape(value, bare, pointer, problems)


def read_shape(value: Mapping[Any, Any], shape: str, pointer: str, problems: list[Problem]) -> dict[str, Any]:
    """The canonical form of an object of one of the shapes; adds to `problems` what does not fit."""
    fields = _SHAPES[shape]
    legacy = _LEGACY.get(shape, frozenset())
    read: dict[str, Any] = {}
    for name, item in value.items():
        if not _is_key(name, pointer, problems):
            continue
        if name not in fields and name not in legacy:
            near = difflib.get_close_matches(name, fields, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            problems.append(Problem(below(pointer, name), f"is no field of {shape}{meant}"))
        elif item is not None:  # ProtoJSON: null is absence
            content = _read(item, fields.get(name, "any"), below(pointer, name), problems)
            if content is not ABSENT:
                read[name] = content
    problems.extend(
        Problem(below(pointer, name), "is missing")
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
            name: _read_json(item, below(pointer, name), problems, depth + 1)
            for name, item in value.items()
            if _is_key(name, pointer, problems)
        }
    if isinstance(value, list | tuple):
        return [_read_json(item, below(pointer, index), problems, depth + 1) for index, item in enumerate(value)]
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
    return ABSENT


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


def below(pointer: str, name: str | int) -> str:
    """The JSON pointer to what stands under `name` at `pointer`."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
