"""What a receive picks: whole runs where age alone decides, else record by record, never more than fits or is let."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from deliveries import publish
from faults import FaultyLog
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.picks import Room, pick
from nbagora_lab.broker.quota import Quota
from nbagora_lab.broker.stats import TenantStats

ONE = Quota(1, "messages", 1)  # one a second, one at once
Make = Callable[..., Dispatch]


@pytest.fixture
def make(open_log: Callable[..., FaultyLog]) -> Make:
    """The memory of a group with the client ``c``, on a parent to which a record went for each letter or pair.

    ``late``: the client came after them.
    """

    stores = map(str, itertools.count())

    def make(*sent: Any, kind: str = "LITE", late: bool = False, **settings: Any) -> Dispatch:
        log = open_log(next(stores))
        log.create_topic("chat", TopicSpec(type=kind))
        groups = EmbeddedGroups(log)
        groups.create_group("workers", GroupSpec(topic="chat", **settings))
        if not late:
            groups.subscribe("workers", "c", "*")
        for one in sent:
            lite, plan = (one, {}) if isinstance(one, str) else one
            publish(log, f"chat/{lite}", **plan)
        if late:  # what waits is known by its index alone
            groups.subscribe("workers", "c", "*")
        return groups._groups["workers"]

    return make


def take(group: Dispatch, limit: int = 32, *, now: float = 1000.0, records: float = 99, **held: int) -> Any:
    """Topics and offsets, in order, with room for so many records; `held` as it is told."""
    told: dict[str, int] = {}
    [size] = {size for turn in group.turns.values() for size in group.stored.sizes(turn, [turn.committed])} or {0}
    picks = pick(group, group.clients["c"], limit, now, told, Room(group.stored, int(size * records)))
    assert told == held
    return [(turn.topic.partition("/")[2], list(offsets)) for turn, offsets in picks]


def ready(group: Dispatch) -> list[str]:
    return [unit.topic.partition("/")[2] for one in group.audiences.all() for unit in one.ready.units()]


def served(group: Dispatch) -> dict[str, TenantStats]:
    return {one.tenant: one for one in group.tally.tenants([], {}, 1000.0)}


def test_age_alone_gives_whole_runs_up_to_the_limit(make: Make) -> None:
    group = make(*"aababac")
    assert take(group, 5) == [("a", [0, 1, 2, 3]), ("b", [0])]  # the rest of b goes with what is out of it
    assert ready(group) == ["c"]
    assert [lite for lite in "abc" if group.turns[f"chat/{lite}"].audience is None] == ["a", "b"]
    assert (take(group, 1, now=1003.0), ready(group)) == ([("c", [0])], [])
    assert (served(group)[""].served, served(group)[""].wait_p99) == (6, 3.0)


@pytest.mark.parametrize("settings", [{}, {"fair": True}])
def test_what_waited_before_its_reader_came_is_read_from_the_store(make: Make, settings: dict[str, Any]) -> None:
    group = make(*"aab", late=True, **settings)
    assert sorted((lite, offset) for lite, offsets in take(group) for offset in offsets) == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
    ]


def test_what_does_not_fit_stays_as_old_as_it_was(make: Make) -> None:
    group = make(*"aabc")
    assert take(group, records=1.5) == [("a", [0])]
    assert take(group, records=0.5) == [("b", [0])]  # the first one always comes
    assert ready(group) == ["c"]
    group = make(*"abc")
    assert take(group, records=2) == [("a", [0]), ("b", [0])]
    assert take(group, records=2) == [("c", [0])]


def test_what_does_not_fit_record_by_record_stays_too(make: Make) -> None:
    group = make(*"abb", kind="PRIORITY")
    assert take(group, records=1) == [("a", [0])]
    assert take(group, records=1) == [("b", [0])]
    assert ready(group) == ["b"]


def test_tenants_alternate_record_by_record_and_both_topics_are_out(make: Make) -> None:
    sent = [("x", {"tenant": "甲"})] * 4 + [("y", {"tenant": "乙"})] * 4
    group = make(*sent, fair=True)
    picks = take(group, 5)
    assert [lite for lite, _ in picks] == ["x", "y", "x", "y", "x"]
    assert [offsets for lite, offsets in picks if lite == "x"] == [[0], [1], [2]]
    assert ready(group) == []
    assert {tenant: one.served for tenant, one in served(group).items()} == {"甲": 3, "乙": 2}


def test_the_next_record_of_a_topic_goes_by_its_own_priority(make: Make) -> None:
    group = make(("x", {"priority": 5}), ("x", {}), ("y", {"priority": 3}))
    assert take(group) == [("x", [0]), ("y", [0]), ("x", [1])]


def test_a_topic_s_quota_parks_it_and_others_go_on(make: Make) -> None:
    group = make(*"aab", topic_quota=ONE)
    assert take(group) == [("a", [0]), ("b", [0])]
    group = make(*"aab", topic_quota=ONE, kind="PRIORITY")
    assert take(group) == [("a", [0]), ("b", [0])]
    assert (ready(group), group.held(group.audiences.all())) == ([], {"topic quota": 1})
    group.timers.run(1001.0)
    assert take(group, now=1001.0) == [("a", [1])]


def test_the_group_s_quota_ends_the_pick_and_says_how_many_it_holds(make: Make) -> None:
    group = make(*"abc", quota=ONE)
    assert take(group, quota=2) == [("a", [0])]
    assert (sorted(ready(group)), group.timers.next(1000.0)) == (["b", "c"], 1.0)
    assert take(group, now=1001.0, quota=1) == [("b", [0])]


def test_a_tenant_s_quota_holds_that_tenant_alone(make: Make) -> None:
    sent = [("x", {"tenant": "甲"}), ("y", {"tenant": "甲"}), ("z", {"tenant": "乙"})]
    group = make(*sent, tenant_quota=ONE)
    assert sorted(take(group)) == [("x", [0]), ("z", [0])]
    assert group.held(group.audiences.all()) == {"tenant quota": 1}


def test_a_record_after_its_deadline_is_counted(make: Make) -> None:
    group = make(("a", {"deadline": 2000.0}), ("b", {"deadline": 990.0}))
    assert take(group) == [("b", [0]), ("a", [0])]
    assert (served(group)[""].served, served(group)[""].missed) == (2, 1)
