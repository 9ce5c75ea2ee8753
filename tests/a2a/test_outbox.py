"""Push notifications: configurations, what webhooks are told, in which order, how often, and how it is signed."""

import base64
import hmac
import json
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import httpx
import jwt
import pytest

from a2a_agents import define_agents
from bindings import BINDINGS, Binding, user_message
from nbagora_lab.lab import Lab
from servers import running_server
from waiting import until
from webhook import webhook

ON_ROCKETMQ = pytest.param("rocketmq", marks=[pytest.mark.campaign, pytest.mark.server("rocketmq")])


@pytest.fixture(scope="module", params=["embedded", ON_ROCKETMQ])
def lab(request, tmp_path_factory):
    store = tmp_path_factory.mktemp("push")
    servers = {} if request.param == "embedded" else running_server("rocketmq").settings
    with Lab(store=store, broker=request.param, push_allow=["127.0.0.1"], **servers) as lab:
        lab.gates = define_agents(lab)
        with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30) as client, webhook() as first:
            send(Binding(client, f"{lab.url}/agents/echo", BINDINGS[0]), "x", first)  # what the first one starts stays
            first.wait_for(3)
        yield lab
        if servers:
            lab.broker.log.shared.remove()


@pytest.fixture
def hook():
    with webhook() as hook:
        yield hook


@pytest.fixture(scope="module")
def http(lab):
    with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(params=BINDINGS)
def agent(request, lab, http):
    return lambda name: Binding(http, f"{lab.url}/agents/{name}", request.param)


def states(told):
    bodies = [one.json() for one in told]
    return [
        body["task"]["status"]["state"] if "task" in body else body["statusUpdate"]["status"]["state"]
        for body in bodies
        if "artifactUpdate" not in body
    ]


def send(call, text, hook, **config):
    configuration = {"taskPushNotificationConfig": {"url": hook.url, **config}}
    return call("SendMessage", {"message": user_message(text), "configuration": configuration}).task


def test_a_webhook_given_with_the_message_is_told_every_event_in_order(agent, hook):
    task = send(agent("everything"), "x", hook, id="mine", token="秘".encode().hex())
    told = hook.wait_for(int(task["metadata"]["urn:nbagora:a2a-log:1"]["generation"]))
    generations = [
        int(next(iter(one.json().values()))["metadata"]["urn:nbagora:a2a-log:1"]["generation"]) for one in told
    ]
    assert generations == list(range(1, len(told) + 1))
    assert states(told)[0] == "TASK_STATE_SUBMITTED"
    assert states(told)[-1] == "TASK_STATE_COMPLETED"
    assert {one.headers["content-type"] for one in told} == {"application/a2a+json"}
    assert {one.path for one in told} == {"/hook"}


def test_what_is_told_is_signed_and_carries_the_credentials(agent, hook):
    send(agent("echo"), "x", hook, token="t0ken", authentication={"scheme": "Bearer", "credentials": "hush"})
    for one in hook.wait_for(3):
        assert one.headers["authorization"] == "Bearer hush"
        assert one.headers["x-a2a-notification-token"] == "t0ken"
        signed = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.body
        mac = base64.b64encode(hmac.digest(b"t0ken", signed, "sha256")).decode()
        assert one.headers["webhook-signature"] == f"v1,{mac}"
    assert len({one.headers["webhook-id"] for one in hook.told}) == len(hook.told)


def test_what_is_told_is_signed_by_the_labs_key_which_anybody_may_read(agent, lab, hook):
    send(agent("echo"), "北京", hook)
    [jwk] = httpx.get(f"{lab.url}/.well-known/jwks.json", trust_env=False, timeout=30).json()["keys"]
    key = jwt.PyJWK(jwk, "ES256").key
    for one in hook.wait_for(3):
        header, empty, signature = one.headers["x-a2a-signature"].split(".")
        assert not empty  # the body is left out, and stands in its place when it is checked
        assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"] == jwk["kid"]
        payload = base64.urlsafe_b64encode(one.body).decode().rstrip("=")
        assert jwt.api_jws.decode(f"{header}.{payload}.{signature}", key, ["ES256"]) == one.body
        forged = base64.urlsafe_b64encode(one.body + b" ").decode().rstrip("=")
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.api_jws.decode(f"{header}.{forged}.{signature}", key, ["ES256"])


