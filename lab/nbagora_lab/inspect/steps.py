"""The steps of tasks as folds over their records: what was asked of whom, what came of it, how long it took.

A step is one call of a model, a tool or a part of a flow. Its intent is a record before the call, its result or error
a record after it; a step without the second one was under way, or its process died. See `agents.journal` for the
writing side and the shape of the records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.blobs import BlobRef
from nbagora_lab.core.events import Flags, Record, RecordType, decode, head_of

__all__ = ["STEP_TYPES", "Step", "StepFold", "read_steps"]

STEP_TYPES = frozenset({RecordType.STEP_MODEL, RecordType.STEP_TOOL, RecordType.FLOW_STEP})
"""Types of the records that steps are made of."""

_KINDS = {RecordType.STEP_MODEL: "model", RecordType.STEP_TOOL: "tool", RecordType.FLOW_STEP: "flow"}
_OWN = frozenset({"step", "parent", "name", "phase", "input", "output", "error", "agents"})


@dataclass(slots=True)
class Step:
    """One step.

    Attributes:
        key: Its path within the task, such as ``find_trains`` or ``plan/model.2``.
        parent: The path of the step that it is part of; empty at the top.
        name: What was called.
        kind: ``model``, ``tool`` or ``flow``.
        task: Id of its task.
        agent: Name of the agent whose task it is.
        state: ``running``, ``done`` or ``failed``; one that is ``running`` in a task that nobody runs has an outcome
            that nobody knows.
        attempts: How often it was begun.
        began, ended: Offsets of its newest intent and of its result; -1 for none.
        began_at, ended_at: Times of these, in seconds since the Unix epoch.
        input: What was asked.
        output: What came of it.
        error: ``{"kind": …, "what": …, "hint": …}`` of one that failed.
        about: All else that was recorded: ``model``, ``usage``, ``prompt``, ….
    """

    key: str
    parent: str
    name: str
    kind: str
    task: str
    agent: str
    state: str = "running"
    attempts: int = 0
    began: int = -1
    ended: int = -1
    began_at: float = 0.0
    ended_at: float = 0.0
    input: Any = None
    output: Any = None
    error: dict[str, str] | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """How long it took; None while nothing came of it."""
        return self.ended_at - self.began_at if self.ended >= 0 else None

    @property
    def model(self) -> str:
        """What kind of model answered; empty where none did."""
        return str(self.about.get("model", ""))

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        usage = self.about.get("usage", {})
        return int(usage.get("input_tokens", 0)) + int(usage.get("output_tokens", 0))

    @property
    def cost(self) -> float | None:
        """In US dollars, where the price is known."""
        cost = self.about.get("cost")
        return None if cost is None else float(cost)


class StepFold:
    """The steps of all tasks of one session topic.

    Args:
        log: The engine, which has the bodies that are stored apart.
        topic: Full name of the session topic.

    Attributes:
        offset: Offset that it is folded to.
        steps: The steps by task id and path, in the order in which they began.
        runs: What each task's agents were when they began: their fingerprints by task id and agent name; more than
            one where a name stands for several.
        answers: Offsets and texts of the users' messages, by task id.
    """

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self.topic = topic
        self.offset = -1
        self.steps: dict[str, dict[str, Step]] = {}
        self.runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.answers: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self._claims: dict[str, int] = {}

    def refresh(self, until: int | None = None) -> StepFold:
        """Reads what has come since, up to and including offset `until`."""
        while batch := self._log.scan(self.topic, after=self.offset):
            wanted = [one for one in batch if until is None or one[0] <= until]
            self.feed(wanted)
            if len(wanted) < len(batch):
                break
        return self

    def feed(self, batch: Iterable[tuple[int, bytes]]) -> None:
        """Takes in stored records, which must follow on `offset`."""
        for offset, stored in batch:
            self.offset = offset
            head = head_of(stored)
            if not head.subject:
                continue
            record = decode(stored, self.topic, offset)
            if head.epoch < self._claims.get(record.subject, 0):
                continue  # written by a holder that had lost the task
            if record.flags & Flags.CLAIM:
                self._claims[record.subject] = head.epoch
            elif record.type in STEP_TYPES:
                self._step(record, self._body(record))
            elif record.type == RecordType.MESSAGE and not record.generation:
                said = json.loads(record.body)["message"]
                self.answers.setdefault(record.subject, []).append((offset, said))

    def _body(self, record: Record) -> dict[str, Any]:
        packed = record.body
        if record.flags & Flags.REFERENCE:
            with self._log.open_body(BlobRef.parse(packed)) as file:
                packed = file.read()
        body: dict[str, Any] = json.loads(packed)
        return body

    def _step(self, record: Record, body: dict[str, Any]) -> None:
        steps = self.steps.setdefault(record.subject, {})
        key, phase = body["step"], body["phase"]
        step = steps.get(key)
        if step is None:
            agent = record.source.removeprefix("/agents/")
            kind = _KINDS[record.type]
            step = steps[key] = Step(key, body.get("parent", ""), body.get("name", ""), kind, record.subject, agent)
        for run in body.get("agents", ()):
            self.runs.setdefault(record.subject, {}).setdefault(run["agent"], []).append(run["is"])
        step.about |= {name: value for name, value in body.items() if name not in _OWN}
        if phase == "intent":
            step.state, step.attempts = "running", step.attempts + 1
            step.began, step.began_at, step.ended = record.offset, record.time, -1
            step.input, step.output, step.error = body.get("input"), None, None
        else:
            step.state = "done" if phase == "result" else "failed"
            step.ended, step.ended_at = record.offset, record.time
            step.output, step.error = body.get("output"), body.get("error")


def read_steps(log: Log, topic: str, task: str = "", *, until: int | None = None) -> Iterator[Step]:
    """The steps of a session topic in the order in which they began, or of one of its tasks.

    Args:
        log: The engine.
        topic: Full name of the session topic.
        task: Id of the task; empty for all.
        until: Offset to read to, included; None for all there is.
    """
    fold = StepFold(log, topic).refresh(until)
    chosen = fold.steps.values() if not task else [fold.steps.get(task, {})]
    yield from sorted((step for steps in chosen for step in steps.values()), key=lambda step: step.began)
