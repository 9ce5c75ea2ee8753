"""What a live view reads from and hands its commands to: snapshots, and the service thread on which they are made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from nbagora_lab.calls import Calls
from nbagora_lab.core.errors import LabError, NotStarted
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.inspect.model import TasksSnapshot
from nbagora_lab.inspect.tasks import TaskInspector
from nbagora_lab.tasks import Tasks

__all__ = ["ViewSource"]


class ViewSource:
    """A lab, as its views see it.

    Args:
        service: The service loop.
        inspector: Makes snapshots; used on the service thread alone.
        calls: Sends answers and cancellations.
        tasks: Finds tasks.
    """

    def __init__(self, service: ServiceLoop, inspector: TaskInspector, calls: Calls, tasks: Tasks) -> None:
        self._service = service
        self._inspector = inspector
        self._calls = calls
        self._tasks = tasks

    def version(self) -> int:
        """A number that changes whenever a snapshot could differ from the last one."""
        return self._inspector.version()

    def every(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Calls `function` on the service thread again and again, `seconds` apart, until stopped. From any thread.

        Returns:
            What stops it; may be called from any thread, and more than once.

        Raises:
            NotStarted: The lab does not run.
        """

        async def loop() -> None:
            while True:
                try:
                    function()
                except Exception:  # noqa: BLE001 -- one bad turn must not end the view
                    logger.exception("a view could not be refreshed")
                await asyncio.sleep(seconds)

        future = self._service.submit(loop)

        def stop() -> None:
            future.cancel()

        return stop

    def soon(self, function: Callable[[], None]) -> None:
        """Calls `function` on the service thread once, in the order of these calls. From any thread.

        Raises:
            NotStarted: The lab does not run.
        """
        self._service.submit(function)

    def tasks(self, *, selected: str | None, agent: str | None, state: str | None, limit: int) -> TasksSnapshot:
        """The newest tasks, newest first, and one task with its events; see `TaskInspector.snapshot`."""
        return self._inspector.snapshot(selected=selected, agent=agent, state=state, limit=limit)

    def cancel(self, task_id: str) -> None:
        """Asks for a task to be cancelled, and returns at once.

        Raises:
            TaskNotFound: There is no such task.
        """
        task = self._tasks.get(task_id)
        self._begin(self._calls.cancel(task.agent, task.id))

    def answer(self, task_id: str, text: str) -> None:
        """Answers a task that asked for input, and returns at once.

        Raises:
            TaskNotFound: There is no such task.
            UsageError: The answer is empty.
        """
        task = self._tasks.get(task_id)
        message = self._calls.message(text, context_id=task.context_id, task_id=task.id)
        self._begin(self._calls.send(task.agent, message))

    def _begin(self, call: Coroutine[Any, Any, object]) -> None:
        async def finish() -> None:
            try:
                await call
            except LabError as error:
                logger.warning("a view's command failed: %s", error.what)

        with contextlib.suppress(NotStarted):
            self._service.submit(finish)
