"""Who is let in by an agent's own schemes, as what, and to what; cards, tickets and keys beside them."""

import base64

import httpx
import jwt
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.signing import create_signature_verifier
from google.protobuf.json_format import ParseDict

from bindings import user_message
from nbagora_lab.a2a.gate import Caller, Tickets
from nbagora_lab.a2a.issuer import LocalIssuer
from nbagora_lab.a2a.schemes import parse_scheme
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.vault import Vault
from nbagora_lab.lab import Lab

KEY = "apikey {} {}".format
HTTP = httpx.Client(verify=False, trust_env=False, timeout=30)  # one for all: each reads the certificates


@pytest.fixture(scope="module")
def issuer():
    issuer = LocalIssuer({"bob": "b", "eve": "e"}, {"bob": ["read"], "eve": []})
    with issuer.serve():
        yield issuer


@pytest.fixture(scope="module")
def lab(tmp_path_factory, issuer):
    with Lab(store=tmp_path_factory.mktemp("gate")) as lab:

        def echo(message):
            return message.text

        async def asks(message, task):
            return (await task.ask("?")).text

        for name, auth in {
            "bearer": ["bearer"],
            "basic": ["basic"],
            "header": [KEY("header", "X-API-Key")],
            "query": [KEY("query", "key")],
            "cookie": [KEY("cookie", "sid")],
            "oauth2": [f"oauth2 {issuer.url} read"],
            "oidc": [f"oidc {issuer.url}"],
            "either": ["basic", "bearer"],
        }.items():
            lab.define(name, echo, auth=auth)
        lab.define("asks", asks, auth=["bearer"])
        lab.define("plain", echo)
        lab.define(
            "skilled", echo, auth=["bearer"], skills=["read: reads", "write: writes"],
            scopes=["write: may.write"], private_skills=["hide: hides"], extensions=["urn:x:must"],
        )  # fmt: skip
        yield lab


def post(lab, agent, message=None, method="SendMessage", params=None, path="", query=None, **options):
    headers = {"A2A-Version": "1.0"} | options.pop("headers", {})
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {"message": message or user_message("x")}}
    return HTTP.post(f"{lab.url}/agents/{agent}{path}", json=body, headers=headers, params=query, **options)


def bearer(secret):
    return {"headers": {"Authorization": f"Bearer {secret}"}}


@pytest.fixture(scope="module")
def ways(lab, issuer):
    """How bob and somebody wrong call each agent."""
    key = lab.credentials.grant("bob", "apikey")
    token = lab.credentials.grant("bob", "bearer")
    lab.credentials.grant("bob", "basic", password="pässword")
    basic = base64.b64encode("bob:pässword".encode()).decode()
    wrong = base64.b64encode(b"bob:password").decode()
    return {
        "bearer": (bearer(token), bearer(key)),
        "basic": ({"headers": {"Authorization": f"Basic {basic}"}}, {"headers": {"Authorization": f"Basic {wrong}"}}),
        "header": ({"headers": {"X-API-Key": key}}, {"headers": {"X-API-Key": token}}),
        "query": ({"query": {"key": key}}, {"query": {"key": "x"}}),
        "cookie": ({"headers": {"Cookie": f"a=1; sid={key}"}}, {"headers": {"Cookie": "sid="}}),
        "oauth2": (bearer(issuer.token("bob", audience="oauth2")), bearer(issuer.token("eve", audience="oauth2"))),
        "oidc": (bearer(issuer.token("eve", audience=f"{lab.url}/agents/oidc")), bearer(token)),
        "either": (bearer(token), bearer("x")),
    }


AGENTS = ["bearer", "basic", "header", "query", "cookie", "oauth2", "oidc", "either"]


