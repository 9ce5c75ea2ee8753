"""The store's secrets: one JSON file, readable by its owner alone. Records hold only the names of what is in here."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from nbagora_lab.core.errors import StoreCorrupt, StoreReadOnly

__all__ = ["Vault", "read_private", "write_private"]


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Writes a file whole or not at all, with mode 0600 from its first byte on.

    Raises:
        StoreReadOnly: It can't be written.
    """
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


def read_private(path: Path) -> dict[str, Any]:
    """The object in such a file; empty where there is none.

    Raises:
        StoreCorrupt: It can't be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreCorrupt(f"can't read {path}: {error}", "remove that file; a new one is made") from None
    return content if isinstance(content, dict) else {}


class Vault:
    """Secrets by kind and name. May be used from any thread.

    What other processes of the store write, a terminal's command for one, is read before it is used or changed.

    Args:
        path: The file; it is made by the first secret.

    Raises:
        StoreCorrupt: It can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read: tuple[int, int] | None = None
        self._content: dict[str, Any] = {}
        self._refresh()

    def _refresh(self) -> None:
        """Reads the file, if it is not the one that was read; each is written anew, so each is another."""
        try:
            found = self._path.stat()
        except OSError:
            return
        if (seen := (found.st_ino, found.st_mtime_ns)) != self._read:
            self._content, self._read = read_private(self._path), seen

    def get(self, kind: str, name: str) -> Any:
        """A secret; None where there is none of that name."""
        with self._lock:
            self._refresh()
            return self._content.get(kind, {}).get(name)

    def all(self, kind: str) -> dict[str, Any]:
        """All secrets of a kind."""
        with self._lock:
            self._refresh()
            return dict(self._content.get(kind, {}))

    def put(self, kind: str, name: str, secret: Any) -> None:
        """Keeps a secret, on disk on return.

        Raises:
            StoreReadOnly: It can't be written.
        """
        self._change(kind, lambda kept: kept | {name: secret})

    def drop(self, kind: str, name: str) -> None:
        """Forgets a secret; one that is not there does no harm."""
        if self.get(kind, name) is not None:
            self._change(kind, lambda kept: {key: value for key, value in kept.items() if key != name})

    def _change(self, kind: str, change: Any) -> None:
        with self._lock:
            self._refresh()
            write_private(self._path, {**self._content, kind: change(self._content.get(kind, {}))})
            self._refresh()
