"""What spans sessions: which tasks there are, whose they are and how they ended, as a fold over one topic.

The directory topic gets a record when a task opens or ends, in one batch with the event itself. An entry is small and
says where to look; what a task says now is its session's to tell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from nbagora_lab.broker.api import Log
from nbagora_lab.core.events import RecordType, decode

__all__ = ["DIRECTORY", "LEVELS", "DirectoryEntry", "DirectoryFold"]

LEVELS = 16
"""Levels of calls below a task that no agent called: what an agent that calls itself ends at."""

DIRECTORY = "lab/directory"
"""Full name of the directory topic."""


@dataclass(slots=True)
class DirectoryEntry:
    """One task.

    Attributes:
        task: The task's id.
        context: Id of its A2A context.
        agent: Name of the agent that it is for.
        owner: Whose it is; empty for the lab's own user.
        topic: Full name of its session topic.
        parent: Id of the task that called for it, or empty.
        traceparent: W3C trace context that it was opened with.
        levels: Levels of calls that it and those whom it calls may go down.
        home: URL of the lab that runs it, where that is one that joined; else empty.
        opened: Seconds since the Unix epoch.
        ended: The same; 0 while it is open.
        state: Full name of the state in which it ended, ``MESSAGE`` for a plain reply; empty while it is open.
        stamp: Timestamp of that state, as the task has it; empty where it was not noted.
        removed: Whether it was looked for, and its session was gone.
        resumable: Whether it is called anew where the process that ran it has died.
        until: When its caller stops waiting for it, in seconds since the Unix epoch; 0: never.
    """

    task: str
    context: str
    agent: str
    owner: str
    topic: str
    parent: str
    traceparent: str
    opened: float
    ended: float = 0.0
    state: str = ""
    stamp: str = ""
    removed: bool = False
    levels: int = LEVELS
    resumable: bool = False
    home: str = ""
    until: float = 0.0


class DirectoryFold:
    """All tasks of a store.

    Args:
        log: The engine; `refresh` reads from it what has come since.

    Attributes:
        offset: Offset that it is folded to.
        entries: Tasks by id, in the order in which they were opened.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.offset = -1
        self.entries: dict[str, DirectoryEntry] = {}

    def refresh(self) -> DirectoryFold:
        """Folds up to now; costs what has come since the last time."""
        while batch := self._log.scan(DIRECTORY, after=self.offset):
            for offset, stored in batch:
                self.offset = offset
                record = decode(stored, DIRECTORY, offset)
                if record.type == RecordType.TASK_OPENED:
                    body = json.loads(record.body)
                    self.entries[record.subject] = DirectoryEntry(
                        task=record.subject,
                        context=body["context"],
                        agent=body["agent"],
                        owner=body["owner"],
                        topic=body["topic"],
                        parent=body.get("parent", ""),
                        traceparent=record.traceparent,
                        opened=record.time,
                        levels=body.get("levels", LEVELS),
                        resumable=body.get("resumable", False),
                        home=body.get("home", ""),
                        until=body.get("until", 0.0),
                    )
                elif record.type == RecordType.TASK_ENDED and record.subject in self.entries:
                    entry = self.entries[record.subject]
                    body = json.loads(record.body)
                    entry.ended, entry.state, entry.stamp = record.time, body["state"], body.get("at", "")
        return self
