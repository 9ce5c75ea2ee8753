"""Where a group stands on a lite topic, or on one record of a PRIORITY parent: the unit that waits for its turn."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from nbagora_lab.broker.ready import Unit
from nbagora_lab.core.events import PLAIN

if TYPE_CHECKING:
    from nbagora_lab.broker.audience import Audience
    from nbagora_lab.broker.grant import Grant

__all__ = ["UNKNOWN", "Runs", "Turn", "TurnKey"]

UNKNOWN = -1
"""Of a turn that was made from the index of what waits: the disk knows."""

Runs = tuple[tuple[int, int], ...]
"""Attempts by offset: each pair is where a run ends (exclusive) and how often its records have been handed out."""

TurnKey = str | tuple[str, int]
"""A lite topic's full name; on a PRIORITY parent with the record's offset."""

_FIXED = struct.Struct(">QQH")  # committed, the last lease whose attempt is counted in it, number of runs
_RUN = struct.Struct(">QI")


class Turn(Unit):
    """A group's state of a lite topic that has something to read, or of one record on a PRIORITY parent.

    Stored, in `progress` or for a single record in `waiting`, with the format of the store (`keys.FORMAT`); the last
    attempt may be stored with its lease alone (`GroupStore`):

    Attributes:
        committed: Offset of the first record that is not acked.
        done: Bits of acked records above that: bit i is offset ``committed + i``.
        runs: How often the records from `committed` on have been handed out.

    Not stored:

    Attributes:
        number: The topic's number in the keys.
        end: Offset past the last record.
        single: Whether it is one record, which waits for no other.
        grant: The lease that it is out under; None: none.
        leased: Offset past the last record that is out.
        until: When the lease ends, in seconds since the Unix epoch.
        parked: What keeps it from being ready: ``suspended``, ``back-off``, ``topic quota``; empty for nothing.
        audience: Whose ready set it is in, while it is.
    """

    __slots__ = (
        "audience",
        "committed",
        "done",
        "end",
        "grant",
        "leased",
        "number",
        "parked",
        "runs",
        "single",
        "until",
    )

    def __init__(self, topic: str, number: int, committed: int, end: int, *, single: bool = False) -> None:
        self.topic = topic  # all of it here: a call to the base class takes a fifth of the time
        self.plan = PLAIN
        self.since = 0.0
        self.tick = 0
        self.level = None
        self.number = number
        self.committed = committed
        self.end = end
        self.single = single
        self.done = 0
        self.runs: Runs = ()
        self.grant: Grant | None = None
        self.leased = 0
        self.until = 0.0
        self.parked = ""
        self.audience: Audience | None = None

    @property
    def key(self) -> TurnKey:
        """What tells it from its group's other turns."""
        return (self.topic, self.end - 1) if self.single else self.topic

    @property
    def drained(self) -> bool:
        """Whether everything is acked."""
        return self.committed >= self.end

    def waiting(self, limit: int) -> range | list[int]:
        """Offsets of the next records, `limit` at most."""
        if not self.done:
            return range(self.committed, min(self.end, self.committed + limit))
        found = []
        for offset in range(self.committed, self.end):
            if not self.is_done(offset):
                found.append(offset)
                if len(found) >= limit:
                    break
        return found

    def out(self) -> list[int]:
        """Offsets that are out and not acked."""
        return [offset for offset in range(self.committed, self.leased) if not self.is_done(offset)]

    def is_done(self, offset: int) -> bool:
        """Whether a record is acked."""
        return offset < self.committed or bool(self.done >> (offset - self.committed) & 1)

    def acked(self, offsets: list[int]) -> tuple[int, int]:
        """What `committed` and `done` are once these are acked as well."""
        whole = not self.done and len(offsets) == self.leased - self.committed  # of a lease, as most acks are
        if whole and (len(offsets) == 1 or offsets == list(range(self.committed, self.leased))):
            return self.leased, 0
        committed, done = self.committed, self.done
        for offset in offsets:
            if offset >= committed:
                done |= 1 << (offset - committed)
        while done & 1:
            ones = (~done & (done + 1)).bit_length() - 1  # how many records from the first on are acked
            committed += ones
            done >>= ones
        return committed, done

    def attempts(self, offset: int) -> int:
        """How often a record has been handed out."""
        for end, attempts in self.runs:
            if offset < end:
                return attempts
        return 0

    def tried(self, end: int) -> Runs:
        """What `runs` is once the records before `end` have been handed out once more."""
        if not self.runs:
            return ((end, 1),)
        return self.recount({offset: 1 for offset in range(self.committed, end) if not self.is_done(offset)})

    def recount(self, by_offset: dict[int, int]) -> Runs:
        """What `runs` is once each of these records counts so many attempts more."""
        runs: list[tuple[int, int]] = []
        last = max([end for end, _ in self.runs] + [offset + 1 for offset in by_offset])
        for offset in range(self.committed, last):
            attempts = max(0, self.attempts(offset) + by_offset.get(offset, 0))
            if runs and runs[-1][1] == attempts:
                runs[-1] = (offset + 1, attempts)
            else:
                runs.append((offset + 1, attempts))
        return tuple(runs)

    @staticmethod
    def pack(committed: int, done: int, runs: Runs, lease: int) -> bytes:
        """The stored part, in which the attempts of all leases up to this one are counted."""
        if runs and runs[-1][0] <= committed:  # as most are when they are acked
            runs = ()
        if not runs and not done:
            return _FIXED.pack(committed, lease, 0)
        runs = tuple(run for run in runs if run[0] > committed)
        packed = _FIXED.pack(committed, lease, len(runs))
        for run in runs:
            packed += _RUN.pack(*run)
        return packed + done.to_bytes((done.bit_length() + 7) // 8) if done else packed

    def unpack(self, stored: bytes | None) -> int:
        """Takes the stored part over (None: nothing has been read yet); returns the last lease counted in it."""
        if stored is None:
            self.committed, self.done, self.runs = 0, 0, ()
            return 0
        self.committed, lease, count = _FIXED.unpack_from(stored)
        at = _FIXED.size
        runs = []
        for _ in range(count):
            end, attempts = _RUN.unpack_from(stored, at)
            runs.append((end, attempts))
            at += _RUN.size
        self.runs = tuple(runs)
        self.done = int.from_bytes(stored[at:])
        return int(lease)
