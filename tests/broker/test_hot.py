"""Topics in use are few small objects; what the disk knows better is asked there."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from faults import FaultyLog
from logs import record
from nbagora_lab.broker import hot
from nbagora_lab.broker.hot import HotTopics
from nbagora_lab.broker.model import TopicSpec


@pytest.fixture
def topics(log: FaultyLog, monkeypatch: pytest.MonkeyPatch) -> HotTopics:
    """Room for three; on disk are ``chat/0`` to ``chat/5`` with as many records as their name says, and one more."""
    monkeypatch.setattr(hot, "_CAPACITY", 3)
    for number in range(6):
        log.append([(f"chat/{number}", record())] * (number + 1))
    return HotTopics(log._topics, log._records, log.store.parents.__getitem__)


def names(topics: HotTopics) -> list[str]:
    return list(topics._hot)


def test_a_topic_is_loaded_from_the_disk_once(topics: HotTopics) -> None:
    first = topics.load("chat/4")
    assert first is not None
    assert first.next == 5
    assert topics.load("chat/4") is first
    assert topics.hot("chat/4") is first
    assert topics.look("chat/4") is first


def test_the_least_recently_used_goes_first(topics: HotTopics) -> None:
    for name in ("chat/0", "chat/1", "chat/2", "chat/0", "chat/3"):
        topics.load(name)
    assert names(topics) == ["chat/2", "chat/0", "chat/3"]


def test_looking_heats_nothing(topics: HotTopics) -> None:
    looked = topics.look("chat/2")
    assert looked is not None
    assert looked.next == 3
    assert names(topics) == []
    assert topics.hot("chat/2") is None


def test_what_is_not_there_is_not_kept(topics: HotTopics) -> None:
    for name in ("chat/nothing", "nowhere", "chat/\ud800", ""):
        assert topics.load(name) is None
        assert topics.look(name) is None
    assert names(topics) == []


def test_what_was_being_written_is_loaded_again(topics: HotTopics) -> None:
    first, other = topics.load("chat/4"), topics.load("chat/2")
    assert first is not None
    first.next = 9  # as an interrupted write may leave it
    topics.writing = ["chat/4"]
    looked = topics.look("chat/4")
    assert looked is not None
    assert looked.next == 5
    again = topics.load("chat/4")
    assert again is not None
    assert (again.number, again.next) == (first.number, 5)
    assert topics.load("chat/2") is other


def test_many_are_warmed_in_one_go(topics: HotTopics) -> None:
    three = topics.load("chat/3")
    topics.warm(["chat/3", "chat/5", "chat/5", "chat/0"])
    assert names(topics) == ["chat/3"], "so few come one by one"
    topics.warm(["chat/3", "chat/5", "chat/nothing", "nowhere", "chat/0"])
    assert names(topics) == ["chat/3", "chat/5", "chat/0"]
    assert [found and found.next for found in map(topics.hot, names(topics))] == [4, 6, 1]
    assert topics.load("chat/3") is three
    topics.warm(["chat/1", "chat/2", "chat/\ud800"])
    assert names(topics) == ["chat/5", "chat/0", "chat/3"]


def test_what_is_forgotten_is_loaded_again(topics: HotTopics) -> None:
    first = topics.load("chat/4")
    topics.forget("chat/4")
    topics.forget("chat/4")
    assert topics.load("chat/4") is not first


def test_the_ends_of_a_topic(topics: HotTopics) -> None:
    topic = topics.load("chat/4")
    assert topic is not None
    ends = [topics.end(topic.number, backwards=backwards) for backwards in (False, True)]
    assert [end and end[0] for end in ends] == [0, 4]
    assert topics.end(topic.number + 100, backwards=True) is None
    assert topics.end(0, backwards=False) is None


@pytest.mark.thorough
@pytest.mark.parametrize("many", [20_000])
def test_cold_topics_cost_no_python_object(open_log: Callable[..., FaultyLog], many: int) -> None:
    """After twenty thousand topics the cache is full and what is tracked has grown by the cache alone."""
    log = open_log()
    log.create_topic("chat", TopicSpec())

    def write(start: int, end: int) -> int:
        for number in range(start, end, 500):
            log.append([(f"chat/{one}", record()) for one in range(number, number + 500)])
        gc.collect()
        return len(gc.get_objects())

    capacity = hot._CAPACITY
    full = -(-capacity // 500) * 500
    at_capacity = write(0, full)
    assert len(log._hot._hot) == capacity
    assert write(full, many) - at_capacity < 50
    assert len(log._hot._hot) == capacity
    assert log.append([("chat/0", record())]) == [1]


def test_reading_many_topics_heats_none_of_them(open_log: Callable[..., FaultyLog]) -> None:
    log = open_log()
    log.create_topic("chat", TopicSpec())
    log.append([(f"chat/{number}", record()) for number in range(1000)])
    log.close()
    log = open_log()
    for number in range(1000):
        assert len(log.scan(f"chat/{number}")) == 1
        log.info(f"chat/{number}")
    assert len(log._hot._hot) == 0


def test_what_was_hot_needs_no_look_at_the_records_and_does_not_lag_behind(
    topics: HotTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.warm(f"chat/{number}" for number in range(6))
    first = topics.load("chat/3")
    assert first is not None
    first.next = 40  # as a write leaves it
    topics.warm(["chat/0", "chat/1", "chat/2"])
    assert topics.hot("chat/3") is None
    with monkeypatch.context() as patched:
        patched.setattr(topics, "_records", None)
        again = topics.load("chat/3")
    assert again is not None
    assert (again.number, again.next) == (first.number, 40)
    topics.forget("chat/3")  # what is forgotten, and not pushed out, is the disk's
    last = topics.load("chat/3")
    assert last is not None
    assert last.next == 4


def test_an_interrupted_write_is_never_taken_for_what_was_hot(topics: HotTopics) -> None:
    first = topics.load("chat/3")
    assert first is not None
    first.next = 9
    topics.writing = ["chat/3"]
    topics.warm(["chat/0", "chat/1", "chat/2"])
    again = topics.load("chat/3")
    assert again is not None
    assert again.next == 4


def test_of_too_many_next_offsets_the_oldest_page_goes(topics: HotTopics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "_PAGES", 2)
    kept = topics._followings
    for number in (1, hot._PAGE, 2 * hot._PAGE + 7):
        kept.put(number, number + 1)
    assert [kept.take(number) for number in (1, hot._PAGE, 2 * hot._PAGE + 7)] == [0, hot._PAGE + 1, 2 * hot._PAGE + 8]
    assert kept.take(hot._PAGE) == 0
