"""Deadlines of tasks: who calls may say how long it waits, and its task ends CANCELED then, whatever became of it.

When that is stands in the directory, so the next process minds it, too: for a task that waits in line or for an answer,
and for one that is called anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.core.errors import StoreError, TaskNotFound
from nbagora_lab.core.log import logger
from nbagora_lab.inspect.directory import DirectoryEntry

__all__ = ["Deadlines"]

_log = logger.getChild("agents")


class Deadlines:
    """What cancels tasks in time.

    Args:
        tasks: The task log.
        cancel: Ends a task CANCELED.
    """

    def __init__(self, tasks: TaskLog, cancel: Callable[[LiveTask], Awaitable[None]]) -> None:
        self._tasks = tasks
        self._cancel = cancel
        self._ending: set[asyncio.Future[None]] = set()

    def mind(self, live: LiveTask) -> None:
        """Cancels a task when its time is over, if it has one. On whichever loop runs here."""
        if live.until is not None:
            self._at(live.until, lambda: self._end(live))

    def take_up(self, agent: str) -> None:
        """The same for what an earlier process took in for an agent and did not end."""
        for entry in list(self._tasks.directory().values()):
            if entry.until and not entry.ended and (entry.agent, entry.home) == (agent, self._tasks.home):
                self._at(entry.until, lambda entry=entry: self._end_left(entry))  # type: ignore[misc]

    def _at(self, until: float, end: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(max(0.0, until - self._tasks.clock.now()), end)

    def _end_left(self, entry: DirectoryEntry) -> None:
        live = self._tasks.live(entry.task)
        try:
            if live is None:
                fold = self._tasks.find(entry.owner, entry.task)
                if fold.terminal:
                    return
                live = self._tasks.revive(entry, fold)
                self._tasks.log.append([(live.topic, live.claim_record())])
        except (TaskNotFound, StoreError) as error:
            _log.warning("the task %s, whose time is over, can't be cancelled: %s", entry.task, error.what)
            return
        self._end(live)

    def _end(self, live: LiveTask) -> None:
        if not live.ended:
            self._ending.add(ending := asyncio.ensure_future(self._cancel(live)))
            ending.add_done_callback(self._ending.discard)
