"""The live display: a task's answer as it grows, in one output that is updated at most ten times a second."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from nbagora.show import pre, short_id

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbagora_lab.a2a.task import Task, TaskEvent

__all__ = ["Live"]

_EVERY = 0.1  # seconds between updates at least
_PIECES = 1000  # chunks that are kept while it goes on; the finished task has them all
_LONGEST = 8000  # characters of them that are shown


class Live:
    """One output that follows a task.

    Args:
        shell: Where it is shown.
        task: The task as it was opened.
        updates: Whether it is shown before it ends, and updated; else its end is all that is shown.
    """

    def __init__(self, shell: InteractiveShell, task: Task, *, updates: bool) -> None:
        self._shell = shell
        self._task = task
        self._updates = updates
        self._state = task.state
        self._said = ""
        self._pieces: deque[str] = deque(maxlen=_PIECES)
        self._display_id = f"nbagora-{task.id}-{shell.execution_count}"
        self._published = False
        self._dirty = updates
        self._due = 0.0

    def take(self, event: TaskEvent) -> None:
        """Takes in an event of the task."""
        if event.kind == "artifact":
            self._pieces.append(event.text)
        else:
            self._state, self._said = event.state or self._state, event.text
        self._dirty = self._updates

    def refresh(self) -> float | None:
        """Shows what was taken in, if it is time to.

        Returns:
            Seconds after which to call again though no event came; None where everything is shown.
        """
        if not self._dirty:
            return None
        if (left := self._due - time.monotonic()) > 0:
            return left
        text = "".join(self._pieces)[-_LONGEST:]
        parts = [self._task.agent, self._state, self._said, f"task {short_id(self._task.id)}"]
        line = " · ".join(part for part in parts if part)
        self._publish({"text/plain": f"{text}\n{line}".lstrip("\n"), "text/html": pre(text, line)})
        self._dirty, self._due = False, time.monotonic() + _EVERY
        return None

    def finish(self, task: Task) -> None:
        """Shows the task as it is now in the place of what was shown."""
        assert self._shell.display_formatter is not None
        data, metadata = self._shell.display_formatter.format(task)
        self._publish(data, metadata)

    def _publish(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        transient = {"display_id": self._display_id} if self._updates else {}
        self._shell.display_pub.publish(data, metadata or {}, transient=transient, update=self._published)
        self._published = self._updates
