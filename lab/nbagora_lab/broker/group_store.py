"""What is stored of a group, read back: where it stands, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterator

from nbagora_lab.broker import keys
from nbagora_lab.broker.hot import HotTopics
from nbagora_lab.broker.rocks import Rocks
from nbagora_lab.broker.turn import UNKNOWN, Turn
from nbagora_lab.core.events import PLAIN, Scheduling, scheduling_of

__all__ = ["GroupStore"]


class GroupStore:
    """Reads one group's keys; under the engine's lock.

    Args:
        rocks: The open store.
        hot: Topics in use.
        number: The group's number.
        single: Whether its parent is of type PRIORITY.
    """

    def __init__(self, rocks: Rocks, hot: HotTopics, number: int, *, single: bool) -> None:
        self._rocks = rocks
        self._hot = hot
        self._number = number
        self.single = single

    def load(self, turn: Turn) -> None:
        """Fills in progress and end."""
        if not turn.single:
            turn.unpack(self._rocks.families["progress"].get(keys.waiting_key(self._number, turn.number)))
            hot = self._hot.load(turn.topic)
            turn.end = hot.next if hot is not None else turn.committed

    def reload(self, turn: Turn) -> None:
        """The same for one that may lag behind; a single record that is acked has its end as its progress."""
        if turn.single:
            key = keys.waiting_record_key(self._number, turn.number, turn.end - 1)
            stored = self._rocks.families["waiting"].get(key)
            attempts = 0 if stored is None else keys.ATTEMPTS.unpack_from(stored)[0]
            turn.committed = turn.end if stored is None else turn.end - 1
            turn.runs = ((turn.end, attempts),) if attempts else ()
        else:
            self.load(turn)

    def plan(self, turn: Turn, offset: int) -> Scheduling:
        """The scheduling fields of a record; not looked for where no record of the parent has any."""
        hot = self._hot.look(turn.topic)
        if hot is None or not hot.parent.scheduled:
            return PLAIN
        if turn.end == UNKNOWN:
            self.load(turn)
            offset = turn.waiting(1)[0]
        stored = self._rocks.families["records"].get(keys.record_key(turn.number, offset))
        return PLAIN if stored is None else scheduling_of(stored)

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
        self.load(turn)
        return turn.is_done(offset)

    def all(self) -> Iterator[Turn]:
        """A turn for all that waits; of topics without what is read only when it is needed."""
        prefix = keys.group_prefix(self._number)
        for key, value in self._rocks.families["waiting"].items(from_key=prefix):
            if not key.startswith(prefix):
                return
            yield self._turn(key, value)

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
        (attempts,) = keys.ATTEMPTS.unpack_from(value)
        turn.runs = ((offset + 1, attempts),) if attempts else ()
        return turn
