"""Reading: past an offset, from a time on, up to a number or a size; it moves nobody's progress."""

from __future__ import annotations

import pytest

from logs import bodies, offsets, record
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import TopicInfo
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import TopicNotFound


@pytest.fixture
def ten(log: Log) -> Log:
    """Ten records of 100 bytes and more, one every ten seconds from 1000 on, between two neighbours."""
    log.append([("chat/a", record("before"))])
    log.append([("chat/b", record(b"x" * 100, time=1000 + 10 * number)) for number in range(10)])
    log.append([("chat/c", record("behind"))])
    return log


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        (-1, 1000, range(10)),
        (-1, 3, range(3)),
        (4, 3, range(5, 8)),
        (8, 3, range(9, 10)),
        (9, 3, ()),
        (10, 3, ()),
        (10**30, 3, ()),
        (-5, 2, range(2)),
        (4, 0, ()),
        (4, -1, ()),
    ],
)
def test_past_an_offset_up_to_a_number(ten: Log, after: int, limit: int, expected: range) -> None:
    assert offsets(ten, "chat/b", after=after, limit=limit) == list(expected)


def test_up_to_a_size_but_at_least_one(ten: Log) -> None:
    one = len(ten.scan("chat/b", limit=1)[0][1])
    assert len(ten.scan("chat/b", max_bytes=1)) == 1
    assert len(ten.scan("chat/b", max_bytes=3 * one)) == 3
    assert len(ten.scan("chat/b", max_bytes=3 * one + 1)) == 4


def test_reading_again_gives_the_same(ten: Log) -> None:
    assert ten.scan("chat/b", after=3) == ten.scan("chat/b", after=3) != []


def test_a_topic_that_does_not_exist_has_no_records_yet(ten: Log) -> None:
    assert ten.scan("chat/nothing") == []
    assert ten.scan("nowhere/a") == []


@pytest.mark.parametrize(
    ("time", "expected"),
    [(0, 0), (1000, 0), (1000.000001, 1), (1010, 1), (1055, 6), (1090, 9), (1090.5, 10), (1e12, 10), (-5, 0)],
)
def test_the_first_record_at_or_after_a_time(ten: Log, time: float, expected: int) -> None:
    assert ten.seek("chat/b", time) == expected


def test_a_time_is_found_to_the_microsecond(log: Log) -> None:
    times = [0.000248, 0.000249, 0.032767, 1000.1, 1000.100001, 4350000.35]
    log.append([("chat/a", record(time=time)) for time in times])
    assert [log.seek("chat/a", time) for time in times] == list(range(6))
    assert log.seek("chat/a", float("inf")) == 6


def test_of_equal_times_the_first_is_found(log: Log) -> None:
    log.append([("chat/a", record(time=1000)) for _ in range(5)])
    assert (log.seek("chat/a", 1000), log.seek("chat/a", 1000.5)) == (0, 5)


def test_a_clock_that_jumped_back_loses_no_record(log: Log) -> None:
    times = [1000, 1010, 500, 510, 1020]
    log.append([("chat/a", record(str(time), time=time)) for time in times])
    assert bodies(log, "chat/a") == [str(time) for time in times]
    assert 0 <= log.seek("chat/a", 505) <= 5
    assert log.seek("chat/a", 2000) == 5
    assert log.info("chat/a").last_write == 1020


def test_what_is_known_of_a_topic(log: Log, clock: VirtualClock) -> None:
    log.append([("chat/a", record(time=1000.25))])
    clock.advance(5)
    log.append([("chat/a", record(time=1005.5))])
    assert log.info("chat/a") == TopicInfo(topic="chat/a", first=0, next=2, created=1000, last_write=1005.5)
    assert log.info("chat/a").count == 2


def test_nothing_is_known_of_a_topic_that_does_not_exist(log: Log) -> None:
    for call in (log.info, lambda topic: log.seek(topic, 0)):
        with pytest.raises(TopicNotFound):
            call("chat/nothing")
