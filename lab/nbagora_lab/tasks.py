"""The lab's own tasks, found and shown: by id or a part of it, by agent, context and state."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from urllib.parse import quote

from nbagora_lab.a2a.task import Task, TaskEvent, event_of
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import short_state, splice
from nbagora_lab.agents.short import ShortMemory, short_memory, undo
from nbagora_lab.broker.api import Log
from nbagora_lab.core.errors import TaskNotFound, TopicNotFound
from nbagora_lab.core.events import Flags, head_of
from nbagora_lab.inspect.directory import DirectoryEntry
from nbagora_lab.inspect.fold import LOG_EXTENSION
from nbagora_lab.inspect.lanes import LanesInspector
from nbagora_lab.inspect.tasks import TaskInspector

__all__ = ["Tasks"]

_NEAR = 64  # records


class Tasks:
    """Finds tasks in the task log. May be called from any thread.

    Args:
        tasklog: The task log.
        log: The broker's engine.
        url: The lab's URL, for snapshots.
        main: URL of the lab whose log it is, where this one joined that.
        members: Gives the URLs of the labs that are together.

    Attributes:
        log: The broker's engine.
    """

    def __init__(
        self, tasklog: TaskLog, log: Log, url: str, main: str = "", members: Callable[[], Collection[str]] = tuple
    ) -> None:
        self._tasklog = tasklog
        self.log = log
        self._url = url
        self._main = main or url
        self._members = members

    def get(self, id: str) -> Task:  # noqa: A002 -- the word of every face
        """See `Lab.task`."""
        entries = self._tasklog.directory()
        if id == "last" and entries:
            return self._task(_newest(entries))
        if id in entries:
            return self._task(entries[id])
        found = [entry for task_id, entry in entries.items() if id and id in task_id]
        if len(found) == 1:
            return self._task(found[0])
        if found:
            names = ", ".join(entry.task for entry in found[-3:])
            raise TaskNotFound(f"'{id}' is part of {len(found)} tasks' ids", f"among them {names}; write more of it")
        raise TaskNotFound(f"no task '{id}'", "see %task ls" if entries else "there are none yet")

    def memory(self, context: Task | str, at: int | None = None) -> ShortMemory:
        """See `Lab.memory`."""
        owner, context_id = self._conversation(context)
        return short_memory(self._tasklog, owner, context_id, at=at)

    def undo(self, context: Task | str) -> Task:
        """See `Lab.undo`."""
        return self.get(undo(self._tasklog, *self._conversation(context)))

    def _conversation(self, context: Task | str) -> tuple[str, str]:
        """Whose conversation it is, and its context id."""
        context_id = self.context_of(context)
        entries = self._tasklog.directory().values()
        return next((one.owner for one in entries if one.context == context_id), ""), context_id

    def local(self, id: str) -> Task | None:  # noqa: A002
        """A task by its whole id; None where it is not this lab's."""
        entry = self._tasklog.directory().get(id)
        return self._task(entry) if entry is not None else None

    def recorded(self, url: str, id: str, after: int) -> list[TaskEvent]:  # noqa: A002
        """What the log here has of a task past an offset; where that is negative, the task as it stands now.

        Args:
            url: Where the doors are that it is asked of; of a task that is theirs alone nothing is known here.
            id: Its whole id.
            after: The offset.
        """
        entry = self._tasklog.directory().get(id)
        if entry is None or not url.startswith(f"{entry.home or self._main}/"):
            return []
        try:
            if after < 0:
                return [event_of({"task": self._task(entry).raw})]
            with self._tasklog.lock:
                claim = self._tasklog.find(entry.owner, id).claim_at(after)
            return self._events(entry, after, claim)
        except (TaskNotFound, TopicNotFound):
            return []  # its session has expired

    def home(self, id: str) -> str:  # noqa: A002
        """URL of the doors of a task that a lab which joined runs, or that runs here while that is asked elsewhere."""
        entry = self._tasklog.directory().get(id) if id else None
        if entry is None or (home := entry.home or self._main) == self._url or home not in self._members():
            return ""
        return f"{home}/agents/{quote(entry.agent, safe='')}"

    def ls(self, *, agent: str | None, context: str | None, state: str | None, limit: int) -> list[Task]:
        """See `Lab.tasks`."""
        found: list[Task] = []
        for entry in reversed(list(self._tasklog.directory().values())):
            if (agent and entry.agent != agent) or (context and entry.context != context):
                continue
            try:
                task = self._task(entry)
            except (TaskNotFound, TopicNotFound):
                continue  # its session has expired
            if state is None or task.state == short_state(state.upper()):
                found.append(task)
            if len(found) == limit:
                break
        return found

    def open(self) -> int:
        """Number of tasks that have not ended."""
        return sum(not entry.ended for entry in self._tasklog.directory().values())

    def context_of(self, context: Task | str | None) -> str:
        """The context id that a person means: a task's, one as it is, or ``last``; empty for a new one."""
        if context is None:
            return ""
        if isinstance(context, Task):
            return context.context_id
        if context == "last":
            entries = self._tasklog.directory()
            if not entries:
                raise TaskNotFound("there is no last context", "ask an agent first")
            return _newest(entries).context
        return context.removeprefix("sessions/")

    def first(self, id: str) -> int:  # noqa: A002
        """Offset of a task's first record, which is close to the one that opened it."""
        entry = self._tasklog.directory()[id]
        opened = self._tasklog.find(entry.owner, id).opened
        subject = id.encode()
        near = self.log.scan(entry.topic, after=max(-1, opened - _NEAR), limit=_NEAR)
        return next(offset for offset, stored in near if head_of(stored).subject == subject)

    def trace(self, id: str) -> str:  # noqa: A002
        """The trace id of a task."""
        entry = self._tasklog.directory().get(id)
        return entry.traceparent.split("-")[1] if entry is not None and entry.traceparent else ""

    def lanes(self) -> LanesInspector:
        """What makes the lanes of a task."""
        return LanesInspector(self._tasklog, self.log, self._url)

    def inspector(self) -> TaskInspector:
        """See `Lab.inspector`."""
        return TaskInspector(self._tasklog, self.log, self._url)

    def _task(self, entry: DirectoryEntry) -> Task:
        events = tuple(self._events(entry))
        if events and events[-1].kind == "message":
            reply = events[-1].raw["message"]
            status = {"state": "TASK_STATE_COMPLETED", "message": reply}
            raw = {"id": entry.task, "contextId": entry.context, "status": status}
            place = {"topic": entry.topic, "offset": str(events[-1].offset)}
            return Task(entry.agent, raw | {"metadata": {LOG_EXTENSION: place}}, events, plain=True)
        return Task(entry.agent, self._tasklog.task_json(entry.owner, entry.task), events)

    def _events(self, entry: DirectoryEntry, after: int = -1, claim: int = 0) -> list[TaskEvent]:
        return [
            event_of(json.loads(splice(record.body, record.offset, record.generation)))
            for record in self.inspector().records(entry, after=after, claim=claim)
            if record.generation and record.flags & Flags.SPLICED
        ]


def _newest(entries: dict[str, DirectoryEntry]) -> DirectoryEntry:
    """The task that a person means by the last one: the newest that no other task asked for, if there is such."""
    return next((entry for entry in reversed(entries.values()) if not entry.parent), next(reversed(entries.values())))
