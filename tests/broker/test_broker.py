"""The broker as people use it: what they send is what they read, and what does not fit is said in two lines."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from faults import FaultyLog
from logs import record
from nbagora_lab.broker import Broker, Receipt, TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import BadName, LabError, TooLarge, TopicExists, TopicNotFound, UsageError


@pytest.fixture
def broker(log: FaultyLog, clock: VirtualClock) -> Broker:
    return Broker(log, clock)


@pytest.fixture
def ten(broker: Broker, clock: VirtualClock) -> Broker:
    """Ten records on ``chat/a``, one every ten seconds from 1000 on."""
    for number in range(10):
        broker.send("chat/a", str(number))
        clock.advance(10)
    return broker


def numbers(records: Any) -> list[int]:
    return [int(one.body) for one in records]


def test_what_is_sent_is_read(broker: Broker) -> None:
    sent = broker.send(
        "chat/s-1",
        b"\x00\xff",
        type="weather.told",
        subject="北京",
        source="/people/ann",
        id="mine",
        datacontenttype="image/png",
        traceparent="00-1-2-01",
    )
    assert sent == Receipt("chat/s-1", 0)
    [one] = broker.read("chat/s-1")
    assert (one.topic, one.offset, one.body, one.type, one.subject) == (*sent, b"\x00\xff", "weather.told", "北京")
    assert (one.source, one.id, one.datacontenttype, one.traceparent) == (
        "/people/ann",
        "mine",
        "image/png",
        "00-1-2-01",
    )
    assert (one.time, one.epoch, one.generation, one.flags) == (1000, broker.log.epoch, 0, 0)


def test_text_is_stored_as_utf_8_and_says_so(broker: Broker) -> None:
    broker.send("chat/a", "天气")
    broker.send("chat/a", "{}", datacontenttype="application/json")
    broker.send("chat/a", bytearray(b"b"))
    broker.send("chat/a", memoryview(b"xbx")[1:2])
    text, data, *rest = broker.read("chat/a")
    assert (text.body.decode(), text.datacontenttype) == ("天气", "text/plain; charset=utf-8")
    assert data.datacontenttype == "application/json"
    assert [(one.body, one.datacontenttype) for one in rest] == [(b"b", "application/octet-stream")] * 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"body": {"city": "北京"}}, UsageError),
        ({"body": 5}, UsageError),
        ({"body": [1, 2]}, UsageError),
        ({"body": None}, UsageError),
        ({"body": "\ud800"}, UsageError),
        ({"subject": "\ud800"}, UsageError),
        ({"type": "\ud800"}, UsageError),
        ({"subject": "x" * 65536}, TooLarge),
        ({"type": "x" * 256}, TooLarge),
        ({"id": "x" * 256}, TooLarge),
        ({"topic": "chat"}, BadName),
        ({"topic": "chat/a/b"}, BadName),
        ({"topic": "chat/"}, BadName),
        ({"topic": "chta/a"}, TopicNotFound),
    ],
)
def test_what_can_not_be_sent_is_said_in_two_lines(
    broker: Broker, options: dict[str, Any], error: type[LabError]
) -> None:
    with pytest.raises(error) as caught:
        broker.send(**{"topic": "chat/a", "body": b"", **options})
    assert len(caught.value._render_traceback_()) == 2
    assert caught.value.hint
    assert broker.ls("chat") == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, range(10)),
        ({"after": 3}, range(4, 10)),
        ({"before": 3}, range(3)),
        ({"after": 3, "before": 6}, (4, 5)),
        ({"after": 6, "before": 3}, ()),
        ({"after": 9}, ()),
        ({"after": 100}, ()),
        ({"before": 100}, range(10)),
        ({"before": 0}, ()),
        ({"limit": 3}, range(3)),
        ({"limit": 0}, ()),
        ({"after": 3, "limit": 2}, (4, 5)),
        ({"since": 1000}, range(10)),
        ({"since": 1045}, range(5, 10)),
        ({"since": 1045, "after": 6}, range(7, 10)),
        ({"since": 1045, "before": 7, "limit": 1}, (5,)),
        ({"since": 5000}, ()),
        ({"since": -5.0}, range(10)),
    ],
)
def test_reading_is_cut_by_offset_time_and_number(ten: Broker, options: dict[str, Any], expected: range) -> None:
    assert numbers(ten.read("chat/a", **options)) == list(expected)


@pytest.mark.parametrize("pages", ["records", "bytes"])
def test_a_long_read_is_put_together_of_pages(broker: Broker, pages: str) -> None:
    many, size = (2300, 0) if pages == "records" else (12, 900_000)
    broker.log.append([("chat/a", record(str(number).ljust(size))) for number in range(many)])
    assert numbers(broker.read("chat/a")) == list(range(many))
    assert numbers(broker.read("chat/a", after=3, before=many - 2, limit=many)) == list(range(4, many - 2))


@pytest.mark.parametrize(
    "options",
    [{"after": -1}, {"before": -1}, {"limit": -1}, {"since": float("nan")}, {"since": float("inf")}],
)
def test_what_is_no_place_to_read_from_is_said_in_two_lines(ten: Broker, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        ten.read("chat/a", **options)
    assert len(caught.value._render_traceback_()) == 2


def test_reading_what_does_not_exist_is_an_error(broker: Broker) -> None:
    with pytest.raises(TopicNotFound):
        broker.read("chat/nothing", limit=0)


def test_a_read_ends_where_the_topic_ended_when_it_began(broker: Broker) -> None:
    """However fast somebody writes."""
    broker.send("chat/a", "0")
    scan = broker.log.scan

    def faster(topic: str, **options: Any) -> Any:
        broker.log.append([("chat/a", record("more"))] * 5)
        return scan(topic, **options)

    broker.log.scan = faster  # type: ignore[method-assign]
    assert numbers(broker.read("chat/a")) == [0]


def test_a_clock_that_jumps_back_loses_nothing(broker: Broker, clock: VirtualClock) -> None:
    for number, jump in enumerate((0, 10, -500, 10, 1000)):
        clock.advance(jump)
        broker.send("chat/a", str(number))
    assert numbers(broker.read("chat/a")) == [0, 1, 2, 3, 4]
    assert numbers(broker.read("chat/a", since=1500)) == [4]
    assert broker.info("chat/a").last_write == 1520


def test_a_tail_starts_with_what_is_written_from_now_on(ten: Broker) -> None:
    tailing = ten.tail("chat/a")
    fresh = ten.tail("chat/new", timeout=20)
    ten.send("chat/a", "10")
    ten.send("chat/new", "0")
    assert next(tailing).offset == 10
    assert next(fresh).offset == 0
    assert numbers(ten.tail("chat/a", after=7, timeout=0)) == [8, 9, 10]
    tailing.close()  # type: ignore[attr-defined]
    fresh.close()  # type: ignore[attr-defined]


def test_a_tail_under_an_unknown_parent_would_wait_for_ever(broker: Broker) -> None:
    with pytest.raises(TopicNotFound) as caught:
        broker.tail("chta/a")
    assert caught.value.hint == "did you mean 'chat'?"
    with pytest.raises(BadName):
        broker.tail("chat")


def test_a_tail_in_a_thread_gets_what_others_send(broker: Broker) -> None:
    got: list[int] = []
    tailing = broker.tail("chat/a", timeout=20)

    def follow() -> None:
        got.extend(int(next(tailing).body) for _ in range(300))

    reader = threading.Thread(target=follow)
    reader.start()
    for number in range(300):
        broker.send("chat/a", str(number))
    reader.join(20)
    assert got == list(range(300))
    tailing.close()  # type: ignore[attr-defined]


def test_a_parent_is_made_once(broker: Broker) -> None:
    assert broker.create_topic("news", ttl=60) is True
    assert broker.create_topic("news", ttl=60) is False
    with pytest.raises(TopicExists):
        broker.create_topic("news")
    assert broker.create_topic("news", ttl="1m") is False
    assert broker.topics() == {"chat": TopicSpec(), "news": TopicSpec(ttl=60)}


@pytest.mark.parametrize(
    "options",
    [
        {"type": "FIFO"},
        {"expiring": 5},
        {"ttl": 5, "expiring": 5},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": "soon"},
        {"ttl": []},
        {"ttl": float("nan")},
    ],
)
def test_settings_that_no_parent_has_are_refused_in_two_lines(broker: Broker, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        broker.create_topic("news", **options)
    assert len(caught.value._render_traceback_()) == 2
    assert "news" not in broker.topics()


def test_a_fork_is_of_all_unless_it_is_told_where(ten: Broker) -> None:
    assert ten.fork("chat/a", "chat/all").next == 10
    assert ten.fork("chat/a", "chat/some", at=3).next == 4
    assert numbers(ten.read("chat/some")) == [0, 1, 2, 3]
    with pytest.raises(TopicExists):
        ten.fork("chat/a", "chat/some")
    with pytest.raises(TopicNotFound):
        ten.fork("chat/nothing", "chat/b")


def test_what_is_removed_is_gone_and_told(ten: Broker) -> None:
    ten.rm("chat/a")
    assert ten.ls("chat") == ["_events"]
    told = ten.read("chat/_events")[-1]
    assert (told.type, json.loads(told.body), told.source) == ("topic.expired", {"topic": "chat/a"}, "/broker")
    with pytest.raises(TopicNotFound):
        ten.rm("chat/a")


def test_topics_are_listed_in_pages(broker: Broker, open_log: Callable[..., FaultyLog]) -> None:
    for number in range(5):
        broker.send(f"chat/s-{number}", b"")
    assert broker.ls("chat", prefix="s-", limit=2) == ["s-0", "s-1"]
    assert broker.ls("chat", prefix="s-", after="s-1") == ["s-2", "s-3", "s-4"]
