"""Time, through one seam: whoever needs the hour takes a `Clock`.

A scenario fixes the clock, so that two runs give the same trace; a lint bans `time.time` everywhere else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "VirtualClock", "pause", "rfc3339"]


class Clock(Protocol):
    """What tells the time of day."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Has `wake` called whenever the clock is set, in the thread that sets it; quick, and must not raise.

        Who waits for a time waits for so many seconds, and asks again when it is woken.

        Returns:
            What ends the watch.
        """
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()  # noqa: TID251 -- the one place

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002 -- nobody sets it
        """See `Clock.watch`: it goes by itself."""
        return lambda: None


class VirtualClock:
    """A clock that stands still until it is told to move.

    Args:
        start: Seconds since the Unix epoch; by default 2026-01-01T00:00:00Z.

    Example:
        >>> clock = VirtualClock(0)
        >>> clock.advance(90)
        >>> clock.now()
        90.0
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._now = float(start)
        self._lock = threading.Lock()
        self._wakes: dict[object, Callable[[], None]] = {}

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the clock forward (or, to test clocks that jump, back) by `seconds`."""
        with self._lock:
            self._now += seconds
            wakes = list(self._wakes.values())
        for wake in wakes:
            wake()

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Clock.watch`."""
        token = object()
        with self._lock:
            self._wakes[token] = wake

        def end() -> None:
            with self._lock:
                self._wakes.pop(token, None)

        return end


def pause(clock: Clock, until: float) -> None:
    """Waits in this thread until a clock says so, also where somebody sets it."""
    while (left := until - clock.now()) > 0:
        woken = threading.Event()
        end = clock.watch(woken.set)
        if until > clock.now():
            woken.wait(min(left, 0.5))  # in slices, so that Ctrl-C is heard on every platform
        end()


def rfc3339(seconds: float) -> str:
    """A time as A2A writes it: RFC 3339, UTC, milliseconds.

    Example:
        >>> rfc3339(0.25)
        '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
