"""Reads a lite topic by offset, whether or not a group has acked it, and says whether the topic is there."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Generator

from nbagora_lab.broker.api import Stored
from nbagora_lab.broker.model import EVENTS
from nbagora_lab.broker.rocketmq.cluster import PAGE, Cluster, Pull
from nbagora_lab.broker.rocketmq.feed import LITE_OFFSET
from nbagora_lab.broker.rocketmq.life import Place
from nbagora_lab.broker.rocketmq.packing import sender_of, stored_of
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.remoting import Message

__all__ = ["Reader"]

_KNOWN = 100_000  # topics that are remembered to be there
_FRESH = 300.0  # seconds for which that is believed


class Reader:
    """What reads a lab's topics. Any thread may call.

    Args:
        cluster: The servers.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()  # base, and when it was seen

    def place(self, parent: Parent, lite: str) -> Place:
        """Where a topic is, or would be."""
        return Place() if lite == EVENTS else parent.life.place(lite) or Place()

    def ends(self, parent: Parent, lite: str) -> tuple[int, int]:
        """First offset of a topic's queue, and the one past its last."""
        return self._cluster.ends(parent.queue(lite))

    def there(self, parent: Parent, lite: str) -> bool:
        """Whether a topic is there: it has the records that it was said to have."""
        place = self.place(parent, lite)
        return self.ends(parent, lite)[1] >= place.base + place.least

    def know(self, parent: Parent, lite: str, base: int) -> None:
        """Remembers that a topic is there."""
        self._known[parent.spelt, lite] = base, time.monotonic()
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    def forget(self, parent: Parent, lite: str) -> None:
        """A topic is removed."""
        self._known.pop((parent.spelt, lite), None)

    def knows(self, parent: Parent, lite: str) -> bool:
        """Whether a topic is surely there: it was not long ago, nobody has removed it, nor can its TTL be over."""
        place, known = self.place(parent, lite), self._known.get((parent.spelt, lite))
        if known is None or not place.open or known[0] != place.base:
            return False
        fresh = _FRESH if parent.spec.ttl is None else min(_FRESH, parent.spec.ttl / 2)
        return time.monotonic() - known[1] < fresh

    def scan(self, parent: Parent, lite: str, *, after: int, limit: int, max_bytes: int) -> list[Stored]:
        """See `Log.scan`."""
        place = self.place(parent, lite)
        if place.least > 1 and not self.knows(parent, lite):  # perhaps a fork that was never finished
            if not self.there(parent, lite):
                return []
            self.know(parent, lite, place.base)
        found: list[Stored] = []
        senders: dict[str, int] = {}
        base, after = place.base, max(after, -1)
        at = base + after + (after < 0)  # the message before says who was last: a second one of the same is no record
        with contextlib.closing(self._pages(parent.queue(lite), at, limit + 1)) as pages:
            for page in pages:
                for message in page:
                    offset = int(message.properties[LITE_OFFSET]) - base
                    writer, number = sender_of(message)
                    second = bool(writer) and number <= senders.get(writer, -1)
                    if writer and not second:
                        senders[writer] = number
                    if second or offset <= after:
                        continue
                    stored = stored_of(message)
                    found.append((offset, stored))
                    max_bytes -= len(stored)
                    if len(found) >= limit or max_bytes <= 0:
                        return found
        return found

    def _pages(self, queue: str, at: int, most: int) -> Generator[list[Message]]:
        """Pages of a lite topic's queue from an offset on, as many as are taken, whose messages are some `most` in all.

        Where a page is full, which bounds how large it is, the next one comes while that one is looked at.
        """
        pull: Pull | None = None
        try:
            while True:
                size = min(PAGE, max(2, most))
                if pull is None:
                    page = self._cluster.pull(queue, at, limit=size)
                else:
                    taken, pull = pull, None
                    page = taken.page()
                if not page.messages and at < page.first < page.end:  # what was there is gone with the server's oldest
                    page = self._cluster.pull(queue, page.first, limit=size)
                if not page.messages:
                    return
                at = int(page.messages[-1].properties[LITE_OFFSET]) + 1
                most -= len(page.messages)
                if len(page.messages) == PAGE and most > 0 and at < page.end:
                    pull = self._cluster.pulling(queue, at, limit=min(PAGE, max(2, most)))
                yield page.messages
                if at >= page.end:
                    return
        finally:
            if pull is not None:
                pull.drop()
