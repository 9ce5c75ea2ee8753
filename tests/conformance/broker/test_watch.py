"""A watch is called after each append to its topic, for no other, and until it ends."""

from __future__ import annotations

import threading

import pytest

from logs import Bell, offsets, record
from nbagora_lab.broker.api import Log
from nbagora_lab.core.errors import TopicNotFound


def test_it_rings_once_the_record_can_be_read_in_the_appenders_thread(log: Log) -> None:
    seen: list[tuple[list[int], int]] = []
    unwatch = log.watch("chat/a", lambda: seen.append((offsets(log, "chat/a"), threading.get_ident())))
    log.append([("chat/a", record())])
    log.append([("chat/a", record()), ("chat/b", record()), ("chat/a", record())])
    me = threading.get_ident()
    assert seen == [([0], me), ([0, 1, 2], me)]
    unwatch()


def test_it_rings_for_its_own_topic_alone(log: Log) -> None:
    bell = Bell()
    unwatch = log.watch("chat/a", bell)
    log.append([("chat/b", record()), ("chat/ab", record())])
    with pytest.raises(TopicNotFound):
        log.append([("chat/a", record()), ("nowhere/a", record())])
    assert bell.rung == 0
    unwatch()


def test_it_rings_for_what_is_told_of_topics(log: Log) -> None:
    bell = Bell()
    unwatch = log.watch("chat/_events", bell)
    log.append([("chat/a", record())])
    log.append([("chat/a", record())])
    assert bell.rung == 1
    log.fork("chat/a", "chat/b", at=0)
    assert bell.rung == 2
    log.expire("chat/a")
    assert bell.rung == 3
    unwatch()


def test_it_rings_for_a_fork_onto_its_topic(log: Log) -> None:
    bell = Bell()
    log.append([("chat/a", record())])
    unwatch = log.watch("chat/b", bell)
    log.fork("chat/a", "chat/b", at=0)
    assert bell.rung == 1
    unwatch()


def test_an_ended_watch_rings_no_more_and_ends_twice_without_harm(log: Log) -> None:
    bell = Bell()
    first, second = log.watch("chat/a", bell), log.watch("chat/a", bell)
    log.append([("chat/a", record())])
    assert bell.rung == 2
    first()
    first()
    log.append([("chat/a", record())])
    assert bell.rung == 3
    second()
    log.append([("chat/a", record())])
    assert bell.rung == 3


def test_a_watch_may_end_itself_and_begin_another(log: Log) -> None:
    bell, unwatches = Bell(), []

    def once() -> None:
        unwatches.pop()()
        unwatches.append(log.watch("chat/a", bell))

    unwatches.append(log.watch("chat/a", once))
    log.append([("chat/a", record())])
    assert bell.rung == 0
    log.append([("chat/a", record())])
    assert bell.rung == 1
    unwatches.pop()()


def test_closing_wakes_everybody(log: Log) -> None:
    bells = [Bell(), Bell()]
    unwatches = [log.watch(f"chat/{number}", bell) for number, bell in enumerate(bells)]
    log.close()
    assert [bell.rung for bell in bells] == [1, 1]
    for unwatch in unwatches:
        unwatch()
