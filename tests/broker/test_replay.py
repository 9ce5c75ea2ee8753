"""Records are sent once more: all of them, in order, at the pace asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from faults import FaultyLog
from nbagora_lab.broker.broker import Broker
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import TopicNotFound, UsageError


@pytest.fixture
def broker(open_log: Callable[..., FaultyLog], clock: VirtualClock) -> Broker:
    """`chat/a` has five records, a second apart."""
    broker = Broker(open_log(), clock)
    broker.create_topic("chat")
    for number in range(5):
        broker.send("chat/a", f"{number}", subject=f"s{number}", priority=number, tenant="甲")
        clock.advance(1)
    return broker


def test_at_once_all_but_their_time_is_as_it_was(broker: Broker, clock: VirtualClock) -> None:
    assert broker.replay("chat/a", "chat/b", after=0, before=4) == 3
    there = broker.read("chat/a", after=0, before=4)
    again = broker.read("chat/b")
    assert [one.body for one in again] == [b"1", b"2", b"3"]
    assert [(one.subject, one.scheduling) for one in again] == [(one.subject, one.scheduling) for one in there]
    assert {one.time for one in again} == {clock.now()}


def test_at_twice_the_speed_they_come_in_half_the_time(broker: Broker, clock: VirtualClock) -> None:
    began = clock.now()
    replaying = threading.Thread(target=broker.replay, args=("chat/a", "chat/b"), kwargs={"speed": 2.0})
    replaying.start()
    tailing = broker.tail("chat/b", after=-1, timeout=20)
    for number in range(5):
        next(tailing)
        if number < 4:
            clock.advance(0.5)
    replaying.join(20)
    tailing.close()  # type: ignore[attr-defined]
    assert [one.time - began for one in broker.read("chat/b")] == pytest.approx([0, 0.5, 1, 1.5, 2])


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(broker: Broker, speed: float) -> None:
    with pytest.raises(UsageError) as caught:
        broker.replay("chat/a", "chat/b", speed=speed)
    assert len(caught.value._render_traceback_()) == 2
    assert broker.ls("chat") == ["_events", "a"]


def test_there_must_be_where_to_and_where_from(broker: Broker) -> None:
    for topic, to in (("chat/no", "chat/b"), ("chat/a", "no/b")):
        with pytest.raises(TopicNotFound):
            broker.replay(topic, to)
