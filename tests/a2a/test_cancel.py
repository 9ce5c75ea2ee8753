"""Cancelling: a task that waits, runs, has not begun, has just ended; and races in which everybody must agree."""

import asyncio
import json
import threading
from random import Random  # noqa: TID251 -- seeded, and the seed is shown

import httpx
import pytest

from bindings import BINDINGS, Binding, user_message
from nbagora_lab.core.errors import RemoteError
from nbagora_lab.lab import Lab
from raw_http import RawExchange, get
from told import in_the_log, terminal
from waiting import until

ENDS = {"TASK_STATE_COMPLETED", "TASK_STATE_CANCELED"}


@pytest.fixture(params=BINDINGS)
def call(request, lab):
    with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30) as http:
        yield lambda agent: Binding(http, f"{lab.url}/agents/{agent}", request.param)


def ends_of(lab, task_id):
    """The terminal events in the log: there may be one."""
    return [event["statusUpdate"]["status"]["state"] for event in in_the_log(lab, task_id) if terminal(event)]


def test_a_task_that_waits_for_an_answer(lab, call):
    asked = call("asker")("SendMessage", {"message": user_message("day")})
    assert call("asker")("CancelTask", {"id": asked.task["id"]}).state == "CANCELED"
    assert ends_of(lab, asked.task["id"]) == ["TASK_STATE_CANCELED"]
    late = call("asker")("SendMessage", {"message": user_message("friday", taskId=asked.task["id"])})
    assert late.reason == "UNSUPPORTED_OPERATION"


def test_a_task_that_ended(lab, call):
    for agent, text in (("echo", "x"), ("failing", "fail"), ("failing", "reject")):
        task = call(agent)("SendMessage", {"message": user_message(text)}).task
        refused = call(agent)("CancelTask", {"id": task["id"]})
        assert refused.reason == "TASK_NOT_CANCELABLE"
        assert ends_of(lab, task["id"]) == [task["status"]["state"]]


def test_subscribers_and_waiters_hear_of_it(lab, port):
    task = lab.send("gated", "gate heard")
    lab.gates.wait_for("gate heard")
    with RawExchange(port, get(f"/agents/gated/tasks/{task.id}:subscribe", lab.token)) as exchange:
        exchange.read(events=1)
        lab.cancel(task)
        events = exchange.read().events()
    assert events[-1].json()["statusUpdate"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert lab.wait(task, check=False).state == "CANCELED"


def test_an_agent_that_does_not_mind_ends_canceled_and_says_nothing_more(tmp_path):
    with Lab(store=tmp_path, cancel_grace=0.05) as lab:
        released, began, said = asyncio.Event(), [], []

        @lab.agent
        async def stubborn(message, task):
            began.append(asyncio.get_running_loop())
            yield "before"
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    said.append("no")
            yield "after"

        stream = lab.stream("stubborn", "x")
        event = next(event for event in stream if event.text == "before")
        task_id = event.raw["artifactUpdate"]["taskId"]
        assert lab.cancel(task_id).state == "CANCELED"
        began[0].call_soon_threadsafe(released.set)
        assert [one.state for one in stream if one.state] == ["CANCELED"]
        lab.agent(name="echo")(lambda message: message.text)
        lab.ask("echo", "so the agents' loop has come by again")
        assert said
        events = in_the_log(lab, task_id)
        assert terminal(events[-1])
        assert "after" not in json.dumps(events)


def test_a_task_that_an_earlier_process_left_asking(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.agent(name="asker")(asks)
        task = lab.ask("asker", "x")
    with Lab(store=tmp_path) as lab:
        lab.agent(name="asker")(asks)
        assert lab.task(task.id).state == "INPUT_REQUIRED"
        assert lab.cancel(task.id).state == "CANCELED"
        assert ends_of(lab, task.id) == ["TASK_STATE_CANCELED"]
        with pytest.raises(RemoteError):
            lab.cancel(task.id)


async def asks(message, task):
    await task.ask("well?")


def test_cancel_and_complete_race_and_everybody_agrees(lab, seed):
    """120 rounds: the agent completes as two callers cancel, a subscriber reads, and a waiter waits."""
    rng = Random(seed)
    outcomes = {"TASK_STATE_COMPLETED": 0, "TASK_STATE_CANCELED": 0}

    async def main():
        async with httpx.AsyncClient(
            base_url=f"{lab.url}/agents/gated",
            headers={"Authorization": f"Bearer {lab.token}", "A2A-Version": "1.0"},
            timeout=30,
        ) as http:
            for number in range(120):
                await one(http, number)

    async def one(http, number):
        gate = f"race {seed} {number}"
        params = {"message": user_message(gate), "configuration": {"returnImmediately": True}}
        task_id = (await http.post("/message:send", json=params)).json()["task"]["id"]
        await asyncio.to_thread(lab.gates.wait_for, gate)
        subscriber = asyncio.create_task(http.post(f"/tasks/{task_id}:subscribe"))

        async def cancel():
            await asyncio.sleep(rng.choice([0, 0, 0.001, 0.002, 0.003]))
            return await http.post(f"/tasks/{task_id}:cancel")

        async def complete():
            await asyncio.sleep(rng.choice([0, 0, 0.001, 0.002, 0.003]))
            lab.gates.open(gate)

        first, second, _ = await asyncio.gather(cancel(), cancel(), complete())
        stream = await subscriber
        got = (await http.get(f"/tasks/{task_id}")).json()
        while got["status"]["state"] not in ENDS:  # both cancellations came too late, and the agent is at its last word
            got = (await http.get(f"/tasks/{task_id}")).json()
        state = got["status"]["state"]
        outcomes[state] += 1
        assert ends_of(lab, task_id) == [state]
        assert lab.task(task_id).raw["status"]["state"] == state
        for answer in (first, second):
            if answer.status_code == 200:
                assert (answer.json()["status"]["state"], state) == ("TASK_STATE_CANCELED", "TASK_STATE_CANCELED")
            else:
                assert answer.json()["error"]["details"][0]["reason"] == "TASK_NOT_CANCELABLE"
        if state == "TASK_STATE_CANCELED":
            assert 200 in {first.status_code, second.status_code}
        if stream.status_code == 200:
            told = [json.loads(line[6:]) for line in stream.text.split("\r\n") if line.startswith("data: ")]
            assert told[-1]["statusUpdate"]["status"]["state"] == state

    asyncio.run(main())
    assert min(outcomes.values()) > 0, outcomes


def test_cancelling_what_has_not_begun_leaves_nothing_running(tmp_path):
    """The agents' loop is busy as the task is sent and cancelled, so the function never runs."""
    with Lab(store=tmp_path, cancel_grace=0.3) as lab:
        held, release, called = threading.Event(), threading.Event(), []

        @lab.agent
        async def holds(message, task):
            held.set()
            release.wait(20)

        @lab.agent
        async def never(message, task):
            called.append(message.text)

        holding = lab.send("holds", "x")
        assert held.wait(20)
        task = lab.send("never", "x")
        assert lab.cancel(task).state == "CANCELED"  # at once, though the loop is still busy
        release.set()
        lab.wait(holding)
        assert ends_of(lab, task.id) == ["TASK_STATE_CANCELED"]
        assert called == []
        until(lambda: {one.name: one.running for one in lab.agents()} == {"holds": 0, "never": 0})
