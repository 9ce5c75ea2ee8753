"""A lab's process ended by kill -9 in the middle of streams, and started again on its store: the same port and token,
everything that was visible is there, and the task that nobody finished ends FAILED, told to its subscribers."""

import asyncio
from random import Random  # noqa: TID251 -- seeded, and the seed is shown
from urllib.parse import urlsplit

import httpx
import pytest
from a2a.client import A2AClientError
from a2a.types import a2a_pb2 as pb

from lab_process import LabProcess
from nbagora_lab.a2a.client import AgentClient
from nbagora_lab.core.clock import SystemClock
from official import canonical, official, resume_after, send_request
from raw_http import RawExchange, get, post
from task_logs import task_log
from told import check_order, offset_of, place_of, task_id_of

KILLS = 20
REASON = "The process that ran this task ended before the task did."


def message(number):
    asked = {"chunks": 100_000, "pause": 0.001}
    return {"messageId": f"m{number}", "contextId": f"ctx-{number}", "role": "ROLE_USER", "parts": [{"data": asked}]}


def text(said, context):
    return {"messageId": f"m-{said}", "contextId": context, "role": "ROLE_USER", "parts": [{"text": said}]}


class Stream:
    """One reader of one task over the life of several processes."""

    def __init__(self, number):
        self.sent = message(number)
        self.seen = []

    @property
    def task_id(self):
        return task_id_of(self.seen[0])

    @property
    def cursor(self):
        return offset_of(self.seen[-1])


def absorb(stream, exchange):
    stream.seen += [canonical(event.json()) for event in exchange.events()]
    exchange.close()


def check(stream):
    check_order(stream.seen)
    last = stream.seen[-1]["statusUpdate"]["status"]
    assert last["state"] == "TASK_STATE_FAILED"
    assert last["message"]["parts"] == [{"text": REASON}]
    numbers = [
        int(event["artifactUpdate"]["artifact"]["parts"][0]["text"].split(" ")[0])
        for event in stream.seen
        if "artifactUpdate" in event
    ]
    assert numbers == list(range(len(numbers)))


@pytest.mark.thorough
def test_killed_between_cut_and_resume(tmp_path, seed):
    kill_and_resume(tmp_path, seed, KILLS)


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_killed_many_times_between_cut_and_resume(tmp_path, seed):
    kill_and_resume(tmp_path, seed, 100)


def kill_and_resume(store, seed, kills):
    """The plain socket and the official client by turns; killed while the stream runs, or after it was cut."""
    rng = Random(seed)
    with LabProcess(store) as lab:
        url, token = lab.url, lab.token
        for number in range(kills):
            stream = Stream(number)
            if number % 2:
                asyncio.run(official_round(lab, stream, rng))
            else:
                raw_round(lab, stream, rng)
            check(stream)
            assert (lab.url, lab.token, lab.epoch) == (url, token, number + 2)
            assert lab.settled == [stream.task_id]
            everything_is_there(lab, stream)


def raw_round(lab, stream, rng):
    sending = post("/agents/chunks/message:stream", {"message": stream.sent}, lab.token)
    exchange = RawExchange(urlsplit(lab.url).port, sending).read(events=rng.randint(2, 60))
    exchange.read(until=len(exchange.raw) + rng.randint(1, 3000))
    if rng.random() < 0.5:
        exchange.reset()
    lab.kill()
    absorb(stream, exchange)
    lab.restart()
    rest = get(f"/agents/chunks/tasks/{stream.task_id}:subscribe", lab.token, Last_Event_ID=str(stream.cursor))
    absorb(stream, RawExchange(urlsplit(lab.url).port, rest).read())


async def official_round(lab, stream, rng):
    wanted, binding = rng.randint(2, 200), rng.choice(["JSONRPC", "HTTP+JSON"])
    async with official(f"{lab.url}/agents/chunks", lab.token, binding=binding) as client:
        with pytest.raises(A2AClientError):  # noqa: PT012 -- what comes before the cut counts
            async for response in client.send_message(send_request(stream.sent)):
                stream.seen.append(canonical(response))
                if len(stream.seen) == wanted:
                    await asyncio.to_thread(lab.kill)
        await asyncio.to_thread(lab.restart)
        request = pb.SubscribeToTaskRequest(id=stream.task_id)
        async for response in client.subscribe(request, context=resume_after(stream.cursor)):
            stream.seen.append(canonical(response))


