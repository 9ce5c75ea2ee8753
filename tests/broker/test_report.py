"""What a group says of itself is what stands in its memory and, for what nobody reads, in its store."""

from __future__ import annotations

import pytest

from deliveries import handles, publish
from faults import FaultyLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.quota import Quota
from nbagora_lab.broker.report import unread_of
from nbagora_lab.core.clock import VirtualClock


@pytest.fixture
def log(either_log: FaultyLog) -> FaultyLog:
    return either_log


@pytest.fixture
def groups(log: FaultyLog) -> EmbeddedGroups:
    groups = EmbeddedGroups(log)
    groups.create_group("workers", GroupSpec(topic="chat", lease=30, backoff=(7,)))
    return groups


def state(groups: EmbeddedGroups, topic: str = "chat/a") -> str:
    return groups.progress("workers", topic).state


def test_a_topic_s_state_is_told_in_each_of_them(log: FaultyLog, groups: EmbeddedGroups) -> None:
    publish(log, "chat/a", "x")
    assert state(groups) == "idle"
    groups.subscribe("workers", "c", "*")
    assert state(groups) == "ready"
    batch = groups.receive("workers", "c")
    assert (state(groups), groups.progress("workers", "chat/a").attempts) == ("leased", 1)
    groups.fail("workers", batch)
    assert state(groups) == "back-off"
    groups.seek("workers", "chat/a", "first")  # type: ignore[arg-type]  # as texts are parsed, too
    groups.suspend("workers", "chat/a", 9)
    assert state(groups) == "suspended"
    groups.suspend("workers", "chat/a", 0)
    groups.ack("workers", handles(groups.receive("workers", "c")))
    found = groups.progress("workers", "chat/a")
    assert (found.state, found.committed, found.next, found.lag, found.attempts) == ("drained", 1, 1, 0, 0)


def test_lag_leaves_out_what_is_acked_beyond_the_first_that_is_not(log: FaultyLog, groups: EmbeddedGroups) -> None:
    publish(log, "chat/a", *"1234")
    groups.subscribe("workers", "c", "*")
    batch = groups.receive("workers", "c")
    groups.ack("workers", [one for one in batch if one.offset in {1, 3}])
    found = groups.progress("workers", "chat/a")
    assert (found.committed, found.next, found.lag) == (0, 4, 2)


def test_leases_stand_by_their_end_with_what_is_out_of_them(
    log: FaultyLog, groups: EmbeddedGroups, clock: VirtualClock
) -> None:
    publish(log, "chat/b", "1")
    publish(log, "chat/a", "1")
    groups.subscribe("workers", "c", "*")
    groups.receive("workers", "c", limit=1, lease=50)
    [second] = groups.receive("workers", "c", limit=1, lease=20)
    stats = groups.stats("workers")
    assert [(one.topic, one.client, one.first, one.records, one.expires) for one in stats.leases] == [
        ("chat/a", "c", 0, 1, 1020.0),
        ("chat/b", "c", 0, 1, 1050.0),
    ]
    assert stats.leases[0].number == second.lease
    assert (stats.received, stats.acked, stats.ready, stats.clients) == (2, 0, 0, {"c": 1})
    empty = groups.receive("workers", "c")
    assert (empty.held, empty.wake) == ({"lease": 2}, 20.0)


def test_what_nobody_reads_is_counted_from_the_store_and_only_where_there_may_be_some(
    log: FaultyLog, groups: EmbeddedGroups
) -> None:
    known = groups._groups["workers"]
    publish(log, "chat/a", "x", tenant="甲")
    publish(log, "chat/b", "x", time=900.0)
    assert unread_of(known) == {"": (2, 900.0)}  # without shares tenants are nothing to it
    assert (groups.stats("workers").unread, groups.stats("workers", unread=False).unread) == (2, 0)
    groups.subscribe("workers", "c", "*")
    assert (unread_of(known), known.strays) == ({}, False)
    groups.unsubscribe("workers", "c")
    assert known.strays
    groups.subscribe("workers", "c", ["b"])
    assert unread_of(known) == {"": (1, 1000.0)}


def test_what_a_quota_holds_is_told_and_is_not_ready(log: FaultyLog) -> None:
    groups = EmbeddedGroups(log)
    quota = Quota(1, "messages", 1)
    groups.create_group("slow", GroupSpec(topic="chat", tenant_quota=quota))
    groups.subscribe("slow", "c", "*")
    for topic, tenant in (("a", "甲"), ("b", "甲"), ("c", "乙")):
        publish(log, f"chat/{topic}", "x", tenant=tenant)
    batch = groups.receive("slow", "c")
    assert (len(batch), batch.held) == (2, {"lease": 2, "tenant quota": 1})
    stats = groups.stats("slow")
    assert (stats.ready, stats.held) == (0, {"tenant quota": 1})