def test_the_names_of_0_3_do_the_same(lab, http, hook):
    """set, get, list and delete, by JSON-RPC as 0.3 has it."""

    def old(method, params):
        body = {"jsonrpc": "2.0", "id": 1, "method": f"tasks/pushNotificationConfig/{method}", "params": params}
        answer = http.post(f"{lab.url}/agents/asker", json=body).json()
        return answer.get("error", {}).get("code") or answer["result"]

    call = Binding(http, f"{lab.url}/agents/asker", BINDINGS[0])
    task = call("SendMessage", {"message": user_message("one")}).task["id"]
    config = {"id": "mine", "url": hook.url, "token": "t0ken"}
    made = old("set", {"taskId": task, "pushNotificationConfig": config})
    assert (made["taskId"], made["pushNotificationConfig"]["id"]) == (task, "mine")
    old("set", {"taskId": task, "pushNotificationConfig": config | {"id": "other"}})
    assert old("get", {"id": task, "pushNotificationConfigId": "mine"})["pushNotificationConfig"]["url"] == hook.url
    assert old("get", {"id": task})["pushNotificationConfig"]["id"] == "other"  # 0.3 may leave out which
    listed = old("list", {"id": task})
    assert [one["pushNotificationConfig"]["id"] for one in listed] == ["mine", "other"]
    assert old("delete", {"id": task, "pushNotificationConfigId": "mine"}) is None
    assert [one["pushNotificationConfig"]["id"] for one in old("list", {"id": task})] == ["other"]
    assert old("get", {"id": task, "pushNotificationConfigId": "mine"}) == -32001
    assert old("set", {"taskId": "none.x", "pushNotificationConfig": config}) == -32001


def test_credentials_are_in_no_record_and_are_told_to_nobody(agent, lab, hook):
    secret = "c0mpletely-secret"
    call = agent("asker")
    task = send(call, "one", hook, id="mine", authentication={"scheme": "Bearer", "credentials": secret})
    shown = call("GetTaskPushNotificationConfig", {"taskId": task["id"], "id": "mine"}).result
    assert shown["authentication"] == {"scheme": "Bearer"}
    for parent in lab.broker.topics():
        for lite in lab.broker.ls(parent, limit=10_000):
            for record in lab.broker.read(f"{parent}/{lite}"):
                assert secret.encode() not in record.body
    keys = lab.store / "keys.json"
    assert secret in keys.read_text()
    assert keys.stat().st_mode & 0o077 == 0


def test_configurations_are_made_read_listed_and_removed(agent, hook):
    call = agent("asker")
    task = call("SendMessage", {"message": user_message("one")}).task
    for name in ("a", "b", "c"):
        made = call("CreateTaskPushNotificationConfig", {"taskId": task["id"], "id": name, "url": hook.url})
        assert made.result["id"] == name
    call("CreateTaskPushNotificationConfig", {"taskId": task["id"], "id": "a", "url": hook.url + "/again"})
    listed = call("ListTaskPushNotificationConfigs", {"taskId": task["id"]}).result["configs"]
    assert [(one["id"], one["url"]) for one in listed] == [
        ("b", hook.url), ("c", hook.url), ("a", hook.url + "/again")
    ]  # fmt: skip
    for _ in range(2):
        removed = call("DeleteTaskPushNotificationConfig", {"taskId": task["id"], "id": "b"})
        assert removed.status in {200, 204}
        assert not removed.reason
    assert call("GetTaskPushNotificationConfig", {"taskId": task["id"], "id": "b"}).reason == "TASK_NOT_FOUND"
    assert call("ListTaskPushNotificationConfigs", {"taskId": "ctx.none"}).reason == "TASK_NOT_FOUND"
    call("SendMessage", {"message": user_message("yes", taskId=task["id"])})
    paths = sorted(one.path for one in hook.wait_for(10))  # SUBMITTED, WORKING, two of the artifact, COMPLETED
    assert paths == ["/hook"] * 5 + ["/hook/again"] * 5


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://10.0.0.1/", "http://[::1]/", "http://0.0.0.0/",
        "http://169.254.169.254/latest/", "http://[::ffff:10.0.0.1]/", "http://2130706434/", "http://localhost./",
        "http://100.64.0.1/", "http://[64:ff9b::a00:1]/", "http://no-such-host.invalid/", "http://224.0.0.1/",
        "http://127.0.0.1\r\nx/", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_a_webhook_that_is_not_public_is_refused(agent, url):
    call = agent("echo")
    configuration = {"taskPushNotificationConfig": {"url": url}}
    refused = call("SendMessage", {"message": user_message("x"), "configuration": configuration})
    assert refused.code == -32602 or refused.status == 400
    assert refused.reason in {"INVALID_PARAMS", "INVALID_ARGUMENT", ""}


