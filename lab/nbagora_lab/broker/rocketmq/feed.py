"""What is written on a parent, as it is written: one long-polling reader for each broker.

A parent of lite topics has a queue of its own on which every message of all its lite topics stands, with the lite
topic's name and the offset there. A broker answers a waiting pull on it at once, which it doesn't on a lite topic's
queue. So one waiting call a parent tells a lab everything, of this process and of others, without a poll and without a
group; measured, the notice is here before the sender has its receipt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from nbagora_lab.broker.rocketmq.cluster import PAGE, Cluster
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.core.errors import LabError
from nbagora_lab.core.log import logger

__all__ = ["LITE", "LITE_OFFSET", "Feed"]

LITE, LITE_OFFSET = "__LITE_TOPIC", "INNER_MULTI_QUEUE_OFFSET"
_log = logger.getChild("broker")
_HOLD = 15.0  # seconds that a broker holds an answer back
_GATHER = 0.01  # seconds between two looks while many messages come; a call for each of them would cost as much as it
_LONGER = 5  # times as long, while nobody waits to hear of one
_PAUSES = (0.2, 0.5, 1.0)  # seconds between tries while a broker is away; the last one repeats


class Feed:
    """One parent on one broker.

    Args:
        cluster: The cluster.
        broker: Name of the broker.
        topic: The parent, as it is spelt there.
        heard: Called, in the feed's thread, with each message; must be quick and must not raise.
        missed: Called where messages may have gone by unseen: the broker was away.
        crowded: Whether many messages are about to come: then it looks less often and finds more at a time.
        awaited: Whether somebody waits to hear of one; while nobody does, less often still.

    Attributes:
        position: Offset of what comes next; it grows with every message.
    """

    def __init__(
        self,
        cluster: Cluster,
        broker: str,
        topic: str,
        heard: Callable[[Message], None],
        missed: Callable[[], None],
        crowded: Callable[[], bool],
        awaited: Callable[[], bool],
    ) -> None:
        self._cluster = cluster
        self._broker = broker
        self._topic = topic
        self._heard = heard
        self._missed = missed
        self._crowded = crowded
        self._awaited = awaited
        self._closed = threading.Event()
        self.position = cluster.end_on(broker, topic)
        self._thread = threading.Thread(target=self._run, name=f"nbagora-feed-{topic}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Has it end; its call under way ends with the cluster's connections."""
        self._closed.set()

    def join(self) -> None:
        """Waits until it has ended."""
        self._thread.join()

    def _gather(self) -> None:
        """Waits for more, where many are about to come."""
        for _ in range(_LONGER):
            if not self._crowded() or self._closed.wait(_GATHER) or self._awaited():
                return

    def _run(self) -> None:
        failures, full = 0, False
        while not self._closed.is_set():
            if not full:
                self._gather()
            try:
                page = self._cluster.pull(self._topic, self.position, broker=self._broker, wait=_HOLD)
            except LabError as error:
                if self._closed.is_set() or self._cluster.closed:
                    return
                if not failures:
                    _log.warning("%s; trying again until it is back", error.what)
                self._closed.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
                continue
            full = len(page.messages) >= PAGE
            if failures:
                failures = 0
                _log.info("the broker %s is back", self._broker)
                self._missed()
            for message in page.messages:
                self.position = message.offset + 1
                try:
                    self._heard(message)
                except Exception:  # noqa: BLE001 -- what one message brings about must not stop the others
                    _log.exception("a message at %s of %s", message.offset, self._topic)
            if not page.messages and page.next != self.position:  # it was removed, or the broker lost its tail
                self.position = page.next
                self._missed()
