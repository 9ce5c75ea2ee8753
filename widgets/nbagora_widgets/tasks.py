"""The task view: live tasks, the events and steps of one of them, cancel and answer."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Annotated, Any, ClassVar

import traitlets
from pydantic import Field, TypeAdapter

from nbagora_lab.core.errors import TaskNotFound
from nbagora_lab.inspect.lanesview import LanesSnapshot, Rerun, ShowStep
from nbagora_lab.inspect.model import (
    ROWS,
    Answer,
    Cancel,
    Filter,
    Inspect,
    Say,
    Select,
    Snapshot,
    TaskCommand,
    TasksSnapshot,
)
from nbagora_widgets.esm import bundle, style
from nbagora_widgets.live import LiveView
from nbagora_widgets.source import TaskSource
from nbagora_widgets.table import tasks_html, tasks_text

__all__ = ["TaskView"]


class TaskView(LiveView):
    """A live table of tasks; `%task view`.

    Beside the live view it shows itself as a plain table in HTML and in text, for readers without a kernel or scripts.

    Args:
        source: Where the tasks come from.
        selected: Id of the task whose events to show at first.
        agent: Name of the agent whose tasks to show; None for all.
        state: State of the tasks to show; None for all.
        rate: Snapshots a second at most.

    Example:
        A view of a lab, as the last line of a cell::

            TaskView(lab.view_source(), agent="weather")
    """

    _esm = bundle("tasks")
    _css = style("tasks")
    _commands: ClassVar[TypeAdapter[Any]] = TypeAdapter(
        Annotated[TaskCommand | ShowStep | Rerun, Field(discriminator="do")]
    )
    _stored = ("snapshot", "message", "lanes")
    _latest: TasksSnapshot

    message = traitlets.Dict(help="the event that is looked at, as JSON; empty for none").tag(sync=True)
    lanes = traitlets.Dict(help="the steps of the selected task, as JSON; empty for none").tag(sync=True)

    def __init__(
        self,
        source: TaskSource,
        *,
        selected: str | None = None,
        agent: str | None = None,
        state: str | None = None,
        rate: float = 10.0,
    ) -> None:
        self._tasks = source
        self._selected, self._agent, self._state = selected, agent, state  # the service thread's from here on
        self._step: str | None = None
        super().__init__(source, rate=rate)
        if selected is not None:
            source.soon(self._refresh)

    def __repr__(self) -> str:
        return f"<TaskView of {self._latest.lab}, {self._latest.total} tasks, seq {self._latest.seq}>"

    def _stands_for(self) -> dict[str, str]:
        return {"text/plain": tasks_text(self._latest), "text/html": tasks_html(self._latest)}

    def _take(self) -> TasksSnapshot:
        chosen = {"agent": self._agent, "state": self._state}
        taken = self._tasks.tasks(selected=self._selected, **chosen, limit=ROWS)
        return taken.model_copy(update={**chosen, "rows": taken.rows[:ROWS]})

    def _put(self, snapshot: Snapshot) -> None:
        super()._put(snapshot)
        if not self.stopped:
            self._keep("lanes", self._steps())

    def _steps(self) -> LanesSnapshot | None:
        """The lanes of the selected task; None where it has no steps."""
        if self._selected is None:
            return None
        try:
            shot = self._tasks.lanes(self._selected, self._step)
        except TaskNotFound:
            return None
        return shot if len(shot.steps) > 1 else None

    def _obey(self, command: TaskCommand | ShowStep | Rerun) -> Future[object] | None:
        match command:
            case Select():
                self._keep("message", None)
                self._selected, self._step = command.task_id, None
                self._refresh()
            case ShowStep():
                self._step = command.id
                self._refresh()
            case Rerun():
                return self._tasks.rerun(command.id, command.output)
            case Inspect():
                offset = command.offset
                self._keep("message", None if offset is None else self._tasks.message(command.task_id, offset))
            case Say():
                return self._tasks.say(command.agent, command.text, command.context_id)
            case Filter():
                self._agent, self._state = command.agent, command.state
                self._refresh()
            case Cancel():
                self._tasks.cancel(command.task_id)
            case Answer():
                self._tasks.answer(command.task_id, command.text)
        return None
