"""What a view shows and what it may ask for: snapshots and commands, written once for Python, tables and JavaScript.

A snapshot is immutable and whole: a view that has the newest one needs nothing else, and one that missed some lost
nothing. It is also small, whatever the lab holds: rows, events and texts are cut at the limits below, and the cut is
told. Texts are data and never markup. Times are seconds since the Unix epoch.

The JSDoc types of the views are generated from these classes (`nbagora_widgets.jsdoc`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, computed_field

__all__ = [
    "AWAY",
    "EVENTS",
    "OPEN_STATES",
    "ROWS",
    "STATES",
    "STOPPED",
    "TEXT",
    "WORDS",
    "Answer",
    "ArtifactRow",
    "Bye",
    "CallRow",
    "Cancel",
    "Command",
    "EventRow",
    "Filter",
    "Hello",
    "Inspect",
    "PartRow",
    "Problem",
    "Reply",
    "Say",
    "Select",
    "Snapshot",
    "TaskCommand",
    "TaskDetail",
    "TaskRow",
    "TasksSnapshot",
    "first_words",
    "last_words",
]

ROWS = 200
"""Rows of a snapshot at most; 1,000 rows redraw at 8 frames a second, 200 at 58."""

EVENTS = 200
"""Events of the selected task that a snapshot holds at most: the newest."""

WORDS = 160
"""Characters of a row's text at most: the last ones, since an answer grows at its end."""

TEXT = 2000
"""Characters of an event's text or of a question at most: the first ones."""

AWAY = "away"
"""A snapshot's `lab` while that is another process's, and does not answer."""

STOPPED = "stopped"
"""A snapshot's `lab` once that has stopped."""

OPEN_STATES = ("SUBMITTED", "WORKING", "INPUT_REQUIRED", "AUTH_REQUIRED")
"""States of a task that has not ended."""

STATES = (*OPEN_STATES, "COMPLETED", "FAILED", "CANCELED", "REJECTED")
"""Every state that a task shows: A2A's names without ``TASK_STATE_``."""


def first_words(text: str, limit: int = TEXT) -> str:
    """A text cut to its first `limit` characters, the last of which tells that it was cut.

    Example:
        >>> first_words("a long story", 7)
        'a long…'
    """
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def last_words(text: str, limit: int = WORDS) -> str:
    """A text on one line, cut to its last `limit` characters, the first of which tells that it was cut.

    Example:
        >>> last_words("a long story", 6)
        '…story'
    """
    # A line of an answer may be megabytes; its last words need only the end of it.
    line = " ".join(text[-8 * limit :].split())
    if len(line) <= limit and len(text) <= 8 * limit:
        return line
    return "…" + line[-(limit - 1) :].lstrip()


