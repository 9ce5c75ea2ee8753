"""A client of a group: receives, acks, and waits, on whatever engine is behind it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, Self

from nbagora_lab.broker.api import Groups
from nbagora_lab.broker.delivery import Batch, Delivery, Given, Handle
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.service import waker

__all__ = ["Consumer"]

_SLICE = 0.5  # seconds after which a waiting thread looks up, so that Ctrl-C is heard on every platform

_Given = Given | Iterable[Given]


class Consumer:
    """One subscribed client. It ends with `close`, its ``with``, or the group's `client_ttl` of silence.

    All methods may be called from any thread.

    Args:
        groups: The engine.
        clock: Time.
        group: Name of the group.
        client: Name of the client.
        subscribe: Lite topics of the group's parent, by name or glob.
        durable: Whether the subscription survives a restart; `close` then leaves it standing.
        lease: Seconds that a batch is leased for; None: the group's.
        on_evicted: Called with the patterns that a newer client of an exclusive group took over.
        independent: Whether its records stand for themselves (a PRIORITY parent), so that no order binds them.

    Attributes:
        evicted: Patterns that a newer client of an exclusive group took over.

    Example:
        >>> with lab.broker.consumer("workers", subscribe=["chat/*"]) as consumer:
        ...     for delivery in consumer.receive(max=32, wait=1.0):
        ...         consumer.ack(delivery)
    """

    def __init__(
        self,
        groups: Groups,
        clock: Clock,
        group: str,
        client: str,
        *,
        subscribe: Collection[str],
        durable: bool = False,
        lease: float | None = None,
        on_evicted: Callable[[list[str]], None] | None = None,
        independent: bool = False,
    ) -> None:
        self.group = group
        self.client = client
        self.durable = durable
        self.groups = groups
        self.clock = clock
        self.lease = lease
        self.independent = independent
        self.evicted: list[str] = []
        self._on_evicted = on_evicted
        groups.subscribe(group, client, subscribe, durable=durable, evicted=self._lose)

    def _lose(self, patterns: list[str]) -> None:
        self.evicted += patterns
        if self._on_evicted is not None:
            self._on_evicted(patterns)

    def receive(
        self,
        max: int = 32,  # noqa: A002 -- as everybody calls it
        wait: float = 0.0,
        *,
        max_bytes: int | None = None,
        lease: float | None = None,
        attempt_id: str = "",
    ) -> Batch:
        """The next records, leased to this client.

        Args:
            max: Records at most.
            wait: Seconds to wait at most where nothing is ready.
            max_bytes: Their size as they are stored at most, the first one's excepted; None: any.
            lease: Seconds until they are handed out again; None: the consumer's.
            attempt_id: Names this call, for one that is repeated.

        Returns:
            A batch that may mix topics; empty where nothing came. `Batch.held` says what holds the rest back.

        Raises:
            NotSubscribed: The client was silent for too long, or was closed.
        """
        _check_wait(wait)
        deadline = time.monotonic() + wait
        while not (batch := self._receive(max, max_bytes, lease, attempt_id)):
            if (left := deadline - time.monotonic()) <= 0:
                break
            woken = threading.Event()
            ends = self.groups.when_ready(self.group, self.client, woken.set), self.clock.watch(woken.set)
            try:
                batch = self._receive(max, max_bytes, lease, attempt_id)  # what came before the watch stood
                if batch:
                    break
                woken.wait(min(left, _SLICE, left if batch.wake is None else batch.wake))
            finally:
                for end in ends:
                    end()
        return batch

    async def areceive(
        self,
        max: int = 32,  # noqa: A002 -- as `receive` has it
        wait: float = 0.0,
        *,
        max_bytes: int | None = None,
        lease: float | None = None,
        attempt_id: str = "",
    ) -> Batch:
        """The same on an event loop, which goes on meanwhile."""
        _check_wait(wait)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while not (batch := self._receive(max, max_bytes, lease, attempt_id)):
            if (left := deadline - loop.time()) <= 0:
                break
            wake = waker(woken := asyncio.Event())
            ends = self.groups.when_ready(self.group, self.client, wake), self.clock.watch(wake)
            try:
                batch = self._receive(max, max_bytes, lease, attempt_id)  # what came before the watch stood
                if batch:
                    break
                seconds = left if batch.wake is None else min(left, batch.wake)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await woken.wait()
            finally:
                for end in ends:
                    end()
        return batch

    def _receive(self, most: int, max_bytes: int | None, lease: float | None, attempt_id: str) -> Batch:
        seconds = self.lease if lease is None else lease
        return self.groups.receive(
            self.group, self.client, limit=most, max_bytes=max_bytes, lease=seconds, attempt_id=attempt_id
        )

    def ack(self, given: _Given, *, cost: float | None = None, send: Iterable[tuple[str, bytes]] = ()) -> list[int]:
        """Ends deliveries for good.

        Args:
            given: A delivery, its handle, or several.
            cost: What each really cost, in the unit of the group's quotas.
            send: Encoded records to append in the same step, by full topic name: all of it happens, or nothing.

        Returns:
            The offsets of what was sent.

        Raises:
            LeaseLost: Some are not leased to this client any more; the others are acked, unless there was `send`.
        """
        deliveries = _all(given)
        costs = None if cost is None else {Handle(one.topic, one.offset, one.lease): cost for one in deliveries}
        return self.groups.ack(self.group, deliveries, costs=costs, send=list(send))

    def extend(self, given: _Given, lease: float) -> None:
        """Has their leases end `lease` seconds from now."""
        self.groups.extend(self.group, _all(given), lease)

    def fail(self, given: _Given, *, pause: float | None = None) -> None:
        """Gives deliveries back as failed; what else is out of their topics goes back uncounted, to keep the order.

        They come again after the group's back-off, or `pause` seconds, and become dead letters in the end.
        """
        self.groups.fail(self.group, _all(given), pause=pause)

    def release(self, given: _Given) -> None:
        """Gives deliveries back, with what else is out of their topics, as if they had never been handed out."""
        self.groups.release(self.group, _all(given))

    def suspend(self, topic: str, pause: float) -> None:
        """Has nothing of a lite topic handed out for `pause` seconds; what is out of it goes back, uncounted."""
        self.groups.suspend(self.group, topic, pause)

    def run(self, handler: Callable[[Delivery], Any], *, concurrency: int = 8, idle: float | None = None) -> Any:
        """Hands deliveries to `handler`; see `handler.run`."""
        from nbagora_lab.broker.handler import run

        return run(self, handler, concurrency=concurrency, idle=idle)

    async def arun(self, handler: Callable[[Delivery], Any], *, concurrency: int = 8, idle: float | None = None) -> Any:
        """The same on an event loop; see `handler.Handling`."""
        from nbagora_lab.broker.handler import Handling

        return await Handling(self, handler, concurrency=concurrency, idle=idle).run()

    def close(self) -> None:
        """Unsubscribes; what is out is handed out again at once. A durable subscription only rests."""
        from nbagora_lab.core.errors import GroupNotFound, StoreClosed

        try:
            self.groups.unsubscribe(self.group, self.client, () if self.durable else None)
        except (GroupNotFound, StoreClosed):
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Consumer {self.client} of {self.group}>"


def _all(given: _Given) -> Collection[Given]:
    if isinstance(given, Delivery | Handle):
        return [given]
    return given if isinstance(given, list) else list(given)


def _check_wait(wait: float) -> None:
    if not 0 <= wait < math.inf:
        raise UsageError(f"a wait of {wait} s", "it is 0 seconds or more")
