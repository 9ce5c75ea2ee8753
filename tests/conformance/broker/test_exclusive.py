"""In an exclusive group a topic belongs to its newest subscriber; the former is told, and fenced."""

from __future__ import annotations

import pytest

from deliveries import drain, handles, join, places, publish
from logs import record
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.core.errors import LeaseLost

NEEDS = {"exclusive"}


def test_the_newest_takes_over_and_the_stale_lease_is_refused(log: Log, groups: Groups) -> None:
    join(groups, "chat", "old", mode="exclusive", subscribe=["a", "b", "北京*"])
    lost: list[str] = []
    groups.subscribe("workers", "old", ["c"], evicted=lost.extend)
    for lite in ("a", "b", "c", "北京店"):
        publish(log, f"chat/{lite}", *"12")
    held = groups.receive("workers", "old", limit=2)
    assert places(held) == [("a", 0), ("a", 1)]
    groups.subscribe("workers", "new", ["a", "北京*"])
    assert sorted(lost) == ["a", "北京*"]
    with pytest.raises(LeaseLost):
        groups.ack("workers", handles(held))
    again = groups.receive("workers", "new")
    assert {place: one.attempt for place, one in zip(places(again), again, strict=True)} == {
        ("a", 0): 1,
        ("a", 1): 1,
        ("北京店", 0): 1,
        ("北京店", 1): 1,
    }
    assert again[0].lease > held[0].lease
    groups.ack("workers", handles(again))
    assert sorted(drain(groups, "workers", "old")) == [("b", 0), ("b", 1), ("c", 0), ("c", 1)]
    assert groups.subscriptions("workers") == {"old": ["b", "c"], "new": ["a", "北京*"]}


def test_it_can_be_taken_back(log: Log, groups: Groups) -> None:
    join(groups, "chat", "c", "d", "c", mode="exclusive")
    publish(log, "chat/a")
    assert groups.receive("workers", "d") == []
    assert drain(groups, "workers", "c") == [("a", 0)]


def test_after_the_newest_has_left_an_older_one_with_another_glob_goes_on(log: Log, groups: Groups) -> None:
    join(groups, "chat", "all", mode="exclusive")
    groups.subscribe("workers", "some", ["a*"])
    publish(log, "chat/a1")
    publish(log, "chat/b")
    assert drain(groups, "workers", "all") == [("b", 0)]
    groups.unsubscribe("workers", "some")
    assert drain(groups, "workers", "all") == [("a1", 0)]


def test_the_newest_of_a_clients_own_subscriptions_decides(log: Log, groups: Groups) -> None:
    groups.create_group("one", GroupSpec(topic="chat", mode="exclusive"))
    groups.subscribe("one", "x", ["a*"])
    groups.subscribe("one", "y", ["*"])
    groups.subscribe("one", "x", ["a"])
    log.append([("chat/a", record()), ("chat/ab", record())])
    assert [one.topic for one in groups.receive("one", "x")] == ["chat/a"]
    assert [one.topic for one in groups.receive("one", "y")] == ["chat/ab"]
