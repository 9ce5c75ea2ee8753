"""One call of an agent's function for one task: what it is on, what it waits for, and how it is interrupted."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from concurrent.futures import Future
from typing import Any

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.agents.inbox import Slot

__all__ = ["INTERRUPTIONS", "Run"]

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc


class _Interrupted(BaseException):
    """Raised inside code that a cancelled task left running."""


INTERRUPTIONS = (asyncio.CancelledError, _Interrupted)
"""What ends an agent's code from outside."""


class Run:
    """One call of an agent's function for one task.

    Args:
        live: The task.
        sync: Whether the function is a sync one, on a worker.
        resumable: Whether the agent's tasks are called anew where the process that ran them has died.

    Attributes:
        task: Where the function is run; of a sync one, what waits for its worker.
        waiting: What gets the answer to the question that it asked.
        done: Set once nothing of it runs any more.
        calls: Its calls of other agents, if it is sync: it can't be cancelled itself.
        worker: The thread of a sync function, while it runs.
        lock: Held while `worker` changes or is interrupted.
        slot: Its place at work; None while it waits for an answer.
    """

    def __init__(self, live: LiveTask, *, sync: bool, resumable: bool) -> None:
        self.live = live
        self.sync = sync
        self.resumable = resumable
        self.task: asyncio.Task[None] | None = None
        self.waiting: asyncio.Future[dict[str, Any]] | None = None
        self.done: Future[None] = Future()
        self.calls: set[asyncio.Task[Any]] = set()
        self.worker: int | None = None
        self.lock = threading.Lock()
        self.slot: Slot | None = None

    def interrupt(self, thread: int | None) -> None:
        """Raises an exception inside the user's code.

        Args:
            thread: The agents' loop's, where this run's code blocks it; else the run's own worker is meant.
        """
        with self.lock:
            target = thread or self.worker
            if target is not None and not self.done.done():
                _raise_in_thread(ctypes.c_ulong(target), ctypes.py_object(_Interrupted))

    def expect(self) -> asyncio.Future[dict[str, Any]]:
        """A future that gets the next answer. On the agents' loop."""
        loop = asyncio.get_running_loop()
        self.waiting = waiting = loop.create_future()
        loop.call_soon(self.rest)  # when the question, which is written next, is on record
        return waiting

    def rest(self) -> None:
        """Gives its place at work to others until it is answered."""
        slot, self.slot = self.slot, None
        if slot is not None:
            slot.release(done=True)
