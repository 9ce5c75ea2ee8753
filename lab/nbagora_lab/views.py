"""What live views read from and hand their commands to: snapshots, and the service thread on which they are made."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from nbagora_lab.broker import Broker
from nbagora_lab.broker.api import Groups
from nbagora_lab.calls import Calls
from nbagora_lab.core.errors import LabError, NotStarted, Unsupported, UsageError
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.inspect.lanes import LanesInspector
from nbagora_lab.inspect.lanesview import LanesSnapshot
from nbagora_lab.inspect.model import TasksSnapshot
from nbagora_lab.inspect.registry import RegistryInspector, RegistryLook
from nbagora_lab.inspect.registryview import RegistrySnapshot
from nbagora_lab.inspect.topics import TopicInspector, TopicLook
from nbagora_lab.inspect.topicview import Payload, TopicsSnapshot
from nbagora_lab.registry import Registry
from nbagora_lab.tasks import Tasks

__all__ = ["Again", "LanesViewSource", "RegistryViewSource", "TopicViewSource", "ViewSource"]


Again = Callable[[str, str, dict[str, Any]], Future[object]]
"""Has a task, by its id, run again from a step, by its path, with other results of steps; its end is when it began."""


class _Source:
    """The service thread, as views use it."""

    def __init__(self, service: ServiceLoop) -> None:
        self._service = service

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

    def _aside(self, work: Callable[[], object]) -> Future[object]:
        """Does what may wait for the disk on a thread of its own."""
        return self._service.submit(asyncio.to_thread, work)


class ViewSource(_Source):
    """A lab, as its task views see it.

    Args:
        service: The service loop.
        calls: Sends answers and cancellations.
        tasks: Finds tasks.
        again: See `Again`.
    """

    def __init__(self, service: ServiceLoop, calls: Calls, tasks: Tasks, again: Again) -> None:
        super().__init__(service)
        self._inspector = tasks.inspector()
        self._lanes = tasks.lanes()
        self._calls = calls
        self._tasks = tasks
        self._again = again

    def version(self) -> int:
        """A number that changes whenever a snapshot could differ from the last one."""
        return self._inspector.version()

    def tasks(self, *, selected: str | None, agent: str | None, state: str | None, limit: int) -> TasksSnapshot:
        """The newest tasks, newest first, and one task with its events; see `TaskInspector.snapshot`."""
        return self._inspector.snapshot(selected=selected, agent=agent, state=state, limit=limit)

    def lanes(self, task_id: str, selected: str | None) -> LanesSnapshot:
        """See `LanesInspector.snapshot`."""
        return self._lanes.snapshot(task_id, selected=selected)

    def rerun(self, step: str, output: str | None) -> Future[object]:
        """See `LanesViewSource.rerun`."""
        return _rerun(self._again, step, output)

    def cancel(self, task_id: str) -> None:
        """Asks for a task to be cancelled, and returns at once.

        Raises:
            TaskNotFound: There is no such task.
        """
        task = self._tasks.get(task_id)
        self._begin(self._calls.cancel(task.agent, task.id))

    def say(self, agent: str, text: str, context_id: str) -> Future[object]:
        """Sends an agent a message, in a context or a new one, and returns at once.

        Returns:
            Its end, once the task is opened. A `LabError` says why it is not.

        Raises:
            UsageError: The message is empty.
        """
        return self._service.submit(self._calls.send, agent, self._calls.message(text, context_id=context_id))

    def message(self, task_id: str, offset: int) -> Payload:
        """One event of a task as the protocol's message.

        Raises:
            TaskNotFound: There is no such task.
        """
        return self._inspector.message(task_id, offset)

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


class LanesViewSource(_Source):
    """The steps of one task, as its lanes view sees them.

    Args:
        service: The service loop.
        inspector: Makes snapshots; used on the service thread alone.
        task: The task's id.
        again: See `Again`.
    """

    def __init__(
        self,
        service: ServiceLoop,
        inspector: LanesInspector,
        task: str,
        again: Again,
    ) -> None:
        super().__init__(service)
        self._inspector = inspector
        self._task = task
        self._again = again

    def version(self) -> int:
        """A number that changes whenever a snapshot could differ from the last one."""
        return self._inspector.version()

    def lanes(self, selected: str | None) -> LanesSnapshot:
        """See `LanesInspector.snapshot`."""
        return self._inspector.snapshot(self._task, selected=selected)

    def rerun(self, step: str, output: str | None) -> Future[object]:
        """Begins a run that goes on from a step: a new task, in a fork of the conversation.

        Args:
            step: The step's id: its task's, and its path there.
            output: What is to have come of it, as JSON or text; None has it done again.

        Returns:
            Its end, with the task that it opened; a `UsageError` where it is no step.
        """
        return _rerun(self._again, step, output)


def _rerun(again: Again, step: str, output: str | None) -> Future[object]:
    task, _, path = step.partition("/")
    answers: dict[str, Any] = {}
    if output is not None:
        try:
            answers[path] = json.loads(output)
        except (RecursionError, ValueError):
            answers[path] = output
    return again(task, path, answers)


class TopicViewSource(_Source):
    """A broker, as one topic view sees it.

    Args:
        service: The service loop.
        broker: The broker.
        url: The lab's URL, for snapshots.
    """

    def __init__(self, service: ServiceLoop, broker: Broker, url: str) -> None:
        super().__init__(service)
        self._broker = broker
        groups: Groups | None = None
        with contextlib.suppress(Unsupported):  # an engine of records alone
            groups = broker.group_engine
        self._inspector = TopicInspector(broker.log, groups, url)

    def version(self) -> int:
        """A number that changes whenever a snapshot could differ from the last one."""
        return self._inspector.version()

    def topics(self, look: TopicLook) -> TopicsSnapshot:
        """What a view looks at, as it is now; see `TopicInspector.snapshot`."""
        return self._inspector.snapshot(look)

    def payload(self, topic: str, offset: int) -> Payload:
        """See `TopicInspector.payload`."""
        return self._inspector.payload(topic, offset)

    def seek(self, topic: str, time: float) -> int:
        """See `TopicInspector.seek`."""
        return self._inspector.seek(topic, time)

    def fork(self, topic: str, to: str, at: int) -> Future[object]:
        """Makes `to` a new topic with the records up to and including offset `at`; on a thread, since it may be long.

        Returns:
            Its end. A `LabError` says why it is not.
        """
        return self._aside(lambda: self._broker.fork(topic, to, at=at))

    def send(self, topic: str, body: str, *, type: str, media: str) -> Future[object]:  # noqa: A002
        """Appends a record; on a thread, since a durable write may wait for the disk.

        Returns:
            Its end. A `LabError` says why it is not.

        Raises:
            UsageError: It says that it is JSON, and is none.
        """
        if media == "application/json":
            try:
                json.loads(body)
            except (RecursionError, ValueError) as error:
                raise UsageError(f"the text is no JSON: {error}", "mend it, or send it as text") from None
        content = media if media == "application/json" else f"{media}; charset=utf-8"
        return self._aside(lambda: self._broker.send(topic, body, type=type, datacontenttype=content))


class RegistryViewSource(_Source):
    """A registry, as one registry view sees it.

    Args:
        service: The service thread.
        registry: The registry, as the view's user may use it.
        url: The lab's URL, for snapshots.
    """

    def __init__(self, service: ServiceLoop, registry: Registry, url: str) -> None:
        super().__init__(service)
        self._registry = registry.because("the registry view")
        self._inspector = RegistryInspector(registry, url)

    def version(self) -> int:
        """A number that changes whenever a snapshot could differ from the last one."""
        return self._inspector.version()

    def registry(self, look: RegistryLook) -> RegistrySnapshot:
        """What a view looks at, as it is now; see `RegistryInspector.snapshot`."""
        return self._inspector.snapshot(look)

    def point(self, kind: Any, name: str, label: str, version: str) -> Future[object]:
        """Points a label at a version; its end is when it does."""
        return self._aside(lambda: self._registry.label(name, label, version, kind=kind))

    def roll_back(self, kind: Any, name: str, label: str) -> Future[object]:
        """Points a label at what it pointed at before; its end is when it does."""
        return self._aside(lambda: self._registry.rollback(name, label, kind=kind))
