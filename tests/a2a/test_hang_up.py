"""A caller that hangs up, at each point at which a call waits: what it asked for is done once, whole, or not at all.

A log elsewhere is written on threads, which go on when their caller is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Coroutine, Generator, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict

from bindings import user_message
from nbagora_lab.a2a.handler import LogRequestHandler
from nbagora_lab.lab import Lab
from task_logs import as_owner
from waiting import until

END = {"TASK_STATE_COMPLETED", "TASK_STATE_CANCELED"}


patient: ContextVar[bool] = ContextVar("patient", default=True)
"""Whether who calls, on its loop or on threads that do its work, will stay."""


class Gate:
    """Holds up what those write who will hang up, until it is let go."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self.stuck = False

    def close(self) -> None:
        self._go.clear()

    def let_go(self) -> None:
        self._go.set()

    def pass_through(self) -> None:
        if not patient.get() and not self._go.wait(20):
            self.stuck = True


class HangsUp:
    """A call whose caller hangs up when it waits for the `nth` time, before that for which it waits is written."""

    def __init__(self, call: Coroutine[Any, Any, Any], nth: int, gate: Gate) -> None:
        self.call, self.nth, self.gate = call, nth, gate

    def __await__(self) -> Generator[Any, Any, Any]:
        patient.set(False)
        inner, waits = self.call.__await__(), 0
        step = partial(inner.send, None)
        while True:
            self.gate.close()
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            waits += 1
            if waits < self.nth:
                self.gate.let_go()
            elif waits == self.nth:
                task = asyncio.current_task()
                assert task is not None
                asyncio.get_running_loop().call_soon(task.cancel)
            try:
                yield waited_for
                step = partial(inner.send, None)
            except BaseException as error:
                step = partial(inner.throw, error)


class Agents:
    """A lab whose log is `here`, or `elsewhere` behind a gate."""

    def __init__(self, lab: Lab, *, elsewhere: bool) -> None:
        self.lab, self.gate, self.elsewhere = lab, Gate(), elsewhere
        self.tasks = lab._tasks._tasklog
        log = self.tasks.log
        if elsewhere:
            append = log.append

            def slowly(entries: Any) -> Any:
                self.gate.pass_through()
                return append(entries)

            log.append = slowly
            log.capabilities = log.capabilities | {"remote"}

    def handler(self, agent: str) -> LogRequestHandler:
        direct = self.lab._hosting.direct(f"{self.lab.url}/agents/{agent}")
        assert direct is not None
        return direct.handler

    def found(self, agent: str, context: str) -> list[dict[str, Any]]:
        """The tasks of a context."""
        asked = pb.ListTasksRequest(context_id=context)
        listed = self.lab.service.call(self.handler(agent).on_list_tasks, asked, as_owner())
        return [{"id": one.id, "state": pb.TaskState.Name(one.status.state)} for one in listed.tasks]

    def hung_up(self, call: Coroutine[Any, Any, Any], nth: int, again: Any) -> bool:
        """Whether a call waited so often that its caller hung up; what it does about it then is `again`, at once."""

        async def both() -> bool:
            calling = asyncio.ensure_future(self._awaited(HangsUp(call, nth, self.gate)))
            await asyncio.wait([calling])
            if not calling.cancelled():
                self.gate.let_go()
                calling.result()
                return False
            repeating = asyncio.ensure_future(again())
            while not repeating.done() and not self._lines_up():
                await asyncio.sleep(0)
            self.gate.let_go()
            await repeating
            assert not self.gate.stuck, "whoever asks again waits for who hung up, where nobody sees it"
            return True

        return self.lab.service.call(both)

    @staticmethod
    async def _awaited(call: HangsUp) -> Any:
        return await call

    def _lines_up(self) -> bool:
        """Whether a call waits for the one before it to be taken in, or for an agent."""
        handlers = [self.handler(info.name) for info in self.lab._hosting.infos()]
        locks = [lock for handler in handlers for lock in list(handler._taking.values())]
        return any(lock._waiters for lock in locks) or any(
            live.stop.awaited for live in list(self.tasks._live.values())
        )

    def nothing_left(self, agent: str) -> bool:
        """Whether nobody is at work, waits in line, or has not ended."""
        inbox = self.lab._runs.inboxes[agent]
        return not (inbox.at_work or inbox.queued or self.tasks._live or self.handler(agent)._taking)


@pytest.fixture(scope="module", params=["here", "elsewhere"])
def agents(request: pytest.FixtureRequest) -> Iterator[Agents]:
    with (
        tempfile.TemporaryDirectory(prefix="nbagora-hang-up-") as store,
        Lab(store=store, cancel_grace=0.1) as lab,
    ):

        @lab.agent
        async def echo(message: Any, task: Any) -> Any:
            return message.text

        @lab.agent
        async def asks(message: Any, task: Any) -> Any:
            return (await task.ask("well?")).text

        @lab.agent
        async def stays(message: Any, task: Any) -> Any:
            yield task.status("here")
            await asyncio.Event().wait()

        @lab.agent
        async def stubborn(message: Any, task: Any) -> Any:
            yield task.status("here")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            while not lab._tasks._tasklog.find("", task.id).terminal:  # it stays for as long as somebody waits for it
                await asyncio.sleep(0.01)

        yield Agents(lab, elsewhere=request.param == "elsewhere")


