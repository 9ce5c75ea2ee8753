"""Sends records and learns where they came to stand: a receipt names the parent's offset, the feed the lite topic's."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import secrets
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from nbagora_lab.broker.rocketmq.cluster import PAGE, Cluster
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
_MANY = 8
_PAUSE = 0.5  # seconds between two looks at servers that are away
_Seen = TypeVar("_Seen")


class _Pending:
    """A send whose offset is awaited.

    Attributes:
        told: Set once it is anywhere.
        heard: Whether it is where it belongs.
        offset: On its queue.
        wake: Called once it is anywhere.
    """

    __slots__ = ("heard", "offset", "told", "wake")

    def __init__(self) -> None:
        self.told = threading.Event()
        self.heard = False
        self.offset = -1
        self.wake: Callable[[], object] = bool

    def tell(self) -> None:
        """It is where it belongs."""
        self.heard = True
        self.tell_stray()

    def tell_stray(self) -> None:
        """It is elsewhere."""
        self.told.set()
        self.wake()

    def is_heard(self) -> bool:
        """Whether it was told to be where it belongs."""
        return self.heard


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
        self._awaited: set[_Pending] = set()
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
            send = Send(parent.spelt, lite_spelt(lite), stored, number, one.is_heard)
            if several:
                queue = parent.queue(lite)
                home = functools.partial(self._home, queue)
                send = send._replace(home=home, arrived=functools.partial(self._arrived, queue, number, one))
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
            return pending.tell_stray
        pending.offset = int(message.properties[LITE_OFFSET])
        return pending.tell

    def crowded(self) -> bool:
        """Whether many sends await their offsets."""
        return len(self._pending) > _MANY

    def awaited(self) -> bool:
        """Whether somebody who has sent waits for an offset."""
        return bool(self._awaited)

    def close(self) -> None:
        """Has those who wait give up."""
        self._closed = True

    async def _home(self, queue: str) -> str:
        """The broker that a topic is on; off the loop only where one has to be asked."""
        owners = self._cluster.owners
        if (known := owners.known(queue)) is not None:
            return known
        return await asyncio.get_running_loop().run_in_executor(None, owners.of, queue)

    async def _arrived(self, queue: str, number: str, pending: _Pending) -> bool:
        """`_find`, off the loop only where the notice is late."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        pending.wake = lambda: loop.call_soon_threadsafe(told.set)
        self._awaited.add(pending)
        try:
            if not pending.told.is_set():
                async with asyncio.timeout(_HEARD):
                    await told.wait()
        except TimeoutError:
            return await loop.run_in_executor(None, self._find, queue, number, pending)
        finally:
            self._awaited.discard(pending)
        return self._find(queue, number, pending)

    def _find(self, queue: str, number: str, pending: _Pending) -> bool:
        """Waits until a message that is stored was told of, and looks for it where that takes long.

        Returns:
            Whether it is where it belongs; else it is a stray.
        """
        deadline = time.monotonic() + self._patience
        wait = _HEARD
        while not (pending.heard or self._waits(pending, wait)):
            wait = 0.05
            with contextlib.suppress(ServerGone):
                owner = self._cluster.owners.of(queue)
                _, end = self._cluster.ends(queue)
                for message in self._cluster.pull(queue, max(0, end - PAGE)).messages:
                    if message.properties.get(ID) == number:
                        self.place(message, owner)()
            if self._closed:
                raise StoreClosed("the lab is stopping", "what was not acknowledged may not have been sent")
            if time.monotonic() > deadline:
                where = self._cluster.owners.known(queue) or " or ".join(sorted(self._cluster.brokers))
                raise ServerGone(
                    f"RocketMQ has taken a message, and its broker {where} does not show it",
                    "see that this broker runs: scripts/engines status; it may be there when it is back",
                )
        if not pending.heard:
            pending.told.clear()
        return pending.heard

    def _waits(self, pending: _Pending, seconds: float) -> bool:
        """Waits until a message is told of; whether it was."""
        self._awaited.add(pending)
        try:
            return pending.told.wait(seconds)
        finally:
            self._awaited.discard(pending)
