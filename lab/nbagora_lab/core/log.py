"""The lab's log: a ring buffer that `%lab status` shows.

A print from a service thread would land in whichever cell happens to run, so nothing here prints.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

__all__ = ["LogLine", "RingLog", "logger"]

logger = logging.getLogger("nbagora")
"""The lab's own logger; its children carry the rooms' names."""

_GUESTS = ("a2a", "uvicorn.error", "sse_starlette")  # libraries whose lines belong to the lab that runs them
_lock = threading.Lock()
_before: dict[logging.Logger, tuple[bool, int]] = {}  # how the loggers were before the first of the rings took them
_rings: list[RingLog] = []


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
        self._lines: deque[tuple[int, LogLine]] = deque(maxlen=capacity)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one line (logging's hook)."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 -- a line whose arguments don't fit must not stop the work that it tells of
            message = f"{record.msg} {record.args}"
        if record.exc_info and record.exc_info[1] is not None:
            message += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        self._lines.append((record.levelno, LogLine(record.created, record.levelname, record.name, message)))

    def lines(self, level: int = logging.INFO) -> list[LogLine]:
        """The kept lines of `level` and above, oldest first."""
        return [line for number, line in list(self._lines) if number >= level]

    def install(self) -> None:
        """Takes over the lab's loggers, so that their lines come here and nowhere else; once more does nothing.

        Where several labs run in a process, each gets the lines of all.
        """
        with _lock:
            if self in _rings:
                return
            for name in (logger.name, *_GUESTS):
                target = logging.getLogger(name)
                _before.setdefault(target, (target.propagate, target.level))
                target.addHandler(self)
                target.propagate = False
                target.setLevel(logging.INFO if target is logger else logging.WARNING)
            _rings.append(self)

    def uninstall(self) -> None:
        """Lets go of the loggers; the last ring gives them back as they were before the first."""
        with _lock:
            if self not in _rings:
                return
            _rings.remove(self)
            for target, (propagate, level) in _before.items():
                target.removeHandler(self)
                if not _rings:
                    target.propagate = propagate
                    target.setLevel(level)
            if not _rings:
                _before.clear()
