"""ListTasks: an agent's tasks, newest status first, page by page."""

from __future__ import annotations

from datetime import UTC, datetime

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError
from a2a.utils.task import (
    ListTasksCursor,
    decode_list_tasks_cursor,
    encode_list_tasks_cursor,
    validate_history_length,
    validate_page_size,
)

from nbagora_lab.a2a.protojson import filled
from nbagora_lab.a2a.requests import history_length
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.core.errors import TaskNotFound
from nbagora_lab.inspect.directory import DirectoryEntry

__all__ = ["list_tasks"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def list_tasks(tasks: TaskLog, owner: str, agent: str, params: pb.ListTasksRequest) -> pb.ListTasksResponse:
    """One page of an owner's tasks for an agent.

    The page token names the last task of the page by its place in the order and stays valid while tasks move.

    Raises:
        InvalidParamsError: A page size, history length, state or page token that does not fit.
    """
    validate_history_length(params)
    size = params.page_size if params.HasField("page_size") else 50
    validate_page_size(size)
    cursor = None
    if params.page_token and (cursor := decode_list_tasks_cursor(params.page_token)) is None:
        raise InvalidParamsError("the page token is not one of this agent's")
    since = params.status_timestamp_after.ToNanoseconds() if params.HasField("status_timestamp_after") else None
    state = _state_name(params.status)
    entries = [
        entry
        for entry in tasks.directory().values()
        if entry.owner == owner and entry.agent == agent and entry.state != "MESSAGE" and not entry.removed
        if not params.context_id or entry.context == params.context_id
    ]
    history = history_length(params)
    while True:
        rows: list[tuple[ListTasksCursor, DirectoryEntry]] = []
        for entry in entries:
            found = _status(tasks, entry)
            if entry.removed or (params.status and found[0] != state):
                continue
            at = _nanoseconds(found[1])
            if since is None or at >= since:
                rows.append((ListTasksCursor(at, entry.task), entry))
        rows.sort(key=lambda row: row[0].sort_key(), reverse=True)
        total = len(rows)
        if cursor is not None:
            rows = [row for row in rows if row[0].sort_key() < cursor.sort_key()]
        page, more = rows[:size], len(rows) > size
        response = pb.ListTasksResponse(page_size=size, total_size=total)
        for _, entry in page:
            try:
                task = tasks.task_json(owner, entry.task, history=history, artifacts=params.include_artifacts)
            except TaskNotFound:
                entry.removed = True
            else:
                response.tasks.append(filled(task, pb.Task()))
        if len(response.tasks) == len(page):
            response.next_page_token = encode_list_tasks_cursor(page[-1][0]) if more else ""
            return response


def _status(tasks: TaskLog, entry: DirectoryEntry) -> tuple[str, str]:
    """A task's state and its timestamp, from where they cost least; marks the entry where its session is gone."""
    if (live := tasks.live(entry.task)) is not None and live.stamp:
        return live.state, live.stamp
    if entry.stamp and tasks.exists(entry.topic):
        return entry.state, entry.stamp
    try:
        fold = tasks.find(entry.owner, entry.task)
    except TaskNotFound:
        entry.removed = True
        return "", ""
    return fold.state, fold.stamp


def _state_name(state: int) -> str:
    known = pb.TaskState.DESCRIPTOR.values_by_number.get(state)
    if known is None:
        raise InvalidParamsError(f"{state} is no state of a task")
    return known.name


def _nanoseconds(timestamp: str) -> int:
    """Since the Unix epoch, exactly: a float would lose what comparisons for equality need."""
    if not timestamp:
        return 0
    since = datetime.fromisoformat(timestamp).astimezone(UTC) - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
