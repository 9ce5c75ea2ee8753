"""A lab's process ended by kill -9 in the middle of flows: what had a result is not asked again, and the flow ends."""

import asyncio

import httpx
import pytest

from flow_agents import Told
from lab_process import LabProcess
from nbagora_lab.a2a.client import AgentClient
from nbagora_lab.a2a.wire import message_of

pytestmark = pytest.mark.thorough


@pytest.fixture
def told(tmp_path):
    with Told() as told:
        (tmp_path / "port").write_text(str(told.port))
        yield told


@pytest.fixture
def lab(tmp_path, told):
    with LabProcess(tmp_path / "store", agents="flow_agents") as lab:
        yield lab


async def with_client(lab, agent, use):
    headers = {"Authorization": f"Bearer {lab.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
        return await use(AgentClient(agent, f"{lab.url}/agents/{agent}", http))


def send(lab, agent, text, task_id=""):
    message = message_of("ROLE_USER", f"m-{text}", [{"text": text}], task_id=task_id, context_id="ctx-kill")
    return asyncio.run(with_client(lab, agent, lambda client: client.send(message))).id


def end(lab, agent, task_id):
    """The task once it has ended, or asks."""

    async def follow(client):
        events = client.follow(task_id)
        try:
            return await anext(event async for event in events if event.last)
        finally:
            await events.aclose()

    event = asyncio.run(with_client(lab, agent, follow))
    task = asyncio.run(with_client(lab, agent, lambda client: client.get(task_id)))
    return event.state, event.text, task


def killed(lab):
    lab.kill()
    lab.restart()


def test_a_chain_goes_on_where_it_was_and_asks_about_what_nobody_knows(lab, told):
    task = send(lab, "trip", "go")
    told.let("look")
    assert told.wait()[0] == "book"
    killed(lab)
    state, question, _ = end(lab, "trip", task)
    assert state == "INPUT_REQUIRED"
    assert "The process ended while 'book' ran" in question
    send(lab, "trip", "do it", task)
    told.let("book")
    assert told.wait()[0] == "write"
    killed(lab)
    told.let("write")
    state, said, found = end(lab, "trip", task)
    assert (state, said) == ("COMPLETED", "")
    assert found.text == "go looked booked written"
    assert told.names == ["look", "book", "book", "write", "write"]


def test_branches_that_are_done_are_not_asked_again(lab, told):
    task = send(lab, "sections", "go")
    waiting = dict(told.wait() for _ in range(3))
    waiting["b"].sendall(b".")
    asyncio.run(with_client(lab, "sections", lambda client: recorded(client, lab, "parallel/b")))
    killed(lab)
    again = dict(told.wait() for _ in range(2))
    assert sorted(again) == ["a", "c"]
    for connection in again.values():
        connection.sendall(b".")
    state, _, found = end(lab, "sections", task)
    assert (state, found.text) == ("COMPLETED", "go A go B go C")
    assert sorted(told.names) == ["a", "a", "b", "c", "c"]


def test_a_discussion_goes_on_with_the_next_turn(lab, told):
    task = send(lab, "panel", "go")
    told.let("x")
    assert told.wait()[0] == "y"
    killed(lab)
    told.let("y")
    state, _, found = end(lab, "panel", task)
    assert (state, found.text) == ("COMPLETED", "X Y")
    assert told.names == ["x", "y", "y"]


async def recorded(_client, lab, step):
    """Waits until a step's result is on the topic."""
    headers = {"Authorization": f"Bearer {lab.token}", "Accept": "text/event-stream"}
    url = f"{lab.url}/broker/topics/sessions/ctx-kill/records?after=0"
    async with (
        httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
        http.stream("GET", url) as answer,
    ):
        async for line in answer.aiter_lines():
            if f'"{step}"' in line.replace("\\", "") and "result" in line:
                return