_Words = Annotated[str, BeforeValidator(last_words)]
_Text = Annotated[str, BeforeValidator(first_words)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class TaskRow(_Model):
    """One task, as a line of a table.

    Attributes:
        id: The task's id.
        context_id: Id of its conversation.
        agent: Name of the agent that it is for.
        state: One of `STATES`.
        text: The last words of its answer, or of its status where there is no answer yet; one line.
        created: When it was opened.
        updated: When it last changed.
        events: Number of its events.
        question: What a task that waits for input or a login asks for; empty otherwise.
        choices: Answers that it names, if any.
    """

    id: str
    context_id: str
    agent: str
    state: str
    text: _Words = ""
    created: float
    updated: float
    events: int = Field(0, ge=0)
    question: _Text = ""
    choices: tuple[_Words, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def open(self) -> bool:
        """Whether it has not ended, so that it can be cancelled."""
        return self.state in OPEN_STATES


class EventRow(_Model):
    """One event of a task.

    Attributes:
        offset: Of its record in the session topic.
        generation: Its number within the task, from 1.
        kind: ``message``, ``task``, ``status``, ``artifact``, or the record's type.
        state: The state that it sets; empty where it sets none.
        text: What it says.
        time: When it was appended.
        checked: Whether it was held against the specification; what is no message of the protocol is not.
        problems: What is wrong with it by that.
    """

    offset: int
    generation: int
    kind: str
    state: str = ""
    text: _Text = ""
    time: float
    checked: bool = False
    problems: tuple[str, ...] = ()


class PartRow(_Model):
    """A part of an artifact, as it is shown.

    Attributes:
        kind: ``text``, ``json``, ``image``, ``bytes`` or ``link``.
        text: Lines to read; of an image its bytes in Base64, of a link its address.
        media: Its media type.
        name: Its file name.
        cut: Whether only the beginning is shown.
    """

    kind: str
    text: str = ""
    media: str = ""
    name: str = ""
    cut: bool = False


class ArtifactRow(_Model):
    """An artifact of the selected task."""

    id: str
    name: str = ""
    parts: tuple[PartRow, ...] = ()


class CallRow(_Model):
    """A task of the selected one's trace.

    Attributes:
        id: The task's id.
        agent: Name of its agent.
        state: One of `STATES`.
        depth: How many calls lie above it.
    """

    id: str
    agent: str
    state: str
    depth: int = Field(0, ge=0)


class TaskDetail(_Model):
    """The selected task.

    Attributes:
        row: Its line, also when filters keep that out of the table.
        topic: Full name of its session topic.
        events: The newest ones, `EVENTS` at most, oldest first.
        skipped: Number of earlier events that are left out.
        artifacts: What it has made so far, the first ones.
        calls: Who called whom: the tasks of its trace, each below its caller; nothing where it stands alone.
    """

    row: TaskRow
    topic: str = ""
    events: tuple[EventRow, ...] = ()
    skipped: int = Field(0, ge=0)
    artifacts: tuple[ArtifactRow, ...] = ()
    calls: tuple[CallRow, ...] = ()


class Snapshot(_Model):
    """Base of what a view shows.

    Attributes:
        seq: Never falls from one snapshot of a source to the next.
        lab: URL of the lab, `AWAY` or `STOPPED`.
    """

    seq: int
    lab: str


class TasksSnapshot(Snapshot):
    """What a task view shows.

    Attributes:
        total: Number of tasks that the filters let through.
        rows: The newest of them, `ROWS` at most, newest first by `created`: a row keeps its place while it changes.
        selected: The selected task, None where none is, or where it does not exist.
        agent: The filter by agent in force; None for all. The view that has it fills it in.
        state: The same, by state.
    """

    total: int = Field(0, ge=0)
    rows: tuple[TaskRow, ...] = ()
    selected: TaskDetail | None = None
    agent: str | None = None
    state: str | None = None


class Command(_Model):
    """Base of what a view may ask for.

    Attributes:
        request: The view's number for it, which the reply repeats.
    """

    model_config = ConfigDict(extra="forbid")

    request: int


class Hello(Command):
    """A view is shown, and wants snapshots.

    Attributes:
        view: The view's own name for itself.
    """

    do: Literal["hello"] = "hello"
    view: str


class Bye(Command):
    """A view is shown no longer.

    Attributes:
        view: As it said hello.
    """

    do: Literal["bye"] = "bye"
    view: str


class Select(Command):
    """Asks for a task's events; None for nobody's."""

    do: Literal["select"] = "select"
    task_id: str | None


class Filter(Command):
    """Asks for the tasks of one agent, in one state; None for all."""

    do: Literal["filter"] = "filter"
    agent: str | None = None
    state: str | None = None


class Cancel(Command):
    """Asks for a task to be cancelled."""

    do: Literal["cancel"] = "cancel"
    task_id: str


class Answer(Command):
    """Answers a task that asked for input."""

    do: Literal["answer"] = "answer"
    task_id: str
    text: str


class Say(Command):
    """Sends an agent a message; in a context, or in one of its own."""

    do: Literal["say"] = "say"
    agent: str
    text: str
    context_id: str = ""


class Inspect(Command):
    """Asks for one event of a task as the protocol's message; None for none."""

    do: Literal["inspect"] = "inspect"
    task_id: str
    offset: int | None = Field(ge=0)


TaskCommand = Annotated[Hello | Bye | Select | Filter | Cancel | Answer | Say | Inspect, Field(discriminator="do")]
"""What a task view may send."""


class Problem(_Model):
    """A `LabError` for a view: the same two lines.

    Attributes:
        name: The error's class.
        what: What happened.
        hint: What to do.
    """

    name: str
    what: str
    hint: str


class Reply(_Model):
    """The answer to a command.

    Attributes:
        reply: The command's `request`.
        problem: Why it was not obeyed; None where it was.
    """

    reply: int
    problem: Problem | None = None
