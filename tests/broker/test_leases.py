"""A lease ends by its time, by acks, by failing or by being given back; what is stored of it goes with it."""

from __future__ import annotations

from typing import Any

import pytest

from deliveries import attempts, handles, message, places, publish
from faults import FaultyLog
from nbagora_lab.broker.dead import parse_letter
from nbagora_lab.broker.delivery import Handle
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.leases import lost_leases
from nbagora_lab.broker.turn import Turn
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import LeaseLost, StoreCorrupt
from nbagora_lab.core.events import decode


@pytest.fixture
def log(either_log: FaultyLog) -> FaultyLog:
    return either_log


@pytest.fixture
def groups(log: FaultyLog) -> EmbeddedGroups:
    groups = EmbeddedGroups(log)
    groups.create_group("workers", GroupSpec(topic="chat", lease=30, max_attempts=2, backoff=(7,)))
    groups.subscribe("workers", "c", "*")
    return groups


def left(groups: EmbeddedGroups) -> list[tuple[str, float]]:
    """What is out, by its end."""
    return [(one.topic.partition("/")[2], one.expires) for one in groups.stats("workers").leases]


def test_each_part_of_a_lease_ends_by_its_own_time(log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock) -> None:
    for lite in "abc":
        publish(log, f"chat/{lite}")
    a, b, c = groups.receive("workers", "c")
    groups.extend("workers", [a], 100)
    groups.extend("workers", [b], 5)
    assert left(groups) == [("b", 1005), ("c", 1030), ("a", 1100)]
    for seconds, rest in ((5, ["c", "a"]), (24, ["c", "a"]), (1, ["a"]), (69, ["a"]), (1, [])):
        clock.advance(seconds)
        assert [lite for lite, _ in left(groups)] == rest, clock.now()
    with pytest.raises(LeaseLost):
        groups.ack("workers", [c])


def test_a_lease_that_was_extended_again_and_again_is_still_one(
    log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock
) -> None:
    publish(log, "chat/a")
    batch = groups.receive("workers", "c")
    for _ in range(9):
        clock.advance(29)
        groups.extend("workers", batch, 30)
    assert len(groups._groups["workers"].timers) <= 2
    assert groups.ack("workers", batch) == []


def test_a_repeated_receive_gets_what_of_it_is_still_out(log: FaultyLog, groups: EmbeddedGroups) -> None:
    for lite in "ab":
        publish(log, f"chat/{lite}")
    first = groups.receive("workers", "c", attempt_id="x")
    groups.ack("workers", first[:1])
    publish(log, "chat/d")
    assert places(groups.receive("workers", "c", attempt_id="x")) == [("b", 0)]
    groups.subscribe("workers", "d", "*")
    assert places(groups.receive("workers", "d", attempt_id="x")) == [("d", 0)]  # an id is its client's own
    groups.ack("workers", first[1:])
    assert groups.receive("workers", "c", attempt_id="x") == []


def test_under_a_lost_lease_nothing_is_sent_and_of_others_the_rest_is_acked(
    log: FaultyLog, groups: EmbeddedGroups
) -> None:
    publish(log, "chat/a")
    publish(log, "chat/b")
    a, b = handles(groups.receive("workers", "c"))
    stale = Handle(a.topic, a.offset, a.lease - 1)
    with pytest.raises(LeaseLost):
        groups.ack("workers", [stale, b], send=[("chat/sent", message())])
    assert [lite for lite, _ in left(groups)] == ["a", "b"]
    with pytest.raises(LeaseLost) as caught:
        groups.ack("workers", [stale, b])
    assert (caught.value.handles, [lite for lite, _ in left(groups)]) == ([stale], ["a"])


def test_a_second_ack_does_no_harm_while_the_lease_is_out_and_after(log: FaultyLog, groups: EmbeddedGroups) -> None:
    publish(log, "chat/a", *"12")
    batch = groups.receive("workers", "c")
    for _ in range(2):
        groups.ack("workers", batch[:1])
    for _ in range(2):
        groups.ack("workers", batch)
    assert groups.stats("workers").acked == 2
    with pytest.raises(LeaseLost):
        groups.ack("workers", [Handle("chat/a", 2, batch[0].lease)])


