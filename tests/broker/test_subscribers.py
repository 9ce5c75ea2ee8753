"""Clients come, are evicted, fall silent and come back; what they read and hold goes to who reads it then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deliveries import drain, handles, places, publish
from faults import FaultyLog
from nbagora_lab.broker import keys
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import NotSubscribed, QuotaExceeded

SPEC = GroupSpec(topic="chat", client_ttl=30, lease=1000, max_subscriptions=3)


@pytest.fixture
def groups(log: FaultyLog) -> EmbeddedGroups:
    groups = EmbeddedGroups(log)
    groups.create_group("workers", SPEC)
    return groups


def stored(log: FaultyLog) -> dict[bytes, bytes]:
    """Durable subscribers as they are on the disk."""
    return dict(log.store.rocks.families["subscribers"].items())


def test_a_silent_client_is_dropped_and_what_it_held_goes_on_uncounted(
    log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock
) -> None:
    groups.subscribe("workers", "silent", "*")
    groups.subscribe("workers", "other", "*")
    publish(log, "chat/a", *"12")
    groups.receive("workers", "silent")
    clock.advance(29)
    assert groups.receive("workers", "other") == []
    clock.advance(2)
    batch = groups.receive("workers", "other")
    assert places(batch) == [("a", 0), ("a", 1)]
    assert {one.attempt for one in batch} == {1}
    assert groups.subscriptions("workers") == {"other": ["*"]}
    with pytest.raises(NotSubscribed):
        groups.receive("workers", "silent")


def test_who_waits_lives_and_so_does_who_acks(log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock) -> None:
    groups.subscribe("workers", "waits", ["w"])
    groups.subscribe("workers", "works", ["a"])
    end = groups.when_ready("workers", "waits", lambda: None)
    publish(log, "chat/a", *"12345")
    for _ in range(5):
        batch = groups.receive("workers", "works", limit=1)
        clock.advance(20)
        groups.ack("workers", batch)
    assert set(groups.subscriptions("workers")) == {"waits", "works"}
    end()
    clock.advance(31)
    groups.stats("workers")
    assert groups.subscriptions("workers") == {}


def test_a_durable_one_rests_when_it_is_silent_and_a_receive_wakes_it(
    log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock
) -> None:
    groups.subscribe("workers", "durable", ["a*"], durable=True)
    clock.advance(31)
    groups.stats("workers")
    assert groups.subscriptions("workers") == {"durable": ["a*"]}
    publish(log, "chat/a1")
    assert drain(groups, "workers", "durable") == [("a1", 0)]


def test_durable_patterns_are_stored_and_outlive_the_process(
    log: FaultyLog, groups: EmbeddedGroups, open_log: Callable[..., FaultyLog]
) -> None:
    groups.subscribe("workers", "客户", ["a*"], durable=True)
    groups.subscribe("workers", "客户", ["b"])  # durable once, durable for good
    [(key, value)] = stored(log).items()
    assert (key[4:].decode(), value) == ("客户", b'["a*", "b"]')
    log.close()
    log = open_log()
    groups = EmbeddedGroups(log)
    publish(log, "chat/b")
    assert groups.subscriptions("workers") == {"客户": ["a*", "b"]}
    assert drain(groups, "workers", "客户") == [("b", 0)]
    groups.unsubscribe("workers", "客户", ["b"])
    assert list(stored(log).values()) == [b'["a*"]']
    groups.unsubscribe("workers", "客户")
    assert stored(log) == {}


def test_a_resting_one_can_be_unsubscribed_in_part_and_whole(
    log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock
) -> None:
    groups.subscribe("workers", "durable", ["a", "b"], durable=True)
    clock.advance(31)
    groups.stats("workers")
    groups.unsubscribe("workers", "durable", ["a"])
    assert groups.subscriptions("workers") == {"durable": ["b"]}
    groups.unsubscribe("workers", "durable")
    assert (groups.subscriptions("workers"), stored(log)) == ({}, {})


def test_the_newest_of_an_exclusive_group_takes_name_lease_and_all(log: FaultyLog, groups: EmbeddedGroups) -> None:
    groups.create_group("alone", SPEC.model_copy(update={"mode": "exclusive"}))
    told: list[list[str]] = []
    groups.subscribe("alone", "old", ["a", "b"], evicted=told.append)
    publish(log, "chat/a")
    publish(log, "chat/b")
    held = groups.receive("alone", "old")
    groups.subscribe("alone", "new", ["a"])
    assert told == [["a"]]
    batch = groups.receive("alone", "new")
    assert (places(batch), batch[0].attempt) == ([("a", 0)], 1)
    groups.ack("alone", [one for one in handles(held) if one.topic == "chat/b"])


def test_too_many_subscriptions_change_nothing(log: FaultyLog, groups: EmbeddedGroups) -> None:
    groups.subscribe("workers", "c", ["a", "b"], durable=True)
    before = stored(log)
    with pytest.raises(QuotaExceeded) as caught:
        groups.subscribe("workers", "c", ["c", "d"], durable=True)
    assert len(caught.value._render_traceback_()) == 2
    assert (groups.subscriptions("workers"), stored(log)) == ({"c": ["a", "b"]}, before)
    groups.subscribe("workers", "c", ["a", "b", "c"])  # those that it has count once


def test_a_subscriber_of_names_looks_at_these_alone(log: FaultyLog, groups: EmbeddedGroups) -> None:
    for lite in ("a", "b", "c"):
        publish(log, f"chat/{lite}")
    groups.subscribe("workers", "c", ["b"])
    assert drain(groups, "workers", "c") == [("b", 0)]
    waiting = [keys.parse_u64(key[4:]) for key in log.store.rocks.families["waiting"].keys()]  # noqa: SIM118
    assert len(waiting) == 2
