"""NATS JetStream as a side of the broker benchmark: a subject per topic, async publish, batch fetch; on uvloop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

import nats
from _broker_sides import BATCH, BODY
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType

__all__ = ["Nats"]

_PAUSE, _WARM, _PATIENCE = 0.002, 10, 30.0


def _config(**more: Any) -> ConsumerConfig:
    """A consumer's settings; the client writes into them, so that each gets its own."""
    return ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=60, max_ack_pending=100_000, **more)


class Nats:
    """One stream in a file, a subject for each topic, explicit acks.

    Args:
        url: Where the server listens.
    """

    def __init__(self, url: str) -> None:
        self.name = "NATS"
        try:
            import uvloop
        except ImportError:  # Windows
            self._loop = asyncio.new_event_loop()
        else:
            self._loop = uvloop.new_event_loop()
        self._run(self._open(url))
        known = self._client.connected_server_version
        server = f"{known.major}.{known.minor}.{known.patch}"
        self.how = (
            f"server {server}, nats-py {version('nats-py')}, {type(self._loop).__module__}, loopback; a subject per "
            "topic, file store, sync_interval 2m: on return the operating system has it"
        )

    def _run(self, task: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(task)

    async def _open(self, url: str) -> None:
        self._client = await nats.connect(url)
        self._js = self._client.jetstream()
        await self._js.add_stream(name="sessions", subjects=["sessions.>"], storage=StorageType.FILE)
        self._flow = await self._js.pull_subscribe("sessions.flow.*", durable="flow", config=_config())
        self._single = await self._js.pull_subscribe("sessions.single.*", durable="single", config=_config())

    def flow(self, numbers: list[int]) -> tuple[float, float]:
        """See `Side.flow`."""
        spent: tuple[float, float] = self._run(self._flowing(numbers))
        return spent

    async def _flowing(self, numbers: list[int]) -> tuple[float, float]:
        publish = self._js.publish_async
        began = time.perf_counter()
        sent = [await publish(f"sessions.flow.{number}", BODY) for number in numbers]
        await asyncio.gather(*sent)
        middle = time.perf_counter()
        left = len(numbers)
        while left:
            messages = await self._flow.fetch(BATCH, timeout=_PATIENCE)
            for message in messages:
                await message.ack()
            left -= len(messages)
        await self._client.flush()
        return middle - began, time.perf_counter() - middle

    def sends(self, count: int) -> float:
        """See `Side.sends`."""

        async def send() -> float:
            began = time.perf_counter()
            for number in range(count):
                await self._js.publish(f"sessions.single.{number % 1000}", BODY)
            return time.perf_counter() - began

        spent: float = self._run(send())
        return spent

    def receives(self, count: int) -> float:
        """See `Side.receives`: acks are waited for, as the others' are."""

        async def receive() -> float:
            began = time.perf_counter()
            for _ in range(count):
                [message] = await self._single.fetch(1, timeout=_PATIENCE)
                await message.ack_sync()
            return time.perf_counter() - began

        spent: float = self._run(receive())
        return spent

    def fill(self, count: int) -> None:
        """See `Side.fill`."""

        async def fill() -> None:
            publish = self._js.publish_async
            await asyncio.gather(*[await publish(f"sessions.bulk.{number}", BODY) for number in range(count)])

        self._run(fill())

    def latencies(self, count: int) -> list[float]:
        """See `Side.latencies`: the server pushes to a callback on the sender's own loop."""
        spent: list[float] = self._run(self._timed(count))
        return spent

    async def _timed(self, count: int) -> list[float]:
        seen, times = asyncio.Event(), []

        async def handler(message: Msg) -> None:
            times.append(time.perf_counter())
            seen.set()
            await message.ack()

        config = _config(deliver_policy=DeliverPolicy.NEW)
        subscription = await self._js.subscribe("sessions.now.*", cb=handler, manual_ack=True, config=config)
        spent = []
        for number in range(count + _WARM):
            seen.clear()
            began = time.perf_counter()
            await self._js.publish(f"sessions.now.{number % 100}", BODY)
            await asyncio.wait_for(seen.wait(), _PATIENCE)
            spent.append(times[-1] - began)
            await asyncio.sleep(_PAUSE)
        await subscription.unsubscribe()
        return spent[_WARM:]

    def close(self) -> None:
        """Ends the connection."""
        self._run(self._client.close())
        self._loop.close()
