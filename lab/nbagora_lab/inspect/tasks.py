"""The snapshots of tasks that tables and views show: a projection of the directory and the sessions."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from nbagora_lab.broker.api import Log
from nbagora_lab.core.errors import TaskNotFound, TopicNotFound
from nbagora_lab.core.events import Record, RecordType, decode
from nbagora_lab.inspect.artifacts import artifact_rows
from nbagora_lab.inspect.calls import Traces
from nbagora_lab.inspect.check import message_problems
from nbagora_lab.inspect.directory import DirectoryEntry
from nbagora_lab.inspect.fold import SessionFold
from nbagora_lab.inspect.model import EVENTS, ROWS, ArtifactRow, CallRow, EventRow, TaskDetail, TaskRow, TasksSnapshot
from nbagora_lab.inspect.topicview import Payload

__all__ = ["Sessions", "TaskInspector", "checked_row", "event_row"]

_MESSAGES = frozenset({RecordType.MESSAGE, RecordType.TASK, RecordType.STATUS, RecordType.ARTIFACT})
_CHOICES = 10  # answers that are shown of a question
_KEPT_ROWS = 2000  # rows of ended tasks, which never change


class Sessions(Protocol):
    """What knows all tasks: the task log."""

    def directory(self) -> dict[str, DirectoryEntry]:
        """All tasks by id, oldest first."""
        ...

    def session(self, owner: str, context_id: str) -> SessionFold:
        """The fold of a context, up to now."""
        ...


class _Followed:
    """A task's records, read on from where the last reading ended; the newest events of it are kept."""

    def __init__(self, entry: DirectoryEntry, after: int = -1, claim: int = 0) -> None:
        self.entry = entry
        self.events: deque[EventRow] = deque(maxlen=EVENTS)
        self.count = 0
        self.artifacts: tuple[ArtifactRow, ...] = ()
        self._after = after
        self._claim = claim

    def read(self, log: Log) -> Iterator[Record]:
        """What has come since, without claims and what their former holders wrote after them."""
        topic, subject = self.entry.topic, self.entry.task
        while batch := log.scan(topic, after=self._after):
            for offset, stored in batch:
                self._after = offset
                record = decode(stored, topic, offset)
                if record.subject != subject or record.epoch < self._claim:
                    continue
                if record.type == RecordType.CLAIM:
                    self._claim = record.epoch
                else:
                    yield record


