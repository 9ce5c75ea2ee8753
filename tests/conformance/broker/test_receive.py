"""A receive leases the next records, in order within a topic, and says what holds the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deliveries import attempts, bodies_of, drain, handles, join, message, places, publish
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.quota import Quota
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import GroupNotFound, UsageError


def test_a_batch_mixes_topics_and_keeps_their_order(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", "1", "2")
    publish(log, "chat/b", "3")
    publish(log, "chat/a", "4")
    batch = groups.receive("workers", "c")
    assert places(batch) == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
    assert bodies_of(batch) == ["1", "2", "4", "3"]
    assert attempts(batch) == [1, 1, 1, 1]
    assert len({one.lease for one in batch}) == 1


def test_a_topic_is_locked_while_anything_of_it_is_out(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", *"1234")
    first = groups.receive("workers", "c", limit=2)
    publish(log, "chat/a", "5")
    assert groups.receive("workers", "c") == []
    groups.ack("workers", handles(first)[1:])
    assert groups.receive("workers", "c") == []
    groups.ack("workers", handles(first)[:1])
    assert places(groups.receive("workers", "c")) == [("a", 2), ("a", 3), ("a", 4)]


def test_records_of_a_priority_parent_lock_nobody(log: Log, groups: Groups) -> None:
    join(groups, "jobs", "c", "d")
    publish(log, "jobs/a", *"123")
    assert places(groups.receive("workers", "c", limit=1)) == [("a", 0)]
    assert places(groups.receive("workers", "d")) == [("a", 1), ("a", 2)]


def test_after_its_lease_it_comes_again_from_the_first_unacked_and_without_what_was_acked(
    log: Log, groups: Groups, clock: VirtualClock
) -> None:
    join(groups, "chat", "c", "d", lease=60)
    publish(log, "chat/a", *"1234")
    batch = groups.receive("workers", "c", limit=3, lease=10)
    groups.ack("workers", [batch[0].handle, batch[2].handle])
    clock.advance(9.5)
    assert groups.receive("workers", "d") == []
    clock.advance(0.5)
    again = groups.receive("workers", "d")
    assert (places(again), attempts(again)) == ([("a", 1), ("a", 3)], [2, 1])
    assert again[0].lease > batch[0].lease


def test_a_clock_that_jumps_back_loses_nothing(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, lease=10, quota=Quota.parse("1/s burst 2"))
    publish(log, "chat/a", *"123")
    first = groups.receive("workers", "c", limit=1)
    clock.advance(-500)
    publish(log, "chat/b", "4")
    assert places(groups.receive("workers", "c")) == [("b", 0)]
    groups.ack("workers", handles(first))
    clock.advance(1)
    assert places(groups.receive("workers", "c")) == [("a", 1)]
    clock.advance(600)
    assert sorted(drain(groups, "workers", "c", limit=1)) == [("a", 1), ("b", 0)]


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_the_same_attempt_is_given_the_same_again(log: Log, groups: Groups, clock: VirtualClock, topic: str) -> None:
    join(groups, topic, "c", "d", lease=10)
    publish(log, f"{topic}/a", *"12345")
    batch = groups.receive("workers", "c", limit=3, attempt_id="x")
    again = groups.receive("workers", "c", limit=3, attempt_id="x")
    assert handles(again) == handles(batch)
    assert attempts(again) == [1, 1, 1]
    assert handles(groups.receive("workers", "d", attempt_id="x")) != handles(batch)
    groups.ack("workers", handles(batch)[:1])
    assert handles(groups.receive("workers", "c", attempt_id="x")) == handles(batch)[1:]
    clock.advance(10)
    other = groups.receive("workers", "c", limit=2, attempt_id="x")
    assert attempts(other) == [2, 2]


def test_attempts_and_progress_outlive_a_restart_and_leases_do_not(
    both: Any, groups: Groups, open_engine: Callable[[], Any]
) -> None:
    join(groups)
    publish(both.log, "chat/a", *"1234")
    batch = groups.receive("workers", "c", limit=3)
    groups.ack("workers", handles(batch)[:1])
    both.log.close()
    log, groups = open_engine()
    groups.subscribe("workers", "other", "*")
    again = groups.receive("workers", "other")
    assert (places(again), attempts(again)) == ([("a", 1), ("a", 2), ("a", 3)], [2, 2, 1])
    assert again[0].lease > batch[0].lease
    publish(log, "chat/a")
    groups.ack("workers", handles(again))
    assert drain(groups, "workers", "other") == [("a", 4)]


def test_it_says_what_holds_the_rest_and_for_how_long(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, "chat", "c", "d", lease=50, backoff=(20,), topic_quota=Quota.parse("0.1/s burst 1"))
    for lite in "abcd":
        publish(log, f"chat/{lite}", *"12")
    groups.suspend("workers", "chat/a", 30)
    batch = groups.receive("workers", "c", limit=1)
    groups.fail("workers", handles(batch))
    groups.receive("workers", "c", limit=1)
    last = groups.receive("workers", "d", limit=1)
    groups.ack("workers", handles(last))
    empty = groups.receive("workers", "d")
    assert empty == []
    assert empty.held == {"lease": 1, "suspended": 1, "back-off": 1, "topic quota": 1}
    assert empty.wake == 10
    clock.advance(10)
    assert places(groups.receive("workers", "d")) == [("d", 1)]


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_what_waits_is_counted_by_tenant_whether_anybody_reads_it_or_not(
    both: Any, groups: Groups, open_engine: Callable[[], Any], clock: VirtualClock, topic: str
) -> None:
    def counted() -> tuple[int, int, dict[str, tuple[int, float]]]:
        stats = groups.stats("workers")
        return stats.unread, stats.ready, {one.tenant: (one.backlog, one.starving) for one in stats.tenants}

    groups.create_group("workers", GroupSpec(topic=topic, fair=True))
    publish(both.log, f"{topic}/a", tenant="甲")
    publish(both.log, f"{topic}/b", tenant="乙")
    clock.advance(5)
    publish(both.log, f"{topic}/c", tenant="甲", time=clock.now())
    assert counted() == (3, 0, {"甲": (2, 5), "乙": (1, 5)})
    groups.subscribe("workers", "c", ["a"])
    clock.advance(1)
    assert counted() == (2, 1, {"甲": (2, 1), "乙": (1, 6)})
    groups.subscribe("workers", "c", "*")
    assert counted()[:2] == (0, 3)
    groups.ack("workers", handles(groups.receive("workers", "c", limit=1)))
    groups.unsubscribe("workers", "c")
    publish(both.log, f"{topic}/d", tenant="甲", time=clock.now())
    assert counted()[:2] == (3, 0)
    both.log.close()
    _, groups = open_engine()
    assert counted() == (3, 0, {"甲": (2, 1), "乙": (1, 6)})


def test_an_empty_one_that_nothing_holds_says_so(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a")
    drain(groups, "workers", "c")
    assert groups.receive("workers", "c").held == {}


@pytest.mark.parametrize(("limit", "lease"), [(0, None), (-1, None), (10**9, None), (1, 0), (1, -1), (1, float("nan"))])
def test_what_makes_no_sense_is_refused(groups: Groups, limit: int, lease: float | None) -> None:
    join(groups)
    with pytest.raises(UsageError) as caught:
        groups.receive("workers", "c", limit=limit, lease=lease)
    assert len(caught.value._render_traceback_()) == 2


def test_an_unknown_group_is_named_with_what_is_near(groups: Groups) -> None:
    join(groups)
    with pytest.raises(GroupNotFound, match="worker") as caught:
        groups.receive("worker", "c")
    assert "workers" in caught.value._render_traceback_()[1]


def test_a_large_backlog_comes_whole_and_in_order(log: Log, groups: Groups) -> None:
    join(groups)
    log.append([(f"chat/{number % 7}", message()) for number in range(5000)])
    came = drain(groups, "workers", "c", limit=100)
    assert len(came) == len(set(came)) == 5000
    for lite in map(str, range(7)):
        offsets = [offset for name, offset in came if name == lite]
        assert offsets == sorted(offsets)


@pytest.mark.parametrize("settings", [{}, {"fair": True}])
def test_a_batch_has_no_more_bytes_than_asked_for(log: Log, groups: Groups, settings: dict[str, Any]) -> None:
    join(groups, **settings)
    publish(log, "chat/a", "x" * 500, "x" * 500)
    publish(log, "chat/b", "x" * 5000)
    publish(log, "chat/c", "x")
    came = []
    for _ in range(5):
        batch = groups.receive("workers", "c", max_bytes=1300)
        came.append(places(batch))
        groups.ack("workers", batch)
    if not settings:
        assert came == [[("a", 0), ("a", 1)], [("b", 0)], [("c", 0)], [], []], "the first comes however large it is"
    assert sorted(place for places_ in came for place in places_) == [("a", 0), ("a", 1), ("b", 0), ("c", 0)]
    assert [("b", 0)] in came
    with pytest.raises(UsageError):
        groups.receive("workers", "c", max_bytes=0)
