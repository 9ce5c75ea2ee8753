"""Each hole of the stock SDK that is closed here, as one check put to both: the stock server fails it, ours passes."""

import asyncio
import json
import socket
import threading

import httpx
import pytest
from a2a.server.agent_execution import AgentExecutor
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import BasePushNotificationSender, InMemoryPushNotificationConfigStore, InMemoryTaskStore
from a2a.types import a2a_pb2 as pb
from a2a.utils.push_url_validator import validate_push_notification_url

from nbagora_lab.a2a.wire import FAILED
from nbagora_lab.lab import Lab
from official import send_request
from stock_agent import StockAgent
from webhook import webhook

HTTP = httpx.Client(verify=False, trust_env=False, timeout=60)
WORDS = [f"w{number}" for number in range(40)]
EXTENSION = "urn:x:must"


class Stock:
    """The official SDK's server, with its 0.3 face and its push sender."""

    name = "stock"

    def __init__(self, folder):
        self._agent = StockAgent(pushing=True, compat=True, required=EXTENSION)
        self.go, self.wait_for = self._agent.go, self._agent.wait_for
        self.url, self.headers = self._agent.url, {}
        self.demanding = self.url

    def caller(self, name):
        """What a caller of that name shows."""
        return {"Authorization": f"Bearer {name}"}

    def __enter__(self):
        self._agent.__enter__()
        return self

    def restart(self):
        """Another process, as far as an in-memory store can tell."""
        self._agent.__exit__()
        self._agent = StockAgent(pushing=True, compat=True)
        self._agent.__enter__()
        self.url = self._agent.url

    def __exit__(self, *_):
        self._agent.__exit__()


class Ours:
    """A lab with an agent that does the same."""

    name = "ours"

    def __init__(self, folder):
        self._folder = folder
        self._gates, self._reached = {}, {}

    def _gate(self, name):
        return self._gates.setdefault(name, threading.Event())

    def _at(self, name):
        return self._reached.setdefault(name, threading.Event())

    def go(self, name):
        self._gate(name).set()

    def wait_for(self, name):
        assert self._at(name).wait(30)

    def __enter__(self):
        self._lab = lab = Lab(store=self._folder, push_allow=("127.0.0.1",))

        @lab.agent(name="words", auth=["bearer"])
        def words(message, task):
            words = message.text.split()
            while words:
                word = words.pop(0)
                if word.startswith("?"):
                    words = task.ask("which?").text.split()
                    continue
                if word.startswith("!"):
                    self._at(word[1:]).set()
                    self._gate(word[1:]).wait(60)
                yield word + " "

        @lab.agent(name="demanding", extensions=[EXTENSION])
        def demanding(message):
            return message.text

        self.url, self.headers = f"{lab.url}/agents/words", {"Authorization": f"Bearer {lab.token}"}
        self.demanding = f"{lab.url}/agents/demanding"
        return self

    def caller(self, name):
        """What a caller of that name shows."""
        return {"Authorization": f"Bearer {self._lab.credentials.grant(name)}"}

    def restart(self):
        self._lab.stop()
        self.__enter__()

    def __exit__(self, *_):
        for gate in list(self._gates.values()):
            gate.set()
        self._lab.stop()


@pytest.fixture(params=[Stock, Ours], ids=["stock", "ours"])
def server(request, tmp_path):
    with request.param(tmp_path / "store") as server:
        yield server


def message(text, **fields):
    return {"messageId": f"m-{text[:20]}", "role": "ROLE_USER", "parts": [{"text": text}], **fields}


def post(server, method, params, *, url="", **headers):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return HTTP.post(url or server.url, json=body, headers={"A2A-Version": "1.0", **server.headers, **headers})


def call(server, method, params, **options):
    return post(server, method, params, **options).json()


class Stream:
    """One stream that is read event by event."""

    def __init__(self, server, method, params, **headers):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"A2A-Version": "1.0", "Accept": "text/event-stream", **server.headers, **headers}
        self._sending = HTTP.stream("POST", server.url, json=body, headers=headers)
        self.cursor = ""

    def __enter__(self):
        self._lines = self._sending.__enter__().iter_lines()
        return self

    def __exit__(self, *_):
        self._sending.__exit__(None, None, None)

    def __iter__(self):
        for line in self._lines:
            if line.startswith("id:"):
                self.cursor = line[3:].strip()
            if line.startswith("data:"):
                yield json.loads(line[5:]).get("result", {})


def chunks(events):
    """The words that were told, but for the empty one by which an artifact is closed here."""
    texts = [one["artifactUpdate"]["artifact"]["parts"][0]["text"] for one in events if "artifactUpdate" in one]
    return [text.strip() for text in texts if text]


def holds(server, passed):
    """The stock server fails the check, ours passes it."""
    assert passed is (server.name == "ours"), f"{server.name}: {passed}"


