"""The store's secrets and its address: ``keys.json`` and ``lab.json``, both readable by their owner alone."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbagora_lab.core.errors import StoreCorrupt, StoreReadOnly

__all__ = ["read_lab", "remove_lab", "store_lab_id", "store_token", "write_lab"]


def _write_private(path: Path, content: dict[str, Any]) -> None:
    """Writes a file whole or not at all, with mode 0600 from its first byte on."""
    draft = path.with_suffix(".new")
    try:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file)
        draft.replace(path)
    except OSError as error:
        raise StoreReadOnly(
            f"can't write {path}: {error.strerror}", "make the folder writable, or use --store"
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreCorrupt(f"can't read {path}: {error}", "remove that file; a new one is made") from None
    return content if isinstance(content, dict) else {}


def store_token(store: Path) -> str:
    """The store's bearer token, made on first use and the same after a restart."""
    return _kept(store, "token", lambda: secrets.token_urlsafe(32))


def store_lab_id(store: Path) -> str:
    """The lab's name on shared servers, made on first use and the same after a restart."""
    return _kept(store, "lab_id", lambda: f"lab{secrets.token_hex(6)}")


def _kept(store: Path, name: str, make: Callable[[], str]) -> str:
    path = store / "keys.json"
    keys = _read(path)
    if not keys.get(name):
        keys[name] = make()
        _write_private(path, keys)
    return str(keys[name])


def write_lab(store: Path, *, url: str, token: str) -> None:
    """Says where the lab of this store answers, and which process it is."""
    _write_private(store / "lab.json", {"url": url, "pid": os.getpid(), "token": token, "running": True})


def remove_lab(store: Path) -> None:
    """Says that the lab has stopped; its address stays on record, for the next one to take."""
    with contextlib.suppress(StoreReadOnly, StoreCorrupt):
        lab = read_lab(store)
        _write_private(store / "lab.json", {"url": lab.get("url", ""), "running": False})


def read_lab(store: Path) -> dict[str, Any]:
    """The content of ``lab.json``: url, running, and while it runs pid and token; empty where there is none."""
    return _read(store / "lab.json")
