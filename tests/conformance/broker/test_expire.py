"""An expired topic is gone, its neighbours are not, and a later record starts it anew."""

from __future__ import annotations

import pytest

from logs import bodies, events, offsets, record
from nbagora_lab.broker.api import Log
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import TopicNotFound


@pytest.fixture
def three(log: Log) -> Log:
    for name in "abc":
        log.append([(f"chat/{name}", record(f"{name}{number}")) for number in range(3)])
    return log


def test_it_is_gone_and_its_neighbours_are_not(three: Log) -> None:
    three.expire("chat/b")
    assert three.scan("chat/b") == []
    assert three.lites("chat") == ["_events", "a", "c"]
    with pytest.raises(TopicNotFound):
        three.info("chat/b")
    assert (bodies(three, "chat/a"), bodies(three, "chat/c")) == (["a0", "a1", "a2"], ["c0", "c1", "c2"])


def test_it_is_told_to_its_parent(three: Log) -> None:
    three.expire("chat/b")
    assert events(three, "chat")[-1] == ("topic.expired", "chat/b")


def test_a_later_record_starts_it_anew(three: Log, clock: VirtualClock) -> None:
    three.expire("chat/b")
    clock.advance(60)
    assert three.append([("chat/b", record("again"))]) == [0]
    assert bodies(three, "chat/b") == ["again"]
    assert three.info("chat/b").created == 1060
    assert events(three, "chat")[-1] == ("topic.opened", "chat/b")


def test_it_can_not_expire_twice(three: Log) -> None:
    three.expire("chat/b")
    before = three.revision()
    with pytest.raises(TopicNotFound):
        three.expire("chat/b")
    assert three.revision() == before


def test_the_telling_itself_can_expire(three: Log) -> None:
    three.expire("chat/_events")
    assert three.lites("chat") == ["a", "b", "c"]
    three.expire("chat/a")
    assert events(three, "chat") == [("topic.expired", "chat/a")]


def test_a_name_can_come_and_go_many_times(log: Log) -> None:
    for turn in range(20):
        assert log.append([("chat/a", record(str(turn))), ("chat/a", record("more"))]) == [0, 1]
        assert bodies(log, "chat/a") == [str(turn), "more"]
        log.expire("chat/a")
        assert offsets(log, "chat/a") == []
