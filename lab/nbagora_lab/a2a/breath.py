"""A breath: what a thread that writes without pause leaves to the doors."""

from __future__ import annotations

import threading
import time

__all__ = ["breathe", "give_way"]

_ROUND = 2e-3  # seconds in which every thread that writes gives the interpreter lock away once
_BREATH = 50e-6  # seconds
_RECENT = 20e-3  # seconds without a word after which a thread counts as one that writes no more


class _Breath:
    """Gives the interpreter lock away often enough that busy agents don't starve the doors.

    Whoever waits for the lock gets it when those that waited before have had it; so the more threads write, the shorter
    each holds it. Measured beside 8 busy streams of async and of sync agents, a unary call waits 22 and 35 ms (p50).
    What counts is the processor's time: an agent that says little and rests has held up nobody, and its caller waits.
    """

    def __init__(self) -> None:
        self._last = 0.0
        self._every = _ROUND
        self._writers: dict[int, float] = {}
        self._own = threading.local()

    def __call__(self) -> None:
        now = time.perf_counter()
        if now - self._last > self._every and (worked := time.thread_time()) - self._since() > self._every:
            writers = {thread: at for thread, at in self._writers.copy().items() if now - at < _RECENT}
            writers[threading.get_ident()] = now
            self._writers, self._every = writers, _ROUND / len(writers)
            time.sleep(_BREATH)
            self._own.worked = worked
            self._last = time.perf_counter()

    def _since(self) -> float:
        """Seconds of the processor that this thread had used when it last drew breath."""
        return getattr(self._own, "worked", 0.0)


breathe = _Breath()
"""Called after each event that an agent's thread has written."""


def give_way() -> None:
    """Leaves the interpreter lock to a thread that was just woken, which else waits until this one rests."""
    time.sleep(_BREATH)
