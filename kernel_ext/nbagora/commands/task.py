"""`%task`: what agents are doing and have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nbagora.command import Arg, Command, Face
from nbagora.show import moment
from nbagora.table import Table
from nbagora_lab.inspect.model import last_words

if TYPE_CHECKING:
    from nbagora_lab.a2a.task import Task, TaskEvent
    from nbagora_lab.agents.message import Message
    from nbagora_lab.inspect.lanesview import StepRow

__all__ = ["Answer", "Cancel", "Events", "Lanes", "List", "Memory", "Show", "Steps", "Undo", "View", "Wait", "Watch"]

_TaskId = Annotated[str, Arg(kind="task", positional=True)]
_Timeout = Annotated[float | None, Arg(metavar="SECONDS")]
_Check = Annotated[bool, Arg(option="--no-raise")]

_State = Literal[
    "SUBMITTED", "WORKING", "INPUT_REQUIRED", "AUTH_REQUIRED", "COMPLETED", "FAILED", "CANCELED", "REJECTED"
]

_TASK = "the task's id, a unique part of it, or last"
_TIMEOUT = "seconds to wait at most; the task itself goes on"
_CHECK = "returns a task that failed, instead of raising TaskFailed"


class List(Command, noun="task", verb="ls"):
    """Lists tasks, newest first."""

    agent: Annotated[str | None, Arg(kind="agent")] = Field(None, description="only this agent's")
    context: Annotated[str | None, Arg(kind="context")] = Field(None, description="only those of this context")
    state: _State | None = Field(None, description="only those in this state")
    limit: int = Field(50, ge=1, description="number of tasks at most")

    def run(self, face: Face) -> Table[Task]:
        """The tasks."""
        tasks = face.lab.tasks(agent=self.agent, context=self.context, state=self.state, limit=self.limit)
        return Table(
            tasks,
            {
                "task": lambda task: task.id,
                "agent": lambda task: task.agent,
                "state": lambda task: task.state,
                "text": lambda task: last_words(task.text or task.question or task.status_text),
                "updated": lambda task: moment(task.updated),
            },
            "no tasks yet: %agent ask NAME opens one",
        )


class Show(Command, noun="task", verb="show"):
    """Shows a task: its state, answer and files."""

    task: _TaskId = Field(description=_TASK)

    def run(self, face: Face) -> Task:
        """The task as it is now."""
        return face.lab.task(self.task)


class Events(Command, noun="task", verb="events"):
    """Lists the events of a task, as they stand on its topic."""

    task: _TaskId = Field(description=_TASK)

    def run(self, face: Face) -> Table[TaskEvent]:
        """Its events, oldest first."""
        return Table(
            face.lab.task(self.task).events,
            {
                "generation": lambda event: event.generation,
                "offset": lambda event: event.offset,
                "kind": lambda event: event.kind,
                "state": lambda event: event.state,
                "text": lambda event: event.text,
            },
            "no events yet",
        )


class Watch(Command, noun="task", verb="watch"):
    """Shows a task while it goes on, and returns it when it has ended or asks for input."""

    task: _TaskId = Field(description=_TASK)
    timeout: _Timeout = Field(None, ge=0, description=_TIMEOUT)
    check: _Check = Field(True, description=_CHECK)

    def run(self, face: Face) -> Task:
        """The task."""
        return face.follow(face.lab.task(self.task), timeout=self.timeout, check=self.check)


class Wait(Command, noun="task", verb="wait"):
    """Waits until a task has ended or asks for input, and returns it."""

    task: _TaskId = Field(description=_TASK)
    timeout: _Timeout = Field(None, ge=0, description=_TIMEOUT)
    check: _Check = Field(True, description=_CHECK)

    def run(self, face: Face) -> Task:
        """The task."""
        return face.lab.wait(self.task, timeout=self.timeout, check=self.check)


class Answer(Command, noun="task", verb="answer"):
    """Answers a task that asks for input, and shows it going on."""

    task: _TaskId = Field(description=_TASK)
    message: Annotated[str, Arg(rest=True)] = Field(description="the answer: the rest of the line as it stands")
    timeout: _Timeout = Field(None, ge=0, description=_TIMEOUT)
    check: _Check = Field(True, description=_CHECK)

    def run(self, face: Face) -> Task:
        """The task, ended or asking again."""
        return face.lab.answer(self.task, self.message, timeout=self.timeout, check=self.check)


class Cancel(Command, noun="task", verb="cancel"):
    """Cancels a task."""

    task: _TaskId = Field(description=_TASK)

    def run(self, face: Face) -> Task:
        """The task as it is then."""
        return face.lab.cancel(self.task)


class Memory(Command, noun="task", verb="memory"):
    """Shows what an agent is told of a task's conversation, now or as it was at an offset of its topic."""

    task: _TaskId = Field("last", description=_TASK)
    at: int | None = Field(None, ge=0, description="offset of the session topic; unset: now")

    def run(self, face: Face) -> Table[tuple[str, Message]]:
        """The messages, oldest first, the summary of earlier ones before them."""
        from nbagora_lab.agents.message import Message

        turns, summary, covered = face.lab.memory(face.lab.task(self.task), at=self.at)
        told = [Message({"role": "summary", "parts": [{"text": summary}]})] if summary else []
        rows = [("", one) for one in told] + [(turn.task, one) for turn in turns[covered:] for one in turn.messages]
        return Table(
            rows,
            {
                "task": lambda row: row[0],
                "role": lambda row: row[1].role,
                "text": lambda row: row[1].text,
            },
            "nothing is left to tell: every turn was undone",
        )


class Undo(Command, noun="task", verb="undo"):
    """Takes the newest turn of a task's conversation out of what agents are told; its records stay."""

    task: _TaskId = Field("last", description=_TASK)

    def run(self, face: Face) -> Task:
        """The task of that turn."""
        return face.lab.undo(face.lab.task(self.task))


class Steps(Command, noun="task", verb="steps"):
    """Lists the steps of a task and of those that it called: who did what, what came of it, what it took."""

    task: _TaskId = Field("last", description=_TASK)

    def run(self, face: Face) -> Table[StepRow]:
        """The steps, in the order in which they began."""
        return Table(
            face.lab.steps(self.task),
            {
                "step": lambda row: "\u2003" * row.depth + row.name,  # HTML would take other spaces for one
                "who": lambda row: row.lane,
                "kind": lambda row: row.pattern or row.kind,
                "state": lambda row: row.state,
                "input": lambda row: row.input,
                "output": lambda row: row.output,
                "model": lambda row: row.model,
                "tokens": lambda row: row.tokens,
                "cost": lambda row: row.cost,
                "seconds": lambda row: row.seconds,
                "offset": lambda row: row.offset,
            },
            "no steps: this task's agent runs no flow and no model",
        )


class Lanes(Command, noun="task", verb="lanes"):
    """Shows the steps of a task live, as a lane for each who does something; the slider replays them."""

    task: _TaskId = Field("last", description=_TASK)

    def run(self, face: Face) -> object:
        """The widget."""
        from nbagora_widgets import LanesView

        return LanesView(face.lab.lanes_source(self.task), rate=face.lab.settings.view_rate)


class View(Command, noun="task", verb="view"):
    """Shows the tasks of the lab live, with their events, to cancel and to answer."""

    def run(self, face: Face) -> object:
        """The widget."""
        from nbagora_widgets import TaskView

        return TaskView(face.lab.view_source(), rate=face.lab.settings.view_rate)
