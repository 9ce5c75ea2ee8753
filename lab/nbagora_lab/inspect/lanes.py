"""The lanes of a task: its steps and those of the tasks that it called, in one order, by who did them.

A projection of session topics. What was read of a topic is kept and read on from there, so that a look costs what has
come since the last one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nbagora_lab.broker.api import Log
from nbagora_lab.core.errors import TaskNotFound
from nbagora_lab.core.events import RecordType, decode
from nbagora_lab.inspect.directory import DirectoryEntry
from nbagora_lab.inspect.lanesview import STEPS, LaneRow, LanesSnapshot, StepDetail, StepRow
from nbagora_lab.inspect.steps import Step, StepFold
from nbagora_lab.inspect.tasks import Sessions

__all__ = ["LanesInspector"]

_TOPICS = 256  # session topics of which the folds are kept


class _Session:
    """What lanes need of one session topic, folded as far as it was read."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log, self.topic = log, topic
        self.steps = StepFold(log, topic)
        self.calls: dict[str, list[tuple[int, dict[str, Any]]]] = {}  # by task
        self.bounds: dict[str, tuple[int, int]] = {}  # offsets of a task's first and newest event

    def refresh(self) -> _Session:
        while batch := self._log.scan(self.topic, after=self.steps.offset):
            for offset, stored in batch:
                record = decode(stored, self.topic, offset)
                if record.type == RecordType.CALL:
                    self.calls.setdefault(record.subject, []).append((offset, json.loads(record.body)))
                if record.generation:
                    first, _ = self.bounds.get(record.subject, (offset, offset))
                    self.bounds[record.subject] = (first, offset)
            self.steps.feed(batch)
        return self


@dataclass(slots=True)
class _Draft:
    """A row that grows while its records are walked over."""

    id: str
    lane: str
    parent: str
    name: str
    kind: str
    depth: int
    began: int
    topic: str
    offset: int
    state: str
    until: int = -1
    ended: int = -1
    pattern: str = ""
    seconds: float | None = None
    began_at: float = 0.0
    step: Step | None = None


class LanesInspector:
    """Makes snapshots of lanes. Owned by the thread that asks for them.

    Args:
        sessions: What knows all tasks.
        log: The broker's engine.
        lab: The lab's URL.
    """

    def __init__(self, sessions: Sessions, log: Log, lab: str) -> None:
        self._sessions, self._log, self._lab = sessions, log, lab
        self._topics: dict[str, _Session] = {}

    def version(self) -> int:
        """Changes whenever a snapshot could be another."""
        return self._log.revision()

    def snapshot(self, task: str, *, selected: str | None = None, limit: int = STEPS) -> LanesSnapshot:
        """The lanes of a task.

        Args:
            task: Its id.
            selected: Id of the step to show whole.
            limit: Number of steps at most.

        Raises:
            TaskNotFound: There is no such task.
        """
        seq, entries = self._log.revision(), self._sessions.directory()
        entry = entries.get(task)
        if entry is None:
            raise TaskNotFound(f"no task '{task}'", "see %task ls")
        children: dict[tuple[str, str], list[DirectoryEntry]] = {}
        for one in entries.values():
            if one.parent:
                children.setdefault((one.parent, one.context), []).append(one)
        walk = _Walk(self._session, children)
        walk.task(entry, "", 0)
        rows = [_row(draft) for draft in walk.drafts[:limit]]
        kinds = walk.lanes
        tops = [draft for draft in walk.drafts if draft.kind == "model"]
        costs = [draft.step.cost for draft in tops if draft.step is not None and draft.step.cost is not None]
        return LanesSnapshot(
            seq=seq,
            lab=self._lab,
            task=task,
            agent=entry.agent,
            state=_state(self._sessions, entry),
            length=walk.position,
            lanes=tuple(
                LaneRow(name=name, kind=kind, steps=sum(draft.lane == name for draft in walk.drafts))
                for name, kind in kinds.items()
            ),
            steps=tuple(rows),
            skipped=max(0, len(walk.drafts) - limit),
            tokens=sum(draft.step.tokens for draft in tops if draft.step is not None),
            cost=sum(costs) if costs else None,
            selected=next((_detail(draft) for draft in walk.drafts if draft.id == selected), None),
        )

    def steps(self, task: str) -> list[StepRow]:
        """All steps of a task and of those that it called, as rows, in the order in which they began.

        Raises:
            TaskNotFound: There is no such task.
        """
        return list(self.snapshot(task, limit=1_000_000).steps)

    def _session(self, topic: str) -> _Session:
        session = self._topics.pop(topic, None) or _Session(self._log, topic)
        self._topics[topic] = session
        if len(self._topics) > _TOPICS:
            self._topics.pop(next(iter(self._topics)))
        return session.refresh()


