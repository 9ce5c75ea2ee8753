"""A card's fields, and what of it is content: the reading of everything that is to be published.

Content is the card without its version, interfaces and signatures (and 0.3's forms of these): the parts that a server
puts in. Two cards that mean the same have the same content. What an agent uses stands in an extension of its card,
`LINKS`, so that it is content as well, and stays with the card on every engine. An MCP server's description and a
prompt are read just so, by their own shapes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import LabError, TooLarge, UsageError
from nbagora_lab.registry.model import LATEST, NAMESPACE, Draft, Kind, Link
from nbagora_lab.registry.names import check_label, check_version, is_version
from nbagora_lab.registry.normal import is_legacy, upgraded
from nbagora_lab.registry.prompt import check_prompt
from nbagora_lab.registry.shapes import ABSENT, Problem, below, read_shape

__all__ = [
    "CARD_LIMIT",
    "LINKS",
    "Problem",
    "card_problems",
    "content_hash",
    "difference",
    "read_card",
    "read_content",
    "with_links",
]

CARD_LIMIT = 1 << 20
"""Largest content of a card, in bytes of its canonical JSON."""

LINKS = "urn:nbagora:uses:1"
"""URI of the card's extension that says what an agent uses: ``params.uses`` lists kind, name and ref."""

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
_SHAPE: dict[Kind, str] = {"agent": "AgentCard", "mcp": "McpServer", "prompt": "Prompt"}
_WHAT: dict[Kind, tuple[str, str]] = {
    "agent": ("card", "a card is A2A 1.0's AgentCard in ProtoJSON, with names in camelCase"),
    "mcp": ("description", "an MCP server has name, description, tags, tools, and a command if it runs on stdio"),
    "prompt": ("prompt", "a prompt has name, description, template, tags and variables"),
}


def read_card(card: Mapping[str, Any], namespace: str = NAMESPACE) -> Draft:
    """Checks a card and takes its content: `read_content` of an agent."""
    return read_content("agent", card, namespace)


def read_content(kind: Kind, content: Mapping[str, Any], namespace: str = NAMESPACE) -> Draft:
    """Checks what is to be published and takes its content.

    Args:
        kind: What it is.
        content: An A2A 1.0 AgentCard as ProtoJSON, an MCP server's description, or a prompt.
        namespace: Where it is to be published.

    Raises:
        UsageError: It does not fit; names all problems at once, each with its JSON pointer.
        TooLarge: Its content is above `CARD_LIMIT`.
        BadName: The namespace breaks the rules for names.
    """
    check_name(namespace, "namespace")
    what, hint = _WHAT[kind]
    read, problems = _read_all(content, kind)
    links = _links(read, problems) if kind == "agent" else ()
    if problems:
        shown = "; ".join(str(problem) for problem in problems[:10])
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UsageError(f"the {what} has {count}: {shown}{more}", hint)
    version = read.get("version")
    read = {name: value for name, value in read.items() if name not in _SERVED}
    if kind == "agent":
        read.setdefault("capabilities", {})
    canonical = _canonical(read)
    if len(canonical) > CARD_LIMIT:
        raise TooLarge(
            f"the {what} of '{read['name']}' has {len(canonical)} bytes, the limit is {CARD_LIMIT}",
            "keep long texts outside the card and link to them",
        )
    signed = dict(content) if kind == "agent" and content.get("signatures") else None
    if signed is not None and len(_canonical(signed)) > 2 * CARD_LIMIT:
        raise TooLarge(
            f"the signatures and interfaces of '{read['name']}' take more than {CARD_LIMIT} bytes", "make them fewer"
        )
    return Draft(namespace, read["name"], read, version, hashlib.sha256(canonical).hexdigest(), kind, links, signed)


def card_problems(card: object, kind: Kind = "agent") -> list[Problem]:
    """All that is wrong with a card; nothing if it may be published."""
    read, problems = _read_all(card, kind)
    if kind == "agent":
        _links(read, problems)
    return problems


