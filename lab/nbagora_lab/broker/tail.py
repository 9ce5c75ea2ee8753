"""Reads that wait, for every engine: made of `Log.scan` and `Log.watch` alone.

A tail watches first and reads then, so no record falls between. It wakes on a write and never polls; records that come
while it is busy are read in one batch. A slow reader costs disk reads, not memory, and is never cut off.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TypeVar

from nbagora_lab.broker.api import Log, Stored
from nbagora_lab.broker.model import EVENTS
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.core.errors import ServerGone
from nbagora_lab.core.events import Record, decode

__all__ = ["aside", "tail", "tail_batches", "tail_many"]

T = TypeVar("T")

_FLOOD = 8  # wakes in a row, each less than `_LINGER` after the one before
_LINGER = 4e-3  # seconds
_AWAY = 0.5  # seconds until a server that is away is asked again
_KNOWN = 100_000  # topics whose last offset a tail of many keeps; a notice of one that is forgotten says where it is


async def aside(log: Log, do: Callable[[], T]) -> T:
    """Does what may wait for a log's servers on a thread, so that the loop goes on; where the log is here, at once."""
    return await asyncio.to_thread(do) if "remote" in log.capabilities else do()


async def tail_batches(log: Log, topic: str, *, after: int = -1, limit: int = 256) -> AsyncGenerator[list[Stored]]:
    """Batches of stored records past `after`, for ever; on an event loop.

    To be woken costs as much as to read some ten records. A reader that is woken again and again, because the writer is
    faster than a wake, therefore lets records gather from the ninth wake on. What comes at the pace of people or models
    is never held up.

    Args:
        log: The engine.
        topic: Full name; the topic need not exist yet.
        after: Offset that is already known.
        limit: Records in a batch at most.
    """
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    waiting = threading.Event()  # set while somebody has to be woken: a write while the reader is busy costs no call
    wakes, woken = 0, 0.0

    def wake() -> None:
        if waiting.is_set():
            waiting.clear()
            try:
                loop.call_soon_threadsafe(arrived.set)
            except RuntimeError:  # the reader's loop has closed; its watch is about to end
                return

    remote = "remote" in log.capabilities

    async def scan() -> list[Stored]:
        if not remote:
            return log.scan(topic, after=after, limit=limit)
        try:
            return await asyncio.to_thread(log.scan, topic, after=after, limit=limit)
        except ServerGone:  # its records are safe, and it wakes who waits when it is back
            await asyncio.sleep(_AWAY)
            return []

    unwatch = log.watch(topic, wake)
    try:
        while True:
            batch = await scan()
            if not batch:
                arrived.clear()
                waiting.set()
                batch = await scan()  # what came before the flag stood
                if not batch:
                    await arrived.wait()
                    wakes = wakes + 1 if loop.time() - woken < _LINGER else 0
                    if wakes > _FLOOD:
                        await asyncio.sleep(_LINGER)
                    woken = loop.time()
                    continue
                waiting.clear()
            after = batch[-1][0]
            yield batch
    finally:
        unwatch()


def tail(log: Log, topic: str, *, after: int = -1, timeout: float | None = None) -> Iterator[Record]:
    """Records past `after` as they come, in the caller's own thread.

    Args:
        log: The engine.
        topic: Full name; the topic need not exist yet.
        after: Offset that is already known.
        timeout: Seconds without a record after which the tail ends; None waits for ever.
    """
    arrived = threading.Event()
    unwatch = log.watch(topic, arrived.set)
    try:
        while True:
            arrived.clear()
            batch = log.scan(topic, after=after, limit=256)
            for offset, stored in batch:
                after = offset
                yield decode(stored, topic, offset)
            if not batch and not _wait(arrived, timeout):
                return
    finally:
        unwatch()


def tail_many(log: Log, parent: str, pattern: Pattern, *, timeout: float | None = None) -> Iterator[Record]:
    """Records of all lite topics that match, as they are written from now on, in the caller's own thread.

    Those of one topic come in order. Topics that are not written cost nothing.

    Args:
        log: The engine.
        parent: Name of the parent.
        pattern: Which of its lite topics.
        timeout: Seconds without a record after which the tail ends; None waits for ever.
    """
    arrived = threading.Event()
    written: deque[tuple[str, int]] = deque()

    def heard(topic: str, offset: int) -> None:
        if offset < 0:
            written.extend([(f"{parent}/{EVENTS}", -1), *((one, -1) for one in known.copy())])
        elif pattern.matches(topic.partition("/")[2]):
            written.append((topic, offset))
        else:
            return
        arrived.set()

    known: dict[str, int] = {}
    unwatch = log.watch_parent(parent, heard)
    try:
        while True:
            arrived.clear()
            while written:
                topic, first = written.popleft()
                if first < 0 and topic not in known:  # was anything missed? Reading says whether there is a log at all
                    log.scan(topic, limit=1)
                    continue
                after = known.get(topic, first - 1)
                if first == 0 and topic in known:  # it was removed, and begins anew
                    after = -1
                while batch := log.scan(topic, after=after, limit=256):
                    for after, stored in batch:
                        yield decode(stored, topic, after)
                known[topic] = after
                if len(known) > _KNOWN:
                    del known[next(iter(known))]
            if not _wait(arrived, timeout):
                return
    finally:
        unwatch()


def _wait(event: threading.Event, timeout: float | None) -> bool:
    """Waits in slices, so that Ctrl-C is heard on every platform."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
        if left <= 0:
            return False
        if event.wait(left):
            return True