def everything_is_there(lab, stream):
    """Every event again, from the first on; and the task as it stands."""
    rest = get(
        f"/agents/chunks/tasks/{stream.task_id}:subscribe", lab.token, Last_Event_ID=str(offset_of(stream.seen[0]))
    )
    with RawExchange(urlsplit(lab.url).port, rest) as exchange:
        again = [canonical(event.json()) for event in exchange.read().events()]
    assert again == stream.seen[1:]
    with RawExchange(urlsplit(lab.url).port, get(f"/agents/chunks/tasks/{stream.task_id}", lab.token)) as exchange:
        task = canonical({"task": exchange.read().json()})["task"]  # a whole second is written in two ways
    said = "".join(part["text"] for artifact in task["artifacts"] for part in artifact["parts"])
    streamed = [event["artifactUpdate"]["artifact"]["parts"] for event in stream.seen if "artifactUpdate" in event]
    assert said == "".join(part["text"] for parts in streamed for part in parts)
    assert task["status"] == stream.seen[-1]["statusUpdate"]["status"]
    assert place_of({"task": task}) == place_of(stream.seen[-1])


def test_our_client_goes_on_over_a_kill(tmp_path):
    async def main():
        seen = []
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30) as http:
            client = AgentClient("chunks", f"{lab.url}/agents/chunks", http)
            async for event in client.stream(message(1)):
                seen.append(canonical(event.raw))
                if len(seen) == 40:
                    await asyncio.to_thread(lab.kill)
                    await asyncio.to_thread(lab.restart)
        return seen

    with LabProcess(tmp_path) as lab:
        stream = Stream(1)
        stream.seen = asyncio.run(main())
        check(stream)
        everything_is_there(lab, stream)


def test_a_question_outlives_the_process(tmp_path):
    async def main():
        async with official(f"{lab.url}/agents/recalls", lab.token) as client:
            asked = [one async for one in client.send_message(send_request(text("first", "ctx-q")))]
            await asyncio.to_thread(lab.kill)
            await asyncio.to_thread(lab.restart)
            task_id = asked[0].task.id
            assert lab.settled == []
            waiting = await client.get_task(pb.GetTaskRequest(id=task_id))
            answer = text("second", "ctx-q") | {"taskId": task_id}
            answered = [one async for one in client.send_message(send_request(answer))]
        return waiting, answered

    with LabProcess(tmp_path) as lab:
        waiting, answered = asyncio.run(main())
    assert waiting.status.state == pb.TaskState.TASK_STATE_INPUT_REQUIRED
    assert answered[-1].status_update.status.state == pb.TaskState.TASK_STATE_COMPLETED
    artifacts = [one.artifact_update.artifact.parts[0].text for one in answered if one.HasField("artifact_update")]
    assert artifacts == ["first / which? / second"]


def test_a_task_that_nobody_began_is_run_after_the_kill(tmp_path):
    """SUBMITTED is durable before the agent is called; whoever dies in between leaves the task to the next process."""
    with task_log(tmp_path / "topics", clock=SystemClock()) as tasks:  # else it is past its TTL when the lab starts
        live, _, _ = tasks.open("", "echo", {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "still here"}]})
    with LabProcess(tmp_path) as lab:
        rest = get(f"/agents/echo/tasks/{live.id}:subscribe", lab.token, Last_Event_ID="3")
        with RawExchange(urlsplit(lab.url).port, rest) as exchange:
            events = [canonical(event.json()) for event in exchange.read().events()]
        assert lab.settled == []
    assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert [event["artifactUpdate"]["artifact"]["parts"] for event in events[1:-1]] == [[{"text": "still here"}]]
