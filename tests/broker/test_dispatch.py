"""A group's memory: what makes a turn ready and for whom, what keeps it back, and whom that wakes."""

from __future__ import annotations

import pytest

from deliveries import publish
from faults import FaultyLog
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.quota import Quota
from nbagora_lab.core.clock import VirtualClock

SPEC = GroupSpec(topic="chat", lease=30)


@pytest.fixture
def groups(log: FaultyLog) -> EmbeddedGroups:
    groups = EmbeddedGroups(log)
    groups.create_group("workers", SPEC)
    return groups


@pytest.fixture
def group(groups: EmbeddedGroups) -> Dispatch:
    return groups._groups["workers"]


def state(group: Dispatch) -> dict[str, str]:
    """Each turn by its lite topic: ready, out, or what keeps it back."""
    return {
        turn.topic.partition("/")[2]: turn.parked or ("out" if turn.grant else "ready" if turn.ready else "lost")
        for turn in group.turns.values()
    }


def test_what_nobody_reads_leaves_nothing_in_memory_but_a_note(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch
) -> None:
    publish(log, "chat/a")
    assert (group.turns, group.strays) == ({}, True)
    groups.subscribe("workers", "c", ["a"])
    group.strays = False
    publish(log, "chat/a")
    assert (state(group), group.strays) == ({"a": "ready"}, False)
    publish(log, "chat/b")
    assert (state(group), group.strays) == ({"a": "ready"}, True)
    groups.subscribe("workers", "c", "*")
    assert (state(group), group.strays) == ({"a": "ready", "b": "ready"}, False)


def test_more_of_a_topic_makes_its_turn_longer_and_wakes_nobody_twice(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch
) -> None:
    woken: list[str] = []
    groups.subscribe("workers", "c", "*")
    groups.when_ready("workers", "c", lambda: woken.append("first"))
    groups.when_ready("workers", "c", lambda: woken.append("second"))
    publish(log, "chat/a", *"12")
    publish(log, "chat/a", "3")
    assert woken == ["first"]
    [turn] = group.turns.values()
    assert (turn.committed, turn.end) == (0, 3)
    publish(log, "chat/b")
    assert woken == ["first", "second"]


def test_who_was_woken_and_goes_wakes_another_and_who_was_not_wakes_nobody(
    log: FaultyLog, groups: EmbeddedGroups
) -> None:
    woken: list[str] = []
    groups.subscribe("workers", "c", "*")
    ends = [groups.when_ready("workers", "c", lambda name=name: woken.append(name)) for name in "123"]
    ends[1]()
    publish(log, "chat/a")
    assert woken == ["1"]
    ends[0]()
    assert woken == ["1", "3"]
    ends[0]()
    assert woken == ["1", "3"]


def test_a_clock_that_jumped_back_puts_nobody_in_front(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch, clock: VirtualClock
) -> None:
    groups.subscribe("workers", "c", "*")
    publish(log, "chat/a")
    clock.advance(-500)
    publish(log, "chat/b")
    assert [turn.since for turn in group.turns.values()] == [1000.0, 1000.0]
    assert [one.topic for one in groups.receive("workers", "c")] == ["chat/a", "chat/b"]


def test_what_keeps_a_topic_back_is_one_thing_at_a_time_and_ends_by_its_own_time(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch, clock: VirtualClock
) -> None:
    groups.subscribe("workers", "c", "*")
    publish(log, "chat/a")
    groups.fail("workers", groups.receive("workers", "c"), pause=5)
    groups.suspend("workers", "chat/a", 8)
    assert (state(group), group.held([])) == ({"a": "back-off"}, {"back-off": 1})
    clock.advance(5)
    groups.stats("workers")
    assert (state(group), group.held([])) == ({"a": "suspended"}, {"suspended": 1})
    groups.suspend("workers", "chat/a", 100)
    clock.advance(4)  # past the first suspension's end, which means nothing any more
    groups.stats("workers")
    assert state(group) == {"a": "suspended"}
    groups.suspend("workers", "chat/a", 0)
    assert (state(group), group.held([])) == ({"a": "ready"}, {})


def test_a_suspension_of_a_topic_that_nobody_reads_keeps_no_turn(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch
) -> None:
    groups.subscribe("workers", "c", ["b"])
    publish(log, "chat/a", "1")
    groups.suspend("workers", "chat/a", 5)
    publish(log, "chat/a", "2")
    assert state(group) == {}
    groups.subscribe("workers", "c", ["a"])
    [turn] = group.turns.values()
    assert (state(group), turn.committed) == ({"a": "suspended"}, 0)


def test_other_settings_let_go_what_only_the_former_held(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch
) -> None:
    groups.alter_group("workers", SPEC.model_copy(update={"topic_quota": Quota(1, "messages", 1)}))
    groups.subscribe("workers", "c", "*")
    publish(log, "chat/a", *"12")
    groups.ack("workers", groups.receive("workers", "c"))
    assert (groups.receive("workers", "c"), state(group)) == ([], {"a": "topic quota"})
    woken: list[int] = []
    groups.when_ready("workers", "c", lambda: woken.append(1))
    groups.alter_group("workers", SPEC)
    assert (state(group), woken) == ({"a": "ready"}, [1])


def test_a_memory_made_anew_keeps_what_is_out_and_what_is_kept_back(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch, clock: VirtualClock
) -> None:
    groups.subscribe("workers", "c", "*")
    for lite in "abc":
        publish(log, f"chat/{lite}")
    groups.suspend("workers", "chat/b", 20)
    [out] = groups.receive("workers", "c", limit=1)
    group.torn = True  # as an interrupted call leaves it
    groups.stats("workers")
    assert (state(group), group.torn) == ({"a": "out", "b": "suspended", "c": "ready"}, False)
    assert group.held([]) == {"suspended": 1}
    groups.ack("workers", [out])
    clock.advance(20)
    assert sorted(one.topic for one in groups.receive("workers", "c")) == ["chat/b", "chat/c"]
    clock.advance(30)
    groups.stats("workers")
    assert state(group) == {"b": "ready", "c": "ready"}  # their lease ended by its time


def test_a_removed_topic_takes_its_turn_and_its_names_along(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch
) -> None:
    groups.subscribe("workers", "c", ["a", "b"])
    groups.subscribe("workers", "d", ["a"], durable=True)
    publish(log, "chat/a")
    publish(log, "chat/b")
    groups.receive("workers", "c")
    log.expire("chat/a")
    assert state(group) == {"b": "out"}
    assert groups.subscriptions("workers") == {"c": ["b"], "d": ["a"]}


def test_whether_something_ended_by_an_ack_is_known_while_its_lease_is_out_and_after(
    log: FaultyLog, groups: EmbeddedGroups, group: Dispatch
) -> None:
    groups.subscribe("workers", "c", "*")
    publish(log, "chat/a")
    publish(log, "chat/b")
    a, b = groups.receive("workers", "c")
    groups.ack("workers", [a])
    assert group.was_acked("chat/a", 0, a.lease)
    groups.release("workers", [b])
    assert group.was_acked("chat/a", 0, a.lease)
    assert not group.was_acked("chat/b", 0, a.lease)
    assert not group.was_acked("chat/a", 0, a.lease + 1)
