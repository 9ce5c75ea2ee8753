"""An agent's doors: cards, versions, calls, the 0.3 face, streams for browsers, callers that hang up or read slowly."""

import asyncio
import json
from urllib.parse import quote

import httpx
import pytest
from a2a.client import ClientCallContext
from a2a.compat.v0_3.types import AgentCard as AgentCard03
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError, TaskNotFoundError
from google.protobuf.json_format import ParseDict

from a2a_agents import WORDS
from bindings import BINDINGS, Binding, user_message
from nbagora_lab.a2a.handler import LogRequestHandler
from nbagora_lab.a2a.wire import DEEPEST
from nbagora_lab.inspect.fold import LOG_EXTENSION
from official import canonical, official, resume_after, send_request
from raw_http import RawExchange, get, post
from told import check_order, in_the_log, offset_of, task_id_of
from waiting import until

CARD = "/.well-known/agent-card.json"
FACES = [(binding, version) for version in ("1.0", "0.3") for binding in BINDINGS]


@pytest.fixture(scope="module")
def http(lab):
    with httpx.Client(
        base_url=f"{lab.url}/agents/", headers={"Authorization": f"Bearer {lab.token}"}, timeout=30, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def unique(request):
    return request.node.name.replace("[", "-").replace("]", "").replace("+", "").replace(".", "")


def rpc(http, method, params=None, *, agent="echo", version="1.0", **more):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {} if params is None else params} | more
    return http.post(agent, json=body, headers={"A2A-Version": version} if version else {})


def message03(text, **fields):
    return {
        "kind": "message",
        "messageId": f"m-{text}",
        "role": "user",
        "parts": [{"kind": "text", "text": text}],
        **fields,
    }


# -- cards -------------------------------------------------------------------------------------------------------------


def test_the_card_is_a_card(lab, http):
    card = http.get(f"everything{CARD}").json()
    message = ParseDict(card, pb.AgentCard())  # refuses what it does not know: no member of 0.3 is there
    assert message.description == "Gives out every kind of event."
    interfaces = [(one.protocol_binding, one.protocol_version, one.url) for one in message.supported_interfaces]
    url = f"{lab.url}/agents/everything"
    assert interfaces == [("JSONRPC", "1.0", url), ("HTTP+JSON", "1.0", url)]
    assert message.capabilities.streaming
    assert message.capabilities.push_notifications
    assert not message.capabilities.extended_agent_card
    assert [one.uri for one in message.capabilities.extensions] == [LOG_EXTENSION, "urn:nbagora:a2a-inbox:1"]
    assert message.security_schemes["token"].http_auth_security_scheme.scheme == "Bearer"


def test_the_card_of_0_3_is_one_of_0_3(lab, http):
    card = AgentCard03.model_validate(http.get(f"everything/v0.3{CARD}").json())
    assert (card.url, card.preferred_transport) == (f"{lab.url}/agents/everything", "JSONRPC")
    assert card.protocol_version == "0.3"


@pytest.mark.parametrize("path", [CARD, f"/v0.3{CARD}"])
def test_an_unchanged_card_is_not_sent_again(http, path):
    first = http.get(f"echo{path}")
    tag = first.headers["etag"]
    assert http.get(f"echo{path}", headers={"If-None-Match": tag}).status_code == 304
    assert http.get(f"echo{path}", headers={"If-None-Match": f'"x", {tag}'}).status_code == 304
    assert http.get(f"echo{path}", headers={"If-None-Match": '"x"'}).status_code == 200
    assert http.get(f"asker{path}", headers={"If-None-Match": tag}).status_code == 200
    assert "private" in first.headers["cache-control"]
    head = http.head(f"echo{path}")
    assert (head.status_code, head.content) == (200, b"")


