"""Large bodies: in chunks, checked, counted by who refers to them; nothing is left behind and nothing is lost."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from faults import FULL, FaultyLog
from nbagora_lab.broker.blobs import CHUNK, BlobRef
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import (
    BodyNotFound,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    TooLarge,
    TopicNotFound,
    UsageError,
)
from nbagora_lab.core.events import Flags


@pytest.fixture
def log(open_log: Callable[..., FaultyLog]) -> FaultyLog:
    return open_log(body_limit=80 << 20)


@pytest.fixture
def broker(log: FaultyLog, clock: VirtualClock) -> Broker:
    broker = Broker(log, clock, EmbeddedGroups(log))
    broker.create_topic("chat", ttl=100)
    return broker


def files(log: FaultyLog) -> list[str]:
    """Names of all files of bodies, those on their way included."""
    return sorted(path.name for path in (log.path / "blobs").rglob("*") if path.is_file())


def pieces(count: int, size: int) -> Iterator[bytes]:
    for number in range(count):
        yield number.to_bytes(4) * (size // 4)


SMALL = 256 << 10  # objects beside the bodies

LARGE = b"".join(pieces(3, CHUNK)) + b"the end"


@pytest.mark.parametrize(
    "body", [LARGE, bytearray(LARGE), memoryview(LARGE), io.BytesIO(LARGE), [LARGE[:9], LARGE[9:]]]
)
def test_what_is_large_is_stored_apart_and_comes_back(broker: Broker, log: FaultyLog, body: object) -> None:
    broker.send("chat/a", body, subject="s", priority=3)  # type: ignore[arg-type]
    [record] = broker.read("chat/a")
    assert record.flags & Flags.REFERENCE
    assert (record.subject, record.scheduling.priority) == ("s", 3)
    assert BlobRef.parse(record.body) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    assert broker.body(record) == LARGE
    assert files(log) == [hashlib.sha256(LARGE).hexdigest()]


def test_what_is_small_stays_in_its_record(broker: Broker, log: FaultyLog) -> None:
    broker.send("chat/a", b"x" * CHUNK)
    broker.send("chat/a", "你好")
    first, second = broker.read("chat/a")
    assert (broker.body(first), broker.body(second).decode()) == (b"x" * CHUNK, "你好")
    assert broker.open(second).read(3) == "你".encode()
    assert files(log) == []


def test_a_text_that_is_large_comes_back_as_utf8(broker: Broker) -> None:
    broker.send("chat/a", "长" * CHUNK)
    [record] = broker.read("chat/a")
    assert broker.body(record).decode() == "长" * CHUNK


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-10, len(LARGE) + 10), st.integers(0, 2 * CHUNK)), max_size=8))
def test_any_range_is_what_a_file_would_give(reads: list[tuple[int, int]]) -> None:
    from logs import scratch

    with scratch() as folder:
        log = FaultyLog(folder / "store", clock=VirtualClock(0))
        broker = Broker(log, VirtualClock(0))
        broker.create_topic("chat")
        broker.send("chat/a", LARGE)
        with broker.open(broker.read("chat/a")[0]) as file, io.BytesIO(LARGE) as plain:
            for start, count in reads:
                assert file.seek(max(0, start)) == plain.seek(max(0, start))
                got = b""
                while len(got) < count and (piece := file.read(count - len(got))):
                    got += piece
                assert got == plain.read(count)
            assert file.seek(0, io.SEEK_END) == len(LARGE)
        log.close()


@pytest.mark.parametrize("size", [CHUNK, CHUNK // 16, CHUNK - 4])
def test_memory_holds_two_chunks_at_most_on_the_streaming_path(broker: Broker, size: int) -> None:
    tracemalloc.start()
    try:
        broker.send("chat/a", pieces((64 << 20) // size, size))
        sent = tracemalloc.get_traced_memory()[1]
        [record] = broker.read("chat/a")
        tracemalloc.reset_peak()
        digest = hashlib.sha256()
        with broker.open(record) as file:
            while piece := file.read(1 << 16):
                digest.update(piece)
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert digest.hexdigest() == BlobRef.parse(record.body).sha256
    sent -= 2 * size  # the sender's own: it makes the next piece beside the former one
    assert max(sent, read) <= 2 * CHUNK, (sent / CHUNK, read / CHUNK)


def test_memory_holds_a_whole_body_twice_at_most(broker: Broker) -> None:
    body = b"".join(pieces(32, CHUNK))
    tracemalloc.start()
    try:
        broker.send("chat/a", body)
        sent = tracemalloc.get_traced_memory()[1]
        [record] = broker.read("chat/a")
        tracemalloc.reset_peak()
        got = broker.body(record)
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got == body
    assert (sent <= SMALL, read <= 2 * len(body) + SMALL) == (True, True), (sent, read / len(body))


def test_forks_and_topics_that_expire_are_counted(broker: Broker, log: FaultyLog, clock: VirtualClock) -> None:
    broker.send("chat/a", LARGE)
    broker.send("chat/a", LARGE)
    broker.fork("chat/a", "chat/b")
    assert len(files(log)) == 1
    broker.rm("chat/a")
    assert broker.body(broker.read("chat/b")[1]) == LARGE
    clock.advance(200)
    log.expire_due()
    assert broker.ls("chat") == ["_events"]
    assert files(log) == []
    assert list(log._rocks.families["blobs"].keys()) == []


def test_a_body_that_goes_on_in_an_ack_is_kept(broker: Broker, log: FaultyLog) -> None:
    broker.create_group("workers", topic="chat")
    broker.send("chat/a", LARGE)
    with broker.consumer("workers") as consumer:
        [delivery] = consumer.receive()
        consumer.ack(delivery, send=[("chat/b", delivery.stored)])
    broker.rm("chat/a")
    assert broker.body(broker.read("chat/b")[0]) == LARGE


def test_what_can_not_be_sent_leaves_no_file(broker: Broker, log: FaultyLog) -> None:
    def breaks() -> Iterator[bytes]:
        yield LARGE
        raise OSError("the disk is gone")

    for topic, body, error in (
        ("no/a", LARGE, TopicNotFound),
        ("chat/a", pieces(81, CHUNK), TooLarge),
        ("chat/a", breaks(), OSError),
        ("chat/a", [LARGE, "text"], UsageError),
        ("chat/a", io.StringIO("text"), UsageError),
    ):
        with pytest.raises(error):
            broker.send(topic, body)  # type: ignore[arg-type]
        assert files(log) == []
    assert broker.ls("chat") == []


@pytest.mark.parametrize("written", [False, True])
def test_a_write_that_fails_loses_no_body_and_leaves_none(
    broker: Broker, log: FaultyLog, open_log: Callable[..., FaultyLog], written: bool
) -> None:
    broker.send("chat/a", b"is there")
    log.fail(1, KeyboardInterrupt() if written else FULL, written=written)
    with pytest.raises((KeyboardInterrupt, StoreError)):
        broker.send("chat/a", LARGE)
    log.close()
    again = Broker(open_log(), VirtualClock(0))
    assert [again.body(record) for record in again.read("chat/a")] == [b"is there"] + [LARGE] * written
    assert len(files(again.log)) == written  # type: ignore[arg-type]


def test_a_reopened_store_sweeps_what_nobody_refers_to(
    broker: Broker, log: FaultyLog, open_log: Callable[..., FaultyLog]
) -> None:
    broker.send("chat/a", LARGE)
    log.stage([b"x" * 2 * CHUNK])
    (log.path / "blobs" / ("0" * 64)).write_bytes(b"left by a crash")
    log.close()
    assert files(open_log()) == [hashlib.sha256(LARGE).hexdigest()]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_told_and_never_read(broker: Broker, log: FaultyLog, damage: str) -> None:
    broker.send("chat/a", LARGE)
    [path] = (Path(log.path) / "blobs").glob("?" * 64)
    raw = bytearray(path.read_bytes())
    raw[CHUNK + 5] ^= 1
    path.write_bytes(raw if damage == "flip" else raw[: CHUNK + 5])
    if damage == "gone":
        path.unlink()
    [record] = broker.read("chat/a")
    with pytest.raises(StoreCorrupt) as caught:
        broker.body(record)
    assert len(caught.value._render_traceback_()) == 2


def test_a_body_is_not_found_once_no_record_refers_to_it(broker: Broker, log: FaultyLog) -> None:
    broker.send("chat/a", LARGE)
    [record] = broker.read("chat/a")
    broker.rm("chat/a")
    with pytest.raises(BodyNotFound) as caught:
        broker.body(record)
    assert len(caught.value._render_traceback_()) == 2


def test_a_store_that_closes_while_a_body_is_opened_says_so(
    broker: Broker, log: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.send("chat/a", b"x" * (CHUNK + 1))
    [name] = files(log)

    def gone(path: Path, *args: object, **options: object) -> object:
        monkeypatch.undo()
        log.close()
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "open", gone)
    with pytest.raises(StoreClosed):
        log.open_body(BlobRef(name, CHUNK + 1))


def test_a_reference_to_nothing_is_refused(broker: Broker, log: FaultyLog) -> None:
    for body in (b"no reference", BlobRef("0" * 64, 5).body()):
        with pytest.raises(UsageError):
            log.append([("chat/a", broker.encode(body, flags=Flags.REFERENCE))])
    assert broker.ls("chat") == []
