"""Whatever fails or interrupts a write, memory and disk agree, nothing is half there, and the next write goes on."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults import FULL, FaultyLog
from logs import Bell, bodies, events, offsets, record
from nbagora_lab.broker.hot import LAST_OFFSET, HotTopic
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.tail import tail
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import LabError, StoreError, TopicExists, TopicNotFound

View = dict[str, Any]

OPERATIONS: dict[str, tuple[Callable[[FaultyLog], object], int]] = {
    "append": (lambda log: log.append([("chat/a", record("new"))]), 1),
    "append to a new topic": (lambda log: log.append([("chat/new", record("new"))]), 1),
    "append to the first topic of a parent": (lambda log: log.append([("news/new", record("new"))]), 1),
    "append to several": (
        lambda log: log.append([(f"chat/{name}", record(name)) for name in ("a", "b", "x", "y", "a", "x")]),
        1,
    ),
    "fork": (lambda log: log.fork("chat/a", "chat/fork", at=3), 3),
    "fork of many": (lambda log: log.fork("chat/many", "chat/fork", at=1050), 4),
    "fork to another parent": (lambda log: log.fork("chat/a", "news/fork", at=0), 3),
    "expire": (lambda log: log.expire("chat/a"), 1),
    "create_topic": (lambda log: log.create_topic("fresh", TopicSpec(ttl=5)), 1),
}
"""Each operation that writes, and in how many writes."""

FAULTS = {
    "full disk": (FULL, False),
    "interrupted before": (KeyboardInterrupt(), False),
    "interrupted after": (KeyboardInterrupt(), True),
}


def filled(log: FaultyLog, many: int = 0) -> FaultyLog:
    log.create_topic("chat", TopicSpec())
    log.create_topic("news", TopicSpec())
    log.append([("chat/a", record(f"a{number}")) for number in range(5)])
    log.append([("chat/b", record("b0"))])
    log.append([("chat/many", record(str(number))) for number in range(many)])
    return log


def view(log: FaultyLog) -> View:
    """All that readers can see."""
    return dict(log.parents()) | {
        f"{parent}/{lite}": (log.info(f"{parent}/{lite}"), bodies(log, f"{parent}/{lite}"))
        for parent in log.parents()
        for lite in log.lites(parent)
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_takes_the_writes_that_the_table_says(open_log: Callable[..., FaultyLog], name: str) -> None:
    log = filled(open_log(), many_for(name))
    operation, writes = OPERATIONS[name]
    before = log.writes
    operation(log)
    assert log.writes - before == writes


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_fault_at_any_write_leaves_all_or_nothing(
    open_log: Callable[..., FaultyLog], durability: str, name: str, fault: str
) -> None:
    operation, writes = OPERATIONS[name]
    error, written = FAULTS[fault]
    whole = filled(open_log(durability=durability), many_for(name))
    before = view(whole)
    operation(whole)
    after = view(whole)
    whole.close()
    for nth in range(1, writes + 1):
        log = open_log(durability=durability, path=f"{nth}")
        filled(log, many_for(name))
        log.fail(nth, error, written=written)
        with pytest.raises(StoreError if error is FULL else KeyboardInterrupt) as caught:
            operation(log)
        if isinstance(caught.value, LabError):
            assert len(caught.value._render_traceback_()) == 2
            assert "no space left" in caught.value.what
        seen = view(log)
        done = written and nth == writes and name != "create_topic"  # of which memory hears when it is made again
        assert seen == (after if done else before), f"write {nth}"
        fresh = [("chat/a", record("next")), ("chat/z", record("next")), ("news/z", record("next"))]
        assert log.append(fresh) == [len(seen["chat/a"][1]) if "chat/a" in seen else 0, 0, 0]
        assert bodies(log, "chat/z") == bodies(log, "news/z") == ["next"]
        with contextlib.suppress(TopicExists, TopicNotFound):  # it was done after all
            operation(log)
        final = view(log)
        log.close()
        again = open_log(durability=durability, path=f"{nth}")
        assert view(again) == final, f"write {nth}"
        again.close()


def many_for(name: str) -> int:
    """Records for the one operation that needs more than one read gives."""
    return 1100 if name == "fork of many" else 0


def test_after_a_fault_in_the_first_write_of_all_the_store_can_be_opened(
    open_log: Callable[..., FaultyLog], folder: Path, clock: VirtualClock
) -> None:
    class Failing(FaultyLog):
        def _write(self, batch: Any) -> None:
            raise FULL

    with pytest.raises(StoreError, match="no space left"):
        Failing(folder / "store", clock=clock)
    assert open_log().epoch == 1


def test_a_fork_to_an_unknown_parent_copies_nothing_first(log: FaultyLog) -> None:
    log.append([("chat/a", record())])
    before = log.writes
    with pytest.raises(LabError):
        log.fork("chat/a", "nowhere/b", at=0)
    assert log.writes == before


def test_what_an_unfinished_fork_copied_is_never_another_topics(log: FaultyLog) -> None:
    log.append([("chat/a", record(f"old {number}")) for number in range(10)])
    log.fail(3, FULL)  # all records are copied; the name is not written
    with pytest.raises(StoreError):
        log.fork("chat/a", "chat/b", at=9)
    for name in ("b", "c", "d"):
        assert log.append([(f"chat/{name}", record("new"))]) == [0]
        assert bodies(log, f"chat/{name}") == ["new"]


def test_who_waits_for_a_record_gets_it_though_its_appender_was_interrupted(log: FaultyLog) -> None:
    bell = Bell()
    unwatch = log.watch("chat/a", bell)
    log.fail(1, KeyboardInterrupt(), written=True)
    with pytest.raises(KeyboardInterrupt):
        log.append([("chat/a", record("kept"))])
    assert bell.rung == 1
    assert [one.body for one in tail(log, "chat/a", timeout=0)] == [b"kept"]
    unwatch()


def test_a_failed_append_wakes_nobody(log: FaultyLog) -> None:
    bell = Bell()
    unwatch = log.watch("chat/a", bell)
    log.fail(1, FULL)
    with pytest.raises(StoreError):
        log.append([("chat/a", record())])
    assert bell.rung == 0
    unwatch()


def test_readers_see_a_batch_together(log: FaultyLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the write and its being known in memory, whoever looks at any moment finds all of it."""
    names = [f"chat/{letter}" for letter in "abcd"]
    log.append([(name, record()) for name in names])
    seen: list[list[int]] = []

    def look() -> None:
        seen.append([len(offsets(log, name, after=0)) for name in names])

    known = HotTopic.next  # each step of taking the write over into memory sets it
    hot = [log.store.hot.hot(name) for name in names]

    def looked(self: HotTopic, following: int) -> None:
        if self in hot:
            look()
        known.__set__(self, following)  # type: ignore[attr-defined]

    monkeypatch.setattr(HotTopic, "next", property(known.__get__, looked))  # type: ignore[attr-defined]
    log.append([(name, record()) for name in names])
    look()
    assert len(seen) == 5
    assert all(len(set(counts)) == 1 for counts in seen)
    assert [counts[0] for counts in seen] == sorted(counts[0] for counts in seen)
    assert seen[-1] == [1, 1, 1, 1]


