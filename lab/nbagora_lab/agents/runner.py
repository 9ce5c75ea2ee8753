"""Runs agents: async ones on a loop thread of their own, sync ones on workers, so that no agent stops a door.

A run's owner thread is the agents' loop (or the worker that it waits for); `start`, `resume` and `cancel` hand over.
A cancelled run is given `cancel_grace` seconds; then the task ends CANCELED whatever the code does, its later output
is dropped, and code that still holds its thread gets an exception raised in it.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import traceback
from collections.abc import Coroutine
from concurrent.futures import wait
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from nbagora_lab.a2a.live import Entries, LiveTask, current_task
from nbagora_lab.a2a.task import Task
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import CANCELED, FAILED, INTERRUPTED_STATES, SUBMITTED
from nbagora_lab.agents.deadlines import Deadlines
from nbagora_lab.agents.definition import AgentDefinition
from nbagora_lab.agents.inbox import Begin, Inbox, Slot
from nbagora_lab.agents.message import Message
from nbagora_lab.agents.output import Output
from nbagora_lab.agents.prints import TaskPrinter, current_printer
from nbagora_lab.agents.run import INTERRUPTIONS, Run
from nbagora_lab.agents.short import short_memory
from nbagora_lab.agents.task import AgentTask, running
from nbagora_lab.broker.api import Groups
from nbagora_lab.broker.tail import aside
from nbagora_lab.core.errors import BadYield, EndOfTask, LabError, StoreError, TaskEnded
from nbagora_lab.core.events import RecordType, Scheduling
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop

__all__ = ["Caller", "Runner", "Runs"]

_WORKERS = 64  # sync functions that run at once
_log = logger.getChild("agents")


class Caller(Protocol):
    """Calls another agent for a task; the lab gives it."""

    def __call__(
        self,
        live: LiveTask,
        agent: str,
        content: object,
        /,
        *,
        key: str = "",
        levels: int | None = None,
        within: float | None = None,
        to: Task | None = None,
    ) -> Coroutine[Any, Any, Task]:
        """The called agent's task, once it has ended or asks for something; `to` is one whose question is answered."""


