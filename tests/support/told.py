"""What a task told: its events as the log has them, and as streams give them, in one form that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from nbagora_lab.core.events import RecordType
from nbagora_lab.inspect.fold import LOG_EXTENSION
from nbagora_lab.lab import Lab
from official import canonical

__all__ = ["check_order", "in_the_log", "offset_of", "place_of", "task_id_of", "terminal"]

_ENDS = {"TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_CANCELED", "TASK_STATE_REJECTED"}


def in_the_log(lab: Lab, task_id: str) -> list[dict[str, Any]]:
    """A task's events, read from its topic record by record, with their offset and generation put in."""
    topic = f"sessions/{task_id.rpartition('.')[0]}"
    events: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    for record in lab.broker.read(topic):
        if record.subject != task_id:
            continue
        body = json.loads(record.body) if record.type.startswith("a2a.") else {}
        if record.type == RecordType.MESSAGE and not record.generation:
            del body["message"]["metadata"]
            messages.append(body["message"])
        if record.generation:
            [inner] = body.values()
            inner["metadata"][LOG_EXTENSION] |= {"offset": str(record.offset), "generation": str(record.generation)}
            if record.type == RecordType.TASK:
                inner["history"] = list(messages)
            events.append(canonical(body))
    return events


def place_of(event: dict[str, Any]) -> dict[str, str]:
    """Topic, offset and generation of an event."""
    [inner] = event.values()
    place: dict[str, str] = inner["metadata"][LOG_EXTENSION]
    return place


def offset_of(event: dict[str, Any]) -> int:
    """The offset of an event."""
    return int(place_of(event)["offset"])


def task_id_of(event: dict[str, Any]) -> str:
    """Id of the task that an event is of."""
    [(member, inner)] = event.items()
    return str(inner["id"] if member == "task" else inner["taskId"])


def terminal(event: dict[str, Any]) -> bool:
    """Whether an event ends its task."""
    [inner] = event.values()
    return inner.get("status", {}).get("state") in _ENDS


def check_order(events: Iterable[dict[str, Any]]) -> None:
    """A stream from its task's beginning: a Task first, offsets strictly increasing, generations dense from 1."""
    listed = list(events)
    assert [next(iter(event)) for event in listed].index("task") == 0
    assert "task" not in [next(iter(event)) for event in listed[1:]]
    offsets = [offset_of(event) for event in listed]
    assert offsets == sorted(set(offsets))
    assert [int(place_of(event)["generation"]) for event in listed] == list(range(1, len(listed) + 1))
    assert [terminal(event) for event in listed].count(True) == int(terminal(listed[-1]))
