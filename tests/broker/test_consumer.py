"""A client waits for what becomes ready, from a thread or on a loop, and takes no more than it asks for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from faults import FaultyLog
from nbagora_lab.broker import Broker
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import NotSubscribed, UsageError


@pytest.fixture
def broker(log: FaultyLog, clock: VirtualClock) -> Broker:
    broker = Broker(log, clock, EmbeddedGroups(log))
    broker.create_group("workers", topic="chat", max_attempts=1, lease=10)
    return broker


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_receive_that_waits_is_woken_by_a_send(broker: Broker, kind: str) -> None:
    watching, watches = threading.Event(), []
    when_ready = broker.group_engine.when_ready

    def watched(group: str, client: str, wake: object) -> object:
        end = when_ready(group, client, wake)  # type: ignore[arg-type]
        watches.append(client)
        watching.set()
        return end

    broker.group_engine.when_ready = watched  # type: ignore[method-assign, assignment]
    with broker.consumer("workers") as consumer:

        def send() -> None:
            assert watching.wait(20)
            broker.send("chat/a", "x")

        sending = threading.Thread(target=send)
        sending.start()
        found = consumer.receive(wait=20) if kind == "sync" else asyncio.run(consumer.areceive(wait=20))
        sending.join()
        assert [one.body for one in found] == [b"x"]
        assert kind == "sync" or len(watches) == 1  # who is woken looks before it waits again


def test_a_receive_whose_loop_was_closed_under_it_breaks_no_send(broker: Broker) -> None:
    loop, watching = asyncio.new_event_loop(), threading.Event()
    when_ready = broker.group_engine.when_ready

    def watched(group: str, client: str, wake: object) -> object:
        watching.set()
        return when_ready(group, client, wake)  # type: ignore[arg-type]

    broker.group_engine.when_ready = watched  # type: ignore[method-assign, assignment]
    with broker.consumer("workers") as consumer:
        waiting = loop.create_task(consumer.areceive(wait=60))
        while not watching.is_set():
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert broker.send("chat/a", "x").offset == 0
        assert not waiting.done()
        waiting.get_coro().close()  # type: ignore[union-attr]


def test_a_receive_that_waits_is_woken_by_the_time_at_which_something_comes_back(
    broker: Broker, clock: VirtualClock
) -> None:
    broker.send("chat/a", "x")
    broker.suspend("workers", "chat/a", 30)
    with broker.consumer("workers") as consumer:
        assert consumer.receive().wake == 30
        moving = threading.Timer(0, lambda: clock.advance(30))
        moving.start()
        assert len(consumer.receive(wait=20)) == 1
        moving.join()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_bytes_bound_a_receive(broker: Broker, kind: str) -> None:
    for lite in "abc":
        broker.send(f"chat/{lite}", "x" * 1000)
    with broker.consumer("workers") as consumer:
        counts = [
            len(consumer.receive(max_bytes=size) if kind == "sync" else asyncio.run(consumer.areceive(max_bytes=size)))
            for size in (2500, 1)
        ]
    assert counts == [2, 1]


def test_what_is_released_does_not_count(broker: Broker) -> None:
    broker.send_many([("chat/a", "1"), ("chat/a", "2")])
    with broker.consumer("workers") as consumer:
        for _ in range(3):  # the group gives up after one attempt
            first, _ = consumer.receive()
            consumer.release(first)
        assert broker.dead_letters("workers") == []
        consumer.ack(consumer.receive())


def test_an_eviction_is_told_and_remembered(broker: Broker) -> None:
    broker.create_group("alone", topic="chat", mode="exclusive")
    told: list[list[str]] = []
    old = broker.consumer("alone", "old", subscribe=["chat/a", "b"], on_evicted=told.append)
    with old, broker.consumer("alone", "new", subscribe="a"):
        assert (told, old.evicted) == ([["a"]], ["a"])


def test_one_that_is_closed_is_told_so_and_a_durable_one_only_rests(broker: Broker) -> None:
    broker.send("chat/a", "x")
    with broker.consumer("workers", "c") as closed:
        closed.receive()
    with pytest.raises(NotSubscribed):
        closed.receive()
    with broker.consumer("workers", "d", durable=True, subscribe="a") as resting:
        pass
    assert broker.group_engine.subscriptions("workers") == {"d": ["a"]}
    assert [one.attempt for one in resting.receive()] == [1]


@pytest.mark.parametrize("wait", [-1.0, float("inf"), float("nan")])
def test_a_wait_that_makes_no_sense_is_refused(broker: Broker, wait: float) -> None:
    with broker.consumer("workers") as consumer, pytest.raises(UsageError):
        consumer.receive(wait=wait)
