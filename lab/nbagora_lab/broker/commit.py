"""How appends reach the engine's one write: each for itself, or with whoever else is waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

from nbagora_lab.core.errors import LabError

__all__ = ["Commit", "Committed", "GroupCommit"]

Entries = Sequence[tuple[str, bytes]]
Committed = tuple[list[int], Collection[str]]
"""The entries' offsets, and all topics that got records."""


class Commit:
    """Writes each append by itself, which is best where a write costs microseconds.

    Args:
        lock: The engine's lock.
        write: Writes entries in one batch; under the lock.
    """

    def __init__(self, lock: Any, write: Callable[[Entries], Committed]) -> None:
        self._lock = lock
        self._write = write

    def commit(self, entries: Entries) -> Committed:
        """Writes `entries` together; durable on return."""
        with self._lock:
            return self._write(entries)


class _Pending:
    __slots__ = ("done", "entries", "error", "result")

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.result: Committed = ([], ())
        self.error: BaseException | None = None
        self.done = threading.Event()


class GroupCommit(Commit):
    """Writes all appends that have gathered while the last write was under way, in one batch.

    Whoever finds nobody writing writes for all that have come; the others find themselves served. Where a write waits
    for the disk, that is what makes many writers as fast as one large one.
    """

    def __init__(self, lock: Any, write: Callable[[Entries], Committed]) -> None:
        super().__init__(lock, write)
        self._gathering: list[_Pending] = []
        self._gathering_lock = threading.Lock()

    def commit(self, entries: Entries) -> Committed:
        """Writes `entries` together; durable on return."""
        mine = _Pending(entries)
        with self._gathering_lock:
            self._gathering.append(mine)
        with self._lock:
            if not mine.done.is_set():
                with self._gathering_lock:
                    group, self._gathering = self._gathering, []
                self._write_group(group)
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _write_group(self, group: list[_Pending]) -> None:
        try:
            offsets, touched = self._write([entry for one in group for entry in one.entries])
            start = 0
            for one in group:
                one.result = offsets[start : start + len(one.entries)], touched
                start += len(one.entries)
        except LabError:
            for one in group:  # one caller's bad name must not fail the others
                try:
                    one.result = self._write(one.entries)
                except LabError as error:
                    one.error = error
        finally:
            for one in group:
                one.done.set()