class Runs:
    """All runs of a lab, and the loop they are on.

    Args:
        tasks: The task log.
        groups: The broker's groups, which hand out what comes into inboxes.
        call: Calls another agent for a task.
        cancel_grace: Seconds that a cancelled run has to end.
    """

    def __init__(self, tasks: TaskLog, groups: Groups, call: Caller, cancel_grace: float) -> None:
        self.tasks = tasks
        self.groups = groups
        self.call = call
        self.cancel_grace = cancel_grace
        self.inboxes: dict[str, Inbox] = {}
        self.deadlines = Deadlines(tasks, self.cancel)
        tasks.place = self._place
        self.loop = ServiceLoop("nbagora-agents")
        self.stopping = False
        self._runs: dict[str, Run] = {}
        self._limiter: Any = None
        self._asyncio: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts the agents' loop."""
        self.loop.start()
        self._asyncio = self.loop.call(asyncio.get_running_loop)

    def stop(self) -> None:
        """Ends all runs: what works ends FAILED with the reason, what waits for somebody is left as it is."""
        self.stopping = True
        for agent in list(self.inboxes):
            self.close_inbox(agent)
        runs = list(self._runs.values())
        for run in runs:
            self._cancel(run)
        _, late = wait([run.done for run in runs], min(self.cancel_grace, 2.0))
        for run in runs:
            if run.done in late:
                self._close(run)
                run.interrupt(self._blocked_by(run))
        if not self.loop.stop(timeout=5.0):
            _log.error("the agents' loop is blocked by an agent and was left behind")

    def open_inbox(self, agent: str, begin: Begin, concurrency: int) -> Inbox:
        """Opens an agent's inbox, or changes one that is open; what waits in it is handed out."""
        inbox = self.inboxes.get(agent)
        if inbox is None:
            inbox = self.inboxes[agent] = Inbox(
                agent, self.tasks, self.groups, begin, self._runs.__contains__, concurrency
            )
            self.loop.submit(lambda: self._opened(inbox))
        else:
            inbox.begin, inbox.concurrency = begin, concurrency
            self.loop.submit(inbox.pump)
        return inbox

    def _opened(self, inbox: Inbox) -> None:
        inbox.open(asyncio.get_running_loop())
        self.deadlines.take_up(inbox.agent)

    def _place(self, agent: str, task_id: str) -> dict[str, str] | None:
        inbox = self.inboxes.get(agent)
        return inbox.place(task_id) if inbox is not None else {"place": "", "held": f"{agent} does not run"}

    def reopen(self) -> None:
        """Goes on handing out, after the lab that has the inboxes was away."""
        for inbox in list(self.inboxes.values()):
            self.loop.submit(inbox.reopen)

    def close_inbox(self, agent: str) -> None:
        """Hands out nothing more of an agent's inbox; what waits there goes on waiting."""
        inbox = self.inboxes.pop(agent, None)
        if inbox is not None:
            self.loop.submit(inbox.close)

    def launch(
        self, definition: AgentDefinition, live: LiveTask, message: dict[str, Any], slot: Slot, *, restarted: bool
    ) -> None:
        """Hands a message to the run that waits for it, or begins one; returns at once. On the agents' loop."""
        run = self._runs.get(live.id)
        if run is not None and run.waiting is not None and not run.waiting.done():
            run.slot = slot
            run.waiting.set_result(message)
            return
        run = self._runs[live.id] = Run(live, sync=definition.sync, resumable=definition.resumable)
        run.slot = slot
        run.task = asyncio.get_running_loop().create_task(
            self._run(run, definition, message, restarted=restarted),
            name=f"{live.agent} {live.id}",
            context=Context(),  # its own: an agent of this process that calls it has steps and limits of its own
        )
        run.task.add_done_callback(partial(self._over, run))

    async def cancel(self, live: LiveTask) -> None:
        """Ends a task CANCELED; returns when it has ended."""
        live.cancelled.set()
        run = self._runs.get(live.id)
        if run is None:
            await aside(self.tasks.log, partial(live.end_if_open, CANCELED))
            return
        await aside(self.tasks.log, partial(live.note, "task.cancel", {}))
        self._cancel(run)
        ended, _ = await asyncio.wait([asyncio.wrap_future(run.done)], timeout=self.cancel_grace)
        if await aside(self.tasks.log, partial(live.end_if_open, CANCELED)) and not ended:
            _log.warning("the agent %s did not end when its task %s was cancelled", live.agent, live.id)
        if not ended:
            run.interrupt(self._blocked_by(run))

    def open_tasks(self, agent: str) -> int:
        """Number of runs of an agent."""
        return sum(run.live.agent == agent for run in list(self._runs.values()))

    def busy(self) -> str:
        """Which task's code holds the agents' loop at this moment: ``agent task-id``, or empty."""
        current = asyncio.current_task(self._asyncio) if self._asyncio is not None else None
        return current.get_name() if current is not None else ""

    def _blocked_by(self, run: Run) -> int | None:
        """The agents' loop's thread, if this run's code holds it."""
        current = asyncio.current_task(self._asyncio) if self._asyncio is not None else None
        return self.loop.thread_id if current is not None and current is run.task else None

    def _cancel(self, run: Run) -> None:
        run.live.cancelled.set()

        def cancel() -> None:
            if run.waiting is not None:
                run.waiting.cancel()
            if run.task is not None and not run.sync:  # a sync function hears of it at its next call
                run.task.cancel()
            for call in run.calls:
                call.cancel()

        self.loop.submit(cancel)

    def _over(self, run: Run, task: asyncio.Task[None]) -> None:
        try:
            if task.cancelled():  # before its first step: nothing of `_run` was run
                self._close(run)
        except StoreError as error:
            _log.error("the task %s of %s can't be closed: %s", run.live.id, run.live.agent, error.what)
        finally:
            if self._runs.get(run.live.id) is run:
                del self._runs[run.live.id]
            if run.slot is not None:
                run.slot.release(done=run.live.ended)
            if not run.done.done():
                run.done.set_result(None)

    async def _run(self, run: Run, definition: AgentDefinition, message: dict[str, Any], *, restarted: bool) -> None:
        live = run.live
        if live.cancelled.is_set():
            raise asyncio.CancelledError
        former = self._artifacts(live) if restarted and definition.resumable else ()
        output = Output(live, self.tasks.ids, definition.reply, former)
        printer = TaskPrinter(lambda stream, line: self._note(live, stream, line))
        current_printer.set(printer)
        current_task.set(live)
        try:
            output.begin()
            task = AgentTask(
                live,
                output,
                sync=definition.sync,
                restarted=restarted,
                expect=run.expect,
                caller=functools.partial(self._call, run) if definition.sync else self.call,
                history=lambda: self._history(live),
                memory=lambda: short_memory(self.tasks, live.owner, live.context_id, reader=live.id),
                log=self.tasks.log,
                defaults=definition.defaults,
                resumable=definition.resumable,
            )
            output.spent = task.spent
            output.before_stop = functools.partial(self._last_word, live, printer)
            running.set(task)
            if restarted and definition.resumable:  # what was asked and answered since then is in its journal
                message = task.history[0].raw
            try:
                if definition.sync:
                    await self._run_sync(run, definition, Message(message), task, output)
                else:
                    await definition.run(Message(message), task, output)
            finally:
                printer.flush()  # before the word that stops the task, whatever that is
        except INTERRUPTIONS:
            self._close(run)
        except TaskEnded:
            _log.info("later output of %s for %s was dropped", live.agent, live.id)
        except EndOfTask as end:
            output.end(end.state, end.what)
        except StoreError as error:
            _log.error("the task %s of %s can't go on: %s", live.id, live.agent, error.what)
        except Exception as error:  # noqa: BLE001 -- whatever an agent raises ends its task, and nothing else
            if live.cancelled.is_set():
                self._close(run)
            else:
                self._fail(live, output, error)

    def _last_word(self, live: LiveTask, printer: TaskPrinter) -> None:
        """Before an agent's own word that stops its task: whoever wanted it cancelled, and was first, is obeyed."""
        printer.flush()
        if live.cancelled.is_set() and not self.stopping:
            raise asyncio.CancelledError

    async def _call(self, run: Run, *args: Any, **options: Any) -> Task:
        """A sync function's call, which ends when its task is cancelled."""
        calling = asyncio.current_task()
        assert calling is not None
        run.calls.add(calling)
        try:
            return await self.call(*args, **options)
        finally:
            run.calls.discard(calling)

    async def _run_sync(
        self, run: Run, definition: AgentDefinition, message: Message, task: AgentTask, output: Output
    ) -> None:
        from anyio import CapacityLimiter, to_thread

        if self._limiter is None:
            self._limiter = CapacityLimiter(_WORKERS)

        def work() -> bool:
            if run.live.cancelled.is_set():  # while it waited for a worker
                return False
            run.worker = threading.get_ident()
            try:
                definition.run_sync(message, task, output)
            except INTERRUPTIONS:
                return False
            finally:
                with run.lock:
                    run.worker = None
            return True

        if not await to_thread.run_sync(work, limiter=self._limiter):
            raise asyncio.CancelledError

    def _close(self, run: Run) -> None:
        """Ends the task of a run that was cancelled, as whoever cancelled it wants."""
        live = run.live
        if not self.stopping:
            live.end_if_open(CANCELED)
        elif live.state not in INTERRUPTED_STATES and live.state != SUBMITTED and not run.resumable:
            self._end(live, "The lab was stopped while the task ran.")

    def _fail(self, live: LiveTask, output: Output, error: Exception) -> None:
        try:
            lines = traceback.format_exception(error)
            self._note(live, "traceback", "".join(_users_part(lines))[-8000:])
            said = error.what if isinstance(error, LabError) else f"{type(error).__name__}: {error}".rstrip(": ")
            if isinstance(error, BadYield) and error.hint:
                said += f"; {error.hint}"
            output.end(FAILED, said)
        except StoreError as failure:
            _log.error("the task %s of %s can't go on: %s", live.id, live.agent, failure.what)

    def _end(self, live: LiveTask, why: str) -> None:
        message = {
            "messageId": self.tasks.ids.new("message", live.id),
            "role": "ROLE_AGENT",
            "parts": [{"text": why}],
            "taskId": live.id,
            "contextId": live.context_id,
        }
        live.end_if_open(FAILED, message)

    def _note(self, live: LiveTask, stream: str, text: str) -> None:
        try:
            live.note(RecordType.TASK_LOG, {"stream": stream, "text": text})
        except StoreError as error:
            _log.error("a line of %s's log is lost: %s", live.id, error.what)

    def _artifacts(self, live: LiveTask) -> list[dict[str, Any]]:
        return list(self.tasks.task_json(live.owner, live.id, history=0).get("artifacts", []))

    def _history(self, live: LiveTask) -> list[Message]:
        return [Message(one) for one in self.tasks.task_json(live.owner, live.id).get("history", [])]


