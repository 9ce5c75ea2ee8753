"""What is stored of a group, read back: where it stands, and what waits for it."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING

from rocksdict import WriteBatch

from nbagora_lab.broker import keys
from nbagora_lab.broker.parent import Parent
from nbagora_lab.broker.turn import UNKNOWN, Turn, TurnKey
from nbagora_lab.core.events import PLAIN, Scheduling, head_of, scheduling_of

if TYPE_CHECKING:
    from nbagora_lab.broker.store import Store

__all__ = ["GroupStore"]

_PAGE = 1000


class GroupStore:
    """Reads one group's keys; under the engine's lock.

    An attempt is durable before its records are handed out, in one key for all of a receive (`handed`). It comes to be
    counted with the topic's other attempts when something else is written of the topic, or at the next opening; the
    number of the lease beside them says which leases are counted, so that none is twice.

    Args:
        store: The open store.
        number: The group's number.
        parent: What it reads.

    Attributes:
        single: Whether that is of type PRIORITY.
    """

    def __init__(self, store: Store, number: int, parent: Parent) -> None:
        self._store = store
        self._parent = parent
        self._rocks = store.rocks
        self._hot = store.hot
        self._number = number
        self.single = parent.spec.type == "PRIORITY"

    def load(self, turns: Sequence[Turn]) -> None:
        """Fills in progress and end, of many at once."""
        turns = [turn for turn in turns if not turn.single]
        if not turns:
            return
        self._hot.warm([turn.topic for turn in turns])
        found = self._rocks.families["progress"].get([keys.waiting_key(self._number, turn.number) for turn in turns])
        for turn, stored in zip(turns, found, strict=True):
            lease = turn.unpack(stored)
            hot = self._hot.load(turn.topic)
            turn.end = hot.next if hot is not None else turn.committed
            if turn.grant is not None and turn.grant.number > lease:
                turn.runs = turn.tried(turn.leased)

    def reload(self, turn: Turn) -> None:
        """The same for one that may lag behind; a single record that is acked has its end as its progress."""
        if not turn.single:
            self.load([turn])
            return
        key = keys.waiting_record_key(self._number, turn.number, turn.end - 1)
        stored = self._rocks.families["waiting"].get(key)
        attempts, lease = (0, 0) if stored is None else keys.ATTEMPTS.unpack_from(stored)
        turn.committed = turn.end if stored is None else turn.end - 1
        if stored is not None and turn.grant is not None and turn.grant.number > lease:
            attempts += 1
        turn.runs = ((turn.end, attempts),) if attempts else ()

    def count_handed(self, out: Container[int] = ()) -> None:
        """Counts with the others the attempts of all leases but those that are out."""
        prefix, handles = keys.group_prefix(self._number), self._rocks.handles
        for key, value in list(self._rocks.families["handed"].items(from_key=prefix)):
            if not key.startswith(prefix):
                break
            lease = keys.parse_u64(key[4:])
            if lease in out:
                continue
            batch = WriteBatch(raw_mode=True)
            for number, end in keys.parse_handed(value):
                if self.single:
                    self._count_single(batch, number, end, lease)
                else:
                    self._count(batch, number, end, lease)
            batch.delete(key, handles["handed"])
            self._store.write(batch)

    def _count(self, batch: WriteBatch, number: int, end: int, lease: int) -> None:
        key = keys.waiting_key(self._number, number)
        if self._rocks.families["waiting"].get(key) is None:  # all of it is acked, or the topic is no more
            return
        turn = Turn("", number, 0, end)
        if turn.unpack(self._rocks.families["progress"].get(key)) < lease:
            runs = turn.tried(end) if turn.committed < end else turn.runs
            batch.put(key, Turn.pack(turn.committed, turn.done, runs, lease), self._rocks.handles["progress"])

    def _count_single(self, batch: WriteBatch, number: int, end: int, lease: int) -> None:
        key = keys.waiting_record_key(self._number, number, end - 1)
        stored = self._rocks.families["waiting"].get(key)
        if stored is not None:
            attempts, counted = keys.ATTEMPTS.unpack_from(stored)
            if counted < lease:
                value = keys.ATTEMPTS.pack(attempts + 1, lease) + stored[keys.ATTEMPTS.size :]
                batch.put(key, value, self._rocks.handles["waiting"])

    def plans(self, turns: Sequence[Turn]) -> None:
        """Fills in the scheduling fields of what is next, of turns that are loaded."""
        looked = [turn for turn in turns if not turn.drained]
        wanted = [keys.record_key(turn.number, turn.waiting(1)[0]) for turn in looked]
        for turn, stored in zip(looked, self._rocks.families["records"].get(wanted) if wanted else (), strict=True):
            turn.plan = PLAIN if stored is None else scheduling_of(stored)

    def sizes(self, turn: Turn, offsets: Sequence[int]) -> list[int]:
        """Bytes of records."""
        wanted = [keys.record_key(turn.number, offset) for offset in offsets]
        return [len(stored or b"") for stored in self._rocks.families["records"].get(wanted)]

    def plan(self, turn: Turn, offset: int) -> Scheduling:
        """The scheduling fields of one record."""
        if not self._parent.scheduled:
            return PLAIN
        stored = self._rocks.families["records"].get(keys.record_key(turn.number, offset))
        return PLAIN if stored is None else scheduling_of(stored)

    def turn(self, topic: str, end: int) -> Turn:
        """Where the group stands on an ordered topic, whether it has something to read or not."""
        hot = self._hot.look(topic)
        turn = Turn(topic, hot.number if hot is not None else 0, 0, end)
        self.load([turn])
        return turn

    def is_acked(self, topic: str, offset: int) -> bool:
        """Whether a record is there and acked."""
        hot = self._hot.load(topic)
        if hot is None or not 0 <= offset < hot.next:
            return False
        if self.single:
            return (
                self._rocks.families["waiting"].get(keys.waiting_record_key(self._number, hot.number, offset)) is None
            )
        turn = Turn(topic, hot.number, 0, hot.next)
        self.load([turn])
        return turn.is_done(offset)

    def all(self) -> Iterator[Turn]:
        """A turn for all that waits; of topics without what is read only when it is needed."""
        prefix = keys.group_prefix(self._number)
        for key, value in self._rocks.families["waiting"].items(from_key=prefix):
            if not key.startswith(prefix):
                return
            yield self._turn(key, value)

    def strays(self, known: Container[TurnKey]) -> Iterator[tuple[Scheduling, float]]:
        """For all that waits and is not known, the next record's plan and when it came. From any thread."""
        families, unknown = self._rocks.families, (turn for turn in self.all() if turn.key not in known)
        while page := list(itertools.islice(unknown, _PAGE)):
            if not self.single:
                wanted = [keys.waiting_key(self._number, turn.number) for turn in page]
                for turn, stored in zip(page, families["progress"].get(wanted), strict=True):
                    turn.unpack(stored)
            wanted = [keys.record_key(turn.number, turn.committed) for turn in page]
            for stored in families["records"].get(wanted):
                if stored is not None:  # else it is gone meanwhile
                    yield scheduling_of(stored), head_of(stored).time / 1e6

    def of(self, topic: str) -> list[Turn]:
        """The same for one topic."""
        hot = self._hot.look(topic)
        if hot is None:
            return []
        key = keys.waiting_key(self._number, hot.number)
        if not self.single:
            value = self._rocks.families["waiting"].get(key)
            return [] if value is None else [self._turn(key, value)]
        found = []
        for each, value in self._rocks.families["waiting"].items(from_key=key):
            if not each.startswith(key):
                break
            found.append(self._turn(each, value))
        return found

    def _turn(self, key: bytes, value: bytes) -> Turn:
        number = keys.parse_u64(key[4:12])
        if not self.single:
            return Turn(value.decode(), number, 0, UNKNOWN)
        offset = keys.parse_u64(key[12:])
        turn = Turn(value[keys.ATTEMPTS.size :].decode(), number, offset, offset + 1, single=True)
        attempts, _ = keys.ATTEMPTS.unpack_from(value)
        turn.runs = ((offset + 1, attempts),) if attempts else ()
        return turn
