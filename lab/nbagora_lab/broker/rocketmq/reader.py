"""Reads a lite topic by offset, whether or not a group has acked it, and says whether the topic is there."""

from __future__ import annotations

import time
from collections import OrderedDict

from nbagora_lab.broker.api import Stored
from nbagora_lab.broker.model import EVENTS
from nbagora_lab.broker.rocketmq.cluster import Cluster
from nbagora_lab.broker.rocketmq.feed import LITE_OFFSET
from nbagora_lab.broker.rocketmq.life import Place
from nbagora_lab.broker.rocketmq.packing import sender_of, stored_of
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.remoting import Message

__all__ = ["Reader"]

_PAGE = 32  # messages that a broker gives at once
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
        while len(found) < limit and max_bytes > 0:
            page, end = self._pull(parent.queue(lite), at, limit=min(_PAGE, limit - len(found) + 1))
            for offset, message in page:
                writer, number = sender_of(message)
                second = bool(writer) and number <= senders.get(writer, -1)
                if writer and not second:
                    senders[writer] = number
                if second or offset - base <= after:
                    continue
                stored = stored_of(message)
                found.append((offset - base, stored))
                max_bytes -= len(stored)
                if len(found) >= limit or max_bytes <= 0:
                    break
            if not page or page[-1][0] + 1 >= end:
                break
            at = page[-1][0] + 1
        return found

    def _pull(self, queue: str, offset: int, *, limit: int) -> tuple[list[tuple[int, Message]], int]:
        """Messages of a lite topic's queue, with their offsets on it, and the queue's end."""
        page = self._cluster.pull(queue, offset, limit=limit)
        if not page.messages and offset < page.first < page.end:  # what was there is gone with the server's oldest
            page = self._cluster.pull(queue, page.first, limit=limit)
        return [(int(message.properties[LITE_OFFSET]), message) for message in page.messages], page.end
