"""What is due later, on the injected clock: run when somebody asks, so that nothing polls and no thread waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["Timer", "Timers"]

_Action = Callable[[], None]
_FEW = 1024


class Timer:
    """Something that is due.

    Attributes:
        when: Seconds since the Unix epoch.
        action: What to do; None once it is done or called off.
    """

    __slots__ = ("action", "when")

    def __init__(self, when: float, action: _Action) -> None:
        self.when = when
        self.action: _Action | None = action


class Timers:
    """Actions by the time at which they are due. Changed under the engine's lock."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._off = 0

    def __len__(self) -> int:
        """Number of those that are kept, called off or not."""
        return len(self._due)

    def at(self, when: float, action: _Action) -> Timer:
        """Has `action` run by the first `run` at or after `when`."""
        self._count += 1
        timer = Timer(when, action)
        heapq.heappush(self._due, (when, self._count, timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Calls it off; what is off is thrown away once it is the larger half, so that this costs little."""
        if timer.action is None:
            return
        timer.action = None
        self._off += 1
        if self._off > _FEW and self._off > len(self._due) // 2:
            self._due = [entry for entry in self._due if entry[2].action is not None]
            heapq.heapify(self._due)
            self._off = 0

    def run(self, now: float) -> None:
        """Runs what is due."""
        while self._due and self._due[0][0] <= now:
            timer = self._due[0][2]
            action = timer.action
            try:
                heapq.heappop(self._due)
                timer.action = None
                if action is None:
                    self._off -= 1
                else:
                    action()
            except BaseException:  # interrupted, or the disk failed: it is still due
                if action is not None:
                    self.at(timer.when, action)
                raise

    def next(self, now: float) -> float | None:
        """Seconds until something is due; None: nothing ever is."""
        first = self.first
        return max(0.0, first - now) if first is not None else None

    @property
    def first(self) -> float | None:
        """When something is due next; None: nothing ever is."""
        while self._due and self._due[0][2].action is None:
            heapq.heappop(self._due)
            self._off -= 1
        return self._due[0][0] if self._due else None
