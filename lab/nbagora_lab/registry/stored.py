"""Which registry a store's things are in, kept in the store, so that who looks at it later knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbagora_lab.core.vault import read_private

__all__ = ["forget_shared_registry", "note_registry", "registry_of"]

_NOTE = "registry.json"


def note_registry(store: Path, engine: str, *, nacos: str, user: str, lab: str) -> None:
    """Notes that a store's registry is at a Nacos.

    Args:
        store: Folder of the lab.
        engine: What the server answered for its name and version.
        nacos: Where it is.
        user: As whom.
        lab: The namespaces there that go with the store; empty where other labs share them.
    """
    note = {"engine": engine, "nacos": nacos, "user": user, "lab": lab}
    (store / _NOTE).write_text(json.dumps(note), encoding="utf-8")


def registry_of(store: Path) -> str | None:
    """Name and version of the engine that a store's registry was last on; None: it has none."""
    if (note := _note(store)) is not None:
        return str(note["engine"])
    return "embedded" if (store / "registry.db").is_file() else None


def forget_shared_registry(store: Path) -> None:
    """Removes what a store alone has at a Nacos; for a store that is about to go.

    Raises:
        ServerGone: Nothing answers there.
        UsageError: It refuses the user.
    """
    note = _note(store)
    if note is None or not note["lab"]:
        return
    from nbagora_lab.registry.nacos_agents import Agents
    from nbagora_lab.registry.nacos_http import Nacos

    nacos = Nacos(note["nacos"], note["user"], str(read_private(store / "keys.json").get("nacos_password", "")))
    try:
        agents = Agents(nacos)
        for space in agents.spaces(note["lab"]):
            agents.remove(space)
    finally:
        nacos.close()


def _note(store: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads((store / _NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return note
