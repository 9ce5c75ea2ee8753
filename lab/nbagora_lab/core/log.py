"""The lab's log: a ring buffer that `%lab status` shows.

A print from a service thread would land in whichever cell happens to run, so nothing here prints.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

__all__ = ["LogLine", "RingLog", "logger"]

logger = logging.getLogger("nbagora")
"""The lab's own logger; its children carry the rooms' names."""

_GUESTS = ("a2a", "uvicorn.error", "sse_starlette")  # libraries whose lines belong to the lab that runs them


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log.

    Attributes:
        time: Seconds since the Unix epoch.
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        logger: Dotted name of who wrote it.
        message: The text, without a traceback.
    """

    time: float
    level: str
    logger: str
    message: str


class RingLog(logging.Handler):
    """Keeps the last lines of the lab's loggers in memory.

    Args:
        capacity: Number of lines kept.
    """

    def __init__(self, capacity: int = 1000) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[LogLine] = deque(maxlen=capacity)
        self._before: list[tuple[logging.Logger, bool, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one line (logging's hook)."""
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        self._lines.append(LogLine(record.created, record.levelname, record.name, message))

    def lines(self, level: int = logging.INFO) -> list[LogLine]:
        """The kept lines of `level` and above, oldest first."""
        return [line for line in list(self._lines) if logging.getLevelName(line.level) >= level]

    def install(self) -> None:
        """Takes over the lab's loggers, so that their lines come here and nowhere else."""
        for name in (logger.name, *_GUESTS):
            target = logging.getLogger(name)
            self._before.append((target, target.propagate, target.level))
            target.addHandler(self)
            target.propagate = False
            target.setLevel(logging.INFO if target is logger else logging.WARNING)

    def uninstall(self) -> None:
        """Gives the loggers back as they were."""
        for target, propagate, level in self._before:
            target.removeHandler(self)
            target.propagate = propagate
            target.setLevel(level)
        self._before.clear()