def test_what_fails_waits_and_what_was_out_beside_it_counts_for_nothing(
    log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock
) -> None:
    publish(log, "chat/a", *"12")
    first, second = groups.receive("workers", "c")
    groups.fail("workers", [first])
    clock.advance(7)
    again = groups.receive("workers", "c")
    single = groups._groups["workers"].single
    assert (places(again), attempts(again)) == (([("a", 0)], [2]) if single else ([("a", 0), ("a", 1)], [2, 1]))
    if single:
        groups.ack("workers", [second])


def test_what_fails_too_often_is_buried_at_once_and_the_rest_goes_on_without_a_pause(
    log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock
) -> None:
    publish(log, "chat/a", "1")
    groups.fail("workers", groups.receive("workers", "c"), pause=0.0)
    batch = groups.receive("workers", "c")
    publish(log, "chat/a", "2")
    assert (places(batch), attempts(batch)) == ([("a", 0)], [2])
    clock.advance(30)  # its time ends it as failing does
    again = groups.receive("workers", "c")
    assert (places(again), attempts(again)) == ([("a", 1)], [1])
    [(_, stored)] = log.scan("dead-letters/workers")
    letter = parse_letter(decode(stored, "dead-letters/workers", 0))
    assert (letter.record.topic, letter.record.offset, letter.attempts, letter.time) == ("chat/a", 0, 2, 1030.0)
    assert (groups.stats("workers").dead, groups.stats("workers").redelivered) == (1, 1)


def test_a_cost_that_is_told_with_an_ack_is_the_difference_to_what_was_said(
    log: FaultyLog, groups: EmbeddedGroups
) -> None:
    groups.create_group("fair", GroupSpec(topic="chat", fair=True))
    groups.subscribe("fair", "c", "*")
    publish(log, "chat/a", tenant="t", cost=5.0)
    publish(log, "chat/b", tenant="t", cost=5.0)
    a, b = handles(groups.receive("fair", "c"))
    groups.ack("fair", [a], costs={a: 4.0})
    [tenant] = groups.stats("fair").tenants
    assert tenant.cost == 5.0  # messages are what this group counts: one each, and three more
    stale = Handle(b.topic, b.offset, 1)
    with pytest.raises(LeaseLost):
        groups.ack("fair", [stale], costs={stale: 100.0})
    assert groups.stats("fair").tenants[0].cost == 5.0


def test_a_record_that_is_missing_is_damage_and_is_named(log: FaultyLog, groups: EmbeddedGroups) -> None:
    publish(log, "chat/a", *"123")
    records = log._rocks.families["records"]
    [key] = [
        key
        for key, _ in records.items()
        if key.endswith(b"\1") and log.scan("chat/a", after=0, limit=1)[0][1] == records[key]
    ]
    del records[key]
    with pytest.raises(StoreCorrupt, match="record 1 of chat/a is missing"):
        groups.receive("workers", "c")


def test_the_error_tells_of_the_first_and_of_how_many_more() -> None:
    lost = [Handle("chat/a", 3, 1), Handle("chat/b", 0, 1), Handle("chat/c", 0, 1)]
    assert "record 3 of chat/a and 2 more are not leased" in str(lost_leases("workers", lost))
    assert "record 3 of chat/a is not leased" in lost_leases("workers", lost[:1]).what


def test_a_lease_that_nobody_was_told_of_ends_as_the_memory_is_made_anew(
    log: FaultyLog, groups: EmbeddedGroups
) -> None:
    publish(log, "chat/a")
    log.fail(1, KeyboardInterrupt(), written=True)
    with pytest.raises(KeyboardInterrupt):
        groups.receive("workers", "c")
    again: Any = groups.receive("workers", "c")
    assert (places(again), attempts(again)) == ([("a", 0)], [2])
    known = groups._groups["workers"]
    assert [isinstance(turn, Turn) and turn.grant is not None for turn in known.turns.values()] == [True]
