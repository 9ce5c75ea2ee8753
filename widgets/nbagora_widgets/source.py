"""What a view needs of the lab: snapshots, a version to compare, the service thread, and what a person may do.

The views know nothing else of it, so that tests and tables can stand in for it. No method blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from nbagora_lab.inspect.lanesview import LanesSnapshot
from nbagora_lab.inspect.model import TasksSnapshot
from nbagora_lab.inspect.registry import RegistryLook
from nbagora_lab.inspect.registryview import RegistrySnapshot
from nbagora_lab.inspect.topics import TopicLook
from nbagora_lab.inspect.topicview import Payload, TopicsSnapshot

__all__ = ["LanesSource", "LiveSource", "RegistrySource", "TaskSource", "TopicSource"]


class LiveSource(Protocol):
    """What every live view needs."""

    def version(self) -> int:
        """A number that changes whenever a snapshot could differ from the last one; cheap. On the service thread."""
        ...

    def every(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Calls `function` on the service thread again and again, `seconds` apart, until stopped. From any thread.

        Returns:
            What stops it; may be called from any thread, also from `function` itself, and more than once.

        Raises:
            NotStarted: The lab does not run.
        """
        ...

    def soon(self, function: Callable[[], None]) -> None:
        """Calls `function` on the service thread once, in the order of these calls. From any thread.

        Raises:
            NotStarted: The lab does not run.
        """
        ...


class RegistrySource(LiveSource, Protocol):
    """What the registry view needs; all of it is called on the service thread."""

    def registry(self, look: RegistryLook) -> RegistrySnapshot:
        """What is looked at, as it is now."""
        ...

    def point(self, kind: str, name: str, label: str, version: str) -> Future[object]:
        """Begins to point a label at a version; its end may raise a `LabError`."""
        ...

    def roll_back(self, kind: str, name: str, label: str) -> Future[object]:
        """Begins to roll a label back; its end may raise a `LabError`."""
        ...


class TaskSource(LiveSource, Protocol):
    """What the task view needs; all of it is called on the service thread."""

    def tasks(self, *, selected: str | None, agent: str | None, state: str | None, limit: int) -> TasksSnapshot:
        """The newest tasks, newest first, and one task with its events.

        Args:
            selected: Id of the task whose events to show.
            agent: Name of the agent whose tasks to show; None for all.
            state: State of the tasks to show, one of `nbagora_lab.inspect.model.STATES`; None for all.
            limit: Number of rows at most.
        """
        ...

    def cancel(self, task_id: str) -> None:
        """Asks for a task to be cancelled, and returns at once.

        Raises:
            LabError: It can't be; the view shows both lines.
        """
        ...

    def say(self, agent: str, text: str, context_id: str) -> Future[object]:
        """Begins to send an agent a message; in a context, or a new one where that is empty. Its end may raise.

        Raises:
            LabError: It can't be; the view shows both lines.
        """
        ...

    def message(self, task_id: str, offset: int) -> Payload:
        """One event of a task as the protocol's message.

        Raises:
            LabError: There is no such task.
        """
        ...

    def answer(self, task_id: str, text: str) -> None:
        """Answers a task that asked for input, and returns at once.

        Raises:
            LabError: It can't be; the view shows both lines.
        """
        ...

    def lanes(self, task_id: str, selected: str | None) -> LanesSnapshot:
        """The steps of a task, with one of them whole, by its id; None for none.

        Raises:
            TaskNotFound: There is no such task.
        """
        ...

    def rerun(self, step: str, output: str | None) -> Future[object]:
        """Begins a run that goes on from a step, with another output if one is given; its end may raise `LabError`."""
        ...


class LanesSource(LiveSource, Protocol):
    """What the lanes of one task need; all of it is called on the service thread."""

    def lanes(self, selected: str | None) -> LanesSnapshot:
        """The lanes of now, with one step whole.

        Args:
            selected: Its id; None for none.
        """
        ...

    def rerun(self, step: str, output: str | None) -> Future[object]:
        """Begins a run that goes on from a step, with another output if one is given; its end may raise `LabError`."""
        ...


class TopicSource(LiveSource, Protocol):
    """What one topic view needs; all of it is called on the service thread."""

    def topics(self, look: TopicLook) -> TopicsSnapshot:
        """What is looked at, as it is now."""
        ...

    def payload(self, topic: str, offset: int) -> Payload:
        """A record as it is looked at.

        Raises:
            LabError: There is no such topic.
        """
        ...

    def seek(self, topic: str, time: float) -> int:
        """Offset of a topic's first record at or after a time; of the last one if there is none.

        Raises:
            LabError: There is no such topic.
        """
        ...

    def fork(self, topic: str, to: str, at: int) -> Future[object]:
        """Begins a fork; its end may raise a `LabError`."""
        ...

    def send(self, topic: str, body: str, *, type: str, media: str) -> Future[object]:  # noqa: A002
        """Begins to append a record; its end may raise a `LabError`.

        Raises:
            LabError: It can't be; the view shows both lines.
        """
        ...
