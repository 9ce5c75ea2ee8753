"""A2A 0.3 and 1.0: the same card in either form, there and back without loss.

| 0.3 | 1.0 |
|---|---|
| `url`, `preferredTransport`, `additionalInterfaces`, `protocolVersion` | `supportedInterfaces` |
| `securitySchemes` of OpenAPI, told by `type` | a member each: ``apiKeySecurityScheme``, … |
| `security`: ``[{"key": ["scope"]}]`` | `securityRequirements`: ``[{"schemes": {"key": {"list": ["scope"]}}}]`` |
| `supportsAuthenticatedExtendedCard` | ``capabilities.extendedAgentCard`` |
| ``capabilities.stateTransitionHistory`` | none: stays as it is |

What a card has in both forms is 1.0's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["is_legacy", "to_legacy", "upgraded"]

_MEMBERS = {
    "apiKey": "apiKeySecurityScheme",
    "http": "httpAuthSecurityScheme",
    "oauth2": "oauth2SecurityScheme",
    "openIdConnect": "openIdConnectSecurityScheme",
    "mutualTLS": "mtlsSecurityScheme",
}
_TYPES = {member: kind for kind, member in _MEMBERS.items()}
_PLACES = ("url", "preferredTransport", "additionalInterfaces", "protocolVersion")
_REQUIRED: dict[str, Any] = {"capabilities": {}, "defaultInputModes": [], "defaultOutputModes": [], "skills": []}
_REQUIRED_OF_A_SKILL: dict[str, Any] = {"tags": []}
_TOP = (*_PLACES, "security", "supportsAuthenticatedExtendedCard")


def is_legacy(card: Mapping[str, Any]) -> bool:
    """Whether a card has anything in 0.3's form that 1.0 has in another."""
    schemes = card.get("securitySchemes") or {}
    return (
        any(name in card for name in _TOP)
        or any(isinstance(scheme, Mapping) and "type" in scheme for scheme in schemes.values())
        or any("security" in skill for skill in card.get("skills") or () if isinstance(skill, Mapping))
    )


def upgraded(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card that fits its shape, in 1.0's form.

    Example:
        >>> upgraded({"name": "a", "security": [{"key": []}]})
        {'name': 'a', 'securityRequirements': [{'schemes': {'key': {'list': []}}}]}
    """
    if not is_legacy(card):
        return dict(card)
    new = {name: value for name, value in card.items() if name not in _TOP}
    if "url" in card and "supportedInterfaces" not in card:
        version = card.get("protocolVersion", "0.3.0")
        first = {"url": card["url"], "transport": card.get("preferredTransport", "JSONRPC")}
        rest = [one for one in card.get("additionalInterfaces", ()) if one != first]
        new["supportedInterfaces"] = [
            {"url": one["url"], "protocolBinding": one["transport"], "protocolVersion": version}
            for one in (first, *rest)
        ]
    if card.get("supportsAuthenticatedExtendedCard"):
        capabilities = dict(card.get("capabilities", {}))
        capabilities.setdefault("extendedAgentCard", True)
        new["capabilities"] = capabilities
    if "security" in card and "securityRequirements" not in card:
        new["securityRequirements"] = _requirements(card["security"])
    if "securitySchemes" in card:
        new["securitySchemes"] = {name: _scheme(scheme) for name, scheme in card["securitySchemes"].items()}
    if "skills" in card:
        new["skills"] = [_skill(skill) for skill in card["skills"]]
    return new


def to_legacy(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card of 1.0 in 0.3's form, which has members that ProtoJSON leaves out where they are empty."""
    changed = {"supportedInterfaces", "securityRequirements"}
    old = _REQUIRED | {name: value for name, value in card.items() if name not in changed}
    if interfaces := card.get("supportedInterfaces"):
        first, *rest = interfaces
        old["url"], old["preferredTransport"] = first["url"], first["protocolBinding"]
        old["protocolVersion"] = first["protocolVersion"]
        if rest:
            old["additionalInterfaces"] = [{"url": one["url"], "transport": one["protocolBinding"]} for one in rest]
    capabilities = dict(card.get("capabilities", {}))
    if "extendedAgentCard" in capabilities:
        if capabilities.pop("extendedAgentCard"):
            old["supportsAuthenticatedExtendedCard"] = True
        old["capabilities"] = capabilities
    if "securityRequirements" in card:
        old["security"] = _security(card["securityRequirements"])
    if "securitySchemes" in card:
        old["securitySchemes"] = {name: _old_scheme(scheme) for name, scheme in card["securitySchemes"].items()}
    if "skills" in card:
        old["skills"] = [
            _REQUIRED_OF_A_SKILL
            | {key: value for key, value in skill.items() if key != "securityRequirements"}
            | ({"security": _security(skill["securityRequirements"])} if "securityRequirements" in skill else {})
            for skill in card["skills"]
        ]
    return old


def _skill(skill: Mapping[str, Any]) -> dict[str, Any]:
    new = {key: value for key, value in skill.items() if key != "security"}
    if "security" in skill:
        new.setdefault("securityRequirements", _requirements(skill["security"]))
    return new


def _requirements(security: Any) -> list[dict[str, Any]]:
    return [{"schemes": {name: {"list": list(scopes)} for name, scopes in one.items()}} for one in security]


def _security(requirements: Any) -> list[dict[str, list[str]]]:
    return [{name: list(one.get("list", ())) for name, one in each.get("schemes", {}).items()} for each in requirements]


def _scheme(scheme: Mapping[str, Any]) -> dict[str, Any]:
    member = _MEMBERS.get(scheme.get("type", ""))
    if member is None:
        return dict(scheme)
    inside = {key: value for key, value in scheme.items() if key != "type"}
    if "in" in inside:
        inside["location"] = inside.pop("in")
    return {member: inside}


def _old_scheme(scheme: Mapping[str, Any]) -> dict[str, Any]:
    for member, kind in _TYPES.items():
        if member in scheme:
            inside = dict(scheme[member])
            if "location" in inside:
                inside["in"] = inside.pop("location")
            return {"type": kind, **inside}
    return dict(scheme)
