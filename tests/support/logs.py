"""Records for tests of a log, and what is read back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from nbagora_lab.broker.api import Log
from nbagora_lab.core.events import decode, encode

__all__ = ["Bell", "bodies", "events", "offsets", "record", "scratch"]

MEMORY = Path("/dev/shm")
ROOM = 1 << 30  # bytes


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards; in memory where there is room, as opening a store syncs many files."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(dir=MEMORY if roomy else None) as folder:
        yield Path(folder)


def record(body: bytes | str = b"", *, time: float = 0.0, subject: str = "") -> bytes:
    """An encoded record."""
    body = body.encode() if isinstance(body, str) else body
    return encode("test", body, time=time, subject=subject.encode())


def bodies(log: Log, topic: str, *, after: int = -1) -> list[str]:
    """All of a topic's bodies, as text."""
    found: list[str] = []
    while batch := log.scan(topic, after=after):
        found += [decode(stored, topic, offset).body.decode() for offset, stored in batch]
        after = batch[-1][0]
    return found


def offsets(log: Log, topic: str, *, after: int = -1, limit: int = 1000) -> list[int]:
    """The offsets of one scan."""
    return [offset for offset, _ in log.scan(topic, after=after, limit=limit)]


def events(log: Log, parent: str) -> list[tuple[str, str]]:
    """What a parent's ``_events`` tells: type, and the topic that it tells of."""
    told = [decode(stored, "", offset) for offset, stored in log.scan(f"{parent}/_events", limit=10_000)]
    return [(one.type, json.loads(one.body)["topic"]) for one in told]


class Bell:
    """A `wake` that counts, and can be waited for."""

    def __init__(self) -> None:
        self.rung = 0
        self._event = threading.Event()

    def __call__(self) -> None:
        self.rung += 1
        self._event.set()

    def wait(self) -> None:
        """Returns once it has rung since the last wait."""
        assert self._event.wait(20), "nobody rang"
        self._event.clear()
