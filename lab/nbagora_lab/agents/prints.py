"""What an agent prints goes to its task's log, not into whichever cell happens to run.

While a lab runs, `sys.stdout` and `sys.stderr` are wrapped: what is written inside an agent's run becomes `task.log`
records, a line each; what is written elsewhere goes where it always went.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TextIO

__all__ = ["TaskPrinter", "current_printer", "install", "uninstall"]

_MOST_LINES = 1000

current_printer: ContextVar[TaskPrinter | None] = ContextVar("nbagora_printer", default=None)
"""The printer of the run that this code is part of."""


class TaskPrinter:
    """Collects lines and notes each on the task's log.

    Args:
        note: Takes the name of the stream and a line.
    """

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note
        self._partial: dict[str, str] = {}
        self._lines = 0
        self._lock = threading.Lock()

    def write(self, stream: str, text: str) -> None:
        """Takes text as it was printed."""
        with self._lock:
            *lines, rest = (self._partial.get(stream, "") + text).split("\n")
            self._partial[stream] = rest
        for line in lines:
            self._say(stream, line)

    def flush(self) -> None:
        """Notes what has no line end yet."""
        with self._lock:
            partial, self._partial = self._partial, {}
        for stream, rest in partial.items():
            if rest:
                self._say(stream, rest)

    def _say(self, stream: str, line: str) -> None:
        self._lines += 1
        if self._lines < _MOST_LINES:
            self._note(stream, line)
        elif self._lines == _MOST_LINES:
            self._note(stream, f"... after {_MOST_LINES} lines the rest is dropped")


class _Wrapped:
    """A text stream that asks first whose words these are."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name_of_stream = name
        self.stream = stream

    def write(self, text: str) -> int:
        printer = current_printer.get()
        if printer is None:
            return self.stream.write(text)
        printer.write(self.name_of_stream, text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_lock = threading.Lock()
_users = 0


def install() -> None:
    """Wraps the streams; counts its users, so that a second lab does no harm."""
    global _users  # noqa: PLW0603 -- the streams are the process's own, so is their count
    with _lock:
        _users += 1
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if not isinstance(stream, _Wrapped):
                setattr(sys, name, _Wrapped(name, stream))


def uninstall() -> None:
    """Gives the streams back when the last user has gone."""
    global _users  # noqa: PLW0603
    with _lock:
        _users -= 1
        if _users > 0:
            return
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, _Wrapped):
                setattr(sys, name, stream.stream)
