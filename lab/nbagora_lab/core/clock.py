"""Time, through one seam: whoever needs the hour takes a `Clock`.

A scenario fixes the clock, so that two runs give the same trace; a lint bans `time.time` everywhere else.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "VirtualClock", "rfc3339"]


class Clock(Protocol):
    """What tells the time of day."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()  # noqa: TID251 -- the one place


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

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the clock forward (or, to test clocks that jump, back) by `seconds`."""
        with self._lock:
            self._now += seconds


def rfc3339(seconds: float) -> str:
    """A time as A2A writes it: RFC 3339, UTC, milliseconds.

    Example:
        >>> rfc3339(0.25)
        '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
