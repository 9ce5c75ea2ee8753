"""An ack ends deliveries for good, in any order; who has lost the lease is told; what is sent goes with it."""

from __future__ import annotations

import pytest

from deliveries import drain, handles, join, message, places, publish
from logs import bodies
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.delivery import Handle
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import BadName, LeaseLost, TopicNotFound, UsageError


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_what_is_acked_can_be_read_again_by_offset_and_by_time(log: Log, groups: Groups, topic: str) -> None:
    join(groups, topic)
    for number in range(4):
        publish(log, f"{topic}/a", str(number), time=1000.0 + number)
    groups.ack("workers", handles(groups.receive("workers", "c")))
    before = groups.progress("workers", f"{topic}/a")
    assert bodies(log, f"{topic}/a", after=1) == ["2", "3"]
    assert bodies(log, f"{topic}/a", after=log.seek(f"{topic}/a", 1002.5) - 1) == ["3"]
    assert groups.progress("workers", f"{topic}/a") == before
    assert groups.receive("workers", "c") == []


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_twice_under_one_lease_does_no_harm(log: Log, groups: Groups, topic: str) -> None:
    join(groups, topic)
    publish(log, f"{topic}/a", *"12")
    publish(log, f"{topic}/b", "3")
    batch = groups.receive("workers", "c", limit=3)
    for _ in range(2):
        groups.ack("workers", [batch[2].handle])
    for _ in range(2):
        groups.ack("workers", [batch[1].handle])
    for _ in range(2):
        groups.ack("workers", handles(batch))
    assert groups.stats("workers").leases == ()
    assert drain(groups, "workers", "c") == []


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_after_the_lease_it_is_refused_and_the_rest_is_acked(
    log: Log, groups: Groups, clock: VirtualClock, topic: str
) -> None:
    join(groups, topic)
    publish(log, f"{topic}/a")
    late = groups.receive("workers", "c", lease=1)
    clock.advance(1)
    publish(log, f"{topic}/b")
    groups.subscribe("workers", "d", "*")
    taken = groups.receive("workers", "d")
    with pytest.raises(LeaseLost) as caught:
        groups.ack("workers", [*handles(late), *handles(taken)])
    assert caught.value.handles == handles(late)
    assert len(caught.value._render_traceback_()) == 2
    assert drain(groups, "workers", "d") == []
    with pytest.raises(LeaseLost):
        groups.extend("workers", handles(late), 5)
    with pytest.raises(LeaseLost):
        groups.fail("workers", handles(late))


def test_what_was_never_leased_is_refused(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", *"123")
    [one] = groups.receive("workers", "c", limit=1)
    wrong = [
        Handle("chat/a", 1, one.lease),
        Handle("chat/a", 0, one.lease + 1),
        Handle("chat/b", 0, one.lease),
        Handle("chat/a", -1, one.lease),
        Handle("chat/a", 10**30, one.lease),
        Handle("jobs/a", 0, one.lease),
        Handle("nonsense", 0, 0),
    ]
    for finished in (False, True):
        for handle in wrong:
            with pytest.raises(LeaseLost):
                groups.ack("workers", [handle])
        if not finished:
            groups.ack("workers", [one.handle])
    assert drain(groups, "workers", "c") == [("a", 1), ("a", 2)]


def test_sends_go_with_it(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", "in")
    batch = groups.receive("workers", "c")
    rung: list[int] = []
    end = log.watch("chat/out", lambda: rung.append(1))
    assert groups.ack("workers", handles(batch), send=[("chat/out", message("out")), ("chat/a", message("on"))]) == [
        0,
        1,
    ]
    end()
    assert rung
    assert bodies(log, "chat/a") == ["in", "on"]
    assert drain(groups, "workers", "c") == [("out", 0), ("a", 1)]


def test_without_the_lease_nothing_is_sent_and_without_the_send_nothing_is_acked(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", *"12")
    batch = groups.receive("workers", "c")
    stale = Handle("chat/a", 0, batch[0].lease - 1)
    with pytest.raises(LeaseLost):
        groups.ack("workers", [batch[0].handle, stale], send=[("chat/out", message())])
    for topic, error in (("nowhere/a", TopicNotFound), ("chat/\n", BadName)):
        with pytest.raises(error):
            groups.ack("workers", handles(batch), send=[("chat/out", message()), (topic, message())])
    assert log.scan("chat/out") == []
    assert groups.progress("workers", "chat/a").lag == 2
    groups.ack("workers", handles(batch), send=[("chat/out", message())])
    assert groups.progress("workers", "chat/a").lag == 0


def test_a_cost_that_is_none_is_refused(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a")
    batch = groups.receive("workers", "c")
    with pytest.raises(UsageError):
        groups.ack("workers", handles(batch), costs={batch[0].handle: -1.0})
    groups.ack("workers", handles(batch), costs={batch[0].handle: 7.0})


def test_extending_keeps_it_and_shortening_ends_it(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, lease=10)
    publish(log, "chat/a")
    publish(log, "chat/b")
    batch = groups.receive("workers", "c")
    for _ in range(5):
        clock.advance(8)
        groups.extend("workers", handles(batch), 10)
    groups.extend("workers", [batch[1].handle], 1)
    clock.advance(1)
    again = groups.receive("workers", "c")
    assert places(again) == [("b", 0)]
    clock.advance(9)
    assert places(groups.receive("workers", "c")) == [("a", 0)]
    for lease in (0, -1, float("inf")):
        with pytest.raises(UsageError):
            groups.extend("workers", handles(again), lease)
