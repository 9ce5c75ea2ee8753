"""Sessions and tasks as folds over the records of a session topic.

A `SessionFold` notes the offset that it is folded to and can be thrown away and rebuilt at any time. It folds to the
task's ProtoJSON (A2A 1.0) as a dict; history and artifact rules are those of the specification's sections 3.1 and 4.2:
an artifact update with ``append`` adds parts, a status message that is superseded moves to the history, and the
question that an answer is for moves there before the answer. Of a long history it keeps the newest messages; all of
them stay on the topic.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from nbagora_lab.core.events import Flags, Head, Record, RecordType, decode, head_of

__all__ = ["HISTORY", "LOG_EXTENSION", "SessionFold", "TaskFold", "message_key"]

HISTORY = 1000
"""Messages of a task's history that a fold keeps, the newest; what was said before stays on the topic."""

LOG_EXTENSION = "urn:nbagora:a2a-log:1"
"""URI of the A2A extension under which each event carries topic, offset and generation."""

_CANCELED = "TASK_STATE_CANCELED"
_EVENT = Flags.SPLICED | Flags.INTERRUPTED | Flags.TERMINAL
"""The flags that a status or an artifact may have; an opening and a plain reply have others."""


def message_key(message: dict[str, Any]) -> str:
    """What makes two user messages the same: their id and content.

    Returns:
        ``messageId`` and the SHA-256 of the message without the ids of its task and context.
    """
    bare = {key: value for key, value in message.items() if key not in {"taskId", "contextId"}}
    bare["metadata"] = {key: value for key, value in bare.get("metadata", {}).items() if key != LOG_EXTENSION}
    digest = hashlib.sha256(json.dumps(bare, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{message.get('messageId', '')}/{digest}"


class TaskFold:
    """One task, as its records up to `offset` tell it.

    Attributes:
        id: The task's id.
        agent: Name of the agent that it is for.
        opened: Offset of the record that opened it.
        offset: Offset of its last record that counted.
        generation: Number of its events.
        claims: Offset and epoch of each claim; records of an older epoch after one don't count.
        flags: Of the last event.
        traceparent: W3C trace context that it was opened with.
        created, updated: Seconds since the Unix epoch.
        reply: The plain message that it was answered with, instead of a task.
        provisional: Whether its opening is withheld until the agent's first word, which may be a plain message.
        inherited: Whether it came with a fork: it is history there, and counts as CANCELED if it was open.
        gap: Offsets between which records were missing when it was folded: the last before, and the first after them.
        webhooks: Who is told of its events, by the configuration's id.
        undone: Whether it was taken out of its context's short memory.
    """

    def __init__(self, task_id: str, context_id: str) -> None:
        self.id = task_id
        self.agent = ""
        self.opened = -1
        self.offset = -1
        self.generation = 0
        self.claims: list[tuple[int, int]] = []
        self.flags = Flags.NONE
        self.traceparent = ""
        self.created = 0.0
        self.updated = 0.0
        self.reply: dict[str, Any] | None = None
        self.provisional = False
        self.inherited = False
        self.gap: tuple[int, int] | None = None
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.undone = False
        self._task: dict[str, Any] = {"id": task_id, "contextId": context_id, "status": {}}
        self._artifacts: dict[str, dict[str, Any]] = {}

    @property
    def state(self) -> str:
        """Full name of the state, ``TASK_STATE_…``; empty before it was opened."""
        if self.inherited and not self.flags & (Flags.TERMINAL | Flags.MESSAGE):
            return _CANCELED
        return str(self._task["status"].get("state", ""))

    @property
    def stamp(self) -> str:
        """Timestamp of the state."""
        return str(self._task["status"].get("timestamp", ""))

    @property
    def terminal(self) -> bool:
        """Whether the task has ended, be it with a plain reply."""
        return self.inherited or bool(self.flags & (Flags.TERMINAL | Flags.MESSAGE))

    def claim_at(self, offset: int) -> int:
        """Epoch of the newest claim up to and including `offset`; 0 for none."""
        return max((epoch for at, epoch in self.claims if at <= offset), default=0)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Messages so far, oldest first; the newest `HISTORY` of them."""
        history: list[dict[str, Any]] = self._task.get("history", [])
        return history[-HISTORY:]

    def as_json(self, *, history: int | None = None, artifacts: bool = True) -> dict[str, Any]:
        """The task as ProtoJSON; the caller's to keep.

        Args:
            history: Number of newest messages to include; None for all.
            artifacts: Whether to include artifacts.
        """
        task = dict(self._task)
        task["status"] = {**copy.deepcopy(task["status"]), "state": self.state}
        told = self.history if history is None else self.history[-history:] if history else []
        task.pop("history", None)
        if told:
            task["history"] = told
        if artifacts and self._artifacts:
            task["artifacts"] = [
                {**artifact, "parts": list(artifact["parts"])} for artifact in self._artifacts.values()
            ]
        return task

    def stamped(self, topic: str, *, gap: tuple[int, int] | None = None, **options: Any) -> dict[str, Any]:
        """`as_json`, with where it is folded to in the log extension's metadata.

        Args:
            topic: Full name of the session topic.
            gap: What the caller knows last, and the first record after it that is kept, where some between are not.
            options: See `as_json`.
        """
        task = self.as_json(**options)
        place: dict[str, Any] = {"topic": topic, "offset": str(self.offset), "generation": str(self.generation)}
        if (gap := gap or self.gap) is not None:
            place["gap"] = {"after": str(gap[0]), "first": str(gap[1])}
        task["metadata"] = {**task.get("metadata", {}), LOG_EXTENSION: place}
        return task

    def load(self, task: dict[str, Any]) -> None:
        """Starts from a task as somebody else folded it, which stays as it is."""
        own = copy.deepcopy(task)
        self._artifacts = {one["artifactId"]: one for one in own.pop("artifacts", [])}
        self._task = {key: value for key, value in own.items() if key != "metadata"}
        self._task.setdefault("status", {})
        self._merge(own)

    def copy(self) -> TaskFold:
        """The same, which later records leave as it is."""
        other = copy.copy(self)
        other.claims, other.webhooks = list(self.claims), dict(self.webhooks)
        artifacts = {key: {**one, "parts": list(one["parts"])} for key, one in self._artifacts.items()}
        vars(other).update(_task={key: copy.copy(one) for key, one in self._task.items()}, _artifacts=artifacts)
        return other

    def saved(self) -> dict[str, Any]:
        """All of it but the artifacts, as JSON."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return own | {"task": {**self._task, "history": self.history}}

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> TaskFold:
        """What `saved` gave, as a fold; its artifacts are to be added by `restore_artifact`."""
        task: dict[str, Any] = saved.pop("task")
        fold = cls(task["id"], task["contextId"])
        vars(fold).update(saved, _task=task, claims=[(at, epoch) for at, epoch in saved["claims"]])
        return fold

    def artifacts(self) -> Iterable[dict[str, Any]]:
        """Its artifacts, as they are folded now."""
        return self._artifacts.values()

    def restore_artifact(self, artifact: dict[str, Any]) -> None:
        """Adds an artifact, or more parts of one."""
        known = self._artifacts.setdefault(artifact["artifactId"], artifact)
        if known is not artifact:
            known["parts"].extend(artifact["parts"])

    def apply(self, type_: str, body: dict[str, Any]) -> None:
        """Takes in the body of one of its records, which stays as it is."""
        status = self._task["status"]
        if type_ == RecordType.MESSAGE:
            if "message" in status:
                self._remember(status.pop("message"))
            self._remember(_bare(body["message"]))
        elif type_ == RecordType.TASK:
            self._task["status"] = dict(body["task"]["status"])
        elif type_ == RecordType.STATUS:
            update = body["statusUpdate"]
            if "message" in status:
                self._remember(status["message"])
            self._task["status"] = dict(update["status"])
            self._merge(update)
        elif type_ == RecordType.ARTIFACT:
            update = body["artifactUpdate"]
            artifact = update["artifact"]
            known = self._artifacts.get(artifact["artifactId"])
            if known is not None and update.get("append"):
                known["parts"].extend(artifact["parts"])
            else:
                self._artifacts[artifact["artifactId"]] = {**artifact, "parts": list(artifact["parts"])}
            self._merge(update)

    def hook(self, config: dict[str, Any]) -> None:
        """Takes in that a webhook was added or removed."""
        self.webhooks.pop(config["id"], None)
        if not config.get("removed"):
            self.webhooks[config["id"]] = config

    def _remember(self, message: dict[str, Any]) -> None:
        history = self._task.setdefault("history", [])
        history.append(message)
        if len(history) > 2 * HISTORY:  # now and then, so that a message costs the same however many there were
            del history[:-HISTORY]

    def _merge(self, update: dict[str, Any]) -> None:
        own = {key: value for key, value in update.get("metadata", {}).items() if key != LOG_EXTENSION}
        if own:
            self._task.setdefault("metadata", {}).update(own)


class SessionFold:
    """All tasks of one session topic, folded to `offset`.

    Args:
        topic: Full name of the session topic.
        context_id: The A2A context that it holds.
        forked_at: Offset of the last record that it inherited by being forked; -1 for none.

    Attributes:
        offset: Offset of the last record that was taken in; -1 for none.
        tasks: The tasks by id, in the order in which they were opened.
        messages: Where each user message went, by `message_key`: task ids, each with the message's offset.
        blobs: Size and media type of each large body that it refers to, by its SHA-256.
        summaries: What was said up to a task, in short: who wrote it, up to which, and the text; newest last.
        fed: Bytes of the records that were taken in since its newest snapshot.
        saved: Offset and bytes of that snapshot; -1 and 0 for none.
        first: Tells the first offset that is kept. Missing before it are records that were removed; above it an engine
            leaves out what it stored twice.
    """

    def __init__(self, topic: str, context_id: str, *, forked_at: int = -1) -> None:
        self.topic = topic
        self.context_id = context_id
        self.forked_at = forked_at
        self.offset = -1
        self.tasks: dict[str, TaskFold] = {}
        self.messages: dict[str, dict[str, int]] = {}
        self.blobs: dict[str, tuple[int, str]] = {}
        self.summaries: list[tuple[str, str, str]] = []
        self.fed = 0
        self.saved = (-1, 0)
        self.first: Callable[[], int] = lambda: sys.maxsize

    def copy(self) -> SessionFold:
        """The same, which later records leave as it is; what it holds is shared."""
        other = copy.copy(self)
        other.tasks = {task_id: task.copy() for task_id, task in self.tasks.items()}
        other.messages = {key: dict(tasks) for key, tasks in self.messages.items()}
        other.blobs, other.summaries = dict(self.blobs), list(self.summaries)
        return other

    def feed(self, batch: Iterable[tuple[int, bytes]]) -> None:
        """Takes in stored records, the next ones after `offset`."""
        for offset, stored in batch:
            if offset != self.offset + 1 and self.first() > self.offset + 1:
                self._miss(offset)
            self.offset = offset
            self.fed += len(stored)
            head = head_of(stored)
            if head.generation and not head.flags & ~_EVENT:
                self._event(offset, head, stored)
                continue
            if head.flags & Flags.REFERENCE:
                self._refer(decode(stored, self.topic, offset))
            if not head.subject or head.flags & Flags.REFERENCE:
                continue
            task = self._task(head.subject.decode(), offset)
            if task.claims and head.epoch < task.claims[-1][1]:
                continue  # written by a holder that had lost the task
            if head.flags & Flags.CLAIM:
                task.claims.append((offset, head.epoch))
                continue
            record = decode(stored, self.topic, offset)
            if record.type == RecordType.WEBHOOK and not task.inherited:
                task.hook(json.loads(record.body))
            elif record.type == RecordType.SUMMARY:
                told = json.loads(record.body)
                self.summaries.append((task.id, told["until"], told["text"]))
            elif record.type == RecordType.UNDO:
                self._undo(task)
            if not record.type.startswith("a2a."):
                continue
            body = orjson.loads(record.body)
            task.offset = offset
            if record.type == RecordType.MESSAGE and not head.generation:
                self.messages.setdefault(message_key(_bare(body["message"])), {}).setdefault(task.id, offset)
            if head.generation:
                task.generation = head.generation
                task.flags = record.flags
            if task.opened < 0 and record.flags & Flags.TASK:
                task.opened, task.created, task.traceparent = offset, record.time, record.traceparent
                task.agent = record.source.removeprefix("/agents/")
                task.provisional = bool(record.flags & Flags.PROVISIONAL)
            task.updated = record.time
            if record.flags & Flags.MESSAGE:
                task.reply = _bare(body["message"])
            else:
                task.apply(record.type, body)

    def _undo(self, task: TaskFold) -> None:
        """Takes in that a task was taken out of the short memory, and with it each summary that tells of it."""
        task.undone = True
        order = {task_id: at for at, task_id in enumerate(self.tasks)}
        self.summaries = [one for one in self.summaries if order.get(one[1], -1) < order[task.id]]

    def _miss(self, offset: int) -> None:
        """Notes that records before `offset` are kept no more, for the tasks that they may have been of."""
        for task in self.tasks.values():
            if not task.terminal:
                task.gap = self.offset, offset

    def _event(self, offset: int, head: Head, stored: bytes) -> None:
        """Takes in a status or an artifact, of which a task may have very many: nothing is decoded but the body."""
        task = self._task(head.subject.decode(), offset)
        if task.claims and head.epoch < task.claims[-1][1]:
            return  # written by a holder that had lost the task
        body = orjson.loads(stored[head.body_at :])
        task.offset, task.generation, task.flags, task.updated = offset, head.generation, head.flags, head.time / 1e6
        task.apply(RecordType.ARTIFACT if "artifactUpdate" in body else RecordType.STATUS, body)

    def _task(self, task_id: str, offset: int) -> TaskFold:
        task = self.tasks.get(task_id)
        if task is None:
            task = self.tasks[task_id] = TaskFold(task_id, self.context_id)
            task.inherited = offset <= self.forked_at
        return task

    def _refer(self, record: Record) -> None:
        if record.type == RecordType.BLOB:
            told = json.loads(record.body)
            self.blobs[told["sha256"]] = (int(told["size"]), record.datacontenttype)


def _bare(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the log extension's stamp."""
    metadata = {key: value for key, value in message.get("metadata", {}).items() if key != LOG_EXTENSION}
    bare = {key: value for key, value in message.items() if key != "metadata"}
    return bare | ({"metadata": metadata} if metadata else {})