def test_events_missed_by_a_reader_that_was_cut_come_again(server):
    """E1."""
    text = " ".join([*WORDS[:20], "!go", *WORDS[20:]])
    seen = []
    with Stream(server, "SendStreamingMessage", {"message": message(text)}) as stream:
        for event in stream:
            seen.append(event)
            if chunks(seen)[-1:] == ["w5"]:
                break
    server.wait_for("go")
    task_id = next(iter(seen[0].values()))["id"]
    with Stream(server, "SubscribeToTask", {"id": task_id}, **{"Last-Event-ID": stream.cursor}) as rest:
        server.go("go")
        again = list(rest)
    holds(server, chunks([*seen, *again]) == text.split())


def test_a_task_outlives_its_process(server):
    """E4: here it ends, with the reason; there nobody knows it any more."""
    sent = call(server, "SendMessage", {"message": message("a !never"), "configuration": {"returnImmediately": True}})
    server.wait_for("never")
    task_id = sent["result"]["task"]["id"]
    server.restart()
    found = call(server, "GetTask", {"id": task_id})
    holds(server, found.get("result", {}).get("status", {}).get("state") == FAILED)


def test_a_slow_webhook_holds_up_no_stream(server):
    released = threading.Event()
    with webhook() as hook:
        hook.answer = lambda _: (released.wait(3), released.set(), (200, {}))[2]  # the first one is slow
        push = {"taskPushNotificationConfig": {"url": hook.url}}
        with Stream(server, "SendStreamingMessage", {"message": message("a b !go c"), "configuration": push}) as stream:
            events = iter(stream)
            next(events)
            server.go("go")
            rest = list(events)
            holds(server, not hook.told and chunks(rest)[-1:] == ["c"])
        released.set()


def test_a_page_of_another_origin_runs_nothing(server):
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/send"}
    parts = [{"kind": "text", "text": "!ran"}]
    body["params"] = {
        "message": {"kind": "message", "messageId": "m", "role": "user", "parts": parts},
        "configuration": {"blocking": False},
    }
    headers = {**server.headers, "Content-Type": "text/plain", "Origin": "https://evil.example"}
    answer = HTTP.post(server.url, content=json.dumps(body), headers=headers)
    holds(server, answer.status_code == 403)


def test_a_foreign_host_is_not_answered(server):
    answer = post(server, "GetTask", {"id": "x"}, Host="rebound.example")
    holds(server, answer.status_code == 403)


def test_a_webhook_may_not_lead_inside(server):
    push = {"taskPushNotificationConfig": {"url": "http://10.0.0.1/x"}, "returnImmediately": True}
    answer = call(server, "SendMessage", {"message": message("a"), "configuration": push})
    holds(server, answer.get("error", {}).get("code") == -32602)


@pytest.mark.thorough
def test_a_body_of_64_mib_is_refused(server):
    answer = post(server, "SendMessage", {"message": message("x" * (64 << 20))})
    holds(server, answer.status_code == 413)


def test_json_200_000_levels_deep_is_the_callers_fault(server):
    headers = {"A2A-Version": "1.0", "Content-Type": "application/json", **server.headers}
    answer = HTTP.post(server.url, content=b"[" * 200_000 + b"]" * 200_000, headers=headers)
    holds(server, answer.json()["error"]["code"] == -32700)


def test_a_version_that_is_not_spoken_is_refused(server):
    answer = call(server, "GetTask", {"id": "x"}, **{"A2A-Version": "1.7"})
    holds(server, answer["error"]["code"] == -32009)


def test_the_version_may_stand_in_the_query(server):
    body = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}
    answer = HTTP.post(f"{server.url}?A2A-Version=1.0", json=body, headers=server.headers).json()
    holds(server, answer["error"]["code"] == -32001)


def test_the_same_message_opens_no_second_task(server):
    sent = {"message": message("a", contextId="ctx")}
    first, second = (call(server, "SendMessage", sent)["result"]["task"]["id"] for _ in range(2))
    holds(server, first == second)


def test_anothers_task_is_unknown_in_every_operation(server):
    mine, other = server.caller("alice"), server.caller("bob")
    push = {"id": "mine", "url": "https://example.org/"}
    asked = call(server, "SendMessage", {"message": message("a ?")}, **mine)["result"]["task"]
    place = {"taskId": asked["id"]}
    operations = [
        ("GetTask", {"id": asked["id"]}),
        ("CreateTaskPushNotificationConfig", {**place, **push}),
        ("ListTaskPushNotificationConfigs", place),
        ("GetTaskPushNotificationConfig", {**place, "id": "mine"}),
        ("DeleteTaskPushNotificationConfig", {**place, "id": "mine"}),
        ("SendMessage", {"message": message("b ?", **place)}),
        ("CancelTask", {"id": asked["id"]}),
    ]
    codes = [call(server, method, params, **other).get("error", {}).get("code") for method, params in operations]
    with Stream(server, "SubscribeToTask", {"id": asked["id"]}, **other) as stream:
        heard = next(iter(stream), None)
    listed = call(server, "ListTasks", {"contextId": asked["contextId"]}, **other)["result"].get("tasks", [])
    kept = call(server, "GetTask", {"id": asked["id"]}, **mine)["result"]["status"]["state"]
    holds(server, (set(codes), heard, listed, kept) == ({-32001}, None, [], "TASK_STATE_INPUT_REQUIRED"))