class _Walk:
    """Goes over the records of a task, and over those of each task that it called where it called it."""

    def __init__(self, session: Any, children: dict[tuple[str, str], list[DirectoryEntry]]) -> None:
        self._session, self._children = session, children
        self.position = 0
        self.drafts: list[_Draft] = []
        self.lanes: dict[str, str] = {}
        self._told: set[str] = set()  # tasks: one that was called again, or given an answer, stands at its first call

    def task(self, entry: DirectoryEntry, parent: str, depth: int) -> None:
        """Adds a task's steps."""
        session: _Session = self._session(entry.topic)
        self.lanes.setdefault(entry.agent, "agent")
        first, last = session.bounds.get(entry.task, (-1, -1))
        state = _STATES.get(entry.state.removeprefix("TASK_STATE_"), "failed") if entry.ended else "running"
        root = _Draft(
            entry.task, entry.agent, parent, entry.agent, "task", depth, self._next(), entry.topic, first, state
        )
        if entry.ended:
            root.until, root.seconds = last, entry.ended - entry.opened
        root.began_at = entry.opened
        self.drafts.append(root)
        known: dict[str, _Draft] = {"": root}
        for _, kind, what in sorted(self._marks(session, entry.task), key=lambda mark: mark[0]):
            if kind == "begins":
                draft = self._begin(entry, what, known)
                known[what.key] = draft
                self.drafts.append(draft)
            elif kind == "ends":
                known[what.key].ended = self._next()
            else:
                inside = known.get(what.get("step", ""), root)
                for child in self._children.get((entry.task, what["context"]), ()):
                    if child.task not in self._told:
                        self._told.add(child.task)
                        self.task(child, inside.id, inside.depth + 1)
        if entry.ended:
            root.ended = self._next()

    @staticmethod
    def _marks(session: _Session, task: str) -> Iterator[tuple[int, str, Any]]:
        for step in session.steps.steps.get(task, {}).values():
            yield step.began, "begins", step
            if step.ended >= 0:
                yield step.ended, "ends", step
        for offset, call in session.calls.get(task, ()):
            yield offset, "calls", call

    def _begin(self, entry: DirectoryEntry, step: Step, known: dict[str, _Draft]) -> _Draft:
        above = known.get(step.parent, known[""])
        member = str(step.about.get("member", ""))
        lane = step.name if member else above.lane
        if member:
            self.lanes.setdefault(lane, member)
        return _Draft(
            f"{entry.task}/{step.key}",
            lane,
            above.id,
            step.name,
            step.kind,
            above.depth + 1,
            self._next(),
            entry.topic,
            step.began,
            step.state,
            until=step.ended,
            pattern=str(step.about.get("flow", "")),
            seconds=step.seconds,
            step=step,
        )

    def _next(self) -> int:
        self.position += 1
        return self.position - 1


_STATES = {"COMPLETED": "done", "MESSAGE": "done"}


def _state(sessions: Sessions, entry: DirectoryEntry) -> str:
    fold = sessions.session(entry.owner, entry.context).tasks.get(entry.task)
    if fold is None:
        return ""
    return "COMPLETED" if fold.reply is not None else fold.state.removeprefix("TASK_STATE_")


def _text(value: Any, *, indent: int | None = None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=indent)


def _said(step: Step, *, indent: int | None = None) -> str:
    if step.error is not None:
        return step.error.get("what", "") or step.error.get("kind", "")
    return _text(step.output, indent=indent)


def _in_words(step: Step, value: Any) -> str:
    """What went into a step or came of it, as a line: of a model's what is new to it, what it says and calls."""
    if not isinstance(value, dict):
        return _text(value)
    if step.kind == "model" and isinstance(value.get("new"), list):
        return "; ".join(f"{name}: {one}" for new in value["new"] for name, one in new.items())
    if step.kind == "model" and isinstance(value.get("parts"), list):
        return "; ".join(filter(None, map(_part_in_words, value["parts"])))
    if "messageId" in value and isinstance(value.get("parts"), list):  # what a person answered
        return " ".join(one["text"] for one in value["parts"] if "text" in one)
    return _text(value)


def _part_in_words(part: dict[str, Any]) -> str:
    if "tool_name" in part:
        return f"calls {part['tool_name']} with {_text(part.get('args'))}"
    return str(part.get("content", ""))


def _row(draft: _Draft) -> StepRow:
    step = draft.step
    usage = step.about.get("usage", {}) if step else {}
    return StepRow(
        id=draft.id,
        lane=draft.lane,
        parent=draft.parent,
        name=draft.name,
        kind=draft.kind,
        pattern=draft.pattern,
        depth=draft.depth,
        state=draft.state,
        began=draft.began,
        ended=draft.ended,
        topic=draft.topic,
        offset=draft.offset,
        until=draft.until,
        seconds=draft.seconds,
        began_at=step.began_at if step else draft.began_at,
        tokens=step.tokens if step else 0,
        input_tokens=usage.get("input_tokens", 0),
        output_tokens=usage.get("output_tokens", 0),
        cost=step.cost if step else None,
        model=step.model if step else "",
        input=_in_words(step, step.input) if step else "",
        output=_in_words(step, step.output) if step and step.error is None else _said(step) if step else "",
    )


def _detail(draft: _Draft) -> StepDetail:
    step = draft.step
    if step is None:
        return StepDetail(id=draft.id)
    return StepDetail(
        id=draft.id, input=_text(step.input, indent=2), output=_said(step, indent=2), can_rerun=step.ended >= 0
    )
