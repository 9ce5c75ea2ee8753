"""What of a card a search can ask for in whole: the filters, and the values that a card has for each.

| filter | a card has |
|---|---|
| `skill` | ids and names of its skills; a server's tools |
| `tag` | tags of its skills, and its own |
| `provider` | name and URL of who provides it |
| `capability` | ``streaming``, ``pushNotifications``, ``extendedAgentCard``, where it has them |
| `input`, `output` | media types that it, or one of its skills, takes and gives |
| `scheme` | names and kinds of its security schemes: ``http``, ``bearer``, ``apiKey``, ``oauth2``, … |
| `extension` | URIs of its extensions |

`transport`, `health`, `state` and `label` are asked of the registry, not of the card. Values are compared folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nbagora_lab.registry.model import FILTERS
from nbagora_lab.registry.words import fold

__all__ = ["CARD_FIELDS", "FIELDS", "STANDING_FIELDS", "facets_of", "values_of"]

CARD_FIELDS = ("skill", "tag", "provider", "capability", "input", "output", "scheme", "extension")
"""Filters over a card."""

STANDING_FIELDS = ("transport", "health", "state")
"""Filters over what the registry knows of a version: where it answers, how it is, and how far in its life."""

FIELDS = FILTERS
"""All filters."""

_SCHEMES = {
    "apiKeySecurityScheme": "apiKey",
    "httpAuthSecurityScheme": "http",
    "oauth2SecurityScheme": "oauth2",
    "openIdConnectSecurityScheme": "openIdConnect",
    "mtlsSecurityScheme": "mtls",
}


def facets_of(card: dict[str, Any]) -> set[tuple[str, str]]:
    """Filter and folded value of all that a card can be found by."""
    return {(field, fold(value)) for field in CARD_FIELDS for value in values_of(card, field)}


def values_of(card: dict[str, Any], field: str) -> list[str]:
    """What a card has for a filter, as it writes it, each once."""
    skills: list[dict[str, Any]] = [*card.get("skills", ()), *card.get("tools", ())]
    capabilities = card.get("capabilities", {})
    if field == "skill":
        found: Iterable[str] = (skill[key] for skill in skills for key in ("id", "name") if skill.get(key))
    elif field == "tag":
        found = [*card.get("tags", ()), *(tag for skill in skills for tag in skill.get("tags", ()))]
    elif field == "provider":
        provider = card.get("provider", {})
        found = [provider[key] for key in ("organization", "url") if provider.get(key)]
    elif field == "capability":
        found = [name for name, value in capabilities.items() if value is True]
    elif field in {"input", "output"}:
        key = field.title() + "Modes"
        found = [*card.get(f"default{key}", ()), *(mode for skill in skills for mode in skill.get(f"{field}Modes", ()))]
    elif field == "scheme":
        found = _schemes(card)
    else:
        found = (extension["uri"] for extension in capabilities.get("extensions", ()) if extension.get("uri"))
    return list(dict.fromkeys(found))


def _schemes(card: dict[str, Any]) -> Iterator[str]:
    for name, scheme in card.get("securitySchemes", {}).items():
        yield name
        if isinstance(scheme.get("type"), str):  # A2A 0.3's form
            yield scheme["type"]
        if isinstance(scheme.get("scheme"), str):
            yield scheme["scheme"]
        for key, short in _SCHEMES.items():
            if key in scheme:
                yield short
                if scheme[key].get("scheme"):
                    yield scheme[key]["scheme"]
