"""How appends reach the engine's one write: each for itself, or with whoever else is waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

from nbagora_lab.core.errors import LabError

__all__ = ["Commit", "Committed", "Entries", "GroupCommit"]

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
        self.error: LabError | None = None
        self.done = False


class GroupCommit(Commit):
    """Writes all appends that have gathered while the last write was under way, in one batch.

    Whoever finds nobody writing writes for all that have come; the others find themselves served. Where a write waits
    for the disk, that is what makes many writers as fast as one large one.

    What interrupts the one who writes (Ctrl-C, a cancelled agent) is that one's affair alone: if the batch was written,
    the others are served; if not, each writes for itself when its turn comes.

    Args:
        lock: The engine's lock.
        write: Writes entries in one batch; under the lock.
        written: What an interrupted `write` of these very entries has stored, None if nothing; under the lock.
    """

    def __init__(
        self, lock: Any, write: Callable[[Entries], Committed], written: Callable[[Entries], Committed | None]
    ) -> None:
        super().__init__(lock, write)
        self._written = written
        self._gathering: list[_Pending] = []
        self._gathering_lock = threading.Lock()

    def commit(self, entries: Entries) -> Committed:
        """Writes `entries` together; durable on return."""
        mine = _Pending(entries)
        with self._gathering_lock:
            self._gathering.append(mine)
        try:
            with self._lock:
                if not mine.done:
                    with self._gathering_lock:
                        group, self._gathering = self._gathering, []
                    self._write_group(group if mine in group else [*group, mine])
        except BaseException:  # nobody waits for this append any more, so it must not be written later
            with self._gathering_lock:
                if mine in self._gathering:
                    self._gathering.remove(mine)
            raise
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _write_group(self, group: list[_Pending]) -> None:
        entries = [entry for one in group for entry in one.entries]
        try:
            self._serve(group, self._write(entries))
        except LabError as error:
            if len(group) == 1:
                group[0].error, group[0].done = error, True
                return
            for one in group:  # one caller's bad name must not fail the others
                self._write_group([one])
        except BaseException:
            if (committed := self._written(entries)) is not None:
                self._serve(group, committed)
            raise

    def _serve(self, group: list[_Pending], committed: Committed) -> None:
        offsets, touched = committed
        start = 0
        for one in group:
            one.result = offsets[start : start + len(one.entries)], touched
            one.done = True
            start += len(one.entries)
