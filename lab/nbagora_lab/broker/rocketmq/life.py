"""Which lite topics a parent has, folded from its `_events`: RocketMQ itself has no list of them.

What a record here says is an intent, which readers check: a topic is there once it has as many messages as the record
promises. So a writer that dies between the record and the messages leaves no topic.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

from nbagora_lab.broker.model import EVENTS
from nbagora_lab.broker.rocketmq.names import lite_spelt
from nbagora_lab.core.events import RecordType, decode

__all__ = ["Life", "Place"]


@dataclass(slots=True)
class Place:
    """Where a lite topic's records are on its queue.

    Attributes:
        base: Offset on the queue that is the topic's 0; the queue goes on where a removed topic ended.
        least: Records that it must have to be there: those of an unfinished fork are none.
        created: Seconds since the Unix epoch; None: nobody said so.
        forked_from: ``parent/lite@offset`` where it is a fork.
        open: Whether it was not removed.
    """

    base: int = 0
    least: int = 1
    created: float | None = None
    forked_from: str | None = None
    open: bool = True


class Life:
    """A parent's lite topics.

    Args:
        parent: Its name.
        scan: Reads its `_events` past an offset: offsets and stored records.
    """

    def __init__(self, parent: str, scan: Callable[[int], list[tuple[int, bytes]]]) -> None:
        self.parent = parent
        self._scan = scan
        self._lock = threading.Lock()
        self._offset = -1
        self._places: dict[str, Place] = {}
        self._names: dict[str, str] = {}  # by how they are spelt, where that does not say it
        self.stale = True

    def refresh(self) -> None:
        """Folds what came since the last time; one look where nothing did."""
        with self._lock:
            self.stale = False
            try:
                while batch := self._scan(self._offset):
                    for self._offset, stored in batch:
                        self._feed(stored, self._offset)
            except BaseException:
                self.stale = True
                raise

    def place(self, lite: str) -> Place | None:
        """Where a topic is; None where nothing was said of it."""
        if self.stale:
            self.refresh()
        return self._places.get(lite)

    def lites(self) -> list[str]:
        """Names of all that were opened and not removed, in the order of their UTF-8."""
        with self._lock:
            return sorted((lite for lite, place in self._places.items() if place.open), key=str.encode)

    def name(self, spelt: str) -> str | None:
        """The name of a topic whose spelling does not say it."""
        return self._names.get(spelt)

    def _feed(self, stored: bytes, offset: int) -> None:
        record = decode(stored, f"{self.parent}/{EVENTS}", offset)
        if not record.type.startswith("topic."):
            return
        try:
            told = json.loads(record.body)
            lite, base = told["topic"].partition("/")[2], int(told.get("base", 0))
        except (ValueError, LookupError, TypeError, AttributeError):  # another client wrote it
            return
        place = self._places.get(lite)
        if record.type == RecordType.TOPIC_EXPIRED:
            self._places[lite] = Place(base, open=False)
        elif record.type in {RecordType.TOPIC_OPENED, RecordType.TOPIC_FORKED}:
            if place is not None and place.open and not told.get("anew"):
                return  # two writers opened it at once; the first one's word counts
            self._places[lite] = Place(base, told.get("count", 1), record.time, told.get("from"))
            if (spelt := lite_spelt(lite)).startswith("-"):
                self._names[spelt] = lite