def test_a_card_that_changed_is_sent(lab, http):
    lab.define("changing", lambda message: "x", description="first")
    tag = http.get(f"changing{CARD}").headers["etag"]
    lab.define("changing", lambda message: "x", description="second")
    again = http.get(f"changing{CARD}", headers={"If-None-Match": tag})
    assert (again.status_code, again.json()["description"]) == (200, "second")
    lab.remove("changing")
    assert http.get(f"changing{CARD}").status_code == 404


# -- addresses and versions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["echo/nope", "echo/tasks/a/b/c", "echo/message:sent", "echo/tasks/x:cancel"])
def test_what_is_nowhere_says_so(http, path):
    answer = http.get(path, headers={"A2A-Version": "1.0"})
    assert answer.status_code in {404, 405}
    assert path.startswith("echo/tasks/x") or answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_agent_says_which_was_meant(http):
    for answer in (http.get(f"ecco{CARD}"), rpc(http, "ListTasks", agent="ecco")):
        assert answer.status_code == 404
        assert "did you mean 'echo'?" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("version", "works"),
    [("1.0", True), ("1.0.1", True), ("1.1", False), ("", False), ("0.3", False), ("2.0", False), ("x", False)],
)
def test_only_its_version_is_served(http, version, works):
    answer = rpc(http, "ListTasks", version=version).json()
    assert ("result" in answer) == works
    assert works or answer["error"]["code"] == -32009
    streamed = rpc(http, "SendStreamingMessage", {"message": user_message("x")}, version=version)
    assert (streamed.headers["content-type"].partition(";")[0] == "text/event-stream") == works
    headers = {"A2A-Version": version} if version else {}
    for answer in (
        http.get("echo/tasks", headers=headers),
        http.post("echo/message:stream", json={"message": user_message("x")}, headers=headers),
        http.post("echo/message:send", json={"message": user_message("x")}, headers=headers),
    ):
        assert answer.status_code == (200 if works else 400)
        assert works or answer.json()["error"]["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"


def test_the_version_may_stand_in_the_query(http):
    assert http.get("echo/tasks", params={"A2A-Version": "1.0"}).status_code == 200
    assert http.get("echo/tasks", params={"A2A-Version": "2.0"}).status_code == 400
    assert http.get("echo/tasks", params={"A2A-Version": "2.0"}, headers={"A2A-Version": "1.0"}).status_code == 200


def test_a_browsers_event_source_resumes_and_stops(lab, port):
    """It sets no header of its own but Last-Event-ID when it comes back, and 204 is what ends it."""
    task = lab.ask("everything", "x")
    told = in_the_log(lab, task.id)
    path = f"/agents/everything/tasks/{quote(task.id)}:subscribe?A2A-Version=1.0"
    first = str(offset_of(told[0]))
    with RawExchange(port, get(f"{path}&lastEventId={first}", lab.token, A2A_Version=None)) as exchange:
        events = exchange.read().events()
    assert [canonical(event.json()) for event in events] == told[1:]
    assert {event.kind for event in events} == {"message"}
    with RawExchange(
        port, get(f"{path}&lastEventId={first}", lab.token, A2A_Version=None, Last_Event_ID=events[-1].id)
    ) as exchange:
        assert exchange.read().status == 204


# -- JSON-RPC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], -32600),
        ([{"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}], -32600),
        ("x", -32600),
        (None, -32600),
        ({}, -32600),
        ({"id": 1, "method": "ListTasks"}, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "ListTasks"}, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "ListTasks"}, -32600),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ListTasks"}, -32600),
        ({"jsonrpc": "2.0", "id": {}, "method": "ListTasks"}, -32600),
        ({"jsonrpc": "2.0", "id": 1}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 7}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": ""}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "more": 1}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": "x"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": None}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "NoSuch"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "listtasks"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": 5}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask"}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": [1]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": "x"}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"pageSize": 0}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"pageSize": 101}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"pageToken": "x"}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"historyLength": -1}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {"statusTimestampAfter": "x"}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": {"message": {"parts": "x"}}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": []}, -32602),
    ],
)  # fmt: skip
def test_calls_that_do_not_fit(http, body, code):
    is03 = isinstance(body, dict) and "/" in str(body.get("method"))
    headers = {"A2A-Version": "0.3" if is03 else "1.0", "Content-Type": "application/json"}
    answer = http.post("echo", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200
    assert answer.json()["error"]["code"] == code
    known = body.get("id") if isinstance(body, dict) else None
    assert answer.json()["id"] == (known if type(known) in {int, str} else None)


@pytest.mark.parametrize("identity", ["7", 7, "ü\u2028", "", None, -1, 1 << 60])
def test_the_calls_id_comes_back(http, identity):
    assert rpc(http, "ListTasks", id=identity).json()["id"] == identity
    streamed = rpc(http, "SendStreamingMessage", {"message": user_message("x")}, id=identity)
    ids = {
        repr(httpx.Response(200, text=line[6:]).json()["id"])
        for line in streamed.text.split("\r\n")
        if line[:4] == "data"
    }
    assert ids == {repr(identity)}


@pytest.mark.parametrize("method", ["SendMessage", "message/send", "NoSuch"])
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(http, method):
    version = "0.3" if "/" in method else "1.0"
    for call in (
        '{"jsonrpc":"2.0","id":"\\ud800","method":"%s","params":{"message":%s}}',
        '{"jsonrpc":"2.0","id":1,"method":"%s","params":{"message":%s,"metadata":{"\\uDFFF":1}}}',
        '{"jsonrpc":"2.0","id":1,"method":"%s","params":{"message":%s},"more":["\\ud83d\\ud83d"]}',
    ):
        body = call % (method, '{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x"}]}')
        headers = {"A2A-Version": version, "Content-Type": "application/json"}
        answer = http.post("echo", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32602)


def test_a_whole_surrogate_pair_is_a_letter(http):
    body = '{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"\\uD83C\\uDF1E \\\\ud800"}]}}'
    call = '{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":' + body + "}"
    headers = {"A2A-Version": "1.0", "Content-Type": "application/json"}
    task = http.post("echo", content=call, headers=headers).json()["result"]["task"]
    assert task["artifacts"][0]["parts"][0]["text"] == "🌞 \\ud800"


# -- every face --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("binding", "version"), FACES)
def test_awkward_text_comes_through_as_it_was(lab, binding, version, unique):
    text = "".join(WORDS) * 3

    async def main():
        async with official(f"{lab.url}/agents/echo", lab.token, binding=binding, version=version) as client:
            streamed = [canonical(one) async for one in client.send_message(send_request(user_message(text)))]
            task = await client.get_task(pb.GetTaskRequest(id=task_id_of(streamed[0])))
            return streamed, task

    streamed, task = asyncio.run(main())
    assert "".join(part.text for one in task.artifacts for part in one.parts) == text
    assert task.history[0].parts[0].text == text
    said = [one["artifactUpdate"]["artifact"]["parts"] for one in streamed if "artifactUpdate" in one]
    assert "".join(part["text"] for parts in said for part in parts) == text


@pytest.mark.parametrize(("binding", "version"), FACES)
def test_chinese_names_and_ids_work_in_addresses(lab, binding, version):
    context = f"上下文 {version} {binding}: 一?#%&+é".replace("+", "＋")

    async def main():
        url = f"{lab.url}/agents/{quote('天气')}"
        async with official(url, lab.token, binding=binding, version=version) as client:
            sent = user_message("北京", contextId=context)
            return [canonical(one) async for one in client.send_message(send_request(sent))]

    streamed = asyncio.run(main())
    [context_id] = {inner["contextId"] for [inner] in map(dict.values, streamed)}
    assert context_id == context
    with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30) as client:
        call = Binding(client, f"{lab.url}/agents/{quote('天气')}", binding)
        task = call("GetTask", {"id": task_id_of(streamed[0])})
        assert task.task["artifacts"][0]["parts"] == [{"text": "北京: 晴"}]
        again = call("SubscribeToTask", {"id": task_id_of(streamed[0])}, Last_Event_ID=str(offset_of(streamed[0])))
        assert len(again.events) == len(streamed) - 1


