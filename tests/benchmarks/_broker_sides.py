"""What the broker benchmark asks of each side: of nbagora's embedded engine, and of its peers' servers and clients.

A side publishes, hands out and acknowledges bodies of 200 bytes. Topics are named by a number; Redis puts all of them
into one stream, which keeps no order per topic and isolates nobody, but is the fastest that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from nbagora_lab.broker import Broker, Consumer, Delivery
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import SystemClock

__all__ = ["BATCH", "BODY", "FEATURES", "Ours", "Side", "scattered"]

BODY = b"x" * 200
BATCH = 1000
FEATURES: dict[str, Any] = {
    "weights": {"a": 5.0, "b": 3.0, "c": 2.0},
    "quota": "1000000000/s",
    "topic_quota": "1000000/s",
    "tenant_quota": "1000000000/s",
}
"""Rules that are looked at for every record and hold none back."""

_SINGLES = 1000  # topics of the single sends
_PAUSE = 0.002  # seconds between messages whose way is timed
_WARM = 10  # messages before those that count
_PATIENCE = 30.0  # seconds that a message may take


def scattered(count: int, of: int, *, after: int = 0) -> list[int]:
    """Numbers below `of`, each equally often if `count` is a multiple of it, in an order without neighbours.

    Those that come `after` so many, so that a million need not be there at once.
    """
    step = max(1, int(of * 0.6180339887))
    while of > 1 and any(step % prime == 0 and of % prime == 0 for prime in (2, 3, 5, 7)):
        step += 1
    return [number * step % of for number in range(after, after + count)]


class Side(Protocol):
    """One broker.

    Attributes:
        name: As the table calls it.
        how: Its version, settings and durability, in words.
    """

    name: str
    how: str

    def flow(self, numbers: list[int]) -> tuple[float, float]:
        """Publishes a body to each of these topics, then receives and acks all; seconds of the two parts."""
        ...

    def sends(self, count: int) -> float:
        """Seconds of sends, one at a time, each durable before the next."""
        ...

    def receives(self, count: int) -> float:
        """Seconds of receiving what `sends` sent, one at a time, each acknowledged before the next."""
        ...

    def fill(self, count: int) -> None:
        """Leaves that many messages waiting on other topics."""
        ...

    def latencies(self, count: int) -> list[float]:
        """Seconds from before a send to inside the handler, one message at a time."""
        ...


class Ours:
    """nbagora's embedded engine, in this process.

    Args:
        path: Folder of its store.
        featured: Whether records have priorities and tenants, and the group quotas and weights.
        threaded: Whether a timed message's handler runs on a loop in another thread, or on the sender's loop.
    """

    def __init__(self, path: Path, *, featured: bool = False, threaded: bool = True) -> None:
        self.name = "nbagora"
        self.featured = featured
        self.threaded = threaded
        clock = SystemClock()
        self._log = EmbeddedLog(path, clock=clock)
        self.how = "embedded, durability os: on return the operating system has it"
        self.broker = Broker(self._log, clock, EmbeddedGroups(self._log))
        for parent in ("flow", "featured", "single", "timed"):
            self.broker.create_topic(parent)
            self.broker.create_group(parent, topic=parent, **(FEATURES if parent == "featured" else {}))

    def flow(self, numbers: list[int]) -> tuple[float, float]:
        """See `Side.flow`."""
        parent = "featured" if self.featured else "flow"
        with self.broker.consumer(parent, "worker", subscribe="s-*") as consumer:
            began = time.perf_counter()
            for turn, at in enumerate(range(0, len(numbers), BATCH)):
                options = {"priority": turn % 8, "tenant": "abc"[turn % 3]} if self.featured else {}
                messages = [(f"{parent}/s-{number}", BODY) for number in numbers[at : at + BATCH]]
                self.broker.send_many(messages, **options)
            sent = time.perf_counter()
            left = len(numbers)
            while left:
                batch = consumer.receive(BATCH)
                assert batch, f"{left} of {len(numbers)} did not come: {batch}"
                consumer.ack(batch)
                left -= len(batch)
            ended = time.perf_counter()
            assert not consumer.receive(BATCH), "more was handed out than was sent"
        return sent - began, ended - sent

    def sends(self, count: int) -> float:
        """See `Side.sends`."""
        topics = [f"single/s-{number}" for number in range(_SINGLES)]
        send = self.broker.send
        began = time.perf_counter()
        for number in range(count):
            send(topics[number % _SINGLES], BODY)
        return time.perf_counter() - began

    def receives(self, count: int) -> float:
        """See `Side.receives`."""
        with self.broker.consumer("single", "worker", subscribe="s-*") as consumer:
            began = time.perf_counter()
            for _ in range(count):
                [delivery] = consumer.receive(1)
                consumer.ack(delivery)
            ended = time.perf_counter()
            assert not consumer.receive(1)
        return ended - began

    def fill(self, count: int) -> None:
        """See `Side.fill`."""
        self.broker.consumer("timed", "sleeper", subscribe="bulk-*")
        for at in range(0, count, BATCH):
            self.broker.send_many([(f"timed/bulk-{number}", BODY) for number in range(at, min(at + BATCH, count))])

    def latencies(self, count: int) -> list[float]:
        """See `Side.latencies`."""
        with self.broker.consumer("timed", "handler", subscribe="now-*") as consumer:
            return self._across(consumer, count) if self.threaded else asyncio.run(self._beside(consumer, count))

    def _across(self, consumer: Consumer, count: int) -> list[float]:
        """With the handler on a loop in another thread."""
        seen, times = threading.Event(), []

        async def handler(_: Delivery) -> None:
            times.append(time.perf_counter())
            seen.set()

        with _looping() as loop:
            running = asyncio.run_coroutine_threadsafe(consumer.arun(handler), loop)
            spent = []
            for number in range(count + _WARM):
                seen.clear()
                began = time.perf_counter()
                self.broker.send(f"timed/now-{number % 100}", BODY)
                assert seen.wait(_PATIENCE), running
                spent.append(times[-1] - began)
                time.sleep(_PAUSE)
            running.cancel()
        return spent[_WARM:]

    async def _beside(self, consumer: Consumer, count: int) -> list[float]:
        """With the handler on the sender's own loop."""
        seen, times = asyncio.Event(), []

        async def handler(_: Delivery) -> None:
            times.append(time.perf_counter())
            seen.set()

        running = asyncio.create_task(consumer.arun(handler))
        await asyncio.sleep(_PAUSE)
        spent = []
        for number in range(count + _WARM):
            seen.clear()
            began = time.perf_counter()
            self.broker.send(f"timed/now-{number % 100}", BODY)
            await asyncio.wait_for(seen.wait(), _PATIENCE)
            spent.append(times[-1] - began)
            await asyncio.sleep(_PAUSE)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return spent[_WARM:]

    def close(self) -> None:
        """Gives the store back."""
        self._log.close()


@contextlib.contextmanager
def _looping() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own; its tasks end with it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="handlers", daemon=True)
    thread.start()

    async def end() -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
