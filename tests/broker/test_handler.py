"""A handler sees the records of a topic in order, topics side by side, and its leases live while it does."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from faults import FaultyLog
from nbagora_lab.broker import Broker
from nbagora_lab.broker.delivery import Delivery
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import SystemClock, VirtualClock
from nbagora_lab.core.errors import Suspend, UsageError
from waiting import until


@pytest.fixture
def broker(log: FaultyLog, clock: VirtualClock) -> Broker:
    broker = Broker(log, clock, EmbeddedGroups(log))
    broker.create_group("workers", topic="chat", backoff=(5,))
    return broker


def limited(after: str) -> Exception:
    """An error as HTTP clients raise it."""
    error = RuntimeError("429")
    error.response = SimpleNamespace(status_code=429, headers={"Retry-After": after})  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_in_order_within_a_topic_and_side_by_side_across(broker: Broker, kind: str) -> None:
    for lite in "abc":
        broker.send_many([(f"chat/{lite}", str(number)) for number in range(5)])
    seen: dict[str, list[int]] = defaultdict(list)
    busy: set[str] = set()
    together = threading.Barrier(3)

    def enter(delivery: Delivery) -> None:
        assert delivery.topic not in busy
        busy.add(delivery.topic)

    def leave(delivery: Delivery) -> None:
        seen[delivery.topic].append(delivery.offset)
        busy.discard(delivery.topic)

    def sync(delivery: Delivery) -> None:
        enter(delivery)
        if delivery.offset == 0:
            together.wait(20)  # three topics at once, or never
        leave(delivery)

    met = asyncio.Event()

    async def coroutine(delivery: Delivery) -> None:
        enter(delivery)
        if delivery.offset == 0:
            if len(busy) == 3:
                met.set()
            await asyncio.wait_for(met.wait(), 20)
        leave(delivery)

    with broker.consumer("workers") as consumer:
        handled = consumer.run(sync if kind == "sync" else coroutine, idle=0.1)
    assert (handled.acked, handled.failed) == (15, 0)
    assert dict(seen) == {f"chat/{lite}": [0, 1, 2, 3, 4] for lite in "abc"}


def test_what_raises_fails_and_what_asks_for_time_suspends(broker: Broker, clock: VirtualClock) -> None:
    for lite in ("bad", "limited", "tired", "good", "cancelled"):
        broker.send(f"chat/{lite}", b"")
    troubles: dict[str, BaseException] = {
        "bad": ValueError("no"),
        "limited": limited("30"),
        "tired": Suspend(20),
        "cancelled": asyncio.CancelledError(),
    }

    async def handle(delivery: Delivery) -> None:
        if (error := troubles.get(delivery.topic.partition("/")[2])) is not None:
            raise error

    with broker.consumer("workers") as consumer:
        handled = consumer.run(handle, idle=0.05)
        assert (handled.acked, handled.failed, handled.suspended) == (1, 2, 2)
        states = {lite: broker.progress("workers", f"chat/{lite}").state for lite in (*troubles, "good")}
        assert states == {
            "bad": "back-off",
            "cancelled": "back-off",
            "limited": "suspended",
            "tired": "suspended",
            "good": "drained",
        }
        clock.advance(30)
        assert {one.topic: one.attempt for one in consumer.receive()} == {
            "chat/bad": 2,
            "chat/cancelled": 2,
            "chat/limited": 1,
            "chat/tired": 1,
        }


def test_a_cancelled_run_gives_back_what_it_has(broker: Broker) -> None:
    broker.send("chat/a", b"")

    async def main() -> None:
        begun = asyncio.Event()

        async def handle(_: Delivery) -> None:
            begun.set()
            await asyncio.sleep(3600)

        running = asyncio.create_task(consumer.arun(handle))
        await asyncio.wait_for(begun.wait(), 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with broker.consumer("workers") as consumer:
        asyncio.run(main())
        assert [one.attempt for one in consumer.receive()] == [1]


def test_a_cancelled_run_gives_back_nobody_else_s(log: FaultyLog, broker: Broker) -> None:
    broker.create_topic("jobs", type="PRIORITY")
    broker.create_group("jobs", topic="jobs")
    broker.send_many([("jobs/a", "1"), ("jobs/a", "2")])

    async def main(consumer: Any) -> None:
        begun = asyncio.Event()

        async def handle(_: Delivery) -> None:
            begun.set()
            await asyncio.sleep(3600)

        running = asyncio.create_task(consumer.arun(handle))
        await asyncio.wait_for(begun.wait(), 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with broker.consumer("jobs", "mine") as mine, broker.consumer("jobs", "cancelled") as cancelled:
        [kept] = mine.receive(1)
        asyncio.run(main(cancelled))
        assert [lease.client for lease in broker.stats("jobs").leases] == ["mine"]
        mine.ack(kept)


def test_leases_live_as_long_as_the_handler(log: FaultyLog) -> None:
    groups = EmbeddedGroups(log)
    broker = Broker(log, SystemClock(), groups)
    log.store.clock = SystemClock()
    broker.create_group("short", topic="chat", lease=1.5)
    broker.send("chat/a", b"")
    calls: list[Any] = []
    renewed = threading.Semaphore(0)
    extend = groups.extend

    def told(*args: Any) -> None:
        extend(*args)
        renewed.release()

    groups.extend = told  # type: ignore[method-assign]

    def handle(delivery: Delivery) -> None:
        calls.append(delivery.attempt)
        for _ in range(4):  # more than a lease long
            assert renewed.acquire(timeout=30)

    with broker.consumer("short", "c") as consumer:
        handled = consumer.run(handle, idle=0.1)
    assert calls == [1]
    assert (handled.acked, handled.lost) == (1, 0)


def test_a_concurrency_of_none_is_refused(broker: Broker) -> None:
    with broker.consumer("workers") as consumer, pytest.raises(UsageError):
        consumer.run(print, concurrency=0)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_ctrl_c_ends_a_run_and_gives_back_what_it_has(broker: Broker, kind: str) -> None:
    broker.send_many([(f"chat/{lite}", "x") for lite in "ab"])
    began, over, done = threading.Barrier(3), threading.Event(), []

    def sync(delivery: Delivery) -> None:
        began.wait(20)
        over.wait(20)
        done.append(delivery.topic)

    async def coroutine(_: Delivery) -> None:
        await asyncio.to_thread(began.wait, 20)
        await asyncio.Event().wait()

    def interrupt() -> None:
        began.wait(20)
        signal.raise_signal(signal.SIGINT)  # as Ctrl-C does, in whichever thread: the main one hears it

    before = threading.active_count()
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with broker.consumer("workers", "c") as consumer, pytest.raises(KeyboardInterrupt):
        consumer.run(sync if kind == "sync" else coroutine)
    interrupting.join()
    over.set()
    stats = broker.stats("workers")
    assert (stats.leases, stats.acked) == ((), 0)
    with broker.consumer("workers", "d") as consumer:
        again = consumer.receive(wait=1.0)
        assert sorted((one.topic, one.attempt) for one in again) == [("chat/a", 1), ("chat/b", 1)]
    until(lambda: sorted(done) == (["chat/a", "chat/b"] if kind == "sync" else []))  # a thread runs to its end
    until(lambda: threading.active_count() <= before + 3)  # asyncio's own workers may stay
