"""What people ask agents through a lab: messages, and the tasks that come of them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from nbagora_lab.a2a.keyring import parse_credentials
from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.a2a.tasklog import SESSIONS
from nbagora_lab.agents.message import parts_of
from nbagora_lab.agents.replay import MODEL, RERUN, Difference, Rerun, diff, replay
from nbagora_lab.agents.short import ShortMemory
from nbagora_lab.broker import Broker
from nbagora_lab.broker.model import join_topic
from nbagora_lab.core.errors import NotStarted, TimedOut
from nbagora_lab.core.objects import read_object
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.inspect.lanesview import StepRow
from nbagora_lab.inspect.spans import spans_of
from nbagora_lab.inspect.steps import Step
from nbagora_lab.routed import RoutedCalls
from nbagora_lab.tasks import Tasks

__all__ = ["Asking", "Whom"]

Whom = str | Path | Mapping[str, Any]


class Asking:
    """The part of a lab that asks.

    Attributes:
        service: The service loop.
        broker: Its topics.
    """

    service: ServiceLoop
    broker: Broker
    _calls: RoutedCalls
    _tasks: Tasks

    @property
    def running(self) -> bool:
        """Whether it has not been stopped."""
        raise NotImplementedError

    def ask(
        self,
        agent: Whom,
        message: object,
        *,
        context: Task | str | None = None,
        timeout: float | None = None,
        cancel: bool = False,
        check: bool = True,
        model: str = "",
        credentials: str | Sequence[str] | None = None,
    ) -> Task:
        """Sends a message and waits until its task ends or asks for something.

        Args:
            agent: The agent's name, the URL of its doors, its card, or a ``.json`` file with that.
            message: str, dict, pydantic model, bytes, `Path`, or a list of these.
            context: The conversation to go on with: a task of it, its id, or ``last``.
            timeout: Seconds to wait at most; the task goes on, unless `cancel` is set.
            cancel: Whether the task is cancelled, wherever it runs, when the wait ends before it: by the time-out, or
                by Ctrl-C.
            check: Whether a task that failed is raised.
            model: What answers this once for a pydantic-ai agent, as `agents.models.choose` takes it.
            credentials: What is shown to the agent, for this call and all that its task needs later, as
                `a2a.keyring` has it written; the agent's card chooses among several. None: what the keyring has.

        Raises:
            AgentNotFound: No agent of that name is registered.
            TaskFailed: It ended FAILED, REJECTED or CANCELED, and `check` is set.
            TimedOut: `timeout` ran out.
            Unauthorized: The agent's card asks for what was not given, or what was given is refused.
        """
        sent = self._message(message, context, model)
        within = timeout if cancel else None
        ask = functools.partial(self._calls.ask, abandon=cancel, within=within, given=parse_credentials(credentials))
        return self._checked(self._wait(ask, self._whom(agent), sent, timeout=timeout), check)

    def stream(
        self,
        agent: Whom,
        message: object,
        *,
        context: Task | str | None = None,
        credentials: str | Sequence[str] | None = None,
    ) -> Iterator[TaskEvent]:
        """Sends a message; gives its events as they come, until the task ends or asks for something.

        The stream resumes by itself over a cut connection; each event comes once. Arguments as for `ask`.
        """
        given = parse_credentials(credentials)
        sent = self._message(message, context)
        return self.service.iterate(self._calls.stream(self._whom(agent), sent, given=given))

    def send(
        self,
        agent: Whom,
        message: object,
        *,
        context: Task | str | None = None,
        timeout: float | None = None,
        model: str = "",
        credentials: str | Sequence[str] | None = None,
    ) -> Task:
        """Sends a message and returns once its task is opened. Arguments as for `ask`."""
        send = functools.partial(self._calls.send, given=parse_credentials(credentials))
        sent = self._message(message, context, model)
        task: Task = self._wait(send, self._whom(agent), sent, timeout=timeout)
        return task

    def wait(self, task: Task | str, *, timeout: float | None = None, check: bool = True) -> Task:
        """Waits until a task ends or asks for something. Arguments as for `ask`."""
        known = task if isinstance(task, Task) else self.task(task)
        if known.plain:
            return known
        return self._checked(self._wait(self._calls.wait, known.agent, known.id, timeout=timeout), check)

    def answer(
        self,
        task: Task | str,
        message: object,
        *,
        timeout: float | None = None,
        check: bool = True,
        credentials: str | Sequence[str] | None = None,
    ) -> Task:
        """Answers a task that asks for something, and waits until it ends or asks again. Arguments as for `ask`."""
        known = task if isinstance(task, Task) else self.task(task)
        sent = self._calls.message(message, context_id=known.context_id, task_id=known.id)
        ask = functools.partial(self._calls.ask, given=parse_credentials(credentials))
        return self._checked(self._wait(ask, known.agent, sent, timeout=timeout), check)

    def cancel(self, task: Task | str) -> Task:
        """Cancels a task.

        Raises:
            RemoteError: It has ended.
        """
        known = task if isinstance(task, Task) else self.task(task)
        canceled: Task = self._wait(self._calls.cancel, known.agent, known.id)
        return canceled

    def _whom(self, agent: Whom) -> str:
        """An agent's name or URL; one that is given by its card is called by that from now on."""
        if isinstance(agent, Path) or (isinstance(agent, str) and agent.endswith(".json")):
            agent = read_object(Path(agent), "card")
        if isinstance(agent, str):
            return agent
        url: str = self._wait(self._introduced, agent)
        return url

    async def _introduced(self, card: Mapping[str, Any]) -> str:
        return self._calls.introduce(card)

    def _message(self, content: object, context: Task | str | None, model: str = "") -> dict[str, Any]:
        self._check_running()
        message = self._calls.message(content, context_id=self._tasks.context_of(context))
        return message | ({"metadata": {MODEL: model}} if model else {})

    def _wait(self, function: Callable[..., Any], *args: Any, timeout: float | None = None) -> Any:
        self._check_running()
        try:
            return self.service.call(function, *args, timeout=timeout)
        except TimedOut:
            raise
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout} s", "the task goes on: %task ls shows it") from None

    @staticmethod
    def _checked(task: Task, check: bool) -> Task:
        return task.check() if check else task

    def task(self, id: str) -> Task:  # noqa: A002 -- the word of every face
        """A task of this lab as it stands now, by its id, a part of it that is unique, or ``last``.

        Raises:
            TaskNotFound: There is none, or more than one.
        """
        self._check_running()
        return self._tasks.get(id)

    def tasks(
        self, *, agent: str | None = None, context: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[Task]:
        """Tasks of this lab, newest first.

        Args:
            agent: Only this agent's.
            context: Only this context's.
            state: Only those in this state, such as ``WORKING``.
            limit: Number of tasks at most.
        """
        self._check_running()
        return self._tasks.ls(agent=agent, context=context, state=state, limit=limit)

    def memory(self, context: Task | str, *, at: int | None = None) -> ShortMemory:
        """What an agent is told of a conversation: its turns, and the summary of the first of them if there is one.

        Args:
            context: A task of it, or its context id.
            at: Offset of the session topic as of which it is told; None for now.

        Raises:
            TopicNotFound: There is no such conversation.
        """
        self._check_running()
        return self._tasks.memory(context, at)

    def undo(self, context: Task | str) -> Task:
        """Takes the newest turn of a conversation out of what agents are told; its records stay, and so does the task.

        Args:
            context: A task of it, or its context id.

        Returns:
            The task of that turn.

        Raises:
            NotFound: No turn is left.
            TopicNotFound: There is no such conversation.
            UsageError: The newest task has not ended.
        """
        self._check_running()
        return self._tasks.undo(context)

    def spans(self, task: Task | str, *, content: bool = False) -> list[dict[str, Any]]:
        """The steps of a task as OpenTelemetry's spans; see `nbagora_lab.inspect.spans`."""
        known = task if isinstance(task, Task) else self.task(task)
        return spans_of(self.steps(known), self._tasks.trace(known.id), content=content)

    def steps(self, task: Task | str) -> list[StepRow]:
        """The steps of a task and of those that it called, in the order in which they began."""
        known = task if isinstance(task, Task) else self.task(task)
        return self._tasks.lanes().steps(known.id)

    def rerun(
        self,
        task: Task | str,
        *,
        at: str,
        message: object = None,
        answers: Mapping[str, Any] | None = None,
        model: str = "",
        timeout: float | None = None,
        check: bool = True,
    ) -> Task:
        """Runs a task again from one of its steps: the steps before are taken over, the rest is done anew.

        It goes on in a fork of the conversation, which has all that was said before the task; the former one stays as
        it is.

        Args:
            task: The task.
            at: Path of the step from which it goes on live, as `steps` tells it.
            message: What is asked instead of what was; None: the same.
            answers: Other results of steps, by their paths; that of `at` itself may be among them.
            model: What answers from there, as `agents.models.choose` takes it; empty: as before.
            timeout: As for `ask`.
            check: As for `ask`.

        Raises:
            UsageError: It has no step of that path.
        """
        former = task if isinstance(task, Task) else self.task(task)
        sent = self._again(former, at, message, dict(answers or {}), model)
        return self._checked(self._wait(self._calls.ask, former.agent, sent, timeout=timeout), check)

    def _again(self, former: Task, at: str, message: object, answers: dict[str, Any], model: str) -> dict[str, Any]:
        """The message that has a task run again."""
        asked = former.raw["history"][0]["parts"] if message is None else parts_of(message)
        topic = join_topic(SESSIONS, former.context_id)
        rerun = Rerun(topic, former.id, at, answers, model)
        rerun.given(self._tasks.log)  # what can't be is told at once
        sent = self._message("rerun", None) | {"parts": asked, "metadata": {RERUN: rerun.as_json()}}
        if (before := self._tasks.first(former.id) - 1) >= 0:
            self.broker.fork(topic, join_topic(SESSIONS, sent["contextId"]), at=before)
        return sent

    def _begin_again(self, task: str, at: str, answers: dict[str, Any]) -> Future[object]:
        """Begins to run a task again from a step, for a view: a fork may wait for the disk."""
        former = self.task(task)

        async def begin() -> Task:
            sent = await asyncio.to_thread(self._again, former, at, None, answers, "")
            return await self._calls.send(former.agent, sent)

        return self.service.submit(begin)

    def diff(self, first: Task | str, second: Task | str) -> list[Difference]:
        """Where two runs differ, step by step: what was asked, decided, called and answered."""
        one, other = (task if isinstance(task, Task) else self.task(task) for task in (first, second))
        return diff(self._recorded(one), self._recorded(other))

    def _recorded(self, task: Task) -> list[Step]:
        return list(replay(self._tasks.log, join_topic(SESSIONS, task.context_id), task.id))

    def _check_running(self) -> None:
        if not self.running:
            raise NotStarted("this lab has been stopped", "start one with %lab start")
