"""What goes along with a call from hop to hop: the trace, the time that is left, and the end of waiting."""

import asyncio
import json
from contextlib import contextmanager

import httpx
import pytest

from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import TimedOut
from nbagora_lab.lab import Lab
from stock_agent import StockAgent
from waiting import until
from webhook import webhook

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A lab whose agents are called: strangers to the other one."""
    with Lab(store=tmp_path_factory.mktemp("theirs"), token="") as lab:

        @lab.agent
        async def waits(message, task):
            yield task.status("waiting")
            await asyncio.Event().wait()

        @lab.agent
        async def asks(message, task):
            return (await task.ask("?")).text

        yield lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory, theirs):
    with Lab(store=tmp_path_factory.mktemp("ours"), push_allow=("127.0.0.1",)) as lab:
        there = f"{theirs.url}/agents"

        @lab.agent
        async def direct(message, task):
            return (await task.call("relay", message)).text

        @lab.agent
        async def relay(message, task):
            return (await task.call(f"{there}/{message.text}", message)).text

        @lab.agent
        async def hurried(message, task):
            return (await task.call("relay", message, timeout=30)).text

        yield lab


def trace_at(lab, agent):
    """Trace id of the newest task of an agent."""
    return lab._tasks.trace(lab.tasks(agent=agent)[0].id)


@contextmanager
def requests_of(lab):
    """The requests that a lab makes by HTTP: path, method of the protocol, and trace id."""
    seen = []

    async def wrap():
        lab._calls.http()
        inner = lab._calls._transport.handle_async_request

        async def heard(request):
            called = json.loads(request.content).get("method", "") if request.content else request.method
            seen.append((request.url.path, called, request.headers.get("traceparent", "").partition("-")[2][:32]))
            return await inner(request)

        lab._calls._transport.handle_async_request = heard

        def undo():
            lab._calls._transport.handle_async_request = inner

        return undo

    undo = lab.service.call(wrap)
    yield seen
    undo()


def test_one_trace_from_a_person_over_two_labs_and_back(lab, theirs):
    with requests_of(lab) as seen:
        asked = lab.send("direct", "waits")
        until(lambda: [task.state for task in theirs.tasks(agent="waits", limit=1)] == ["WORKING"])
        lab.cancel(asked)
        until(lambda: theirs.tasks(agent="waits")[0].state == "CANCELED")
    traces = {trace_at(lab, "direct"), trace_at(lab, "relay"), trace_at(theirs, "waits")}
    assert len(traces) == 1
    calls = [(method, trace) for path, method, trace in seen if path == "/agents/waits" and method != "GET"]
    assert [method for method, _ in calls] == ["SendStreamingMessage", "CancelTask"]
    assert {trace for _, trace in calls} == traces


def test_a_person_begins_a_trace_that_goes_on_in_every_later_call(lab, theirs):
    with requests_of(lab) as seen:
        asked = lab.ask(f"{theirs.url}/agents/asks", "x")
        lab.answer(asked, "y")
        lab.wait(asked)
        cancelled = lab.send(f"{theirs.url}/agents/waits", "x")
        lab.cancel(cancelled)
    for agent in ("asks", "waits"):
        calls = [(method, trace) for path, method, trace in seen if path == f"/agents/{agent}" and method != "GET"]
        later = {trace for method, trace in calls if method not in {"SendStreamingMessage", "SendMessage"}}
        assert later == {trace_at(theirs, agent)}, calls
        assert all(trace for _, trace in calls)


def send(url, message, **headers):
    """Sends a message by hand; the answer's result."""
    configuration = message.pop("configuration", {})
    params = {
        "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]},
        "configuration": configuration,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
    answer = httpx.post(url, json=body, headers={"A2A-Version": "1.0"} | headers, trust_env=False, timeout=20)
    return answer.json()["result"]["task"]


def test_a_webhook_is_told_in_the_trace_of_its_task(lab):
    lab.define("told", lambda message: message.text)
    with webhook() as hook:
        push = {"configuration": {"taskPushNotificationConfig": {"url": hook.url}}}
        send(f"{lab.url}/agents/told", push, Authorization=f"Bearer {lab.token}", traceparent=TRACE)
        assert {request.headers["traceparent"] for request in hook.wait_for(2)} == {TRACE}


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_task_ends_when_its_caller_would_have_stopped_waiting_though_nobody_is_left_to_cancel_it(theirs):
    at_once = {"configuration": {"returnImmediately": True}}
    task = send(f"{theirs.url}/agents/waits", at_once, **{"nbagora-timeout": "0.2"})
    until(lambda: theirs.task(task["id"]).state == "CANCELED")


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e400", "0x10"])
def test_a_time_that_is_none_is_no_limit(theirs, text):
    task = send(f"{theirs.url}/agents/asks", {}, **{"nbagora-timeout": text})
    assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"


def test_nobody_down_the_line_has_more_time_than_is_left_to_whoever_called(lab, theirs, monkeypatch):
    log, given = theirs._tasks._tasklog, []
    opened = log.open
    monkeypatch.setattr(
        log, "open", lambda *args, **options: given.append(options["until"]) or opened(*args, **options)
    )
    began = log.clock.now()
    asked = lab.send("hurried", "waits")
    until(lambda: given)
    [ends] = given
    assert began < ends <= log.clock.now() + 30
    lab.cancel(asked)
    until(lambda: lab.tasks(agent="relay")[0].state == "CANCELED")
    until(lambda: theirs.tasks(agent="waits")[0].state == "CANCELED")


class Later(SystemClock):
    """The clock an hour on."""

    def now(self):
        return super().now() + 3600


def test_the_next_process_minds_the_time_of_what_it_takes_over(tmp_path):
    """A task that asks, one that waits in line, and one that is called anew."""

    def define(lab):
        @lab.agent
        async def asks(message, task):
            await task.ask("?")

        @lab.agent(resumable=True, concurrency=1)
        async def waits(message, task):
            yield task.status("waiting")
            await asyncio.Event().wait()

    header, at_once = {"nbagora-timeout": "60"}, {"returnImmediately": True}
    with Lab(store=tmp_path, token="") as lab:
        define(lab)
        tasks = [
            send(f"{lab.url}/agents/{agent}", {"configuration": dict(at_once)}, **header)["id"]
            for agent in ("asks", "waits", "waits")
        ]
        until(lambda: [lab.task(one).state for one in tasks] == ["INPUT_REQUIRED", "WORKING", "SUBMITTED"])
    with Lab(store=tmp_path, token="", clock=Later()) as lab:
        assert not {"CANCELED", "FAILED"} & {lab.task(one).state for one in tasks}
        define(lab)
        until(lambda: [lab.task(one).state for one in tasks] == ["CANCELED"] * 3)


# -- peers that are none of ours ---------------------------------------------------------------------------------------


def test_a_task_of_another_servers_is_cancelled_when_time_runs_out(lab):
    with StockAgent() as peer:
        with pytest.raises(TimedOut):
            lab.ask(peer.url, "one !gate two", timeout=0.5, cancel=True)
        until(lambda: lab.service.call(states_at, peer.url) == ["TASK_STATE_CANCELED"])


async def states_at(url):
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        call = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
        answer = await http.post(url, json=call, headers={"A2A-Version": "1.0"})
        return [task["status"]["state"] for task in answer.json()["result"].get("tasks", [])]
