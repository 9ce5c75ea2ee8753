"""What fails comes again after its back-off, then becomes a dead letter; what is suspended does not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deliveries import attempts, drain, handles, join, places, publish
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.dead import dead_topic, parse_letter
from nbagora_lab.broker.group import Start
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import LeaseLost, TopicNotFound, UsageError
from nbagora_lab.core.events import decode


def letters(log: Log) -> list[tuple[str, int, int]]:
    """Topic, offset and attempts of each dead letter."""
    stored = [decode(one, "dead-letters/workers", at) for at, one in log.scan(dead_topic("workers"))]
    return [(one.record.topic, one.record.offset, one.attempts) for one in map(parse_letter, stored)]


def test_it_comes_again_after_its_back_off_and_others_go_on(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, backoff=(5, 20))
    publish(log, "chat/a", *"12")
    for pause in (5, 20, 20):
        batch = groups.receive("workers", "c")
        groups.fail("workers", handles(batch)[:1])
        publish(log, "chat/b")
        assert [lite for lite, _ in drain(groups, "workers", "c")] == ["b"]
        clock.advance(pause - 0.5)
        assert groups.receive("workers", "c") == []
        clock.advance(0.5)
    batch = groups.receive("workers", "c")
    assert (places(batch), attempts(batch)) == ([("a", 0), ("a", 1)], [4, 1])
    groups.fail("workers", handles(batch), pause=0)
    assert attempts(groups.receive("workers", "c")) == [5, 2]


@pytest.mark.parametrize("topic", ["chat", "jobs"])
@pytest.mark.parametrize("how", ["fail", "lease"])
def test_too_often_makes_it_a_dead_letter_and_the_rest_goes_on(
    log: Log, groups: Groups, clock: VirtualClock, topic: str, how: str
) -> None:
    join(groups, topic, max_attempts=2, backoff=(0,), lease=5)
    publish(log, f"{topic}/a")
    told: list[int] = []
    end = log.watch(dead_topic("workers"), lambda: told.append(1))
    for _ in range(2):
        assert letters(log) == []
        batch = groups.receive("workers", "c", limit=1)
        assert places(batch) == [("a", 0)]
        if how == "fail":
            groups.fail("workers", handles(batch))
        else:
            clock.advance(5)
            groups.stats("workers")
    end()
    assert told, "who watches dead letters is woken"
    assert letters(log) == [(f"{topic}/a", 0, 2)]
    publish(log, f"{topic}/a")
    assert drain(groups, "workers", "c") == [("a", 1)]
    assert groups.stats("workers").dead == 1


def test_dead_letters_outlive_a_restart(both: Any, groups: Groups, open_engine: Callable[[], Any]) -> None:
    join(groups, max_attempts=1)
    publish(both.log, "chat/a")
    groups.fail("workers", handles(groups.receive("workers", "c")))
    both.log.close()
    log, groups = open_engine()
    groups.subscribe("workers", "c", "*")
    assert letters(log) == [("chat/a", 0, 1)]
    assert groups.receive("workers", "c") == []


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_what_is_released_comes_again_at_once_as_if_it_never_had(
    log: Log, groups: Groups, clock: VirtualClock, topic: str
) -> None:
    join(groups, topic, "c", "d", max_attempts=1, lease=10)
    publish(log, f"{topic}/a", *"123")
    for _ in range(3):
        batch = groups.receive("workers", "c", limit=3)
        assert (places(batch), attempts(batch)) == ([("a", 0), ("a", 1), ("a", 2)], [1, 1, 1])
        groups.release("workers", batch)
    batch = groups.receive("workers", "c", limit=3)
    publish(log, f"{topic}/b", "4")
    other = groups.receive("workers", "d")
    groups.ack("workers", handles(batch)[:1])
    groups.release("workers", handles(batch))  # what is acked stays so
    assert places(groups.receive("workers", "c")) == [("a", 1), ("a", 2)]
    assert groups.stats("workers").clients == {"c": 1, "d": 1}
    groups.ack("workers", other)  # nobody else's goes back with it
    with pytest.raises(LeaseLost) as caught:
        groups.release("workers", handles(batch)[1:])
    assert caught.value.handles == handles(batch)[1:]
    assert letters(log) == []
    clock.advance(10)  # while a lease that ends by itself counts
    groups.stats("workers")
    assert sorted(letters(log)) == [(f"{topic}/a", 1, 1), (f"{topic}/a", 2, 1)]


def test_what_is_released_is_uncounted_after_a_restart_too(
    both: Any, groups: Groups, open_engine: Callable[[], Any]
) -> None:
    join(groups, max_attempts=1)
    publish(both.log, "chat/a", *"12")
    groups.release("workers", groups.receive("workers", "c"))
    both.log.close()
    _, groups = open_engine()
    groups.subscribe("workers", "c", "*")
    assert attempts(groups.receive("workers", "c")) == [1, 1]


def test_a_suspension_gives_back_uncounted_and_ends_by_itself(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups)
    publish(log, "chat/a", *"12")
    groups.receive("workers", "c")
    for pause in (5, 50, 10):
        groups.suspend("workers", "chat/a", pause)
        assert groups.receive("workers", "c").held == {"suspended": 1}
    publish(log, "chat/a", "3")
    assert groups.progress("workers", "chat/a").state == "suspended"
    clock.advance(10)
    batch = groups.receive("workers", "c")
    assert (places(batch), attempts(batch)) == ([("a", 0), ("a", 1), ("a", 2)], [1, 1, 1])
    assert groups.receive("workers", "c").held == {"lease": 1}


def test_a_suspension_may_come_first_and_be_ended(log: Log, groups: Groups) -> None:
    join(groups)
    groups.suspend("workers", "chat/a", 100)
    publish(log, "chat/a")
    assert groups.receive("workers", "c") == []
    groups.suspend("workers", "chat/a", 0)
    assert drain(groups, "workers", "c") == [("a", 0)]


def test_a_suspension_of_no_length_is_over_if_the_clock_goes_back(
    log: Log, groups: Groups, clock: VirtualClock
) -> None:
    join(groups)
    publish(log, "chat/a")
    groups.suspend("workers", "chat/a", 0)
    clock.advance(-3)
    assert drain(groups, "workers", "c") == [("a", 0)]


def test_who_comes_to_a_suspended_topic_that_nobody_read_gets_all_of_it(
    log: Log, groups: Groups, clock: VirtualClock
) -> None:
    join(groups, subscribe=["b"])
    publish(log, "chat/a", "1")
    groups.suspend("workers", "chat/a", 5)
    publish(log, "chat/a", "2")
    groups.subscribe("workers", "c", ["a"])
    assert groups.receive("workers", "c").held == {"suspended": 1}
    clock.advance(5)
    assert drain(groups, "workers", "c") == [("a", 0), ("a", 1)]


def test_a_suspension_does_not_end_a_back_off(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, backoff=(50,))
    publish(log, "chat/a")
    groups.fail("workers", handles(groups.receive("workers", "c")))
    groups.suspend("workers", "chat/a", 5)
    clock.advance(6)
    assert groups.receive("workers", "c").held == {"back-off": 1}
    clock.advance(44)
    assert drain(groups, "workers", "c") == [("a", 0)]


@pytest.mark.parametrize("topic", ["chat", "jobs"])
@pytest.mark.parametrize(("start", "rest"), [("first", 4), ("1", 3), ("tail-1", 1), ("last", 0), ("99", 0)])
def test_a_seek_moves_back_and_forth(log: Log, groups: Groups, topic: str, start: str, rest: int) -> None:
    join(groups, topic)
    publish(log, f"{topic}/a", *"1234")
    groups.ack("workers", handles(groups.receive("workers", "c", limit=2)))
    held = groups.receive("workers", "c", limit=1)
    assert groups.seek("workers", f"{topic}/a", Start.parse(start)) == 4 - rest
    assert groups.progress("workers", f"{topic}/a").lag == rest
    again = groups.receive("workers", "c")
    assert [offset for _, offset in places(again)] == list(range(4 - rest, 4))
    assert set(attempts(again)) <= {1}
    assert not set(handles(held)) & set(handles(again))


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_what_was_out_before_a_seek_counts_for_nothing_after_a_restart(
    both: Any, groups: Groups, open_engine: Callable[[], Any], topic: str
) -> None:
    join(groups, topic)
    publish(both.log, f"{topic}/a", *"12")
    groups.receive("workers", "c")
    groups.seek("workers", f"{topic}/a", Start())
    both.log.close()
    _, groups = open_engine()
    groups.subscribe("workers", "c", "*")
    assert attempts(groups.receive("workers", "c")) == [1, 1]


def test_what_names_no_topic_of_the_group_is_refused(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a")
    publish(log, "jobs/a")
    with pytest.raises(TopicNotFound):
        groups.seek("workers", "chat/nothing", Start())
    for topic in ("jobs/a", "chat/_events"):
        for call in (
            lambda topic=topic: groups.seek("workers", topic, Start()),
            lambda topic=topic: groups.suspend("workers", topic, 1),
            lambda topic=topic: groups.progress("workers", topic),
        ):
            with pytest.raises(UsageError) as caught:
                call()
            assert len(caught.value._render_traceback_()) == 2
    beyond: list[Any] = [("offset", -1), ("tail", -1), ("time", -1e17), ("time", 1e300), ("nonsense", 0)]
    for start in (Start(*one) for one in beyond):
        with pytest.raises(UsageError):
            groups.seek("workers", "chat/a", start)
    for pause in (-1, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            groups.suspend("workers", "chat/a", pause)
    assert drain(groups, "workers", "c") == [("a", 0)]