def test_an_extension_that_the_card_requires_is_required(server):
    answer = call(server, "SendMessage", {"message": message("a")}, url=server.demanding)
    holds(server, answer.get("error", {}).get("code") == -32008)


def test_a_follow_up_by_task_id_alone_keeps_its_context(server):
    told = [call(server, "SendMessage", {"message": message("a ?")})["result"]["task"]]
    for text in ("b ?", "c"):
        answer = call(server, "SendMessage", {"message": message(text, taskId=told[0]["id"])})
        told.append(answer.get("result", {}).get("task", {"contextId": "", "status": {"state": ""}}))
    assert told[0]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    holds(
        server,
        {one["contextId"] for one in told} == {told[0]["contextId"]}
        and told[-1]["status"]["state"] == "TASK_STATE_COMPLETED",
    )


# -- the SDK alone, in process; the same on the log is in test_subscribe.py --------------------------------------------


class Burst(AgentExecutor):
    """Says many words at once."""

    def __init__(self, count):
        self._count = count
        self.done = asyncio.Event()

    async def execute(self, context, event_queue):
        ids = {"task_id": context.task_id, "context_id": context.context_id}
        status = pb.TaskStatus(state=pb.TASK_STATE_WORKING)
        await event_queue.enqueue_event(pb.Task(id=ids["task_id"], context_id=ids["context_id"], status=status))
        for number in range(self._count):
            artifact = pb.Artifact(artifact_id="a", parts=[pb.Part(text=f"{number} ")])
            await event_queue.enqueue_event(pb.TaskArtifactUpdateEvent(**ids, artifact=artifact, append=number > 0))
            if number % 10 == 0:
                await asyncio.sleep(0)
        status = pb.TaskStatus(state=pb.TASK_STATE_COMPLETED)
        await event_queue.enqueue_event(pb.TaskStatusUpdateEvent(**ids, status=status))
        self.done.set()

    async def cancel(self, context, event_queue):
        raise NotImplementedError


def stock_handler(executor):
    card = pb.AgentCard(name="stock", version="1", capabilities=pb.AgentCapabilities(streaming=True))
    return DefaultRequestHandler(executor, InMemoryTaskStore(), card)


def test_the_stock_sdk_doubles_chunks_after_a_resubscribe():
    """E2; here: `test_a_snapshot_in_a_burst_and_what_follows_double_nothing`."""

    async def trial():
        handler, context = stock_handler(Burst(400)), ServerCallContext()
        stream = handler.on_message_send_stream(send_request(message("x")), context)
        first = await anext(stream)
        words = []
        async for event in handler.on_subscribe_to_task(pb.SubscribeToTaskRequest(id=first.id), context):
            if isinstance(event, pb.Task):
                for _ in range(20):  # as a transport does before it has written it: the task grows meanwhile
                    await asyncio.sleep(0)
                words = [part.text for one in event.artifacts for part in one.parts]
            elif isinstance(event, pb.TaskArtifactUpdateEvent):
                words += [part.text for part in event.artifact.parts]
        await stream.aclose()
        return words

    told = [asyncio.run(trial()) for _ in range(4)]
    assert any(words != [f"{number} " for number in range(400)] for words in told)


def test_the_stock_sdk_is_led_inside_by_a_name_that_is_bound_anew(monkeypatch):
    """With its own check on, off by default; here: `test_a_name_that_is_bound_anew_leads_nowhere_else`."""
    resolve, asked = socket.getaddrinfo, []

    def rebound(host, *args, **options):
        if host in {"rebinds.example", b"rebinds.example"}:
            asked.append(host)
            host = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return resolve(host, *args, **options)

    async def tell(url):
        configs = InMemoryPushNotificationConfigStore()
        config = pb.TaskPushNotificationConfig(id="c", task_id="t", url=url)
        await configs.set_info("t", config, ServerCallContext())
        async with httpx.AsyncClient(trust_env=False) as http:
            sender = BasePushNotificationSender(http, configs, push_url_validator=validate_push_notification_url)
            await sender.send_notification("t", pb.Task(id="t"))

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with webhook() as hook:
        asyncio.run(tell(hook.url.replace("127.0.0.1", "rebinds.example")))
        assert len(hook.told) == 1


@pytest.mark.thorough
def test_the_stock_sdk_cuts_a_slow_reader_off_without_a_word():
    """E3; here: `test_a_slow_reader_is_given_all`."""

    async def run():
        executor = Burst(5000)
        found = []
        async for event in stock_handler(executor).on_message_send_stream(
            send_request(message("x")), ServerCallContext()
        ):
            found.append(event)
            if len(found) == 5:
                await executor.done.wait()
        return found

    found = asyncio.run(run())
    assert len(found) < 5000
    assert not any(isinstance(one, pb.TaskStatusUpdateEvent) for one in found)  # and its stream just ended
