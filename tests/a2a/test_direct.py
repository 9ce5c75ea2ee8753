"""The way to an agent of one's own process: the same events and the same refusals as over HTTP, and what a call that
nobody waits for any more leaves."""

import asyncio
import threading

import httpx
import pytest

from nbagora_lab.a2a.client import AgentClient
from nbagora_lab.a2a.direct import DirectClient
from nbagora_lab.core.errors import LabError, RemoteError, TaskNotFound, TimedOut
from nbagora_lab.core.events import RecordType
from nbagora_lab.lab import Lab
from stock_agent import StockAgent
from waiting import until


def say(text, **fields):
    return {"messageId": f"m-{text}", "contextId": "ctx", "role": "ROLE_USER", "parts": [{"text": text}], **fields}


async def all_of(events):
    return [event async for event in events]


def both(lab, agent, use):
    """What ``use(client)`` gives directly and over HTTP."""

    async def over_http():
        headers = {"Authorization": f"Bearer {lab.token}"}
        async with httpx.AsyncClient(headers=headers, timeout=20, trust_env=False) as http:
            return await use(AgentClient(agent, f"{lab.url}/agents/{agent}", http))

    async def outcome(doing):
        try:
            return await doing
        except LabError as error:
            return type(error), error.what

    direct = lab._calls.client(agent)
    assert isinstance(direct, DirectClient)
    return lab.service.call(lambda: outcome(use(direct))), asyncio.run(outcome(over_http()))


def test_a_lab_calls_its_own_agents_without_http(lab, monkeypatch):
    monkeypatch.setattr(lab._calls, "http", lambda: pytest.fail("a connection was made"))
    assert lab.ask("echo", "你好").text == "你好"
    assert [event.text for event in lab.stream("echo", "x")] == ["", "", "x", ""]
    assert lab.card("echo")["supportedInterfaces"][0]["url"] == f"{lab.url}/agents/echo"


@pytest.mark.parametrize("agent", ["everything", "plain", "asker", "failing", "either"])
def test_the_same_message_gives_the_same_events(lab, agent):
    """The second is answered with the first one's task, as a message that is sent again is."""
    message = say("x", contextId=f"direct-{agent}")
    direct, http = both(lab, agent, lambda client: all_of(client.stream(message)))
    assert [event.raw for event in direct] == [event.raw for event in http]
    assert direct[-1].last


def test_following_from_the_beginning_in_the_middle_and_after_the_end(lab):
    task = lab.ask("everything", "x")
    for after in (-1, 2, task.events[4].offset, 10**6):
        direct, http = both(lab, "everything", lambda client, after=after: all_of(client.follow(task.id, after=after)))
        assert [event.raw for event in direct] == [event.raw for event in http], after
        assert direct
    direct, http = both(lab, "everything", lambda client: client.get(task.id))
    assert direct.raw == http.raw


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get("ctx.none"),
        lambda client: client.cancel("ctx.none"),
        lambda client: all_of(client.follow("ctx.none")),
        lambda client: all_of(client.follow("ctx.none", after=5)),
        lambda client: client.send(say("x", taskId="ctx.none")),
        lambda client: all_of(client.stream(say("x", contextId="a/b"))),
        lambda client: client.send(say("x", parts=[])),
    ],
)
def test_the_same_refusals(lab, call):
    direct, http = both(lab, "echo", call)
    assert issubclass(direct[0], RemoteError | TaskNotFound)
    assert direct == http


def test_an_answer_and_a_cancellation(lab):
    async def use(client):
        sent = await client.send(say("gate", contextId=f"direct-{type(client).__name__}"))
        return (await client.cancel(sent.id)).state

    assert both(lab, "gated", use) == ("CANCELED", "CANCELED")
    asked = lab.ask("asker", "day hour")
    assert lab.answer(lab.answer(asked, "Friday"), "noon").text == "Friday noon"


# -- nobody waits any more ---------------------------------------------------------------------------------------------


@pytest.fixture
def chain(tmp_path):
    """``outer`` calls ``middle`` calls ``inner``, which waits until it is cancelled; and sync ones that do the same."""
    with Lab(store=tmp_path / "store") as lab:

        @lab.agent
        async def inner(message, task):
            yield task.status("waiting")
            await asyncio.Event().wait()

        @lab.agent
        async def middle(message, task):
            return (await task.call("inner", message)).text

        @lab.agent
        async def outer(message, task):
            return (await task.call("middle", message)).text

        @lab.agent
        async def impatient(message, task):
            return (await task.call("inner", message, timeout=0.2)).text

        @lab.agent
        def sync_outer(message, task):
            return task.call("inner", message).text

        yield lab


def wait_until(lab, agent, state):
    """Waits for a record after which the agent's newest task is in `state`."""
    changed = threading.Event()
    unwatch = lab.broker.log.watch_parent("sessions", lambda *_: changed.set())
    try:
        while True:
            changed.clear()
            tasks = lab.tasks(agent=agent)
            if tasks and tasks[0].state == state:
                return tasks[0]
            assert changed.wait(20), f"{agent} is not {state}"
    finally:
        unwatch()


def test_cancelling_a_task_cancels_those_that_it_called(chain):
    task = chain.send("outer", "x")
    wait_until(chain, "inner", "WORKING")
    chain.cancel(task)
    for agent in ("outer", "middle", "inner"):
        wait_until(chain, agent, "CANCELED")


def test_a_sync_function_that_waits_for_its_call_is_cancelled_with_it(chain):
    task = chain.send("sync-outer", "x")
    wait_until(chain, "inner", "WORKING")
    chain.cancel(task)
    wait_until(chain, "sync-outer", "CANCELED")
    wait_until(chain, "inner", "CANCELED")


@pytest.mark.parametrize("agent", ["outer", "sync-outer"])
def test_what_is_said_of_a_cancelled_call_stands_before_its_callers_end(chain, agent):
    task = chain.send(agent, "x")
    wait_until(chain, "inner", "WORKING")
    chain.cancel(task)
    told = [record.type for record in chain.broker.read(task.topic) if record.subject == task.id]
    assert told[-3:] == ["task.cancel", RecordType.RETURN, RecordType.STATUS]


def test_a_call_that_runs_out_of_time_cancels_what_it_called(chain):
    task = chain.ask("impatient", "x", check=False)
    assert (task.state, "no answer within 0.2 s" in task.error) == ("FAILED", True)
    wait_until(chain, "inner", "CANCELED")
    told = [event.type for event in chain.broker.read(task.topic) if event.type.startswith("task.")]
    assert "task.call" in told
    assert "task.return" in told


@pytest.mark.parametrize("cancel", [True, False])
def test_a_wait_that_runs_out_of_time_cancels_the_task_if_asked_to(chain, cancel):
    with pytest.raises(TimedOut):
        chain.ask("inner", "x", timeout=1.0, cancel=cancel)
    task = wait_until(chain, "inner", "CANCELED" if cancel else "WORKING")
    assert chain.cancel(task).state == "CANCELED" if not cancel else task.state == "CANCELED"


def test_whoever_stops_waiting_for_a_peer_that_is_not_ours_cancels_its_task(chain):
    with StockAgent() as peer:
        asking = chain.service.submit(lambda: chain._calls.ask(peer.url, say("one !gate two"), abandon=True))
        peer.wait_for("gate")
        asking.cancel()
        until(lambda: chain.service.call(peers_state, peer.url) == "TASK_STATE_CANCELED")


async def peers_state(url):
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        call = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
        answer = await http.post(url, json=call, headers={"A2A-Version": "1.0"})
        [task] = answer.json()["result"]["tasks"]
        return task["status"]["state"]
