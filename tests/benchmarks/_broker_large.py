"""A large body through the broker, beside the same bytes through a plain file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nbagora_lab.broker import Broker
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import SystemClock

__all__ = ["Large", "plain"]

PIECE = 1 << 20


class Large:
    """A store in a mode of durability.

    Args:
        path: Its folder.
        durability: ``os`` or ``fsync``.
    """

    def __init__(self, path: Path, durability: str) -> None:
        clock = SystemClock()
        self._log = EmbeddedLog(path, clock=clock, durability=durability)
        self._broker = Broker(self._log, clock)
        self._broker.create_topic("large")

    def turn(self, body: bytes) -> float:
        """Seconds of sending `body` and reading it in pieces; it is checked, and removed, after the clock stopped."""
        began = time.perf_counter()
        self._broker.send("large/body", body)
        [record] = self._broker.read("large/body")
        with self._broker.open(record) as file:
            pieces = _read(file)
        spent = time.perf_counter() - began
        assert b"".join(pieces) == body, "another body came back"
        self._broker.rm("large/body")
        return spent

    def close(self) -> None:
        """Gives the store back."""
        self._log.close()


def plain(path: Path, body: bytes) -> float:
    """Seconds of writing `body` to a file, fsync, and reading it in pieces."""
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    with path.open("rb", buffering=0) as file:
        pieces = _read(file)
    spent = time.perf_counter() - began
    assert b"".join(pieces) == body
    path.unlink()
    return spent


def _read(file: object) -> list[bytes]:
    pieces = []
    while piece := file.read(PIECE):  # type: ignore[attr-defined]
        pieces.append(piece)
    return pieces