class TaskInspector:
    """Makes snapshots of tasks. Owned by the thread that asks for them.

    Args:
        sessions: What knows all tasks.
        log: The broker's engine.
        lab: Gives the lab's URL.
    """

    def __init__(self, sessions: Sessions, log: Log, lab: str) -> None:
        self._sessions = sessions
        self._log = log
        self._lab = lab
        self._ended: dict[str, TaskRow] = {}
        self._traces = Traces()
        self._followed: _Followed | None = None  # the task that is selected: a view asks for it ten times a second

    def version(self) -> int:
        """Changes whenever a snapshot could be another."""
        return self._log.revision()

    def snapshot(self, *, selected: str | None, agent: str | None, state: str | None, limit: int) -> TasksSnapshot:
        """The newest tasks, newest first, and one task with its events.

        Args:
            selected: Id of the task whose events to show.
            agent: Name of the agent whose tasks to show; None for all.
            state: State of the tasks to show, such as ``WORKING``; None for all.
            limit: Number of rows at most.
        """
        seq = self._log.revision()
        entries = self._sessions.directory()
        rows: list[TaskRow] = []
        total = 0
        for entry in reversed(list(entries.values())):
            if (agent and entry.agent != agent) or (state and not self._may_be(entry, state)):
                continue
            if len(rows) < limit or (state and not entry.ended):
                row = self._row(entry)
                if row is None or (state and row.state != state):
                    continue
                if len(rows) < limit:
                    rows.append(row)
            total += 1
        detail = self._detail(entries[selected], entries) if selected in entries else None
        return TasksSnapshot(seq=seq, lab=self._lab, total=total, rows=tuple(rows), selected=detail)

    @staticmethod
    def _may_be(entry: DirectoryEntry, state: str) -> bool:
        """Whether a task can be in `state`, by what the directory knows."""
        if not entry.ended:
            return state in {"SUBMITTED", "WORKING", "INPUT_REQUIRED", "AUTH_REQUIRED"}
        return entry.state.removeprefix("TASK_STATE_") == state or (entry.state == "MESSAGE" and state == "COMPLETED")

    def _row(self, entry: DirectoryEntry) -> TaskRow | None:
        row = self._ended.get(entry.task)
        if row is not None:
            return row
        try:
            fold = self._sessions.session(entry.owner, entry.context).tasks[entry.task]
        except (TopicNotFound, KeyError):
            return None  # its session has expired
        task = fold.as_json(history=0)
        message = task["status"].get("message", {})
        said = _text(message) if fold.reply is None else _text(fold.reply)
        answer = "".join(_text(artifact) for artifact in task.get("artifacts", []))
        state = "COMPLETED" if fold.reply is not None else fold.state.removeprefix("TASK_STATE_")
        row = TaskRow(
            id=entry.task,
            context_id=entry.context,
            agent=entry.agent,
            state=state,
            text=answer or said,
            created=entry.opened,
            updated=fold.updated,
            events=fold.generation,
            question=said if state in {"INPUT_REQUIRED", "AUTH_REQUIRED"} else "",
            choices=_choices(message) if state == "INPUT_REQUIRED" else (),
        )
        if fold.terminal:
            if len(self._ended) >= _KEPT_ROWS:
                self._ended.pop(next(iter(self._ended)))
            self._ended[entry.task] = row
        return row

    def _detail(self, entry: DirectoryEntry, entries: dict[str, DirectoryEntry]) -> TaskDetail | None:
        row = self._row(entry)
        if row is None:
            return None
        if self._followed is None or self._followed.entry.task != entry.task:
            self._followed = _Followed(entry)
        followed, before = self._followed, self._followed.count
        fresh: deque[Record] = deque(maxlen=EVENTS)
        for record in followed.read(self._log):
            fresh.append(record)
            followed.count += 1
        followed.events.extend(map(checked_row, fresh))
        if followed.count != before:
            followed.artifacts = artifact_rows(self._sessions.session(entry.owner, entry.context).tasks[entry.task])
        events = tuple(followed.events)
        return TaskDetail(
            row=row,
            topic=entry.topic,
            events=events,
            skipped=followed.count - len(events),
            artifacts=followed.artifacts,
            calls=self._calls(entry, entries),
        )

    def _calls(self, entry: DirectoryEntry, entries: dict[str, DirectoryEntry]) -> tuple[CallRow, ...]:
        tree = self._traces.tree(entries, entry.task)
        if len(tree) == 1:
            return ()
        rows = []
        for one, depth in tree[:ROWS]:
            row = self._row(one)
            state = row.state if row is not None else one.state.removeprefix("TASK_STATE_")
            rows.append(CallRow(id=one.task, agent=one.agent, state=state, depth=depth))
        return tuple(rows)

    def message(self, task_id: str, offset: int) -> Payload:
        """One event of a task as the protocol's message.

        Raises:
            TaskNotFound: There is no such task.
        """
        from nbagora_lab.inspect.messages import message_payload  # which shows bodies by what words events

        entry = self._sessions.directory().get(task_id)
        if entry is None:
            raise TaskNotFound(f"no task '{task_id}'", "see %task ls")
        return message_payload(self._log, entry.topic, offset)

    def records(self, entry: DirectoryEntry, *, after: int = -1, claim: int = 0) -> Iterator[Record]:
        """A task's records, oldest first, without claims and what their former holders wrote after them.

        Args:
            entry: The task.
            after: Offset after which to begin.
            claim: Epoch of who holds the task there.
        """
        return _Followed(entry, after, claim).read(self._log)


def checked_row(record: Record) -> EventRow:
    """One record of a task's, in words, and held against the specification where it is a message of the protocol."""
    row = event_row(record)
    if record.type not in _MESSAGES:
        return row
    return row.model_copy(update={"checked": True, "problems": message_problems(json.loads(record.body))})


def event_row(record: Record) -> EventRow:
    """One record of a task's, in words."""
    body = json.loads(record.body)
    text, state = "", ""
    if record.type == RecordType.MESSAGE:
        text = _text(body["message"])
    elif record.type == RecordType.ARTIFACT:
        text = _text(body["artifactUpdate"]["artifact"])
    elif record.type in {RecordType.STATUS, RecordType.TASK}:
        [inner] = body.values()
        text, state = _text(inner["status"].get("message", {})), inner["status"]["state"].removeprefix("TASK_STATE_")
    elif record.type == RecordType.TASK_LOG:
        text = f"{body.get('stream', '')}: {body.get('text', '')}"
    elif body:
        text = ", ".join(f"{key} {value}" for key, value in body.items())
    kind = record.type.removeprefix("a2a.")
    return EventRow(
        offset=record.offset, generation=record.generation, kind=kind, state=state, text=text, time=record.time
    )


def _choices(message: dict[str, Any]) -> tuple[str, ...]:
    """The answers that a question names; whoever wrote it, and however."""
    told = message.get("metadata", {}).get("choices", ())
    return tuple(one for one in told if isinstance(one, str))[:_CHOICES] if isinstance(told, list) else ()


def _text(holder: dict[str, object]) -> str:
    """The text of a message's or artifact's parts; what is no text by its kind."""
    parts = holder.get("parts", [])
    assert isinstance(parts, list)
    words = []
    for part in parts:
        if "text" in part:
            words.append(part["text"])
        elif "data" in part:
            words.append(json.dumps(part["data"], ensure_ascii=False))
        else:
            words.append(f"[{part.get('filename') or part.get('mediaType') or 'file'}]")
    return "".join(words)
