"""Sends records and learns where they came to stand: a receipt names the parent's offset, the feed the lite topic's."""

from __future__ import annotations

import contextlib
import functools
import itertools
import secrets
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from nbagora_lab.broker.rocketmq.cluster import Cluster
from nbagora_lab.broker.rocketmq.feed import LITE_OFFSET
from nbagora_lab.broker.rocketmq.names import lite_spelt
from nbagora_lab.broker.rocketmq.owners import is_stray
from nbagora_lab.broker.rocketmq.packing import ID
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.broker.rocketmq.sender import Send, Sender
from nbagora_lab.core.errors import ServerGone, StoreClosed

__all__ = ["Writer"]

_HEARD = 0.5  # seconds after which an offset that the feed did not tell is looked for
_PAGE = 32
_MANY = 8
_PAUSE = 0.5  # seconds between two looks at servers that are away
_Seen = TypeVar("_Seen")


class _Pending:
    """A send whose offset is awaited.

    Attributes:
        heard: Once it is where it belongs.
        told: Once it is anywhere.
        offset: On its queue.
    """

    __slots__ = ("heard", "offset", "told")

    def __init__(self) -> None:
        self.heard = threading.Event()
        self.told = threading.Event()
        self.offset = -1

    def tell(self) -> None:
        """It is where it belongs."""
        self.heard.set()
        self.told.set()


class Writer:
    """What a lab sends. Two threads must not send to one topic at a time.

    Args:
        sender: The producer.
        cluster: The servers.
        patience: Seconds to look for a message that is stored and not seen.
    """

    def __init__(self, sender: Sender, cluster: Cluster, *, patience: float) -> None:
        self._sender = sender
        self._cluster = cluster
        self._patience = patience
        self._name = secrets.token_hex(6)
        self._numbers = itertools.count()
        self._pending: dict[str, _Pending] = {}
        self._closed = False

    def store(self, sends: list[tuple[Parent, str, bytes]]) -> list[int]:
        """Sends records, one in flight a topic, topics side by side.

        Args:
            sends: Parent, lite topic and stored record of each; those of one topic are stored in this order.

        Returns:
            Their offsets on their queues.
        """
        pending = [_Pending() for _ in sends]
        numbers = [f"{self._name}-{next(self._numbers)}" for _ in sends]
        several = len(self._cluster.brokers) > 1
        chains: dict[tuple[str, str], list[Send]] = {}
        for (parent, lite, stored), number, one in zip(sends, numbers, pending, strict=True):
            self._pending[number] = one
            send = Send(parent.spelt, lite_spelt(lite), stored, number, one.heard.is_set)
            if several:
                queue = parent.queue(lite)
                home = functools.partial(self._cluster.owners.of, queue)
                send = send._replace(home=home, arrived=functools.partial(self._find, queue, number, one))
            chains.setdefault((parent.spelt, lite), []).append(send)
        try:
            self._sender.send(list(chains.values()))
            for (parent, lite, _), number, one in zip(sends, numbers, pending, strict=True):
                self._find(parent.queue(lite), number, one)
        finally:
            for number in numbers:
                self._pending.pop(number, None)
        return [one.offset for one in pending]

    def patiently(self, look: Callable[[], _Seen]) -> _Seen:
        """What a look at the servers that a write needs gives, again while they are away.

        Raises:
            ServerGone: They are away for longer than a lab has patience.
        """
        until = time.monotonic() + self._patience
        while True:
            try:
                return look()
            except ServerGone:
                if self._closed or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE)

    def place(self, message: Message, broker: str) -> Callable[[], None]:
        """Takes a message that was heard of on a broker; what it gives tells its sender so."""
        pending = self._pending.get(message.properties.get(ID, ""))
        if pending is None:
            return lambda: None
        if is_stray(message, broker):
            return pending.told.set
        pending.offset = int(message.properties[LITE_OFFSET])
        return pending.tell

    def crowded(self) -> bool:
        """Whether many sends await their offsets."""
        return len(self._pending) > _MANY

    def close(self) -> None:
        """Has those who wait give up."""
        self._closed = True

    def _find(self, queue: str, number: str, pending: _Pending) -> bool:
        """Waits until a message that is stored was told of, and looks for it where that takes long.

        Returns:
            Whether it is where it belongs; else it is a stray.
        """
        deadline = time.monotonic() + self._patience
        wait = _HEARD
        while not (pending.heard.is_set() or pending.told.wait(wait)):
            wait = 0.05
            with contextlib.suppress(ServerGone):
                owner = self._cluster.owners.of(queue)
                _, end = self._cluster.ends(queue)
                for message in self._cluster.pull(queue, max(0, end - _PAGE)).messages:
                    if message.properties.get(ID) == number:
                        self.place(message, owner)()
            if self._closed:
                raise StoreClosed("the lab is stopping", "what was not acknowledged may not have been sent")
            if time.monotonic() > deadline:
                raise ServerGone(
                    "RocketMQ has taken a message and does not show it",
                    "see that its brokers run: scripts/engines status",
                )
        if not pending.heard.is_set():
            pending.told.clear()
        return pending.heard.is_set()