def test_a_slow_webhook_holds_up_nobody(agent, hook):
    release = threading.Event()
    hook.answer = lambda _told: (release.wait(30) and 200, {})
    call = agent("chunks")
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": {"chunks": 100}}]}
    configuration = {"taskPushNotificationConfig": {"url": hook.url}}
    streamed = call("SendStreamingMessage", {"message": message, "configuration": configuration})
    assert streamed.events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert hook.told == []  # it has not answered the first yet
    release.set()
    told = hook.wait_for(len(streamed.events))
    assert [one.json() for one in told][1:] == list(streamed.events)[1:]


def test_a_webhook_that_fails_is_told_again_in_order(agent, lab, hook):
    failures = iter([500, 302, 404])
    hook.answer = lambda _told: (next(failures, 200), {"Location": "http://127.0.0.1:1/"})
    send(agent("echo"), "x", hook)
    lab.broker.alter_group("push", backoff=(0.01,))
    told = hook.wait_for(3 + 4)
    assert len({one.headers["webhook-id"] for one in told[:4]}) == 1
    assert states(told[3:]) == ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]


def test_what_is_never_taken_is_a_dead_letter_and_can_be_told_again(agent, lab, hook):
    send(agent("echo"), "first", hook)
    hook.wait_for(4)
    lab.broker.alter_group("push", backoff=(0.01,), max_attempts=2)
    try:
        del hook.told[:]
        hook.answer = lambda _told: (500, {})
        task = send(agent("echo"), "x", hook)
        hook.wait_for(8)  # each of four events twice

        def letters():
            return [one for one in lab.broker.dead_letters("push") if one.record.subject == task["id"]]

        until(lambda: len(letters()) == 4)
        del hook.told[:]
        hook.answer = lambda _told: (200, {})
        assert len(lab.broker.replay_dead("push")) >= 4
        told = hook.wait_for(4)
        assert states(told) == ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]
        assert letters() == []
    finally:
        lab.broker.alter_group("push", max_attempts=9)


def test_pauses_grow_and_differ_from_webhook_to_webhook(agent, lab, hook):
    """So that many of one place that was away do not come back at once."""
    send(agent("echo"), "x", hook)
    hook.wait_for(3)
    lab.broker.alter_group("push", backoff=(10, 100))

    def pause(attempt, handle):
        delivery = SimpleNamespace(attempt=attempt, handle=handle, record=SimpleNamespace(subject="t"))
        asked = lab._hosting._outbox._again(delivery, "it was away")
        assert asked.counted
        return asked.seconds

    for attempt, least in ((1, 10), (2, 100), (7, 100)):
        pauses = [pause(attempt, f"h{number}") for number in range(20)]
        assert all(least <= one <= 1.5 * least for one in pauses)
        assert len(set(pauses)) > 10
        assert pauses == [pause(attempt, f"h{number}") for number in range(20)]


def test_a_webhook_that_says_when_to_come_again_is_not_given_up(agent, lab, hook):
    later = iter([503, 429, 503])
    hook.answer = lambda _told: ((next(later, 200)), {"Retry-After": "0"})
    send(agent("echo"), "first", hook)
    lab.broker.alter_group("push", max_attempts=1)
    try:
        assert states(hook.wait_for(3 + 4)[3:])[-1] == "TASK_STATE_COMPLETED"
    finally:
        lab.broker.alter_group("push", max_attempts=9)


def test_a_webhook_that_is_gone_is_told_nothing_more(agent, hook):
    hook.answer = lambda _told: (410, {})
    call = agent("asker")
    task = send(call, "one", hook, id="mine")
    hook.wait_for(1)
    until(lambda: call("GetTaskPushNotificationConfig", {"taskId": task["id"], "id": "mine"}).reason)
    assert call("ListTaskPushNotificationConfigs", {"taskId": task["id"]}).result.get("configs", []) == []
    call("SendMessage", {"message": user_message("yes", taskId=task["id"])})
    assert len(hook.told) == 1


