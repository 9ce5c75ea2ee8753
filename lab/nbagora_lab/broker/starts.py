"""Where a group stands on a topic that it has not read: at the start that it asks for."""

from __future__ import annotations

from rocksdict import WriteBatch

from nbagora_lab.broker import keys
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.hot import LAST_OFFSET
from nbagora_lab.broker.model import EVENTS
from nbagora_lab.broker.turn import Turn

__all__ = ["Starts"]

_PAGE = 10_000  # topics in a batch


class Starts:
    """Puts starts into the store; under the engine's lock.

    Args:
        log: The log.
    """

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self._store = log.store

    def put_all(self, number: int, spec: GroupSpec, *, single: bool) -> None:
        """Has a new group stand where it starts, on all topics that exist."""
        log, store = self._log, self._store
        after = ""
        while names := log.lites(spec.topic, after=after, limit=_PAGE):
            after = names[-1]
            batch = WriteBatch(raw_mode=True)
            for topic in (f"{spec.topic}/{lite}" for lite in names if lite != EVENTS):
                self.put(batch, number, topic, spec.start, single=single)
            store.write(batch)

    def put(self, batch: WriteBatch, number: int, topic: str, start: Start, *, single: bool) -> int:
        """Puts where a group stands on a topic; returns that offset."""
        store, hot = self._store, self._store.hot.look(topic)
        assert hot is not None
        offset = self._offset(topic, start, hot.next)
        key = keys.waiting_key(number, hot.number)
        handles, name = store.rocks.handles, topic.encode()
        if single:
            first, past = (keys.waiting_record_key(number, hot.number, at) for at in (0, LAST_OFFSET))
            batch.delete_range(first, past, store.rocks.handles["waiting"])
            untried = keys.ATTEMPTS.pack(0, store.lease)  # what was out before has been counted, too
            for at in range(offset, hot.next):
                batch.put(keys.waiting_record_key(number, hot.number, at), untried + name, handles["waiting"])
            return offset
        batch.put(key, Turn.pack(offset, 0, (), store.lease), handles["progress"])
        if offset < hot.next:
            batch.put(key, name, handles["waiting"])
        else:
            batch.delete(key, handles["waiting"])
        return offset

    def _offset(self, topic: str, start: Start, following: int) -> int:
        if start.kind == "last":
            return following
        if start.kind == "time":
            return self._log.seek(topic, start.value)
        if start.kind == "tail":
            return max(0, following - int(start.value))
        return min(int(start.value), following) if start.kind == "offset" else 0