def request(text: str, **fields: Any) -> pb.SendMessageRequest:
    return ParseDict({"message": user_message(text, **fields)}, pb.SendMessageRequest())


async def sent(handler: LogRequestHandler, params: pb.SendMessageRequest, **headers: str) -> None:
    await handler.send_json(params, as_owner(**headers))


async def streamed(handler: LogRequestHandler, params: pb.SendMessageRequest, **headers: str) -> None:
    async for _ in handler.stream_batches(params, as_owner(**headers)):
        pass


async def nothing() -> None:
    """What a caller does that does not ask again."""


@pytest.mark.parametrize("operation", [sent, streamed])
def test_a_message_is_taken_in_once_wherever_its_caller_hangs_up_and_asks_again(agents: Agents, operation: Any) -> None:
    handler, nth, hung_up = agents.handler("echo"), 0, True
    while hung_up:
        nth += 1
        context = f"{operation.__name__}-{nth}"
        params = request("x", contextId=context)
        hung_up = agents.hung_up(operation(handler, params), nth, partial(operation, handler, params))
        assert [one["state"] for one in agents.found("echo", context)] == ["TASK_STATE_COMPLETED"], nth
    assert nth > (2 if agents.elsewhere else 1)
    until(lambda: agents.nothing_left("echo"))


@pytest.mark.parametrize("operation", [sent, streamed])
def test_an_answer_is_taken_in_once_wherever_its_caller_hangs_up_and_asks_again(agents: Agents, operation: Any) -> None:
    handler, nth, hung_up = agents.handler("asks"), 0, True
    while hung_up:
        nth += 1
        context = f"answer-{operation.__name__}-{nth}"
        agents.lab.service.call(sent, handler, request("x", contextId=context))
        [task] = agents.found("asks", context)
        params = request("yes", contextId=context, taskId=task["id"])
        hung_up = agents.hung_up(operation(handler, params), nth, partial(operation, handler, params))
        until(lambda context=context: agents.found("asks", context)[0]["state"] == "TASK_STATE_COMPLETED")
        task = agents.tasks.task_json("", task["id"])
        assert [one["parts"][0]["text"] for one in task["history"]] == ["x", "well?", "yes"], nth
    assert nth > (2 if agents.elsewhere else 1)
    until(lambda: agents.nothing_left("asks"))


def test_a_task_ends_in_the_time_that_its_caller_gave_it_wherever_that_one_hangs_up(agents: Agents) -> None:
    handler, opened = agents.handler("stays"), 0
    for nth in range(1, 7):
        context = f"time-{nth}"
        call = sent(handler, request("x", contextId=context), **{"nbagora-timeout": "0.2"})
        agents.hung_up(call, nth, nothing)
        opened += len(agents.found("stays", context))
        until(lambda context=context: {one["state"] for one in agents.found("stays", context)} <= END)
    assert opened
    until(lambda: agents.nothing_left("stays"))


@pytest.mark.parametrize("name", ["stays", "stubborn"])
def test_a_task_is_cancelled_wherever_who_wants_it_hangs_up(agents: Agents, name: str) -> None:
    handler, nth, hung_up = agents.handler(name), 0, True
    while hung_up:
        nth += 1
        context = f"cancel-{name}-{nth}"
        params = request("x", contextId=context)
        params.configuration.return_immediately = True
        agents.lab.service.call(sent, handler, params)
        [task] = agents.found(name, context)
        until(lambda context=context: agents.found(name, context)[0]["state"] == "TASK_STATE_WORKING")
        call = handler.on_cancel_task(pb.CancelTaskRequest(id=task["id"]), as_owner())
        hung_up = agents.hung_up(call, nth, nothing)
        until(lambda context=context: agents.found(name, context)[0]["state"] == "TASK_STATE_CANCELED")
    assert nth > 1
    until(lambda: agents.nothing_left(name))


def test_a_subscriber_that_hangs_up_leaves_nothing(agents: Agents) -> None:
    handler = agents.handler("stays")
    params = request("x", contextId="read")
    params.configuration.return_immediately = True
    agents.lab.service.call(sent, handler, params)
    [task] = agents.found("stays", "read")
    until(lambda: agents.found("stays", "read")[0]["state"] == "TASK_STATE_WORKING")

    async def subscribed() -> None:
        async for _ in handler.subscribe_batches(pb.SubscribeToTaskRequest(id=task["id"]), as_owner()):
            pass

    watches = agents.tasks.log._watches
    before = len(watches)
    assert agents.hung_up(subscribed(), 1, nothing)
    until(lambda: len(watches) <= before)
    agents.lab.cancel(task["id"])
    until(lambda: agents.nothing_left("stays"))
