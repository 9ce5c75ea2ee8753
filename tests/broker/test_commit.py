"""Who appends while a write waits for the disk shares the next one; each hears of its own fate alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from faults import FULL, FaultyLog
from logs import bodies, record
from nbagora_lab.broker.commit import Commit, Committed, Entries, GroupCommit
from nbagora_lab.broker.hot import HotTopics
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.errors import BadName, LabError, StoreError

PATIENCE = 20.0


class Gate:
    """A lock that tells how many have come to it."""

    def __init__(self, lock: Any = None) -> None:
        self._lock = lock or threading.RLock()
        self._came = threading.Semaphore(0)
        self.refused: BaseException | None = None

    def __enter__(self) -> None:
        self._came.release()
        if self.refused is not None:
            raise self.refused
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def expect(self, many: int) -> None:
        """Returns once `many` more have come."""
        for _ in range(many):
            assert self._came.acquire(timeout=PATIENCE)

    def closed(self) -> Any:
        """Keeps everybody out for the length of a block."""
        return self._lock


class Disk:
    """What is written to, with faults by the number of the write."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.stored: list[str] = []
        self.faults: dict[int, tuple[BaseException, bool]] = {}
        self.last: tuple[Entries, Committed] | None = None

    def write(self, entries: Entries) -> Committed:
        bodies = [stored.decode() for _, stored in entries]
        self.batches.append(bodies)
        error, written = self.faults.get(len(self.batches), (None, True))
        if any(topic == "bad" for topic, _ in entries):
            raise BadName("a bad name", "take a good one")
        committed = list(range(len(self.stored), len(self.stored) + len(entries))), {topic for topic, _ in entries}
        if written:
            self.stored += bodies
            self.last = entries, committed
        if error is not None:
            raise error
        return committed

    def written(self, entries: Entries) -> Committed | None:
        return self.last[1] if self.last is not None and self.last[0] is entries else None


class Callers:
    """Threads that append at once: all have come before the first of them may write."""

    def __init__(self, disk: Disk, batches: list[list[tuple[str, bytes]]]) -> None:
        self.got: dict[int, Committed | BaseException] = {}
        self.gate = Gate()
        self.commits = GroupCommit(self.gate, disk.write, disk.written)
        with self.gate.closed():
            threads = [threading.Thread(target=self._call, args=one) for one in enumerate(batches)]
            for thread in threads:
                thread.start()
            self.gate.expect(len(batches))
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _call(self, number: int, batch: list[tuple[str, bytes]]) -> None:
        try:
            self.got[number] = self.commits.commit(batch)
        except BaseException as error:
            self.got[number] = error

    def served(self, disk: Disk) -> set[int]:
        """Who was given offsets; checks that they are right."""
        served = {number for number, got in self.got.items() if isinstance(got, tuple)}
        for number in served:
            assert [disk.stored[offset] for offset in self.got[number][0]] == [f"{number}.0", f"{number}.1"]  # type: ignore[index]
        return served


def two(number: int, topic: str = "good") -> list[tuple[str, bytes]]:
    return [(topic, f"{number}.{count}".encode()) for count in range(2)]


