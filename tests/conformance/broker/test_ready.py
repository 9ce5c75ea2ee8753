"""Who waits is woken by just what makes something ready, or ready sooner; no wake-up is lost or goes round for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deliveries import handles, join, places, publish
from logs import Bell
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.quota import Quota
from nbagora_lab.core.clock import VirtualClock

Do = Callable[[Log, Groups, VirtualClock], None]


def later(seconds: float) -> Do:
    """Time passes, and somebody calls."""

    def do(_: Log, groups: Groups, clock: VirtualClock) -> None:
        clock.advance(seconds)
        groups.stats("workers")

    return do


WAKES: dict[str, tuple[Do, Do]] = {
    "a record arrives": (lambda *_: None, lambda log, *_: [*publish(log, "chat/new")] and None),
    "a lease is over": (lambda *_: None, later(60)),
    "a suspension is over": (lambda _, groups, __: groups.suspend("workers", "chat/a", 30), later(30)),
    "a suspension is ended": (
        lambda _, groups, __: groups.suspend("workers", "chat/a", 30),
        lambda _, groups, __: groups.suspend("workers", "chat/a", 0),
    ),
    "a holder leaves": (lambda *_: None, lambda _, groups, __: groups.unsubscribe("workers", "c")),
    "a subscription comes": (
        lambda log, *_: [*publish(log, "chat/zz")] and None,
        lambda _, groups, __: groups.subscribe("workers", "d", ["zz"]),
    ),
}


@pytest.mark.parametrize("what", WAKES)
def test_it_wakes_once_when(log: Log, groups: Groups, clock: VirtualClock, what: str) -> None:
    before, then = WAKES[what]
    groups.create_group("workers", GroupSpec(topic="chat"))
    groups.subscribe("workers", "c", ["a"])
    groups.subscribe("workers", "d", ["a", "new"])
    publish(log, "chat/a", *"12")
    groups.receive("workers", "c", limit=1)
    before(log, groups, clock)
    bell = Bell()
    end = groups.when_ready("workers", "d", bell)
    publish(log, "chat/other")
    later(1)(log, groups, clock)
    assert bell.rung == 0
    then(log, groups, clock)
    assert bell.rung == 1
    assert groups.receive("workers", "d")
    publish(log, "chat/new")
    assert bell.rung == 1
    end()
    end()


def test_an_ack_wakes_where_more_waits_and_not_where_nothing_does(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", *"12")
    bell = Bell()
    end = groups.when_ready("workers", "c", bell)
    batch = groups.receive("workers", "c", limit=1)
    groups.ack("workers", handles(batch))
    assert bell.rung == 1
    end()
    bell = Bell()
    batch = groups.receive("workers", "c")
    end = groups.when_ready("workers", "c", bell)
    groups.ack("workers", handles(batch))
    assert bell.rung == 0
    end()


def test_each_thing_wakes_one_and_who_gives_up_passes_it_on(log: Log, groups: Groups) -> None:
    join(groups, "chat", "c", "d")
    bells = {client: Bell() for client in "cd"}
    ends = {client: groups.when_ready("workers", client, bell) for client, bell in bells.items()}
    publish(log, "chat/a")
    [woken] = [client for client, bell in bells.items() if bell.rung]
    ends.pop(woken)()
    [other] = ends
    assert bells[other].rung == 1
    assert places(groups.receive("workers", other)) == [("a", 0)]
    ends[other]()


@pytest.mark.parametrize("how", ["fail", "suspend"])
def test_who_waits_is_told_of_what_comes_back_sooner_than_anything_did(log: Log, groups: Groups, how: str) -> None:
    join(groups, "chat", "c", "d", lease=60)
    publish(log, "chat/a")
    publish(log, "chat/b")
    first, second = (groups.receive("workers", "c", limit=1) for _ in range(2))
    assert groups.receive("workers", "d").wake == 60
    bells = [Bell(), Bell()]
    end = groups.when_ready("workers", "d", bells[0])
    if how == "fail":
        groups.fail("workers", handles(first), pause=5)
    else:
        groups.suspend("workers", first[0].topic, 5)
    assert bells[0].rung == 1
    assert groups.receive("workers", "d").wake == 5
    end()
    end = groups.when_ready("workers", "d", bells[1])
    groups.fail("workers", handles(second), pause=10)
    assert bells[1].rung == 0
    end()


def test_under_an_empty_quota_waiters_do_not_wake_each_other_for_ever(
    log: Log, groups: Groups, clock: VirtualClock
) -> None:
    join(groups, "jobs", "c", "d", quota=Quota.parse("1/s burst 1"))
    publish(log, "jobs/a", *"123")
    assert len(groups.receive("workers", "c")) == 1
    rung: list[str] = []
    ends = {client: groups.when_ready("workers", client, lambda client=client: rung.append(client)) for client in "cd"}
    publish(log, "jobs/a", "4")
    for _ in range(20):
        woken, rung[:] = list(rung), []
        for client in woken:
            ends[client]()
            ends[client] = groups.when_ready("workers", client, lambda client=client: rung.append(client))
            assert groups.receive("workers", client) == []
    assert rung == []
    clock.advance(1)
    groups.stats("workers")
    assert len(rung) == 1
    assert len(groups.receive("workers", rung[0])) == 1
    for end in ends.values():
        end()


def test_closing_and_deleting_wake_everybody(log: Log, groups: Groups) -> None:
    join(groups)
    groups.create_group("others", GroupSpec(topic="chat"))
    groups.subscribe("others", "c", "*")
    bells = [Bell(), Bell()]
    ends = [groups.when_ready("workers", "c", bells[0]), groups.when_ready("others", "c", bells[1])]
    groups.delete_group("others")
    assert [bell.rung for bell in bells] == [0, 1]
    log.close()
    assert [bell.rung for bell in bells] == [1, 1]
    for end in ends:
        end()
