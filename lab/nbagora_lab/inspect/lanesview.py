"""What the lanes of a task show and may be asked for: who did what, in which order, written once for Python and JS.

A position is a place in the order of all records that the snapshot tells of, from 0: those of the task's own session
topic as they stand there, and those of a task that it called where it called it. Rules for sizes as in `model`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nbagora_lab.inspect.model import Bye, Command, Hello, Snapshot, first_words

__all__ = [
    "DETAIL",
    "STEPS",
    "LaneRow",
    "LanesCommand",
    "LanesSnapshot",
    "Rerun",
    "ShowStep",
    "StepDetail",
    "StepRow",
]

STEPS = 300
"""Steps of a snapshot at most: the first ones."""

DETAIL = 8000
"""Characters of a step's input or output that are shown at most."""

_Line = Annotated[str, BeforeValidator(lambda text: first_words(" ".join(text[:800].split()), 120))]
_Long = Annotated[str, BeforeValidator(lambda text: first_words(text, DETAIL))]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class LaneRow(_Model):
    """One who did something: an agent, or a member of a flow.

    Attributes:
        name: Its name.
        kind: ``agent``, ``model``, ``function`` or ``person``.
        steps: Number of its steps.
    """

    name: str
    kind: str
    steps: int = 0


class StepRow(_Model):
    """One step, or the whole of a task.

    Attributes:
        id: The task's id and the path of the step within it.
        lane: Name of the lane that it is in.
        parent: Id of the step that it is part of; empty at the top.
        name: What was called.
        kind: ``task``, ``flow``, ``model`` or ``tool``.
        pattern: Of a flow's own step, the pattern: ``chain``, ``parallel``, …
        depth: How many steps it stands in.
        state: ``running``, ``done`` or ``failed``.
        began, ended: Positions of its first and its last record; `ended` is -1 while it runs.
        topic: Full name of the session topic that its records are on.
        offset, until: Their offsets there; `until` is -1 while it runs.
        seconds: How long it took; None while it runs.
        began_at: When it began, in seconds since the Unix epoch.
        tokens: Tokens in and out, those of the steps in it included.
        input_tokens, output_tokens: The same, apart.
        cost: In US dollars, where it is known.
        model: What kind of model answered.
        input, output: What it was asked and what came of it, in short; of one that failed, why.
    """

    id: str
    lane: str
    parent: str = ""
    name: str
    kind: str
    pattern: str = ""
    depth: int = 0
    state: str
    began: int
    ended: int = -1
    topic: str
    offset: int
    until: int = -1
    seconds: float | None = None
    began_at: float = 0.0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    model: str = ""
    input: _Line = ""
    output: _Line = ""


class StepDetail(_Model):
    """The step that is looked at, as long as it is.

    Attributes:
        id: As in `StepRow`.
        input, output: What it was asked and what came of it, as JSON or text.
        can_rerun: Whether the run can be forked there.
    """

    id: str
    input: _Long = ""
    output: _Long = ""
    can_rerun: bool = False


class LanesSnapshot(Snapshot):
    """What the lanes of one task show.

    Attributes:
        task: The task's id.
        agent: Name of its agent.
        state: Its state, without ``TASK_STATE_``.
        length: Number of positions.
        lanes: Who did something, in the order in which they began.
        steps: The steps in the order in which they began, `STEPS` at most.
        skipped: Number of later steps that are left out.
        tokens: Tokens of all of it.
        cost: In US dollars, of models whose price is known.
        selected: The step that is looked at; None where none is.
    """

    task: str
    agent: str = ""
    state: str = ""
    length: int = Field(0, ge=0)
    lanes: tuple[LaneRow, ...] = ()
    steps: tuple[StepRow, ...] = ()
    skipped: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    cost: float | None = None
    selected: StepDetail | None = None


class ShowStep(Command):
    """Asks for the whole of a step; None for nobody's."""

    do: Literal["step"] = "step"
    id: str | None


class Rerun(Command):
    """Asks for a fork at a step that goes on live from there.

    Attributes:
        id: The step.
        output: What is to have come of it; None has it done again.
    """

    do: Literal["rerun"] = "rerun"
    id: str
    output: str | None = None


LanesCommand = Annotated[Hello | Bye | ShowStep | Rerun, Field(discriminator="do")]
"""What the lanes may send."""
