"""Chunks that arrive while an append is in flight become one event; nothing is reordered, lost or hidden."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from nbagora_lab.a2a.chunks import Chunks
from nbagora_lab.core.errors import LabError, StoreError
from nbagora_lab.core.settings import Settings
from nbagora_lab.lab import Lab


class Slow:
    """A `write` that waits until it is let go."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, str]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.error: LabError | None = None

    def __call__(self, artifact: bytes, text: str) -> None:
        self.begun.release()
        self.go.acquire()
        if self.error is not None:
            raise self.error
        self.written.append((artifact, text))


def test_what_comes_meanwhile_is_written_as_one() -> None:
    slow = Slow()
    chunks = Chunks(slow)
    chunks.put(b"a", "今")
    slow.begun.acquire()
    for text in ("天", "北", "京"):
        chunks.put(b"a", text)
    slow.go.release(2)
    chunks.flush()
    assert slow.written == [(b"a", "今"), (b"a", "天北京")]


def test_another_artifact_waits_for_the_one_before() -> None:
    slow = Slow()
    chunks = Chunks(slow)
    chunks.put(b"a", "one")
    slow.begun.acquire()
    chunks.put(b"a", "two")
    other = threading.Thread(target=chunks.put, args=(b"b", "three"))
    other.start()
    slow.go.release(3)
    other.join()
    chunks.flush()
    assert slow.written == [(b"a", "one"), (b"a", "two"), (b"b", "three")]


def test_who_says_much_waits() -> None:
    slow = Slow()
    chunks = Chunks(slow)
    chunks.put(b"a", "first")
    slow.begun.acquire()
    chunks.put(b"a", "x" * (64 << 10))
    late = threading.Thread(target=chunks.put, args=(b"a", "y"))
    late.start()
    slow.go.release()
    late.join()  # room again once the text that waited is on its way
    slow.go.release(2)
    chunks.flush()
    assert "".join(text for _, text in slow.written) == "first" + "x" * (64 << 10) + "y"


def test_a_chunk_that_can_not_be_written_is_told_once_and_what_is_behind_it_dropped() -> None:
    slow = Slow()
    slow.error = StoreError("the disk is full", "make room")
    chunks = Chunks(slow)
    chunks.put(b"a", "one")
    slow.begun.acquire()
    chunks.put(b"a", "two")
    slow.go.release()
    with pytest.raises(StoreError):
        chunks.flush()
    chunks.flush()
    assert slow.written == []


@pytest.mark.parametrize("sync", [True, False])
def test_a_task_says_the_same_in_fewer_events_and_in_order(tmp_path: Path, sync: bool) -> None:
    with Lab(store=tmp_path / "store", merge_chunks=True) as lab:
        words = [f"{number} " for number in range(300)]

        def say(message: Any, task: Any) -> Any:
            yield from words
            task.status("half") if sync else None
            yield {"a": 1}
            yield from words

        async def say_async(message: Any, task: Any) -> Any:
            for word in say(message, task):
                yield word

        lab.agent(name="say")(say if sync else say_async)
        task = lab.ask("say", "x")
        assert task.text == "".join(words) * 2
        assert task.data == [{"a": 1}]
        updates = [event for event in task.events if event.kind == "artifact"]
        assert len(updates) < 600
        assert [event.generation for event in task.events] == list(range(1, len(task.events) + 1))
        closed = [event.raw["artifactUpdate"].get("lastChunk", False) for event in updates]
        assert sum(closed) == 3
        assert closed[-1]


def test_a_cancelled_agent_is_told_at_a_later_word(tmp_path: Path) -> None:
    with Lab(store=tmp_path / "store", merge_chunks=True, cancel_grace=20) as lab:
        begun, told = threading.Event(), threading.Event()

        @lab.agent(name="endless")
        def endless(message: Any, task: Any) -> Any:
            begun.set()
            try:
                while True:
                    yield "more "
            finally:
                told.set()

        asked = lab.send("endless", "x")
        assert begun.wait(20)
        assert lab.cancel(asked).state == "CANCELED"
        assert told.wait(20)


@pytest.mark.parametrize(
    ("given", "merges"),
    [
        ({}, False),
        ({"broker": "rocketmq"}, True),
        ({"broker": "rocketmq", "clock": "virtual"}, False),
        ({"broker": "rocketmq", "merge_chunks": "false"}, False),
        ({"merge_chunks": "true"}, True),
    ],
)
def test_it_is_on_by_default_where_an_append_goes_over_a_network(given: dict[str, Any], merges: bool) -> None:
    assert Settings(**given).merges is merges