def nested(levels):
    data = 1
    for _ in range(levels):
        data = {"a": data}
    return data


@pytest.mark.parametrize(("binding", "version"), FACES)
def test_data_as_deep_as_is_taken_in_comes_out_by_every_face(lab, http, binding, version):
    async def main():
        async with official(f"{lab.url}/agents/deep", lab.token, binding=binding, version=version) as client:
            sent = {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": {"deep": nested(DEEPEST - 1)}}]}
            return [canonical(one) async for one in client.send_message(send_request(sent))]

    lab.define("deep", lambda message: message.data[0])
    streamed = asyncio.run(main())
    update = next(one["artifactUpdate"] for one in streamed if "artifactUpdate" in one)
    assert update["artifact"]["parts"][0]["data"] == {"deep": nested(DEEPEST - 1)}
    listed = rpc(http, "ListTasks", {"includeArtifacts": True}, agent="deep").json()["result"]["tasks"]
    assert listed[0]["artifacts"][0]["parts"][0]["data"] == {"deep": nested(DEEPEST - 1)}


def test_data_deeper_than_that_is_refused_by_every_face(lab, http):
    lab.define("deep", lambda message: {"deep": nested(DEEPEST)})
    data = {"deep": nested(DEEPEST)}
    for method in ("SendMessage", "SendStreamingMessage"):
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": data}]}
        assert rpc(http, method, {"message": message}, agent="deep").json()["error"]["code"] == -32602
        message = user_message("x", metadata=data)
        assert rpc(http, method, {"message": message}, agent="deep").json()["error"]["code"] == -32602
    part03 = {"kind": "data", "data": data}
    for method in ("message/send", "message/stream"):
        params = {"message": message03("x") | {"parts": [part03]}}
        assert rpc(http, method, params, agent="deep", version="0.3").json()["error"]["code"] == -32602
    task = lab.ask("deep", "x", check=False)
    assert (task.state, f"deeper than {DEEPEST}" in task.error) == ("FAILED", True)


@pytest.mark.parametrize(("binding", "version"), FACES)
def test_a_task_that_is_not_there(lab, binding, version):
    async def main():
        async with official(f"{lab.url}/agents/echo", lab.token, binding=binding, version=version) as client:
            for call in (
                client.get_task(pb.GetTaskRequest(id="ctx.none")),
                client.cancel_task(pb.CancelTaskRequest(id="ctx.none")),
                anext(aiter(client.subscribe(pb.SubscribeToTaskRequest(id="ctx.none")))),
            ):
                with pytest.raises(TaskNotFoundError if (binding, version) != FACES[-1] else A2AError):
                    await call  # the SDK's client of that face takes any 404 for an unknown method

    asyncio.run(main())


@pytest.mark.parametrize(("binding", "version"), FACES)
def test_the_official_client_does_everything(lab, binding, version, unique):
    async def main():
        async with official(f"{lab.url}/agents/asker", lab.token, binding=binding, version=version) as client:
            opened = [
                canonical(one) async for one in client.send_message(send_request(user_message("a b", contextId=unique)))
            ]
            task_id = task_id_of(opened[0])
            answer = user_message("x", contextId=unique, taskId=task_id)
            followed = [canonical(one) async for one in client.send_message(send_request(answer))]
            task = pb.SubscribeToTaskRequest(id=task_id)
            snapshot = canonical(await anext(aiter(client.subscribe(task))))
            canceled = await client.cancel_task(pb.CancelTaskRequest(id=task_id))
            after = resume_after(offset_of(opened[0]))
            resumed = [
                canonical(one) async for one in client.subscribe(pb.SubscribeToTaskRequest(id=task_id), context=after)
            ]
            got = await client.get_task(pb.GetTaskRequest(id=task_id, history_length=1))
            return opened, followed, snapshot, canceled, resumed, got

    opened, followed, snapshot, canceled, resumed, got = asyncio.run(main())
    check_order(opened)
    assert followed[0]["task"]["status"]["state"] == "TASK_STATE_SUBMITTED"
    assert snapshot["task"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert canceled.status.state == got.status.state == pb.TaskState.TASK_STATE_CANCELED
    told = in_the_log(lab, task_id_of(opened[0]))
    assert [offset_of(one) for one in resumed] == [offset_of(one) for one in told[1:]]
    assert len(got.history) == 1


# -- 0.3 ---------------------------------------------------------------------------------------------------------------


def test_0_3_without_a_version_header(http, unique):
    """Its clients send none."""
    sent = rpc(http, "message/send", {"message": message03("hi", contextId=unique)}, version=None).json()["result"]
    assert (sent["kind"], sent["status"]["state"], sent["contextId"]) == ("task", "completed", unique)
    assert sent["artifacts"][0]["parts"][0] == {"kind": "text", "text": "hi"}
    got = rpc(http, "tasks/get", {"id": sent["id"], "historyLength": 1}, version=None).json()["result"]
    assert (got["status"]["state"], [one["messageId"] for one in got["history"]]) == ("completed", ["m-hi"])
    cancel = rpc(http, "tasks/cancel", {"id": sent["id"]}, version=None).json()
    assert cancel["error"]["code"] == -32002
    push = {"taskId": sent["id"], "pushNotificationConfig": {"url": "http://127.0.0.1:1/"}}
    refused = rpc(http, "tasks/pushNotificationConfig/set", push, version=None).json()["error"]
    assert (refused["code"], "not public" in refused["message"]) == (-32602, True)


def test_0_3_takes_no_part_without_a_kind(http, unique):
    message = message03("x", contextId=unique, parts=[{"type": "unknown", "text": "no text, then"}])
    error = rpc(http, "message/send", {"message": message}, version=None).json()["error"]
    assert error["code"] == -32602, error


def events03(port, request):
    with RawExchange(port, request) as exchange:
        return exchange.read().events(), exchange


def test_0_3_streams_have_ids_and_resume(lab, port, unique):
    def call(method, params, **headers):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return events03(port, post("/agents/everything", body, lab.token, A2A_Version=None, **headers))[0]

    streamed = call("message/stream", {"message": message03("x", contextId=unique)})
    results = [one.json()["result"] for one in streamed]
    assert [results[0]["kind"], results[-1]["kind"], results[-1]["final"]] == ["task", "status-update", True]
    assert [one.id for one in streamed] == [one["metadata"][LOG_EXTENSION]["offset"] for one in results]
    offsets = [int(one.id) for one in streamed]
    assert offsets == sorted(set(offsets))
    for at, event in enumerate(streamed):
        resumed = call("tasks/resubscribe", {"id": results[0]["id"]}, Last_Event_ID=event.id)
        assert [one.json()["result"] for one in resumed] == results[at + 1 :]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_0_3_streams_refuse_in_the_form_that_is_accepted(http, accept):
    """Its clients call a refusal in JSON no answer at all."""
    call = {"jsonrpc": "2.0", "id": 7, "method": "tasks/resubscribe", "params": {"id": "ctx.none"}}
    answer = http.post("echo", json=call, headers={"Accept": accept})
    body = answer.text.removeprefix("data: ") if accept == "text/event-stream" else answer.text
    refused = json.loads(body)
    assert answer.headers["content-type"].partition(";")[0] == accept
    assert (refused["id"], refused["error"]["code"]) == (7, -32001)
    assert "not found" in refused["error"]["message"]


def test_0_3_http_json_streams_have_ids_and_resume(lab, port, unique):
    body = {"message": {"messageId": "m", "role": "ROLE_USER", "contextId": unique, "content": [{"text": "x"}]}}
    streamed, _ = events03(port, post("/agents/everything/v1/message:stream", body, lab.token, A2A_Version="0.3"))
    bodies = [one.json() for one in streamed]
    offsets = [int(one.id) for one in streamed]
    assert offsets == sorted(set(offsets))
    path = f"/agents/everything/v1/tasks/{bodies[0]['task']['id']}:subscribe"
    for at, event in enumerate(streamed):
        resumed, _ = events03(port, get(path, lab.token, A2A_Version="0.3", Last_Event_ID=event.id))
        assert [one.json() for one in resumed] == bodies[at + 1 :]
    _, refused = events03(port, get(path, lab.token, A2A_Version="0.3"))
    assert refused.status == 400


# -- what goes wrong on the way ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("binding", "version"), FACES)
def test_a_stream_that_breaks_says_so_in_an_event(lab, binding, version, monkeypatch):
    async def broken(self, owner, task_id, *, after):
        raise RuntimeError("no more of this")
        yield []

    monkeypatch.setattr(LogRequestHandler, "_read", broken)

    async def main():
        async with official(f"{lab.url}/agents/echo", lab.token, binding=binding, version=version) as client:
            async for one in client.send_message(send_request(user_message("x"))):
                seen.append(canonical(one))  # noqa: PERF401 -- what came before counts

    seen = []
    with pytest.raises(Exception, match=r"(?i)no more of this|unknown exception|Unsupported StreamResponse"):
        asyncio.run(main())
    assert len(seen) == 1


def call10(method, params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def to03(sent):
    return message03(sent["parts"][0]["text"], messageId=sent["messageId"], contextId=sent["contextId"])


def to03rest(sent):
    ids = {"messageId": sent["messageId"], "contextId": sent["contextId"]}
    return {"message": ids | {"role": "ROLE_USER", "content": sent["parts"]}}


def waiting_calls(sent, token):
    """Every way in which one waits for an agent; the agent `either` holds back its first word, too."""
    old, path03 = {"A2A_Version": "0.3"}, "/agents/gated/v1/message"
    for agent in ("gated", "either"):
        yield post(f"/agents/{agent}/message:stream", {"message": sent}, token)
        yield post(f"/agents/{agent}/message:send", {"message": sent}, token)
        for method in ("SendStreamingMessage", "SendMessage"):
            yield post(f"/agents/{agent}", call10(method, {"message": sent}), token)
        for method in ("message/stream", "message/send"):
            yield post(f"/agents/{agent}", call10(method, {"message": to03(sent)}), token, **old)
    yield post(f"{path03}:send", to03rest(sent), token, **old)
    yield post(f"{path03}:stream", to03rest(sent), token, **old)


def watching(lab):
    """How many read sessions on, or wait for a task to stop; the lab itself follows the directory."""
    watches = list(lab.broker.log._watches._wakes.items())  # at one stroke: they come and go meanwhile
    reading = sum(len(wakes) for topic, wakes in watches if topic.startswith("sessions/"))
    return reading + sum(live.stop.awaited for live in list(lab._tasks._tasklog._live.values()))


def test_callers_that_hang_up_leave_nothing_and_stop_nobody(lab, port, unique):
    """A hundred, at every door that waits."""
    until(lambda: not watching(lab))
    gate = f"gate task {unique}"
    asked, exchanges = [], []
    for number in range(112):
        sent = user_message(gate, messageId=f"m{number}", contextId=f"{unique}-{number}")
        ways = list(waiting_calls(sent, lab.token))
        exchanges.append(RawExchange(port, ways[number % len(ways)]))
        asked.append(f"{unique}-{number}")
    lab.gates.wait_for(gate, 112)
    until(lambda: watching(lab) == 112)
    for number, exchange in enumerate(exchanges):
        (exchange.reset if number % 2 else exchange.close)()
    until(lambda: not watching(lab))
    assert {lab.tasks(context=context)[0].state for context in asked} <= {"WORKING", "SUBMITTED"}
    lab.gates.open(gate)
    for context in asked:
        [task] = lab.tasks(context=context)
        assert lab.wait(task).state == "COMPLETED"


def test_a_subscriber_that_hangs_up_leaves_nothing(lab, port, unique):
    gate = f"gate {unique}"
    task = lab.send("gated", gate)
    lab.gates.wait_for(gate)
    until(lambda: not watching(lab))
    path = f"/agents/gated/tasks/{task.id}:subscribe"
    at_end = str(lab.task(task.id).events[-1].offset)
    exchanges = [
        RawExchange(port, request)
        for headers in ({}, {"Last_Event_ID": at_end})
        for request in (
            get(path, lab.token, **headers),
            post("/agents/gated", call10("SubscribeToTask", {"id": task.id}), lab.token, **headers),
            post(
                "/agents/gated", call10("tasks/resubscribe", {"id": task.id}), lab.token, A2A_Version="0.3", **headers
            ),
        )
    ]
    until(lambda: watching(lab) == len(exchanges))
    for exchange in exchanges:
        exchange.close()
    until(lambda: not watching(lab))
    lab.gates.open(gate)
    assert lab.wait(task).state == "COMPLETED"


def test_a_subscriber_to_a_quiet_task_gets_its_response_at_once(lab, port, unique):
    gate = f"gate {unique}"
    task = lab.send("gated", gate)
    lab.gates.wait_for(gate)
    at_end = str(lab.task(task.id).events[-1].offset)
    requests = [
        get(f"/agents/gated/tasks/{task.id}:subscribe", lab.token, Last_Event_ID=at_end),
        post("/agents/gated", call10("SubscribeToTask", {"id": task.id}), lab.token, Last_Event_ID=at_end),
    ]
    for request in requests:
        with RawExchange(port, request) as exchange:
            exchange.read(until=100)
            assert exchange.status == 200
    lab.gates.open(gate)
    lab.wait(task)


def test_a_caller_that_hangs_up_on_a_cancellation_does_not_undo_it(lab, port, unique):
    gate = f"gate {unique}"
    task = lab.send("gated", gate)
    lab.gates.wait_for(gate)
    exchange = RawExchange(port, post("/agents/gated", call10("CancelTask", {"id": task.id}), lab.token))
    exchange.reset()
    until(lambda: lab.task(task.id).state == "CANCELED")


def test_a_slow_reader_loses_nothing_beside_a_fast_one(lab, port):
    """5,003 events of 4 KiB: 20 MiB that no buffer on the way holds."""

    async def flood(message, task):
        for number in range(4999):
            yield f"{number:04}" + "x" * 4092
            await asyncio.sleep(0)

    lab.define("flood", flood)
    raw = post("/agents/flood/message:stream", {"message": user_message("x")}, lab.token)
    slow = RawExchange(port, raw, timeout=60)
    slow.read(events=1)
    task_id = slow.events()[0].json()["task"]["id"]
    with RawExchange(port, get(f"/agents/flood/tasks/{task_id}:subscribe", lab.token), timeout=60) as fast:
        quick = fast.read().events()
    assert lab.task(task_id).state == "COMPLETED"
    events = slow.read().events()
    slow.close()
    assert len(events) == 5003
    assert [one.id for one in events[-len(quick) + 1 :]] == [one.id for one in quick[1:]]
    numbers = [one.json()["artifactUpdate"]["artifact"]["parts"][0]["text"][:4] for one in events[2:-2]]
    assert numbers == [f"{number:04}" for number in range(4999)]


def test_headers_of_a_call_reach_its_task(lab):
    """The official client's service parameters are headers."""

    async def main():
        async with official(f"{lab.url}/agents/echo", lab.token) as client:
            context = ClientCallContext(service_parameters={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
            return [one async for one in client.send_message(send_request(user_message("x")), context=context)]

    [first, *_] = asyncio.run(main())
    assert lab._tasks._tasklog.directory()[first.task.id].traceparent == f"00-{'ab' * 16}-{'cd' * 8}-01"
