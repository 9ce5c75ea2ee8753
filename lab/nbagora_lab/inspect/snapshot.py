"""Snapshots of sessions: a fold as lines of JSON, from which it is built again without reading all of its records.

Lines are short, so that neither writing nor reading a large one holds up everybody else's work.

| line | what |
|---|---|
| ``{"format", "context", "offset", "forked_at"}`` | the first one |
| ``{"task": …}`` | a task without its artifacts |
| ``{"artifact": …}`` | an artifact of the task before it, or more of its parts |
| ``{"messages": …}``, ``{"blobs": …}`` | user messages and large bodies, some at a time |
| ``{"summary": [by, until, text]}`` | one of the conversation up to a task |
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from nbagora_lab.inspect.fold import SessionFold, TaskFold

__all__ = ["SNAPSHOTS", "restored", "written"]

SNAPSHOTS = "snapshots"
"""The parent topic of all sessions' snapshots; a session's is named like its own topic."""

_FORMAT = 2
_SOME = 1000  # parts, messages or blobs in a line


def written(fold: SessionFold) -> Iterator[bytes]:
    """A fold that changes no more, a `SessionFold.copy`, as lines."""
    yield _line(format=_FORMAT, context=fold.context_id, offset=fold.offset, forked_at=fold.forked_at)
    for task in fold.tasks.values():
        yield _line(task=task.saved())
        for artifact in task.artifacts():
            for at in range(0, max(len(artifact["parts"]), 1), _SOME):
                yield _line(artifact={**artifact, "parts": artifact["parts"][at : at + _SOME]})
    for messages in _batches(fold.messages):
        yield _line(messages=messages)
    for blobs in _batches(fold.blobs):
        yield _line(blobs=blobs)
    for summary in fold.summaries:
        yield _line(summary=summary)


def restored(topic: str, lines: Iterable[bytes]) -> SessionFold | None:
    """The fold of `topic` that `written` gave; None where it is of another format."""
    fold, task = None, None
    for line in lines:
        told: dict[str, Any] = json.loads(line)
        if fold is None:
            if told.get("format") != _FORMAT:
                return None
            fold = SessionFold(topic, told["context"], forked_at=told["forked_at"])
            fold.offset = told["offset"]
        elif "task" in told:
            task = TaskFold.restored(told["task"])
            fold.tasks[task.id] = task
        elif "artifact" in told and task is not None:
            task.restore_artifact(told["artifact"])
        elif "summary" in told:
            by, until, text = told["summary"]
            fold.summaries.append((by, until, text))
        fold.messages |= told.get("messages", {})
        fold.blobs |= {name: (size, kind) for name, (size, kind) in told.get("blobs", {}).items()}
    return fold


def _line(**content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _batches(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    items = iter(whole.items())
    while some := dict(itertools.islice(items, _SOME)):
        yield some
