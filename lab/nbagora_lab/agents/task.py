"""The task as an agent's function gets it: what it can say, ask, call and know."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.wire import INPUT_REQUIRED, part_of
from nbagora_lab.agents.defaults import Defaults
from nbagora_lab.agents.journal import Journal
from nbagora_lab.agents.message import Message, parts_of
from nbagora_lab.agents.output import Output
from nbagora_lab.agents.replay import MODEL, RERUN, Rerun
from nbagora_lab.agents.short import ShortMemory
from nbagora_lab.broker.api import Log
from nbagora_lab.core.errors import EndOfTask, UsageError
from nbagora_lab.core.events import RecordType

if TYPE_CHECKING:
    from nbagora_lab.a2a.task import Task

__all__ = ["AgentTask", "Emission", "Reply", "running", "running_task"]

running: ContextVar[AgentTask | None] = ContextVar("nbagora_task", default=None)
"""The task that this code is part of; the runner sets it."""


def running_task() -> AgentTask:
    """The task that this code is part of.

    Raises:
        UsageError: It is part of none.
    """
    task = running.get()
    if task is None:
        raise UsageError("no task runs here", "call it in an agent's function")
    return task


class Reply:
    """What `task.message` returns, to be returned.

    Attributes:
        parts: The parts of the plain message.
    """

    def __init__(self, parts: list[dict[str, Any]]) -> None:
        self.parts = parts


class Emission:
    """An output that is on its way: yield it or await it; one that is dropped warns."""

    def __init__(self, what: str, act: Callable[[], None]) -> None:
        self._what = what
        self._act: Callable[[], None] | None = act

    def act(self) -> None:
        """Writes it, once."""
        act, self._act = self._act, None
        if act is not None:
            act()

    def __await__(self) -> Generator[Any, None, None]:
        self.act()
        return asyncio.sleep(0).__await__()

    def __del__(self) -> None:
        if self._act is not None:
            warnings.warn(f"{self._what} was neither yielded nor awaited", RuntimeWarning, stacklevel=2)


class AgentTask:
    """What an agent's function gets as `task`.

    Attributes:
        id: The task's id.
        context_id: Id of its context.
        agent: Name of the agent that it is for.
        owner: Whose it is; empty for the lab's own user.
        log: The engine that its records are on.
        clock: The lab's clock.
        defaults: What holds for a pydantic-ai agent that it runs and that says nothing else.
        restarted: Whether the function is called anew for a task that an earlier process began, or whose function had
            returned; `history` then tells all that was said.
    """

    def __init__(
        self,
        live: LiveTask,
        output: Output,
        *,
        sync: bool,
        restarted: bool,
        expect: Callable[[], asyncio.Future[dict[str, Any]]],
        caller: Callable[..., Coroutine[Any, Any, Task]],
        history: Callable[[], list[Message]],
        memory: Callable[[], ShortMemory],
        log: Log,
        defaults: Defaults,
        resumable: bool = False,
    ) -> None:
        self.id = live.id
        self.context_id = live.context_id
        self.agent = live.agent
        self.owner = live.owner
        self.log = log
        self.clock = live.clock
        self.defaults = defaults
        self.restarted = restarted
        self._resumable = resumable
        self._live = live
        self._output = output
        self._sync = sync
        self._expect = expect
        self._call = caller
        self._history = history
        self._memory = memory

    @functools.cached_property
    def journal(self) -> Journal:
        """The task's steps: what is done in one of them is not done again when the task goes on after a crash."""
        rerun = self.rerun
        given = None if rerun is None else functools.partial(rerun.given, self.log)
        return Journal(self._live, self.log, self._ask_with, resumed=self.restarted, given=given)

    @functools.cached_property
    def request(self) -> Message:
        """The message that the task was opened with."""
        return self.history[0]

    @functools.cached_property
    def model(self) -> str:
        """The model that was asked for with the task; empty for none. Only the lab's own user may ask for one."""
        if self.owner:
            return ""
        asked = str(self.request.raw.get("metadata", {}).get(MODEL, ""))
        return asked if self.rerun is None else self.rerun.model or asked

    @functools.cached_property
    def rerun(self) -> Rerun | None:
        """What the task repeats, where it is one that is run again; only the lab's own user may have that."""
        told = self.request.raw.get("metadata", {}).get(RERUN) if not self._live.owner else None
        return None if told is None else Rerun.parse(told)

    def spent(self) -> dict[str, Any]:
        """What its steps took so far, as `Journal.spent` tells."""
        return self.journal.spent() if "journal" in self.__dict__ else {}

    @property
    def history(self) -> list[Message]:
        """The messages of this task so far, oldest first."""
        return self._history()

    @property
    def session(self) -> list[Message]:
        """What was said in the whole context so far, over all its tasks: questions and answers, oldest first.

        Turns that were undone are not among them.
        """
        return self._memory().messages

    @property
    def memory(self) -> ShortMemory:
        """The context's turns before this task, and the summary of the first of them where there is one."""
        return self._memory().without(self.id)

    def summarise(self, until: str, text: str) -> None:
        """Puts a summary of the conversation up to and including the task `until` on record, for whoever comes next."""
        self._live.note(RecordType.SUMMARY, {"until": until, "text": text})

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked to cancel the task."""
        return self._live.cancelled.is_set()

    @property
    def traceparent(self) -> str:
        """W3C trace context of the task."""
        return self._live.traceparent

    def status(self, text: str, **metadata: Any) -> Emission:
        """Says what the agent is doing; the task stays WORKING."""
        return self._emit("task.status()", lambda: self._output.status(text, metadata or None))

    def artifact(self, name: str, part: object, *, append: bool = False, last: bool = True) -> Emission:
        """Writes a part, or a list of parts, to the artifact called `name`.

        Args:
            name: The artifact's name.
            part: str, dict, pydantic model, bytes or `Path`; or a list of these.
            append: Adds to the artifact of that name instead of starting it.
            last: Whether it is complete with this.
        """
        return self._emit("task.artifact()", lambda: self._output.artifact(name, part, append=append, last=last))

    def file(self, *, url: str, name: str = "", media_type: str = "") -> Emission:
        """Gives out a link to a file."""
        return self._emit("task.file()", lambda: self._output.file(url, name, media_type))

    def complete(self, text: str) -> Emission:
        """Ends the task COMPLETED, with a message."""
        return self._emit("task.complete()", lambda: self._output.complete(text))

    def message(self, *content: object) -> Reply:
        """A plain message, to be returned in place of a task where the agent declares ``--reply message|either``."""
        return Reply([part for one in content for part in parts_of(one)] or [part_of("")])

    def reject(self, why: str) -> EndOfTask:
        """What to raise to end the task REJECTED."""
        return EndOfTask(why, state="TASK_STATE_REJECTED")

    def fail(self, why: str) -> EndOfTask:
        """What to raise to end the task FAILED."""
        return EndOfTask(why)

    def ask(self, question: str, *, timeout: float | None = None) -> Any:
        """Asks the user, and goes on with the answer: ``answer = await task.ask("Which day?")``.

        Args:
            question: What to ask.
            timeout: Seconds after which it raises `TimeoutError`; None waits for ever.

        Returns:
            The answer, a `Message`; awaitable in an async function. A resumable agent's, called anew after a crash, is
            given what was answered before.
        """
        if self._resumable and not self._sync and timeout is None:
            return self.journal.ask(question)
        return self._ask(INPUT_REQUIRED, question, timeout)

    def authorize(self, what: str, *, timeout: float | None = None) -> Any:
        """Asks for authorisation, and goes on with the answer; as `ask`, with AUTH_REQUIRED."""
        return self._ask("TASK_STATE_AUTH_REQUIRED", what, timeout)

    def call(
        self,
        agent: str,
        message: object,
        *,
        key: str = "",
        levels: int | None = None,
        timeout: float | None = None,
        forward: bool = False,
    ) -> Any:
        """Asks another agent by name, in a child context and the same trace.

        Args:
            agent: Its name, or the URL of its doors.
            message: What to ask.
            key: Names this call within the task: made again, after a crash, it is the same message in the same
                context, and whoever has it already goes on with the task that it opened.
            levels: Levels of calls that are left for it and those whom it calls; None leaves what the task has.
            timeout: Seconds that it has; its task is cancelled when they are over, or when this one is.
            forward: Whether what it asks is asked of this task's user, and the answer given to it, until it ends.

        Returns:
            Its `Task`, ended, or asking for something unless `forward` is set; awaitable in an async function.

        Raises:
            TaskFailed: It ended FAILED, REJECTED or CANCELED.
            LimitReached: No levels of calls are left.
            TimedOut: `timeout` ran out.
        """
        call = functools.partial(self._call, self._live, agent, levels=levels, within=timeout)

        def made() -> Coroutine[Any, Any, Task]:
            return self._forwarded(call, agent, message, key) if forward else call(message, key=key)

        if self._sync:
            from anyio.from_thread import run

            self._check_cancelled()
            return run(made)
        return made()

    async def _forwarded(self, call: Callable[..., Any], agent: str, message: object, key: str) -> Task:
        """What comes of a call once all that was asked back is answered."""
        called: Task = await call(message, key=key)
        answers = 0
        while called.state in {"INPUT_REQUIRED", "AUTH_REQUIRED"}:
            about = {"agent": agent, "task": called.id}
            answer = await self.journal.ask(f"{agent} asks: {called.question}", key=f"{agent} asks", metadata=about)
            answers += 1
            called = await call(answer, key=f"{key}/answer {answers}" if key else "", to=called)
        return called

    async def _ask_with(self, question: str, metadata: Mapping[str, Any]) -> Message:
        return await self._answer(INPUT_REQUIRED, question, metadata=dict(metadata))

    def _ask(self, state: str, question: str, timeout: float | None) -> Any:
        if self._sync:
            from anyio.from_thread import run

            self._check_cancelled()
            return run(lambda: self._answer(state, question, within=timeout))
        return self._answer(state, question, within=timeout)

    async def _answer(
        self, state: str, question: str, *, within: float | None = None, metadata: dict[str, Any] | None = None
    ) -> Message:
        answered = self._expect()  # before anybody can see the question
        self._output.ask(state, question, metadata)
        try:
            async with asyncio.timeout(within):  # unlike wait_for, it can't swallow a cancellation
                answer = await answered
        except TimeoutError:
            self._output.begin(again=True)
            raise
        self._output.begin(again=True)
        return Message(answer)

    def _emit(self, what: str, act: Callable[[], None]) -> Emission:
        if self._sync:
            self._check_cancelled()
        emission = Emission(what, act)
        if self._sync:
            emission.act()
        return emission

    def _check_cancelled(self) -> None:
        """Ends a sync function whose task was cancelled: nothing else could."""
        if self.cancelled:
            raise asyncio.CancelledError

    def __repr__(self) -> str:
        return f"<AgentTask {self.id}>"
