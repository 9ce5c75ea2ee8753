"""A task as its caller sees it: what it says, its state, its events."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbagora_lab.a2a.wire import short_state, text_of
from nbagora_lab.core.errors import TaskFailed
from nbagora_lab.inspect.fold import LOG_EXTENSION

__all__ = ["Task", "TaskEvent", "event_of"]

_FAILURES = frozenset({"FAILED", "REJECTED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a task.

    Attributes:
        kind: ``task``, ``status``, ``artifact`` or ``message``.
        text: What it says: the status message's or the artifact's text.
        state: The state that it sets, such as ``WORKING``; empty for artifacts.
        offset: Its place on the session topic; -1 where the peer doesn't say.
        generation: The task's own count of events; 0 where the peer doesn't say.
        raw: The event as ProtoJSON, one of ``task``, ``statusUpdate``, ``artifactUpdate``, ``message``.
    """

    kind: str
    text: str
    state: str
    offset: int
    generation: int
    raw: dict[str, Any] = field(repr=False)

    @property
    def last(self) -> bool:
        """Whether nothing follows until somebody answers: the task has ended, asks, or was a plain message."""
        return self.ended or self.state in {"INPUT_REQUIRED", "AUTH_REQUIRED"}

    @property
    def ended(self) -> bool:
        """Whether nothing follows at all: the task has ended, or was a plain message."""
        return self.kind == "message" or self.state in _FAILURES | {"COMPLETED"}

    def __str__(self) -> str:
        return self.text


def event_of(raw: dict[str, Any]) -> TaskEvent:
    """Reads a `StreamResponse` in ProtoJSON."""
    [(member, body)] = raw.items()
    place = body.get("metadata", {}).get(LOG_EXTENSION, {})
    offset, generation = int(place.get("offset", -1)), int(place.get("generation", 0))
    if member == "artifactUpdate":
        return TaskEvent("artifact", text_of(body["artifact"].get("parts", [])), "", offset, generation, raw)
    if member == "message":
        return TaskEvent("message", text_of(body.get("parts", [])), "", offset, generation, raw)
    status = body.get("status", {})
    said = text_of(status.get("message", {}).get("parts", []))
    kind = "task" if member == "task" else "status"
    return TaskEvent(kind, said, short_state(status.get("state", "")), offset, generation, raw)


@dataclass(frozen=True, slots=True)
class Task:
    """A task, as it stood when it was read.

    Attributes:
        agent: Name of the agent that it is for.
        raw: The task as A2A 1.0's ProtoJSON; for a plain reply, one made up of that message.
        events: Its events, oldest first.
        plain: Whether the agent answered with a plain message and there is no task.
    """

    agent: str
    raw: dict[str, Any] = field(repr=False)
    events: Sequence[TaskEvent] = field(default=(), repr=False)
    plain: bool = False

    @property
    def id(self) -> str:
        """Its id; empty for a plain reply."""
        return str(self.raw.get("id", ""))

    @property
    def context_id(self) -> str:
        """Id of its context."""
        return str(self.raw.get("contextId", ""))

    @property
    def topic(self) -> str:
        """Full name of its session topic; empty where the peer doesn't say."""
        return str(self.raw.get("metadata", {}).get(LOG_EXTENSION, {}).get("topic", ""))

    @property
    def state(self) -> str:
        """Its state: ``COMPLETED``, ``WORKING``, …"""
        return short_state(self.raw.get("status", {}).get("state", ""))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The parts of all its artifacts, then those of the message that it ended with."""
        parts = [part for artifact in self.raw.get("artifacts", []) for part in artifact.get("parts", [])]
        if self.state == "COMPLETED":
            parts += self._said
        return parts

    @property
    def _said(self) -> list[dict[str, Any]]:
        return list(self.raw.get("status", {}).get("message", {}).get("parts", []))

    @property
    def text(self) -> str:
        """What the agent answered: the text of its artifacts and of the message that it completed with."""
        return text_of(self.parts)

    @property
    def data(self) -> list[Any]:
        """The values of its data parts."""
        return [part["data"] for part in self.parts if "data" in part]

    @property
    def files(self) -> list[dict[str, Any]]:
        """Its files, each with ``name``, ``media_type`` and ``content`` (bytes) or ``url``."""
        return [
            {"name": part.get("filename", ""), "media_type": part.get("mediaType", "")}
            | ({"content": base64.b64decode(part["raw"])} if "raw" in part else {"url": part["url"]})
            for part in self.parts
            if "raw" in part or "url" in part
        ]

    @property
    def status_text(self) -> str:
        """What its status says."""
        return text_of(self._said)

    @property
    def question(self) -> str:
        """What it asks; empty unless it waits for an answer."""
        return self.status_text if self.state in {"INPUT_REQUIRED", "AUTH_REQUIRED"} else ""

    @property
    def error(self) -> str:
        """Why it failed; empty unless it did."""
        return self.status_text if self.state in _FAILURES else ""

    @property
    def created(self) -> float:
        """When its first known event was, in seconds since the Unix epoch; 0 where nothing says."""
        return _seconds(self.events[0].raw) if self.events else self.updated

    @property
    def updated(self) -> float:
        """When its status was set, in seconds since the Unix epoch; 0 where nothing says."""
        return _seconds({"task": self.raw})

    def check(self) -> Task:
        """Returns the task, unless it has failed.

        Raises:
            TaskFailed: It ended FAILED, REJECTED or CANCELED.
        """
        if self.state in _FAILURES:
            why = f": {self.error}" if self.error else ""
            raise TaskFailed(
                f"the task {self.id} of {self.agent} ended {self.state}{why}",
                f"see %task show {self.id} for its events and log, or take it with --no-raise",
                self,
            )
        return self

    def __str__(self) -> str:
        return self.text


def _seconds(raw: dict[str, Any]) -> float:
    [body] = raw.values()
    stamp = body.get("status", {}).get("timestamp", "")
    return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0