@pytest.mark.parametrize("agent", AGENTS)
def test_the_declared_scheme_is_enforced(lab, ways, agent):
    right, wrong = ways[agent]
    for refused in (post(lab, agent, **wrong), post(lab, agent)):
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"]
    answered = post(lab, agent, **right)
    assert answered.json()["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert post(lab, agent, **bearer(lab.token)).status_code == 200  # the lab's own user needs no other


@pytest.mark.parametrize("agent", ["bearer", "basic", "oauth2", "oidc", "either"])
def test_what_is_right_is_nothing_in_another_way(lab, ways, agent):
    way, _, secret = ways[agent][0]["headers"]["Authorization"].partition(" ")
    for other in {"Basic", "Bearer", "Token", "ApiKey"} - {way}:
        assert post(lab, agent, headers={"Authorization": f"{other} {secret}"}).status_code == 401
    assert post(lab, agent, headers={"Authorization": secret}).status_code == 401
    assert post(lab, agent, headers={"Authorization": f"{way.upper()}  {secret}"}).status_code == 200


@pytest.mark.parametrize("agent", AGENTS)
def test_a_caller_sees_no_door_but_the_agents_that_let_it_in(lab, ways, agent):
    right, _ = ways[agent]
    assert post(lab, "plain", **right).status_code == 401
    for path in ("/broker/topics", "/registry/agents", "/broker/groups/x/receive"):
        shown = {"headers": right.get("headers"), "params": right.get("query")}
        assert HTTP.get(lab.url + path, **shown).status_code == 401


@pytest.mark.parametrize("agent", AGENTS)
def test_the_card_says_how_and_anybody_may_read_it(lab, agent):
    card = HTTP.get(f"{lab.url}/agents/{agent}/.well-known/agent-card.json")
    assert card.status_code == 200
    message = ParseDict(card.json(), pb.AgentCard())
    for requirement in message.security_requirements:
        assert all(name in message.security_schemes for name in requirement.schemes)
    assert "token" not in message.security_schemes
    assert HTTP.get(f"{lab.url}/agents/plain/.well-known/agent-card.json").status_code == 401


def test_tokens_that_do_not_hold(lab, issuer):
    """Of another issuer, for another agent, out of date, unsigned, signed by another key or with the public one."""
    other = LocalIssuer({"bob": "b"}, {"bob": ["read"]})
    other.url = issuer.url
    claims = {"iss": issuer.url, "sub": "bob", "aud": "oauth2", "exp": 9e9, "scope": "read"}
    public = issuer.get("/jwks.json")[1]["keys"][0]
    bad = [
        issuer.token("bob", audience="another"),
        issuer.token("bob", audience="oauth2", seconds=-3600),
        other.token("bob", audience="oauth2"),
        jwt.encode(claims, key=None, algorithm="none", headers={"kid": public["kid"]}),
        jwt.encode(claims, key=str(public["x"]) * 2, algorithm="HS256", headers={"kid": public["kid"]}),
        "a.b.c",
        "x",
    ]
    for token in bad:
        headers = {"Authorization": f"Bearer {token}"}
        assert post(lab, "oauth2", headers=headers).status_code == 401


def test_a_token_endpoint_gives_what_the_agent_takes(lab, issuer):
    form = {"grant_type": "client_credentials", "scope": "read", "resource": f"{lab.url}/agents/oauth2"}
    answer = HTTP.post(f"{issuer.url}/token", data=form, auth=("bob", "b")).json()
    assert post(lab, "oauth2", **bearer(answer["access_token"])).status_code == 200
    assert HTTP.post(f"{issuer.url}/token", data=form, auth=("bob", "x")).status_code == 401
    assert HTTP.post(f"{issuer.url}/token", data=form, auth=("eve", "e")).status_code == 400


OPERATIONS = [
    ("GetTask", {"id": "{task}"}),
    ("CancelTask", {"id": "{task}"}),
    ("SubscribeToTask", {"id": "{task}"}),
    ("SendMessage", {"message": user_message("y", taskId="{task}")}),
    ("SendStreamingMessage", {"message": user_message("y", taskId="{task}")}),
    ("CreateTaskPushNotificationConfig", {"taskId": "{task}", "id": "c", "url": "https://example.org/"}),
    ("GetTaskPushNotificationConfig", {"taskId": "{task}", "id": "c"}),
    ("ListTaskPushNotificationConfigs", {"taskId": "{task}"}),
    ("DeleteTaskPushNotificationConfig", {"taskId": "{task}", "id": "c"}),
]


def filled(value, task):
    if isinstance(value, dict):
        return {key: filled(one, task) for key, one in value.items()}
    return value.format(task=task) if isinstance(value, str) else value


@pytest.mark.parametrize(("method", "params"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_another_owners_task_is_unknown_to_every_operation(lab, method, params):
    bob, eve = (bearer(lab.credentials.grant(name)) for name in ("bob", "eve"))
    task = post(lab, "asks", **bob).json()["result"]["task"]
    for caller in (eve, bearer(lab.token)):
        refused = post(lab, "asks", method=method, params=filled(params, task["id"]), **caller).json()
        assert refused["error"]["code"] == -32001, refused
        nowhere = post(lab, "asks", method=method, params=filled(params, "ctx-none.none"), **caller).json()
        assert nowhere["error"]["code"] == -32001
    listed = post(lab, "asks", method="ListTasks", params={"contextId": task["contextId"]}, **eve).json()["result"]
    assert listed.get("tasks", []) == []
    again = post(lab, "asks", method="GetTask", params={"id": task["id"]}, **bob).json()
    assert again["result"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    joined = post(lab, "asks", message=user_message("z", contextId=task["contextId"]), **eve).json()["result"]["task"]
    assert len(joined["history"]) == 1  # the same name, a context of its own


def test_a_skills_scope_is_wanted_of_who_uses_it(lab):
    def call(skill, secret, **fields):
        message = user_message("x", **({"metadata": {"skillId": skill}} if skill else {}))
        headers = bearer(secret)["headers"] | {"A2A-Extensions": "urn:x:must"}
        return post(lab, "skilled", message=message, headers=headers, **fields).json()

    reader = lab.credentials.grant("reader")
    writer = lab.credentials.grant("writer", scopes=["may.write"])
    assert "result" in call("read", reader)
    for skill in ("write", None):
        assert call(skill, reader)["error"]["message"].startswith("forbidden")
        assert "result" in call(skill, writer)
    assert call("none", reader)["error"]["code"] == -32602
    assert "result" in call(None, lab.token)


@pytest.mark.parametrize(("owner", "kind"), [("", "bearer"), ("a:b", "bearer"), ("a\nb", "apikey"), ("a", "oauth2")])
def test_credentials_that_could_be_taken_for_anothers_are_not_given(lab, owner, kind):
    with pytest.raises(UsageError):
        lab.credentials.grant(owner, kind)


def test_revoked_credentials_do_not_hold(lab):
    secret = lab.credentials.grant("gone")
    assert post(lab, "bearer", **bearer(secret)).status_code == 200
    assert lab.credentials.revoke("gone") == 1
    assert post(lab, "bearer", **bearer(secret)).status_code == 401


def test_secrets_are_kept_as_digests(lab):
    secret = lab.credentials.grant("kept")
    password = lab.credentials.grant("kept", "basic")
    text = (lab.store / "keys.json").read_text()
    assert secret not in text
    assert password not in text


def test_a_required_extension_is_required(lab):
    secret = lab.credentials.grant("x", scopes=["may.write"])
    refused = post(lab, "skilled", **bearer(secret)).json()
    assert refused["error"]["code"] == -32008
    rest = HTTP.get(f"{lab.url}/agents/skilled/tasks", headers=bearer(secret)["headers"] | {"A2A-Version": "1.0"})
    assert rest.json()["error"]["details"][0]["reason"] == "EXTENSION_SUPPORT_REQUIRED"
    streamed = post(lab, "skilled", method="SendStreamingMessage", **bearer(secret)).json()
    assert streamed["error"]["code"] == -32008
    shown = bearer(secret)["headers"]
    other = post(lab, "skilled", headers=shown | {"A2A-Extensions": "urn:x:other, urn:x:mus"}).json()
    assert other["error"]["code"] == -32008
    named = post(lab, "skilled", headers=shown | {"A2A-Extensions": "urn:x:other, urn:x:must"}).json()
    assert named["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


def test_a_required_extension_is_named_in_0_3_by_the_header_of_0_3(lab):
    secret = lab.credentials.grant("x", scopes=["may.write"])
    said = {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "x"}]}
    for extensions, answer in (({}, "error"), ({"X-A2A-Extensions": "urn:x:must"}, "result")):
        headers = bearer(secret)["headers"] | {"A2A-Version": "0.3"} | extensions
        told = post(lab, "skilled", method="message/send", params={"message": said}, headers=headers).json()
        assert answer in told, told
        rest = HTTP.get(f"{lab.url}/agents/skilled/v1/tasks/none", headers=headers).json()
        assert ("extension" in str(rest)) is (answer == "error"), rest


def test_the_extended_card_tells_more_to_who_is_let_in(lab):
    secret = lab.credentials.grant("x")
    headers = bearer(secret)["headers"] | {"A2A-Extensions": "urn:x:must"}
    public = HTTP.get(f"{lab.url}/agents/skilled/.well-known/agent-card.json").json()
    extended = post(lab, "skilled", method="GetExtendedAgentCard", params={"tenant": ""}, headers=headers).json()
    assert public["capabilities"]["extendedAgentCard"] is True
    assert [skill["id"] for skill in public["skills"]] == ["read", "write"]
    assert [skill["id"] for skill in extended["result"]["skills"]] == ["read", "write", "hide"]
    old = headers | {"A2A-Version": "0.3", "X-A2A-Extensions": "urn:x:must"}
    asked = {"method": "agent/getAuthenticatedExtendedCard", "params": {"tenant": ""}}
    extended = post(lab, "skilled", **asked, headers=old).json()["result"]
    assert extended == HTTP.get(f"{lab.url}/agents/skilled/v1/card", headers=old).json()
    assert (extended["protocolVersion"], [skill["id"] for skill in extended["skills"]]) == (
        "0.3",
        ["read", "write", "hide"],
    )
    assert extended["url"] == public["supportedInterfaces"][0]["url"]


@pytest.mark.parametrize("version", ["1.7", "1", "1.0.", "1.0.x", "2.0", "x", "0.2"])
def test_a_version_is_major_and_minor(lab, version):
    answer = post(lab, "plain", headers=bearer(lab.token)["headers"] | {"A2A-Version": version}).json()
    assert answer["error"]["code"] == -32009
    url = f"{lab.url}/agents/plain/tasks/x"
    rest = HTTP.get(url, headers=bearer(lab.token)["headers"], params={"A2A-Version": version})
    assert rest.json()["error"]["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"


def test_a_ticket_opens_one_place_for_a_while(lab):
    bob, eve = lab.credentials.grant("bob"), lab.credentials.grant("eve")
    task = post(lab, "asks", **bearer(bob)).json()["result"]["task"]
    path = f"/agents/asks/tasks/{task['id']}"

    def ticket(secret, path, **more):
        return HTTP.post(f"{lab.url}/tickets", json={"path": path, **more}, **bearer(secret))

    given = ticket(bob, path).json()["ticket"]

    def get(path, given):
        return HTTP.get(lab.url + path, params={"ticket": given, "A2A-Version": "1.0"})

    assert get(path, given).json()["id"] == task["id"]
    assert get("/agents/asks/tasks", given).status_code == 401
    assert get(path + "x", given).status_code == 401
    assert get(path, given[:-1] + ("A" if given[-1] != "A" else "E")).status_code == 401
    assert post(lab, "asks", params={"ticket": given}).status_code == 401  # for GET alone
    assert get(path, ticket(eve, path).json()["ticket"]).status_code == 404  # its own ticket, another's task
    assert ticket(bob, "/agents/oauth2/tasks").status_code == 403
    assert ticket(bob, "/broker/topics").status_code == 403
    assert ticket("none", path).status_code == 401
    assert ticket(bob, path, seconds=1e9).status_code == 400
    assert ticket(lab.token, "agents/asks/tasks").status_code == 400
    assert ticket(lab.token, path).headers["cache-control"] == "no-store"


def test_a_ticket_ends(tmp_path):
    clock = VirtualClock()
    tickets = Tickets(Vault(tmp_path / "keys.json"), clock)
    ticket = tickets.issue(Caller("bob", frozenset()), "/x", 60)
    assert tickets.read(ticket, "/x/y").owner == "bob"
    clock.advance(61)
    assert tickets.read(ticket, "/x/y") is None


def test_a_ticket_lets_an_event_source_in(lab):
    bob = lab.credentials.grant("bob")
    task = post(lab, "asks", **bearer(bob)).json()["result"]["task"]
    path = f"/agents/asks/tasks/{task['id']}:subscribe"
    given = HTTP.post(f"{lab.url}/tickets", json={"path": path}, **bearer(bob)).json()["ticket"]
    query = {"ticket": given, "A2A-Version": "1.0"}
    with HTTP.stream("GET", lab.url + path, params=query, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert next(line for line in stream.iter_lines() if line.startswith("id: "))


def test_cards_are_signed_and_verify(lab):
    card = HTTP.get(f"{lab.url}/agents/oidc/.well-known/agent-card.json").json()
    keys = {one["kid"]: jwt.PyJWK(one) for one in HTTP.get(f"{lab.url}/.well-known/jwks.json").json()["keys"]}
    verify = create_signature_verifier(lambda kid, jku: keys[kid], ["ES256"])
    verify(ParseDict(card, pb.AgentCard()))
    forged = card | {"description": card["description"] + "!"}
    with pytest.raises(Exception, match="signature"):
        verify(ParseDict(forged, pb.AgentCard()))
    assert "d" not in HTTP.get(f"{lab.url}/.well-known/jwks.json").json()["keys"][0]


def test_cards_are_cached_until_they_change(lab):
    url = f"{lab.url}/agents/oidc/.well-known/agent-card.json"
    first, second = HTTP.get(url), HTTP.get(url)
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["last-modified"] == second.headers["last-modified"]
    assert "cache-control" in first.headers
    assert HTTP.get(url, headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_the_key_outlives_a_restart(tmp_path):
    keys = []
    for _ in range(2):
        with Lab(store=tmp_path) as lab:
            keys.append(HTTP.get(f"{lab.url}/.well-known/jwks.json").json()["keys"][0]["kid"])
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "text", ["", "digest", "apikey", "apikey body x", "apikey header", "oauth2", "oauth2 ftp://x", "bearer x"]
)
def test_what_is_no_scheme_is_refused(text):
    with pytest.raises(UsageError, match="no way to show who calls"):
        parse_scheme(text)
