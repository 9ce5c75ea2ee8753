"""A fork is a new topic with the records up to and including an offset, and a life of its own."""

from __future__ import annotations

import threading

import pytest

from logs import bodies, events, record
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import TopicInfo, TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import BadName, LabError, TopicExists, TopicNotFound


@pytest.fixture
def five(log: Log) -> Log:
    log.append([("chat/a", record(str(number), time=1000 + number)) for number in range(5)])
    return log


@pytest.mark.parametrize("at", range(5))
def test_it_holds_the_records_up_to_and_including_the_offset(five: Log, clock: VirtualClock, at: int) -> None:
    clock.advance(60)
    info = five.fork("chat/a", "chat/b", at=at)
    assert info == TopicInfo(
        topic="chat/b", first=0, next=at + 1, created=1060, last_write=1000 + at, forked_from=f"chat/a@{at}"
    )
    assert five.info("chat/b") == info
    assert five.scan("chat/b") == five.scan("chat/a", limit=at + 1)
    assert five.info("chat/a").forked_from is None


def test_both_go_on_by_themselves(five: Log) -> None:
    five.fork("chat/a", "chat/b", at=1)
    assert five.append([("chat/b", record("b2")), ("chat/a", record("5"))]) == [2, 5]
    assert bodies(five, "chat/a") == ["0", "1", "2", "3", "4", "5"]
    assert bodies(five, "chat/b") == ["0", "1", "b2"]


def test_a_fork_can_be_forked_and_outlives_what_it_came_from(five: Log) -> None:
    five.fork("chat/a", "chat/b", at=3)
    five.fork("chat/b", "chat/c", at=1)
    five.expire("chat/a")
    five.expire("chat/b")
    assert bodies(five, "chat/c") == ["0", "1"]
    assert five.info("chat/c").forked_from == "chat/b@1"


def test_it_is_told_to_its_parent(five: Log) -> None:
    five.create_topic("news", TopicSpec())
    five.fork("chat/a", "chat/b", at=1)
    five.fork("chat/a", "news/a", at=1)
    assert events(five, "chat") == [("topic.opened", "chat/a"), ("topic.forked", "chat/b")]
    assert events(five, "news") == [("topic.forked", "news/a")]


def test_more_records_than_one_read_gives(log: Log) -> None:
    log.append([("chat/a", record(str(number))) for number in range(2500)])
    log.append([("chat/a", record(b"x" * 900_000)) for _ in range(6)])
    assert log.fork("chat/a", "chat/b", at=2503).next == 2504
    assert bodies(log, "chat/b") == bodies(log, "chat/a")[:2504]


@pytest.mark.parametrize(
    ("topic", "to", "at", "error"),
    [
        ("chat/nothing", "chat/b", 0, TopicNotFound),
        ("chat/a", "nowhere/b", 0, TopicNotFound),
        ("chat/a", "chat/b", 5, TopicNotFound),
        ("chat/a", "chat/b", -1, TopicNotFound),
        ("chat/a", "chat/b", 10**30, TopicNotFound),
        ("chat/a", "chat/a", 0, TopicExists),
        ("chat/a", "chat/c", 0, TopicExists),
        ("chat/a", "chat/b\n", 0, BadName),
        ("chat/a", "b", 0, BadName),
    ],
)
def test_what_can_not_be_forked_changes_nothing(five: Log, topic: str, to: str, at: int, error: type[LabError]) -> None:
    five.append([("chat/c", record("c"))])
    before = five.revision()
    with pytest.raises(error) as caught:
        five.fork(topic, to, at=at)
    assert len(caught.value._render_traceback_()) == 2
    assert five.lites("chat") == ["_events", "a", "c"]
    assert bodies(five, "chat/c") == ["c"]
    assert five.revision() == before


def test_appends_beside_a_fork_are_in_the_one_or_in_both(log: Log) -> None:
    log.append([("chat/a", record("0"))])
    ended = threading.Event()

    def append() -> None:
        number = 0
        while not ended.is_set() and number < 5000:
            number += 1
            log.append([("chat/a", record(str(number)))])

    writer = threading.Thread(target=append)
    writer.start()
    for fork in range(10):
        at = log.info("chat/a").next - 1
        assert log.fork("chat/a", f"chat/f{fork}", at=at).next == at + 1
        assert bodies(log, f"chat/f{fork}") == [str(number) for number in range(at + 1)]
    ended.set()
    writer.join()
    assert bodies(log, "chat/a") == [str(number) for number in range(log.info("chat/a").next)]
