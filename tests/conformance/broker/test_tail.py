"""Reads that wait, on any engine: nothing is missed, nothing comes twice, and nobody is kept after the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing

import pytest

from logs import record
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.tail import tail, tail_batches
from nbagora_lab.core.errors import StoreClosed


async def first(log: Log, topic: str, many: int, *, after: int = -1, limit: int = 256) -> list[int]:
    found: list[int] = []
    async with aclosing(tail_batches(log, topic, after=after, limit=limit)) as batches:
        async for batch in batches:
            assert 0 < len(batch) <= limit
            found += [offset for offset, _ in batch]
            if len(found) >= many:
                return found
    raise AssertionError("it ended")


def in_a_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_what_is_there_comes_first_and_then_what_is_written(log: Log) -> None:
    log.append([("chat/a", record(str(number))) for number in range(3)])
    tailing = tail(log, "chat/a", after=0)
    assert [next(tailing).body for _ in range(2)] == [b"1", b"2"]
    writer = in_a_thread(lambda: log.append([("chat/a", record("3"))]))
    one = next(tailing)
    assert (one.topic, one.offset, one.body) == ("chat/a", 3, b"3")
    writer.join()


def test_a_topic_that_does_not_exist_yet_is_waited_for(log: Log) -> None:
    async def main() -> list[int]:
        waiting = asyncio.ensure_future(first(log, "chat/a", 2))
        await asyncio.sleep(0)
        await asyncio.to_thread(log.append, [("chat/a", record()), ("chat/b", record())])
        await asyncio.to_thread(log.append, [("chat/a", record())])
        return await waiting

    assert asyncio.run(main()) == [0, 1]


def test_a_time_out_ends_the_iteration(log: Log) -> None:
    log.append([("chat/a", record("0"))])
    assert [one.body for one in tail(log, "chat/a", timeout=0.01)] == [b"0"]
    assert list(tail(log, "chat/nothing", timeout=0.0)) == []


@pytest.mark.parametrize("limit", [1, 7, 256])
def test_under_many_writers_each_reader_gets_each_record_once_in_order(log: Log, limit: int) -> None:
    def write() -> None:
        for _ in range(100):
            log.append([("chat/a", record()), ("chat/b", record())])

    async def main() -> list[list[int]]:
        readers = [asyncio.ensure_future(first(log, topic, 300, limit=limit)) for topic in ("chat/a", "chat/b") * 2]
        await asyncio.gather(*(asyncio.to_thread(write) for _ in range(3)))
        return await asyncio.gather(*readers)

    assert asyncio.run(main()) == [list(range(300))] * 4


def test_a_slow_reader_loses_nothing(log: Log) -> None:
    async def main() -> list[int]:
        found: list[int] = []
        async with aclosing(tail_batches(log, "chat/a", limit=10)) as batches:
            await asyncio.to_thread(log.append, [("chat/a", record())])
            async for batch in batches:
                found += [offset for offset, _ in batch]
                if len(found) == 1:  # while it is busy, far more comes than it takes at once
                    await asyncio.to_thread(log.append, [("chat/a", record()) for _ in range(2000)])
                if len(found) == 2001:
                    break
        return found

    assert asyncio.run(main()) == list(range(2001))


def test_closing_the_log_ends_both_kinds_of_tail(log: Log) -> None:
    heard: list[BaseException] = []
    waiting = threading.Event()

    def read() -> None:
        tailing = tail(log, "chat/a")
        next(tailing)
        waiting.set()
        try:
            next(tailing)
        except StoreClosed as error:
            heard.append(error)

    async def main() -> None:
        async with aclosing(tail_batches(log, "chat/a")) as batches:
            await anext(batches)
            ending = asyncio.ensure_future(anext(batches))
            await asyncio.sleep(0)
            await asyncio.to_thread(waiting.wait, 20)
            await asyncio.to_thread(log.close)
            with pytest.raises(StoreClosed):
                await ending

    log.append([("chat/a", record())])
    reader = in_a_thread(read)
    asyncio.run(main())
    reader.join(20)
    assert len(heard) == 1