class Runner:
    """The runner of one agent; its definition can be replaced while tasks run on the former one.

    Args:
        runs: All runs of the lab.
        definition: The agent.
    """

    def __init__(self, runs: Runs, definition: AgentDefinition) -> None:
        self.definition = definition
        self._runs = runs

    @property
    def reply(self) -> str:
        """``task``, ``message`` or ``either``."""
        return self.definition.reply

    @property
    def resumable(self) -> bool:
        """Whether its tasks are called anew where the process that ran them has died."""
        return self.definition.resumable

    def entries(self, live: LiveTask, message: dict[str, Any], generation: int, plan: Scheduling) -> Entries:
        """See `AgentRunner.entries`."""
        inbox = self._runs.inboxes.get(self.definition.name)
        return () if inbox is None else (inbox.entry(live, message, generation, plan, self.begin),)

    def start(self, live: LiveTask, message: dict[str, Any], generation: int) -> None:  # noqa: ARG002 -- the protocol's
        """See `AgentRunner.start`; a task whose caller waits no longer is cancelled, whatever became of the caller."""
        self._runs.deadlines.mind(live)

    def begin(self, live: LiveTask, message: dict[str, Any], slot: Slot, *, restarted: bool) -> None:
        """Works on a message whose turn has come. On the agents' loop."""
        self._runs.launch(self.definition, live, message, slot, restarted=restarted or live.generation > 1)

    async def cancel(self, live: LiveTask) -> None:
        """See `AgentRunner.cancel`."""
        await self._runs.cancel(live)


def _users_part(lines: list[str]) -> list[str]:
    """A traceback without the lab's own frames, so that it starts at the cell's line."""
    return [line for line in lines if "nbagora_lab" not in line.partition("\n")[0]]
