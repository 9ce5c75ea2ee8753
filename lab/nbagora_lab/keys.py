"""The store's secrets and its address: ``keys.json`` and ``lab.json``, both readable by their owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbagora_lab.core.errors import StoreCorrupt, StoreReadOnly
from nbagora_lab.core.vault import read_private, write_private

__all__ = ["read_lab", "remove_lab", "store_lab_id", "store_secret", "store_token", "write_lab"]


def store_token(store: Path) -> str:
    """The store's bearer token, made on first use and the same after a restart."""
    return _kept(store, "token", lambda: secrets.token_urlsafe(32))


def store_lab_id(store: Path) -> str:
    """The lab's name on shared servers, made on first use and the same after a restart."""
    return _kept(store, "lab_id", lambda: f"lab{secrets.token_hex(6)}")


def store_secret(store: Path, name: str, given: str) -> str:
    """A secret of somebody else's server: as it is given now, which is kept, or else as it was given last."""
    path = store / "keys.json"
    keys = read_private(path)
    if given and keys.get(name) != given:
        keys[name] = given
        write_private(path, keys)
    return str(keys.get(name, ""))


def _kept(store: Path, name: str, make: Callable[[], str]) -> str:
    path = store / "keys.json"
    keys = read_private(path)
    if not keys.get(name):
        keys[name] = make()
        write_private(path, keys)
    return str(keys[name])


def write_lab(store: Path, *, url: str, token: str) -> None:
    """Says where the lab of this store answers, and which process it is."""
    write_private(store / "lab.json", {"url": url, "pid": os.getpid(), "token": token, "running": True})


def remove_lab(store: Path) -> None:
    """Says that the lab has stopped; its address stays on record, for the next one to take."""
    with contextlib.suppress(StoreReadOnly, StoreCorrupt):
        lab = read_lab(store)
        write_private(store / "lab.json", {"url": lab.get("url", ""), "running": False})


def read_lab(store: Path) -> dict[str, Any]:
    """The content of ``lab.json``: url, running, and while it runs pid and token; empty where there is none."""
    return read_private(store / "lab.json")
