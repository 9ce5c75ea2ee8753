"""Cards for tests: whole, short, and different where a test says so."""

from __future__ import annotations

from typing import Any

from nbagora_lab.registry.card import read_card
from nbagora_lab.registry.model import NAMESPACE, Draft

__all__ = ["card", "draft", "skill"]


def skill(id: str = "forecast", **fields: Any) -> dict[str, Any]:  # noqa: A002 -- the card's own word
    """A skill that is whole; its name is its id unless given."""
    return {"id": id, "name": id, "description": f"Does {id}.", "tags": []} | fields


def card(name: str = "weather", **fields: Any) -> dict[str, Any]:
    """A card that is whole: A2A 1.0's ProtoJSON, without version, interfaces and signatures unless given."""
    return {
        "name": name,
        "description": f"Is {name}.",
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill()],
    } | fields


def draft(name: str = "weather", *, namespace: str = NAMESPACE, **fields: Any) -> Draft:
    """The same, checked."""
    return read_card(card(name, **fields), namespace)
