"""Groups are made, altered and ended; each reads for itself."""

from __future__ import annotations

import pytest

from deliveries import drain, handles, join, places, publish
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.quota import Quota
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import BadName, Conflict, GroupExists, GroupNotFound, TopicNotFound

STARTS = {
    "first": [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 0)],
    "last": [],
    "2": [("a", 2), ("a", 3)],
    "offset-3": [("a", 3)],
    "9": [],
    "tail-1": [("a", 3), ("b", 0)],
    "tail-3": [("a", 1), ("a", 2), ("a", 3), ("b", 0)],
    "tail-99": [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 0)],
    "1970-01-01T00:16:42+00:00": [("a", 2), ("a", 3)],
    "2970-01-01T00:00:00+00:00": [],
}


def test_one_that_is_there_and_equal_is_not_made_again(groups: Groups) -> None:
    spec = GroupSpec(topic="chat", quota=Quota.parse("5/s"), weights={"a": 2.0}, start=Start.parse("tail-3"))
    assert groups.create_group("workers", spec)
    assert not groups.create_group("workers", spec)
    with pytest.raises(GroupExists, match="lease is 60") as caught:
        groups.create_group("workers", GroupSpec(topic="chat", lease=5))
    assert len(caught.value._render_traceback_()) == 2
    assert groups.groups() == {"workers": spec}


def test_it_needs_its_parent(groups: Groups) -> None:
    with pytest.raises(TopicNotFound):
        groups.create_group("workers", GroupSpec(topic="nowhere"))
    assert groups.groups() == {}


@pytest.mark.parametrize("name", ["", "a/b", "a\n", "x" * 10_000, "\ud800", "_events"])
def test_a_name_that_is_none_is_refused(groups: Groups, name: str) -> None:
    with pytest.raises(BadName):
        groups.create_group(name, GroupSpec(topic="chat"))
    assert groups.groups() == {}


def test_any_other_name_will_do(log: Log, groups: Groups) -> None:
    publish(log, "chat/a")
    for name in ("工人", "a b", "*", "x" * 512):
        groups.create_group(name, GroupSpec(topic="chat"))
        groups.subscribe(name, "c", "*")
        assert drain(groups, name, "c") == [("a", 0)]
    assert sorted(groups.groups()) == sorted(["工人", "a b", "*", "x" * 512])


@pytest.mark.parametrize("start", STARTS)
def test_it_starts_where_it_is_told_on_what_exists_and_at_the_first_record_of_what_comes(
    log: Log, groups: Groups, start: str
) -> None:
    for number in range(4):
        publish(log, "chat/a", time=1000 + number)
    publish(log, "chat/b", time=1000)
    join(groups, start=Start.parse(start))
    assert sorted(drain(groups, "workers", "c")) == STARTS[start]
    publish(log, "chat/new", "", "")
    publish(log, "chat/a", time=1004)
    assert sorted(drain(groups, "workers", "c")) == [("a", 4), ("new", 0), ("new", 1)]


@pytest.mark.parametrize("start", ["first", "last", "tail-2"])
def test_records_of_their_own_start_where_the_group_is_told(log: Log, groups: Groups, start: str) -> None:
    publish(log, "jobs/a", "", "", "")
    join(groups, "jobs", start=Start.parse(start))
    expected = {"first": [0, 1, 2], "last": [], "tail-2": [1, 2]}[start]
    assert drain(groups, "workers", "c") == [("a", offset) for offset in expected]


def test_each_reads_everything_for_itself(log: Log, groups: Groups) -> None:
    join(groups)
    groups.create_group("others", GroupSpec(topic="chat"))
    groups.subscribe("others", "c", "*")
    publish(log, "chat/a", "", "")
    assert drain(groups, "workers", "c") == [("a", 0), ("a", 1)]
    assert drain(groups, "others", "c") == [("a", 0), ("a", 1)]


def test_settings_change_while_it_runs_but_not_what_it_stands_on(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, quota=Quota.parse("1/s burst 1"))
    publish(log, "chat/a", "", "", "")
    batch = groups.receive("workers", "c")
    assert places(batch) == [("a", 0)]
    spec = GroupSpec(topic="chat", lease=5)
    groups.alter_group("workers", spec)
    assert groups.groups() == {"workers": spec}
    groups.ack("workers", handles(batch))
    assert places(groups.receive("workers", "c")) == [("a", 1), ("a", 2)]
    clock.advance(5)
    assert places(groups.receive("workers", "c")) == [("a", 1), ("a", 2)]
    for fixed in ({"topic": "jobs"}, {"mode": "exclusive"}, {"start": Start("last")}):
        with pytest.raises(Conflict):
            groups.alter_group("workers", GroupSpec(**{"topic": "chat", **fixed}))
    with pytest.raises(GroupNotFound):
        groups.alter_group("nobody", spec)


def test_a_deleted_one_leaves_nothing_to_a_namesake(log: Log, groups: Groups) -> None:
    join(groups, max_attempts=1, backoff=(0,))
    publish(log, "chat/a", "", "")
    groups.fail("workers", handles(groups.receive("workers", "c", limit=1)))
    batch = groups.receive("workers", "c")
    groups.delete_group("workers")
    assert groups.groups() == {}
    for call in (
        lambda: groups.receive("workers", "c"),
        lambda: groups.ack("workers", handles(batch)),
        lambda: groups.subscriptions("workers"),
        lambda: groups.delete_group("workers"),
    ):
        with pytest.raises(GroupNotFound):
            call()
    join(groups)
    assert log.scan("dead-letters/workers") == []
    assert drain(groups, "workers", "c") == [("a", 0), ("a", 1)]


def test_nobody_reads_what_is_told_of_topics(log: Log, groups: Groups) -> None:
    publish(log, "chat/a")
    join(groups)
    publish(log, "chat/b")
    publish(log, "chat/_events")
    assert drain(groups, "workers", "c") == [("a", 0), ("b", 0)]


def test_a_fork_is_a_new_topic_to_every_group(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", "", "", "")
    drain(groups, "workers", "c")
    log.fork("chat/a", "chat/b", at=1)
    assert drain(groups, "workers", "c") == [("b", 0), ("b", 1)]


def test_what_is_removed_is_gone_for_groups_and_starts_anew(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", "", "", "")
    publish(log, "jobs/a", "", "")
    groups.create_group("singles", GroupSpec(topic="jobs"))
    groups.subscribe("singles", "c", "*")
    batch = groups.receive("workers", "c", limit=1)
    groups.ack("workers", handles(batch))
    log.expire("chat/a")
    log.expire("jobs/a")
    assert groups.receive("workers", "c") == []
    assert groups.receive("singles", "c") == []
    publish(log, "chat/a")
    publish(log, "jobs/a")
    assert drain(groups, "workers", "c") == [("a", 0)]
    assert drain(groups, "singles", "c") == [("a", 0)]