def content_hash(card: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of the canonical JSON of a card's content.

    Raises:
        UsageError: The card does not fit.
        TooLarge: Its content is above `CARD_LIMIT`.
    """
    return read_card(card).hash


def with_links(card: Mapping[str, Any], links: Iterator[Link] | list[Link]) -> dict[str, Any]:
    """A card that says what its agent uses, in place of what it said before.

    Example:
        >>> card = with_links({"name": "trip"}, [Link("prompt", "plan", "stable")])
        >>> card["capabilities"]["extensions"][0]["params"]
        {'uses': [{'kind': 'prompt', 'name': 'plan', 'ref': 'stable'}]}
    """
    capabilities = dict(card.get("capabilities", {}))
    others = [extension for extension in capabilities.get("extensions", ()) if extension.get("uri") != LINKS]
    uses = [link._asdict() for link in links]
    if uses:
        others.append({"uri": LINKS, "description": "what this agent uses", "params": {"uses": uses}})
    return {**card, "capabilities": {**capabilities, "extensions": others}}


def difference(published: object, offered: object, pointer: str = "") -> Iterator[str]:
    """Says where two contents differ, one line a place, in the order of the fields' names.

    Example:
        >>> list(difference({"a": [1, 2]}, {"a": [1], "b": "x"}))
        ['/a/1: 2 was taken away', '/b: "x" was added']
    """
    if isinstance(published, dict) and isinstance(offered, dict):
        for name in sorted(published.keys() | offered.keys()):
            yield from difference(published.get(name, ABSENT), offered.get(name, ABSENT), below(pointer, name))
    elif isinstance(published, list) and isinstance(offered, list):
        for index in range(max(len(published), len(offered))):
            old, new = (values[index] if index < len(values) else ABSENT for values in (published, offered))
            yield from difference(old, new, below(pointer, index))
    elif published is ABSENT:
        yield f"{pointer}: {_shown(offered)} was added"
    elif offered is ABSENT:
        yield f"{pointer}: {_shown(published)} was taken away"
    elif published != offered or type(published) is not type(offered):
        yield f"{pointer}: {_shown(published)} became {_shown(offered)}"


def _read_all(card: object, kind: Kind) -> tuple[dict[str, Any], list[Problem]]:
    problems: list[Problem] = []
    what = _WHAT[kind][0]
    if not isinstance(card, Mapping):
        return {}, [Problem("", f"is no {what} but a {type(card).__name__}; it takes an object")]
    content = read_shape(card, _SHAPE[kind], "", problems)
    if kind == "agent" and not problems and is_legacy(content):
        try:
            content = read_shape(upgraded(content), _SHAPE[kind], "", problems)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problems.append(Problem("", f"is in A2A 0.3's form and does not fit it: {type(error).__name__} {error}"))
    for field, check in (("name", lambda name: check_name(name, "agent")), ("version", check_version)):
        if isinstance(value := content.get(field), str):
            try:
                check(value)
            except LabError as error:
                problems.append(Problem(f"/{field}", f"does not fit: {error.what}"))
    if kind == "prompt" and not problems:
        problems += check_prompt(content)
    return content, problems


def _links(card: dict[str, Any], problems: list[Problem]) -> tuple[Link, ...]:
    """What a card says that its agent uses."""
    links = []
    for index, extension in enumerate(card.get("capabilities", {}).get("extensions", ())):
        if extension.get("uri") != LINKS:
            continue
        pointer = f"/capabilities/extensions/{index}/params/uses"
        uses = extension.get("params", {}).get("uses")
        if not isinstance(uses, list):
            problems.append(Problem(pointer, "is no list of what is used"))
            continue
        for number, use in enumerate(uses):
            try:
                links.append(_link(use))
            except LabError as error:
                problems.append(Problem(f"{pointer}/{number}", f"does not fit: {error.what}"))
    return tuple(links)


def _link(use: object) -> Link:
    if not (isinstance(use, dict) and use.get("kind") in get_args(Kind) and isinstance(use.get("name"), str)):
        raise UsageError("what is used has a kind (agent, mcp or prompt) and a name")
    ref = use.get("ref", LATEST)
    if not isinstance(ref, str):
        raise UsageError("the ref of what is used is a version or a label")
    check = check_version if is_version(ref) else check_label
    return Link(use["kind"], check_name(use["name"], "agent"), check(ref))


def _canonical(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