@pytest.mark.thorough
def test_a_webhook_hears_of_the_end_that_a_killed_process_left_to_the_next(tmp_path, hook):
    code = textwrap.dedent(f"""
        import asyncio
        from nbagora_lab.lab import Lab
        lab = Lab(store={str(tmp_path)!r}, push_allow="127.0.0.1")
        async def hangs(message, task):
            yield "begun"
            await asyncio.sleep(600)
        lab.define("hangs", hangs)
        print(lab.url, lab.token, flush=True)
        asyncio.run(asyncio.sleep(600))
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        url, token = child.stdout.readline().split()
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False) as http:
            configuration = {"taskPushNotificationConfig": {"url": hook.url}, "returnImmediately": True}
            call = Binding(http, f"{url}/agents/hangs", "JSONRPC")
            task = call("SendMessage", {"message": user_message("x"), "configuration": configuration}).task
        hook.wait_for(3)  # SUBMITTED, WORKING, its word
        child.kill()
    with Lab(store=tmp_path, push_allow="127.0.0.1") as lab:
        assert lab.settled == [task["id"]]
        until(lambda: states(hook.told)[-1] == "TASK_STATE_FAILED")


def test_what_was_not_told_outlives_its_process(tmp_path, hook):
    """A webhook that was away is told by the next process what the one before had on record."""
    hook.answer = lambda _told: (500, {})

    def echo(message):
        return message.text

    def call(lab, method, params):
        with httpx.Client(headers={"Authorization": f"Bearer {lab.token}"}, timeout=30, trust_env=False) as http:
            return Binding(http, f"{lab.url}/agents/echo", "JSONRPC")(method, params)

    with Lab(store=tmp_path, push_allow="127.0.0.1") as lab:
        lab.define("echo", echo)
        configuration = {"taskPushNotificationConfig": {"url": hook.url, "token": "t"}}
        call(lab, "SendMessage", {"message": user_message("x"), "configuration": configuration})
        hook.wait_for(1)
    del hook.told[:]
    hook.answer = lambda _told: (200, {})
    with Lab(store=tmp_path, push_allow="127.0.0.1"):
        until(lambda: "TASK_STATE_COMPLETED" in states(hook.told))
    told = list({one.headers["webhook-id"]: one for one in hook.told}.values())  # the first may be told again
    assert states(told) == ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]
    assert {one.headers["x-a2a-notification-token"] for one in told} == {"t"}
    assert "t" in json.dumps(json.loads((tmp_path / "keys.json").read_text())["push"])


def test_what_is_removed_leaves_no_secret_behind(agent, lab, hook):
    call, secret = agent("asker"), "s3cret-of-a-while"
    task = send(call, "one", hook, id="mine", token=secret)
    assert secret in (lab.store / "keys.json").read_text()
    told = hook.wait_for(int(task["metadata"]["urn:nbagora:a2a-log:1"]["generation"]))
    call("DeleteTaskPushNotificationConfig", {"taskId": task["id"], "id": "mine"})
    assert secret not in (lab.store / "keys.json").read_text()
    with webhook() as other:
        call("CreateTaskPushNotificationConfig", {"taskId": task["id"], "id": "other", "url": other.url})
        call("SendMessage", {"message": user_message("yes", taskId=task["id"])})
        until(lambda: "TASK_STATE_COMPLETED" in states(other.told))
    assert hook.told == told


def test_a_task_has_twenty_webhooks_at_most_and_lists_them_in_pages(agent, hook):
    call = agent("asker")
    place = {"taskId": call("SendMessage", {"message": user_message("one")}).task["id"]}
    names = [f"h{number}" for number in range(20)]
    for name in names:
        assert call("CreateTaskPushNotificationConfig", {**place, "id": name, "url": hook.url}).result["id"] == name
    assert call("CreateTaskPushNotificationConfig", {**place, "id": "h20", "url": hook.url}).said.endswith("the limit")
    assert call("CreateTaskPushNotificationConfig", {**place, "id": "h0", "url": hook.url}).result["id"] == "h0"
    listed, page = [], {}
    while not listed or page:
        told = call("ListTaskPushNotificationConfigs", {**place, "pageSize": 8, **page}).result
        listed += [one["id"] for one in told["configs"]]
        page = {"pageToken": told["nextPageToken"]} if told.get("nextPageToken") else {}
    assert listed == [*names[1:], "h0"]
    for unfit in ({"pageSize": 101}, {"pageSize": -1}, {"pageToken": "none"}):
        assert call("ListTaskPushNotificationConfigs", {**place, **unfit}).said


@pytest.mark.parametrize("secret", ["a\nb", "é", "x" * 8193])
@pytest.mark.parametrize("where", ["token", "scheme", "credentials"])
def test_a_secret_that_no_header_can_carry_is_refused(agent, hook, where, secret):
    shown = {"scheme": "Bearer", "credentials": "c"} | ({where: secret} if where != "token" else {})
    config = {"url": hook.url, "authentication": shown, "token": secret if where == "token" else "t"}
    answer = agent("echo")(
        "SendMessage", {"message": user_message("x"), "configuration": {"taskPushNotificationConfig": config}}
    )
    assert "printable ASCII" in answer.said