def test_a_batch_over_more_topics_than_are_kept_hot(log: FaultyLog, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbagora_lab.broker import hot

    monkeypatch.setattr(hot, "_CAPACITY", 3)
    names = [f"chat/{number}" for number in range(10)]
    for turn in range(3):
        assert log.append([(name, record()) for name in names * 2]) == [2 * turn] * 10 + [2 * turn + 1] * 10
    assert len(log._hot._hot) <= 3


def test_the_epoch_is_in_what_the_engine_tells(open_log: Callable[..., FaultyLog]) -> None:
    for epoch in (1, 2):
        log = open_log()
        log.create_topic("chat", TopicSpec())
        log.append([(f"chat/{epoch}", record())])
        log.close()
    log = open_log()
    assert [one.epoch for one in tail(log, "chat/_events", timeout=0)] == [1, 2]
    assert events(log, "chat") == [("topic.opened", "chat/1"), ("topic.opened", "chat/2")]


def test_durability_is_what_the_setting_says(open_log: Callable[..., FaultyLog], durability: str) -> None:
    assert open_log(durability=durability)._write_options.sync is (durability == "fsync")


def test_no_record_can_have_the_last_offset(log: FaultyLog) -> None:
    """Expiring a topic removes the offsets below it."""
    log.append([("chat/a", record())])
    number = log._hot.load("chat/a").number  # type: ignore[union-attr]
    log.expire("chat/a")
    assert log._hot.end(number, backwards=True) is None
    assert LAST_OFFSET == 2**64 - 1


class Interrupted(BaseException):
    """What lands in a thread that is cancelled."""


@pytest.mark.thorough
def test_a_thread_that_is_interrupted_at_any_moment_leaves_a_log_that_goes_on(
    open_log: Callable[..., FaultyLog], durability: str
) -> None:
    """As the cancelling of an agent does it: an exception lands anywhere in a thread that appends."""
    log = open_log(durability=durability)
    log.create_topic("chat", TopicSpec())
    acknowledged: dict[str, list[tuple[int, str]]] = {"one": [], "other": []}

    def work(name: str, turn: int, began: threading.Event) -> None:
        count = 0
        try:
            while not stop.is_set():
                body = f"{name} {turn} {count}"
                [offset, *_] = log.append([("chat/shared", record(body)), (f"chat/{name}", record(body))])
                acknowledged[name].append((offset, body))
                count += 1
                began.set()
        except Interrupted:
            return

    stop, steady = threading.Event(), threading.Event()
    other = threading.Thread(target=work, args=("other", 0, steady))
    other.start()
    for turn in range(15):
        began = threading.Event()
        one = threading.Thread(target=work, args=("one", turn, began))
        one.start()
        assert began.wait(20)
        for _ in range(200):  # one that lands in a callback of the garbage collector's is swallowed there
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(one.ident or 0), ctypes.py_object(Interrupted))
            one.join(0.1)
            if not one.is_alive():
                break
        assert not one.is_alive()
    stop.set()
    other.join(20)
    seen = view(log)
    shared = seen["chat/shared"][1]
    assert len(set(shared)) == len(shared)
    for name, placed in acknowledged.items():
        assert all(shared[offset] == body for offset, body in placed)
        assert [body for body in shared if body.startswith(name)] == seen[f"chat/{name}"][1]
    log.close()
    assert view(open_log(durability=durability)) == seen
