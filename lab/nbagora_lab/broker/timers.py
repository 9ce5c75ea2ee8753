"""What is due later, on the injected clock: run when somebody asks, so that nothing polls and no thread waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """Actions by the time at which they are due. Changed under the engine's lock."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Has `action` run by the first `run` at or after `when`; there is no way back, the action must look."""
        self._count += 1
        heapq.heappush(self._due, (when, self._count, action))

    def run(self, now: float) -> None:
        """Runs what is due."""
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def next(self, now: float) -> float | None:
        """Seconds until something is due; None: nothing ever is."""
        return max(0.0, self._due[0][0] - now) if self._due else None
