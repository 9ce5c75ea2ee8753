"""Following a task: its events from its own topic, which is where they are first."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from nbagora.show import short_id
from nbagora_lab.core.errors import TimedOut

if TYPE_CHECKING:
    from nbagora_lab.a2a.task import Task, TaskEvent
    from nbagora_lab.lab import Lab

__all__ = ["follow"]


def follow(
    lab: Lab, task: Task, *, timeout: float | None = None, pause: Callable[[], float | None] = lambda: None
) -> Iterator[TaskEvent]:
    """A task's events, those that it has and those to come, until it ends or asks for something.

    Args:
        lab: The lab that has the task's topic.
        task: The task.
        timeout: Seconds to wait at most.
        pause: Called before each wait; says after how many seconds it wants to be called again, None: when it is due.

    Raises:
        TimedOut: `timeout` ran out; the task goes on.
    """
    from nbagora_lab.a2a.task import event_of

    yield from task.events
    after = task.events[-1].offset if task.events else -1
    deadline = None if timeout is None else time.monotonic() + timeout
    ended = task.events[-1].last if task.events else False
    while not ended:
        soon = pause()
        left = None if deadline is None else deadline - time.monotonic()
        waits = [seconds for seconds in (soon, left) if seconds is not None]
        record = next(lab.broker.tail(task.topic, after=after, timeout=min(waits, default=None)), None)
        if record is None:
            if left is not None and left <= 0:
                hint = f"the task goes on: %task watch {short_id(task.id)}"
                raise TimedOut(f"no answer from {task.agent} within {timeout} s", hint)
            continue
        after = record.offset
        if record.subject == task.id and record.generation:
            event = event_of(json.loads(record.body))
            yield event
            ended = event.last
