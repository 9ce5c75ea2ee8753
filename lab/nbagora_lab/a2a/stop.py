"""A task's stop: what those wait for who have no use for what comes before it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from nbagora_lab.core.service import waker

__all__ = ["Stop"]


class Stop:
    """A task has ended, asks for something, or has been left to somebody else. Any thread may call.

    It has a lock of its own, as that of the task is held while an append waits for a disk or a server.

    Args:
        is_there: Whether the task stands still now.
    """

    def __init__(self, is_there: Callable[[], bool]) -> None:
        self._is_there = is_there
        self._waiting: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def awaited(self) -> int:
        """Number of those who wait for it."""
        return len(self._waiting)

    async def wait(self) -> None:
        """Waits for it on an event loop. A hint: what happened is on the topic."""
        wake = waker(stopped := asyncio.Event())
        with self._lock:
            self._waiting.append(wake)
        try:
            if not self._is_there():  # else it may have stopped before it knew of us
                await stopped.wait()
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(wake)

    def tell(self) -> bool:
        """Wakes those who wait, once the task's state says so; whether there was anybody."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()
        return bool(waiting)
