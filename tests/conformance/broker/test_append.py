"""An append gives dense offsets in its order, all at once or none, whoever else appends."""

from __future__ import annotations

import threading

import pytest

from logs import bodies, events, offsets, record
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import BadName, LabError, TooLarge, TopicNotFound
from nbagora_lab.core.events import encode


def test_offsets_are_dense_from_0(log: Log) -> None:
    assert [log.append([("chat/a", record(str(n)))]) for n in range(3)] == [[0], [1], [2]]
    assert bodies(log, "chat/a") == ["0", "1", "2"]


def test_a_batch_over_topics_keeps_each_topics_order(log: Log) -> None:
    log.append([("chat/b", record("b0"))])
    given = log.append([(f"chat/{name[0]}", record(name)) for name in ("a0", "b1", "a1", "c0", "b2", "a2")])
    assert given == [0, 1, 1, 0, 2, 2]
    assert [bodies(log, f"chat/{name}") for name in "abc"] == [["a0", "a1", "a2"], ["b0", "b1", "b2"], ["c0"]]


def test_nothing_to_append_is_nothing_appended(log: Log) -> None:
    assert log.append([]) == []


def test_what_is_stored_is_what_was_given(log: Log) -> None:
    given = [record(b""), record(b"\0" * 1000), record("天气 🌦"), encode("other.type", b"x", subject=b"s", id=b"mine")]
    log.append([("chat/a", stored) for stored in given])
    assert [stored for _, stored in log.scan("chat/a")] == given


def test_a_record_above_the_limit_is_refused_and_nothing_of_its_batch_stays(log: Log) -> None:
    fits = record(b"x" * ((1 << 20) - len(record())))
    log.append([("chat/a", fits)])
    with pytest.raises(TooLarge, match="1048577 bytes for chat/a") as caught:
        log.append([("chat/a", record("small")), ("chat/a", fits + b"x")])
    assert len(caught.value._render_traceback_()) == 2
    assert offsets(log, "chat/a") == [0]
    assert log.append([("chat/a", record())]) == [1]


@pytest.mark.parametrize(
    ("topic", "error"),
    [("nowhere/a", TopicNotFound), ("chat/a\nb", BadName), ("chat", BadName), ("chat/\ud800", BadName)],
)
def test_one_bad_name_refuses_its_whole_batch(log: Log, topic: str, error: type[LabError]) -> None:
    log.append([("chat/a", record())])
    with pytest.raises(error):
        log.append([("chat/a", record()), ("chat/new", record()), (topic, record())])
    assert log.lites("chat") == ["_events", "a"]
    assert offsets(log, "chat/a") == [0]
    assert events(log, "chat") == [("topic.opened", "chat/a")]
    assert log.append([("chat/a", record()), ("chat/new", record())]) == [1, 0]


def test_threads_that_append_together_get_dense_offsets_in_their_own_order(log: Log) -> None:
    barrier, got = threading.Barrier(6), {}

    def work(number: int) -> None:
        barrier.wait()
        given = []
        for count in range(40):
            entries = [("chat/shared", record(f"{number}:{count}")), (f"chat/own-{number}", record(str(count)))]
            given.append(log.append(entries))
        got[number] = given

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared = bodies(log, "chat/shared")
    assert sorted(offset for given in got.values() for offset, _ in given) == list(range(240))
    for number, given in got.items():
        assert [shared[offset] for offset, _ in given] == [f"{number}:{count}" for count in range(40)]
        assert [offset for _, offset in given] == list(range(40))
    assert sorted(events(log, "chat")) == [
        ("topic.opened", f"chat/{name}") for name in [*(f"own-{number}" for number in range(6)), "shared"]
    ]


def test_what_is_told_of_a_topic_counts_as_no_write_to_it(log: Log, clock: VirtualClock) -> None:
    log.append([("chat/a", record(time=clock.now()))])
    assert log.info("chat/a").next == 1
    assert log.info("chat/_events").next == 1


def test_parents_keep_apart_what_has_the_same_name(log: Log) -> None:
    log.create_topic("news", TopicSpec())
    log.append([("chat/a", record("chat")), ("news/a", record("news"))])
    assert (bodies(log, "chat/a"), bodies(log, "news/a")) == (["chat"], ["news"])
