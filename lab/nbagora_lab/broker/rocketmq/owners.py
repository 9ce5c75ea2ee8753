"""Which broker a lite topic is on: one alone, wherever a proxy may put messages while that one is away.

A proxy takes the brokers that it knows to be there, in the order of their names, and picks one by the jump consistent
hash of the lite topic's name (Lamping and Veach, arXiv 1406.2294; `SendMessageActivity` of 5.5.0). Some 20 s after a
broker went away it has forgotten it, and puts messages of that one's topics on another broker, under offsets that begin
anew. So each message says which broker its sender means it for (`packing.ON`). One that is elsewhere is a stray: no
reader takes it for a record, and its sender sends it again once all brokers are back.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from nbagora_lab.broker.rocketmq.packing import ON

if TYPE_CHECKING:
    from nbagora_lab.broker.rocketmq.cluster import Cluster
    from nbagora_lab.broker.rocketmq.remoting import Message

__all__ = ["Owners", "bucket", "is_stray"]

_KNOWN = 100_000  # queues that are remembered


class Owners:
    """The brokers of lite topics. Any thread may call.

    Args:
        cluster: The servers.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._known: OrderedDict[str, str] = OrderedDict()

    def known(self, queue: str) -> str | None:
        """The broker that a queue's messages are on, as far as nobody has to be asked."""
        return self._known.get(queue)

    def of(self, queue: str) -> str:
        """The broker that a queue's messages are on, or will be where it has none.

        Raises:
            ServerGone: It is not known, and a broker that could tell is away.
        """
        if (known := self.known(queue)) is not None:
            return known
        brokers = sorted(self._cluster.brokers)
        if len(brokers) == 1:
            return brokers[0]
        ruled = brokers[bucket(queue.rpartition("$")[2], len(brokers))]
        ends = {name: end for name in brokers if (end := self._cluster.end_on(name, queue))}
        if ends and list(ends) != [ruled]:  # strays, or it began when there were fewer brokers
            ends = {name: end for name, end in ends.items() if self._begins_at(name, queue)}
        owner = ruled if ruled in ends or not ends else max(ends, key=lambda name: ends[name])
        self._learn(queue, owner)
        return owner

    def see(self, queue: str, broker: str) -> None:
        """A message that was meant for this broker is on it."""
        if self._known.get(queue, broker) != broker:
            self._learn(queue, broker)

    def _learn(self, queue: str, broker: str) -> None:
        with self._lock:
            self._known[queue] = broker
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)

    def _begins_at(self, broker: str, queue: str) -> bool:
        """Whether what a broker has of a queue is more than strays, going by its first message."""
        page = self._cluster.pull(queue, 0, limit=1, broker=broker)
        if not page.messages and page.first:
            page = self._cluster.pull(queue, page.first, limit=1, broker=broker)
        return not any(is_stray(message, broker) for message in page.messages)


def is_stray(message: Message, broker: str) -> bool:
    """Whether a message that is on a broker was meant for another one."""
    return message.properties.get(ON, broker) != broker


def bucket(lite: str, buckets: int) -> int:
    """The place among that many brokers that a proxy gives a lite topic.

    Example:
        >>> [bucket("s-1", count) for count in (1, 2, 3)]
        [0, 0, 0]
    """
    state = 0
    for letter in lite:  # Java's String.hashCode; names are ASCII there
        state = (31 * state + ord(letter)) & 0xFFFFFFFF
    state = (state - (1 << 32) if state >> 31 else state) & 0xFFFFFFFFFFFFFFFF
    found = following = 0
    while following < buckets:
        found = following
        state = (2862933555777941757 * state + 1) & 0xFFFFFFFFFFFFFFFF
        following = int((found + 1) / (((state >> 33) + 1) / (1 << 31)))
    return found