def test_alone_each_append_is_a_write() -> None:
    disk = Disk()
    commits = Commit(threading.RLock(), disk.write)
    assert [commits.commit(two(number))[0] for number in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert len(disk.batches) == 3


def test_who_comes_alone_to_a_group_does_not_wait_for_company() -> None:
    disk = Disk()
    commits = GroupCommit(threading.RLock(), disk.write, disk.written)
    assert [commits.commit(two(number))[0] for number in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert len(disk.batches) == 3


def test_those_who_meet_share_one_write() -> None:
    disk = Disk()
    callers = Callers(disk, [two(number) for number in range(8)])
    assert callers.served(disk) == set(range(8))
    assert len(disk.batches) == 1
    assert len(disk.stored) == 16
    assert all(got[1] == {"good"} for got in callers.got.values() if isinstance(got, tuple))


def test_a_bad_name_fails_its_caller_alone() -> None:
    disk = Disk()
    callers = Callers(disk, [two(number, "bad" if number == 3 else "good") for number in range(8)])
    assert callers.served(disk) == set(range(8)) - {3}
    assert isinstance(callers.got[3], BadName)
    assert len(disk.stored) == 14


def test_a_disk_that_fails_fails_everybody() -> None:
    disk = Disk()
    disk.faults = {number: (StoreError("no space", "free some"), False) for number in range(1, 10)}
    callers = Callers(disk, [two(number) for number in range(4)])
    assert {type(got) for got in callers.got.values()} == {StoreError}
    assert disk.stored == []


@pytest.mark.parametrize("written", [True, False])
def test_what_interrupts_the_one_who_writes_is_its_own_affair(written: bool) -> None:
    disk = Disk()
    disk.faults = {1: (KeyboardInterrupt(), written)}
    callers = Callers(disk, [two(number) for number in range(6)])
    interrupted = {number for number, got in callers.got.items() if isinstance(got, KeyboardInterrupt)}
    assert len(interrupted) == 1
    assert callers.served(disk) == set(range(6)) - interrupted
    assert len(disk.stored) == len(set(disk.stored)) == (12 if written else 10)


@pytest.mark.parametrize("written", [True, False])
def test_an_interrupt_among_single_writes_is_its_own_affair_too(written: bool) -> None:
    disk = Disk()
    disk.faults = {3: (KeyboardInterrupt(), written)}  # the first write fails for a bad name; then one by one
    callers = Callers(disk, [two(number, "bad" if number == 5 else "good") for number in range(6)])
    assert sum(isinstance(got, KeyboardInterrupt) for got in callers.got.values()) == 1
    assert sum(isinstance(got, BadName) for got in callers.got.values()) <= 1
    interrupted = {number for number, got in callers.got.items() if isinstance(got, BaseException)}
    assert callers.served(disk) == set(range(6)) - interrupted
    assert len(disk.stored) == len(set(disk.stored))


def test_an_append_that_was_given_up_while_it_waited_is_not_written_later() -> None:
    disk, gate = Disk(), Gate()
    commits = GroupCommit(gate, disk.write, disk.written)
    gate.refused = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        commits.commit(two(1))
    gate.refused = None
    assert commits.commit(two(2))[0] == [0, 1]
    assert disk.stored == ["2.0", "2.1"]


# -- in the engine -------------------------------------------------------------------------------------------------


@pytest.fixture
def grouped(open_log: Callable[..., FaultyLog]) -> FaultyLog:
    log = open_log(durability="fsync")
    log.create_topic("chat", TopicSpec())
    return log


def together(log: FaultyLog, batches: list[list[tuple[str, bytes]]]) -> dict[int, list[int] | BaseException]:
    got: dict[int, list[int] | BaseException] = {}
    gate = Gate(log._lock)
    log._commits._lock = gate

    def call(number: int) -> None:
        try:
            got[number] = log.append(batches[number])
        except BaseException as error:
            got[number] = error

    with gate.closed():
        threads = [threading.Thread(target=call, args=(number,)) for number in range(len(batches))]
        for thread in threads:
            thread.start()
        gate.expect(len(batches))
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    return got


def test_threads_that_meet_at_the_engine_share_a_write(grouped: FaultyLog) -> None:
    before = grouped.writes
    got = together(grouped, [[("chat/a", record(str(number)))] for number in range(8)])
    assert grouped.writes == before + 1
    stored = bodies(grouped, "chat/a")
    assert {number: stored[offsets[0]] for number, offsets in got.items()} == {n: str(n) for n in range(8)}  # type: ignore[index]


def test_in_os_durability_each_append_is_a_write_of_its_own(log: FaultyLog) -> None:
    before = log.writes
    together(log, [[("chat/a", record())] for _ in range(8)])
    assert log.writes == before + 8


def test_one_bad_name_at_the_engine_fails_its_caller_alone(grouped: FaultyLog) -> None:
    got = together(grouped, [[(f"chat/a{'/' * (number == 2)}", record(str(number)))] for number in range(5)])
    assert isinstance(got.pop(2), BadName)
    stored = bodies(grouped, "chat/a")
    assert sorted(stored) == ["0", "1", "3", "4"]
    assert {number: stored[offsets[0]] for number, offsets in got.items()} == {n: str(n) for n in got}  # type: ignore[index]


@pytest.mark.parametrize("written", [True, False])
def test_an_interrupt_at_the_engine_costs_nobody_else_anything(grouped: FaultyLog, written: bool) -> None:
    grouped.append([("chat/a", record("before"))])
    grouped.fail(1, KeyboardInterrupt(), written=written)
    got = together(grouped, [[("chat/a", record(str(number))), ("chat/new", record())] for number in range(6)])
    stored = bodies(grouped, "chat/a")
    served = {number: offsets for number, offsets in got.items() if isinstance(offsets, list)}
    assert len(served) == 5
    assert {number: stored[offsets[0]] for number, offsets in served.items()} == {n: str(n) for n in served}
    assert len(stored) == len(set(stored)) == (7 if written else 6)
    assert grouped.info("chat/new").next == len(stored) - 1


def test_an_interrupt_before_the_write_is_not_taken_for_the_former_write(
    grouped: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouped.append([("chat/a", record("before")), ("chat/a", record("before"))])
    load, interrupted = HotTopics.load, []

    def once(self: HotTopics, topic: str) -> Any:
        if not interrupted:
            interrupted.append(topic)
            raise KeyboardInterrupt
        return load(self, topic)

    monkeypatch.setattr(HotTopics, "load", once)
    got = together(grouped, [[("chat/a", record(str(number)))] for number in range(2)])
    [served] = [number for number, offsets in got.items() if isinstance(offsets, list)]
    assert got[served] == [2]
    assert bodies(grouped, "chat/a") == ["before", "before", str(served)]


def test_a_full_disk_at_the_engine_fails_everybody_and_then_nobody(grouped: FaultyLog) -> None:
    for nth in range(1, 5):
        grouped.fail(nth, FULL)
    got = together(grouped, [[("chat/a", record())] for _ in range(3)])
    assert all(isinstance(error, LabError) and "no space left" in error.what for error in got.values())
    assert grouped.append([("chat/a", record())]) == [0]
