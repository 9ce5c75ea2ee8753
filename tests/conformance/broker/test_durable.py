"""A durable subscriber is one still after a restart, a rest, or a long silence; until it leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deliveries import drain, join, places, publish
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import NotSubscribed

NEEDS = {"durable"}


def test_it_survives_a_restart_and_others_do_not(both: Any, groups: Groups, open_engine: Callable[[], Any]) -> None:
    join(groups, subscribe=["a"])
    groups.subscribe("workers", "名", ["a", "北京*"], durable=True)
    groups.subscribe("workers", "名", ["c"])
    both.log.close()
    log, groups = open_engine()
    assert {client: sorted(texts) for client, texts in groups.subscriptions("workers").items()} == {
        "名": ["a", "c", "北京*"]
    }
    for lite in ("a", "b", "c", "北京店"):
        publish(log, f"chat/{lite}")
    assert sorted(drain(groups, "workers", "名")) == [("a", 0), ("c", 0), ("北京店", 0)]
    with pytest.raises(NotSubscribed):
        groups.receive("workers", "c")


def test_one_that_rests_gives_back_what_it_holds_and_may_come_back(log: Log, groups: Groups) -> None:
    groups.create_group("workers", GroupSpec(topic="chat"))
    groups.subscribe("workers", "d", "*", durable=True)
    groups.subscribe("workers", "c", "*")
    publish(log, "chat/a")
    groups.receive("workers", "d")
    groups.unsubscribe("workers", "d", ())
    assert places(groups.receive("workers", "c")) == [("a", 0)]
    publish(log, "chat/b")
    assert drain(groups, "workers", "d") == [("b", 0)]


def test_silence_ends_what_it_holds_but_not_the_subscription(log: Log, groups: Groups, clock: VirtualClock) -> None:
    groups.create_group("workers", GroupSpec(topic="chat", client_ttl=10, lease=100))
    groups.subscribe("workers", "d", "*", durable=True)
    publish(log, "chat/a")
    groups.receive("workers", "d")
    clock.advance(11)
    groups.subscribe("workers", "c", "*")
    assert places(groups.receive("workers", "c")) == [("a", 0)]
    assert groups.subscriptions("workers") == {"d": ["*"], "c": ["*"]}
    publish(log, "chat/b")
    assert drain(groups, "workers", "d") == [("b", 0)]


def test_it_ends_pattern_by_pattern_also_while_it_is_away(
    both: Any, groups: Groups, open_engine: Callable[[], Any]
) -> None:
    groups.create_group("workers", GroupSpec(topic="chat"))
    groups.subscribe("workers", "d", ["a", "b"], durable=True)
    both.log.close()
    log, groups = open_engine()
    groups.unsubscribe("workers", "d", ["a"])
    assert groups.subscriptions("workers") == {"d": ["b"]}
    log.close()
    log, groups = open_engine()
    assert groups.subscriptions("workers") == {"d": ["b"]}
    groups.unsubscribe("workers", "d")
    log.close()
    assert open_engine().groups.subscriptions("workers") == {}
