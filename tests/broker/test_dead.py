"""Dead letters hold the whole record, are listed until they are replayed, and are replayed once each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults import FaultyLog
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.dead import dead_topic, parse_letter
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import GroupNotFound, StoreCorrupt
from nbagora_lab.core.events import Record


@pytest.fixture
def log(open_log: Callable[..., FaultyLog]) -> FaultyLog:
    return open_log()


@pytest.fixture
def broker(log: FaultyLog, clock: VirtualClock) -> Broker:
    broker = Broker(log, clock, EmbeddedGroups(log))
    broker.create_topic("chat")
    for group in ("workers", "甲*"):
        broker.create_group(group, topic="chat", max_attempts=1)
    return broker


def bury(broker: Broker, group: str = "workers") -> None:
    with broker.consumer(group) as consumer:
        while batch := consumer.receive():
            consumer.fail(batch)


def test_a_letter_is_the_record_and_where_it_stood(broker: Broker, clock: VirtualClock) -> None:
    broker.send("chat/会话", "正文", subject="s", priority=7, tenant="甲")
    clock.advance(5)
    bury(broker)
    [letter] = broker.dead_letters("workers")
    assert letter.record == broker.read("chat/会话")[0]
    assert (letter.attempts, letter.time, letter.offset) == (1, clock.now(), 0)


def test_each_group_has_its_own_and_a_replay_is_of_one_group(broker: Broker) -> None:
    broker.send("chat/a", b"1")
    bury(broker)
    bury(broker, "甲*")
    assert [receipt.offset for receipt in broker.replay_dead("甲*")] == [1]
    assert broker.dead_letters("甲*") == []
    assert len(broker.dead_letters("workers")) == 1


def test_what_dies_again_or_comes_later_is_a_letter_again(broker: Broker) -> None:
    broker.send_many([("chat/a", b"1"), ("chat/b", b"2")])
    bury(broker)
    assert broker.replay_dead("workers") == [("chat/a", 1), ("chat/b", 1)]
    assert broker.replay_dead("workers") == []
    broker.send("chat/c", b"3")
    bury(broker)
    letters = broker.dead_letters("workers")
    assert [(one.record.topic, one.record.offset, one.offset) for one in letters] == [
        ("chat/a", 1, 2), ("chat/b", 1, 3), ("chat/c", 0, 4),
    ]  # fmt: skip
    assert [one.record.body for one in broker.dead_letters("workers", limit=2)] == [b"1", b"2"]


@pytest.mark.parametrize("written", [False, True])
def test_a_replay_that_is_interrupted_anywhere_sends_each_once(
    broker: Broker, log: FaultyLog, clock: VirtualClock, written: bool
) -> None:
    broker.send_many([("chat/a", b"1"), ("chat/b", b"2")])
    bury(broker)
    writes = log.writes
    broker.replay_dead("workers")
    count = log.writes - writes
    for nth in range(1, count + 1):
        bury(broker)
        before = broker.info("chat/a").next
        log.fail(nth, KeyboardInterrupt(), written=written)
        try:
            broker.replay_dead("workers")
        except KeyboardInterrupt:
            clock.advance(61)  # what was out comes again
            broker.replay_dead("workers")
        log.before.clear()
        log.after.clear()
        assert broker.info("chat/a").next == before + 1
        assert broker.dead_letters("workers") == []


def test_who_names_no_group_is_told(broker: Broker) -> None:
    for call in (broker.dead_letters, broker.replay_dead):
        with pytest.raises(GroupNotFound) as caught:
            call("worker")
        assert "workers" in caught.value.hint


@pytest.mark.parametrize("body", [b"", b"{}\nrecord", b'{"topic": "chat/a", "offset": 0, "attempts": 1}\nno record'])
def test_what_is_no_letter_is_told(body: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        parse_letter(Record("topic.dead-letter", body, dead_topic("workers"), 0))
