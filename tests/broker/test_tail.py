"""A tail wakes on a write and never polls, costs a busy reader nothing, and leaves no watch behind."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextlib import aclosing
from typing import Any

import pytest

from faults import FaultyLog
from logs import record
from nbagora_lab.broker import tail as module
from nbagora_lab.broker.api import Stored
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.tail import tail, tail_batches
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import TopicNotFound

PATIENCE = 20.0


class Counted:
    """A log that counts what a tail asks of it."""

    capabilities: frozenset[str] = frozenset()

    def __init__(self, log: FaultyLog) -> None:
        self._log = log
        self.scans = 0
        self.watched = threading.Event()

    def scan(self, topic: str, **options: Any) -> list[Stored]:
        self.scans += 1
        return self._log.scan(topic, **options)

    def watch(self, topic: str, wake: Any) -> Any:
        self.watched.set()
        return self._log.watch(topic, wake)


async def turns(many: int) -> None:
    """Lets the loop go round."""
    for _ in range(many):
        await asyncio.sleep(0)


def test_while_nothing_is_written_nothing_is_read(log: FaultyLog) -> None:
    counted = Counted(log)

    async def main() -> None:
        async with aclosing(tail_batches(counted, "chat/a")) as batches:  # type: ignore[arg-type]
            coming = asyncio.ensure_future(anext(batches))
            await turns(3)
            idle = counted.scans
            assert idle == 2  # before it watches out for a wake, and after
            await turns(1000)
            await asyncio.to_thread(log.append, [("chat/b", record()) for _ in range(100)])
            await turns(1000)
            assert counted.scans == idle
            await asyncio.to_thread(log.append, [("chat/a", record())])
            assert [offset for offset, _ in await coming] == [0]
            assert counted.scans == idle + 1

    asyncio.run(main())


def test_a_thread_that_waits_reads_nothing_either(log: FaultyLog, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = threading.Event()

    class Patient(threading.Event):
        """Lets a hundred slices of waiting pass in no time."""

        slices = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.slices += 1
            if self.slices <= 100:
                return self.is_set()
            idle.set()
            return super().wait(PATIENCE)

    monkeypatch.setattr(module.threading, "Event", Patient)
    counted, found = Counted(log), []
    reader = threading.Thread(target=lambda: found.append(next(tail(counted, "chat/a")).offset))  # type: ignore[arg-type]
    reader.start()
    assert idle.wait(PATIENCE)
    assert counted.scans == 1
    log.append([("chat/b", record())])
    assert counted.scans == 1
    log.append([("chat/a", record())])
    reader.join(PATIENCE)
    assert found == [0]
    assert counted.scans == 2


def test_writes_while_the_reader_is_busy_cost_no_call_to_its_loop(log: FaultyLog) -> None:
    async def main() -> None:
        loop, calls = asyncio.get_running_loop(), []
        async with aclosing(tail_batches(log, "chat/a", limit=1000)) as batches:
            log.append([("chat/a", record())])
            await anext(batches)
            soon = loop.call_soon_threadsafe
            loop.call_soon_threadsafe = lambda *args, **options: calls.append(args) or soon(*args, **options)  # type: ignore[method-assign, assignment, func-returns-value]
            for _ in range(500):
                log.append([("chat/a", record())])
            assert calls == []
            assert len(await anext(batches)) == 500
            coming = asyncio.ensure_future(anext(batches))
            await turns(3)
            for _ in range(3):
                log.append([("chat/a", record())])
            assert len(calls) == 1
            assert len(await coming) == 3

    asyncio.run(main())


def test_a_flood_is_let_gather_and_what_comes_at_leisure_is_not(
    log: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    turn = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
            log.append([("chat/a", record()) for _ in range(5)])
        await turn(0)

    async def follow() -> list[int]:
        """How many come at once where one is written each time that the reader waits."""
        sizes: list[int] = []
        start = log.append([("chat/a", record())])[0]
        async with aclosing(tail_batches(log, "chat/a", after=start)) as batches:
            for _ in range(20):
                coming = asyncio.ensure_future(anext(batches))
                await turns(3)
                log.append([("chat/a", record())])
                sizes.append(len(await coming))
        return sizes

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    monkeypatch.setattr(module, "_LINGER", -1.0)  # so every wake comes late enough
    assert asyncio.run(follow()) == [1] * 20
    assert slept == []
    monkeypatch.setattr(module, "_LINGER", 3600.0)
    sizes = asyncio.run(follow())
    assert sizes[:8] == [1] * 8
    assert sizes[-8:] == [6] * 8
    assert set(slept) == {3600.0}


def test_a_record_that_comes_between_looking_and_waiting_is_not_missed(log: FaultyLog) -> None:
    class Late(Counted):
        """Something is written just after each look."""

        def scan(self, topic: str, **options: Any) -> list[Stored]:
            found = super().scan(topic, **options)
            if self.scans in {1, 2}:
                log.append([("chat/a", record())])
            return found

    async def main() -> list[int]:
        async with aclosing(tail_batches(Late(log), "chat/a")) as batches:  # type: ignore[arg-type]
            found = [offset for offset, _ in await anext(batches)]
            return found + [offset for offset, _ in await anext(batches)]

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == [0, 1]
    log.expire("chat/a")
    tailing = tail(Late(log), "chat/a", timeout=PATIENCE)  # type: ignore[arg-type]
    assert [next(tailing).offset for _ in range(2)] == [0, 1]
    tailing.close()  # type: ignore[attr-defined]


def test_a_cancelled_tail_leaves_no_watch(log: FaultyLog) -> None:
    async def main() -> None:
        async def follow() -> None:
            async for _ in tail_batches(log, "chat/a"):
                pass

        following = asyncio.ensure_future(follow())
        await turns(3)
        assert len(log._watches) == 1
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        await turns(3)
        assert len(log._watches) == 0

    asyncio.run(main())


@pytest.mark.parametrize("begun", [True, False])
def test_a_tail_that_is_left_leaves_no_watch(log: FaultyLog, begun: bool) -> None:
    log.append([("chat/a", record())])

    async def main() -> None:
        batches = tail_batches(log, "chat/a")
        if begun:
            await anext(batches)
        await batches.aclose()

    asyncio.run(main())
    tailing = tail(log, "chat/a")
    if begun:
        next(tailing)
        assert len(log._watches) == 1
    del tailing
    assert len(log._watches) == 0


def test_a_tail_that_raises_leaves_no_watch(log: FaultyLog) -> None:
    log.append([("chat/a", b"no record" * 9)])
    tailing = tail(log, "chat/a")
    with pytest.raises(Exception, match="layout"):
        next(tailing)
    assert len(log._watches) == 0


def test_a_write_after_the_readers_loop_has_closed_harms_nobody(log: FaultyLog) -> None:
    loop = asyncio.new_event_loop()
    batches = tail_batches(log, "chat/a")
    coming = loop.create_task(anext(batches))  # type: ignore[arg-type]
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert len(log._watches) == 1
    loop.close()
    assert log.append([("chat/a", record())]) == [0]
    coming._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_batch_is_no_longer_than_asked_for(log: FaultyLog) -> None:
    log.append([("chat/a", record()) for _ in range(10)])

    async def main() -> list[int]:
        async with aclosing(tail_batches(log, "chat/a", after=1, limit=3)) as batches:
            return [len(await anext(batches)) for _ in range(3)]

    assert asyncio.run(main()) == [3, 3, 2]


# -- many topics ---------------------------------------------------------------------------------------------------


def test_many_topics_are_tailed_by_a_glob_from_now_on(log: FaultyLog) -> None:
    broker = Broker(log, VirtualClock(1000))
    broker.send_many([("chat/a1", b"old"), ("chat/b1", b"old")])
    got: list[tuple[str, int]] = []
    tailing = broker.tail_many("chat/a*", timeout=0)
    assert list(tailing) == []
    tailing = broker.tail_many("chat/a*", timeout=20)

    def read() -> None:
        got.extend((one.topic, one.offset) for one in itertools.islice(tailing, 4))

    reader = threading.Thread(target=read)
    reader.start()
    while not len(log._watches):
        time.sleep(0)
    broker.send_many([("chat/a1", b""), ("chat/b1", b""), ("chat/a2", b""), ("chat/a1", b"")])
    broker.rm("chat/a2")
    broker.send("chat/a2", b"anew")
    reader.join(20)
    assert [offset for topic, offset in got if topic == "chat/a1"] == [1, 2]
    assert {offset for topic, offset in got if topic == "chat/a2"} == {0}
    tailing.close()  # type: ignore[attr-defined]
    assert len(log._watches) == 0


def test_a_tail_of_many_of_a_parent_that_is_none_is_refused(log: FaultyLog) -> None:
    with pytest.raises(TopicNotFound):
        next(Broker(log, VirtualClock(1000)).tail_many("no/a*"))
