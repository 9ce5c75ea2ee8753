"""The registry over HTTP: every operation, its document, its errors, its callers and its watch."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random  # noqa: TID251 -- seeded, and the seed is shown
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.registry import Registry
from nbagora_lab.registry.http import build_app
from nbagora_lab.registry.operations import DOORS

TOKEN = "the lab's own"
PROMPT = {"name": "plan", "description": "Plans.", "template": "Plan {{city}}."}


@pytest.fixture
def door(two: Registry) -> Iterator[TestClient]:
    two.publish(PROMPT, kind="prompt")
    with TestClient(build_app(two, "http://127.0.0.1:9", TOKEN)) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client


def test_an_agent_s_life_over_http(registry: Registry) -> None:
    door = TestClient(build_app(registry, "http://127.0.0.1:9", ""))
    agents = "/registry/agents"
    why = {"Nbagora-Why": "ticket 7"}
    made = door.post(agents, json={"card": card("天气 1"), "version": "1.0"}, headers=why).json()
    assert (made["version"], made["new"]) == ("1.0", True)
    door.post(agents, json={"card": card("天气 1", description="Two."), "version": "2.0"})
    one = f"{agents}/{quote('天气 1')}"
    assert [version["version"] for version in door.get(f"{one}/versions").json()] == ["2.0", "1.0"]
    got = door.get(f"{one}/versions/latest")
    assert got.json()["card"]["description"] == "Two."
    assert door.get(f"{one}/versions/latest", headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert door.put(f"{one}/labels/stable", json={"version": "1.0"}).json() == {"changed": True}
    assert door.get(f"{one}/labels").json() == {"latest": "2.0", "stable": "1.0"}
    assert door.post(f"{one}/labels/latest/rollback").json()["version"] == "1.0"
    assert len(door.get(f"{one}/diff/1.0/2.0").json()) == 1
    place = {"version": "1.0", "url": "http://127.0.0.1:1/?a=b", "tenant": "t", "zone": "z", "weight": 2}
    endpoint = door.post(f"{one}/endpoints", json=place).json()
    assert place.items() <= endpoint.items()
    at = f"{one}/endpoints/{endpoint['id']}"
    assert door.put(f"{at}/lease").json()["id"] == endpoint["id"]
    assert door.post(f"{at}/report", json={"ok": False, "probe": True, "reason": "x"}).json() == {"changed": True}
    resolved = door.get(f"{one}/resolve?key=c").json()
    assert (resolved["endpoint"]["state"], resolved["ref"]) == ("down", "latest")
    rule = {"matches": [{"key": "X-Beta", "value": "*", "to": "2.0"}], "weights": {"stable": 1}}
    assert door.put(f"{one}/rule", json=rule).json() == {"changed": True}
    assert door.get(f"{one}/rule").json()["weights"] == {"stable": 1.0}
    assert door.get(f"{one}/resolve", headers={"x-beta": "1"}).status_code == 404
    assert door.post(f"{one}/resolve", json={"key": "c"}).json()["ref"] == "stable"
    tried = door.post(f"{one}/rule/dry-run", json={"rule": {}, "callers": ["a", "b"]}).json()
    assert tried == {"shares": {"latest": 2}, "moved": 2, "callers": 2}
    assert door.put(f"{one}/versions/1.0/state", json={"state": "deprecated"}).json() == {"changed": True}
    assert door.delete(f"{one}/rule").json() == {"changed": True}
    assert door.delete(f"{one}/labels/stable").json() == {"changed": True}
    assert door.post(f"{at}/drain").json() == {"changed": True}
    assert door.delete(at).json() == {"changed": True}
    assert door.get(f"{one}/impact").json() == []
    assert door.get(f"{one}/audit").json()[0]["why"] == "ticket 7"
    assert door.get("/registry/audit/verify").json()["whole"] is True


def test_a_prompt_is_written_over_http(door: TestClient) -> None:
    answer = door.post("/registry/prompts/plan/render", json={"values": {"city": "北京"}})
    assert answer.json() == {"text": "Plan 北京."}
    assert door.post("/registry/prompts/plan/render", json={}).status_code == 400


def test_ard_s_search_list_explore_and_catalogue(door: TestClient, two: Registry) -> None:
    painter = skill("image-generation", tags=["art"], examples=["draw a cat", "画一只猫"])
    two.publish(card("painter", skills=[painter], provider={"organization": "Acme", "url": "https://acme.example/x"}))
    asked = {"query": {"text": "cat 猫", "filter": {"tags": ["art", "other"], "metadata.capability": "streaming"}}}
    [found] = door.post("/registry/search", json=asked).json()["results"]
    assert found["identifier"] == "urn:air:acme.example:public:painter"
    assert found["type"] == "application/a2a-agent-card+json"
    assert found["capabilities"] == ["image-generation"]
    assert found["representativeQueries"] == ["draw a cat", "画一只猫"]
    assert (found["score"], found["source"]) == (100, "http://127.0.0.1:9/registry/")
    assert door.get(found["url"].removeprefix("http://127.0.0.1:9")).json()["name"] == "painter"
    first = door.get("/registry/agents?pageSize=1").json()
    assert [item["displayName"] for item in first["items"]] == ["painter"]
    then = door.get(f"/registry/agents?pageSize=5&pageToken={first['pageToken']}").json()
    assert [item["displayName"] for item in then["items"]] == ["weather"]
    assert then["pageToken"] is None
    listed = door.get("/registry/agents", params={"filter": "tag = 'art' AND health = none"}).json()
    assert len(listed["items"]) == 1
    counted = door.post(
        "/registry/explore", json={"resultType": {"facets": [{"field": "tags"}, {"field": "capability", "limit": 1}]}}
    )
    assert counted.json()["facets"]["tags"] == {"buckets": [{"value": "art", "count": 1}], "otherCount": 0}
    assert counted.json()["facets"]["capability"]["buckets"][0] == {"value": "streaming", "count": 2}
    kinds = {entry["type"] for entry in door.get("/.well-known/ai-catalog.json").json()["entries"]}
    assert len(kinds) == 2
    only = door.post(
        "/registry/search", json={"query": {"text": "plan", "filter": {"type": "application/vnd.nbagora.prompt+json"}}}
    )
    assert [entry["displayName"] for entry in only.json()["results"]] == ["plan"]
    why = door.post("/registry/explain", json={"query": {"tag": "art"}, "name": "weather"}).json()
    assert (why["found"], why["checks"][0]["what"]) == (False, "tag is art")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/registry/agents/nobody/versions/latest", None, 404, "no agent 'nobody'"),
        ("GET", "/registry/agents/weather/versions/9", None, 404, "no version '9'"),
        ("GET", "/registry/nothing", None, 404, "Not Found"),
        ("PATCH", "/registry/agents", None, 405, "Method Not Allowed"),
        ("POST", "/registry/agents", {"card": {}}, 400, "/name is missing; /description is missing"),
        ("POST", "/registry/agents", {}, 400, "/card: Field required"),
        ("POST", "/registry/agents", {"card": card(), "colour": 1}, 400, "/colour"),
        ("POST", "/registry/agents", {"card": card(description="x" * (1 << 20))}, 413, "the limit is 1048576"),
        ("POST", "/registry/agents", {"card": card(), "version": "1"}, 409, "is published with other content"),
        ("PUT", "/registry/agents/weather/labels/1.0", {"version": "1"}, 400, "'1.0' is no label"),
        ("PUT", "/registry/agents/weather/rule", {"weights": {"stable": 0}}, 400, "sum to 0"),
        ("PUT", "/registry/agents/weather/versions/2/state", {"state": "withdrawn"}, 409, "latest of 'weather' points"),
        ("DELETE", "/registry/agents/weather/labels/latest", None, 409, "every caller"),
        ("POST", "/registry/agents/weather/endpoints", {"version": "1", "url": "x"}, 400, "no URL of an endpoint"),
        ("DELETE", "/registry/agents/weather/endpoints/none", None, 200, ""),
        ("PUT", "/registry/agents/weather/endpoints/none/lease", None, 404, "no longer live"),
        ("POST", "/registry/search", {"query": {"filter": {"colour": "red"}}}, 400, "no filter 'colour'"),
        ("GET", "/registry/agents?filter=colour=red", None, 400, "no filter 'colour'"),
        ("GET", "/registry/changes?after=-1", None, 400, "after can't be"),
        ("GET", "/registry/watch?after=x", None, 400, "no revision"),
        ("GET", "/registry/watch?kind=x", None, 400, "no kind"),
        ("GET", "/registry/agents?namespace=a/b", None, 400, "namespace"),
    ],
)
def test_what_does_not_fit_is_a_problem_that_says_so_and_changes_nothing(
    door: TestClient, two: Registry, method: str, path: str, body: Any, status: int, says: str
) -> None:
    revision = two.revision
    answer = door.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert says in problem["detail"]
    assert two.revision == revision


def test_a_bearer_s_token_makes_the_caller(door: TestClient, two: Registry, clock: VirtualClock) -> None:
    granted = door.post("/registry/tokens", json={"who": "ann", "role": "read", "lifetime": 60}).json()
    bearer = {"Authorization": f"Bearer {granted['token']}"}
    assert door.get("/registry/agents/weather/labels", headers=bearer).status_code == 200
    refused = door.post("/registry/agents/weather/labels/latest/rollback", headers=bearer)
    assert (refused.status_code, refused.json()["title"]) == (403, "Forbidden")
    assert refused.json()["type"] == "urn:nbagora:error:Forbidden"
    assert two.audit("weather")[-1].who == "ann"
    clock.advance(60)
    late = door.get("/registry/agents", headers=bearer)
    assert (late.status_code, late.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert "ran out" in late.json()["detail"]
    assert door.get("/registry/watch", headers={"Authorization": "Bearer other"}).status_code == 401
    assert door.delete("/registry/tokens/ann").json() == {"revoked": 1}


def test_the_document_tells_every_operation_and_every_model(door: TestClient) -> None:
    document = door.get("/registry/openapi.json").json()
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == {(one.method, one.path) for one in DOORS}
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(set(ids)) == len(ids)
    referred = set()
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            referred |= {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    assert {ref.removeprefix("#/components/schemas/") for ref in referred} <= document["components"]["schemas"].keys()


def good_calls() -> list[tuple[str, str, Any]]:
    """Calls that work, one for each operation that takes a body, and some that take none."""
    place = {"version": "1", "url": "http://127.0.0.1:1/", "transport": "JSONRPC", "lease": 5.0, "weight": 1.0}
    rule = {"matches": [{"key": "a", "value": "b", "to": "1"}], "weights": {"stable": 1}, "budget": {"errors": 0.5}}
    return [
        ("POST", "/registry/agents", {"card": card("fuzz"), "version": "1.0", "state": "draft", "private": True}),
        ("POST", "/registry/mcp-servers", {"card": {"name": "m", "description": "d", "tools": [{"name": "t"}]}}),
        ("POST", "/registry/prompts", {"card": PROMPT | {"variables": [{"name": "city", "default": "x"}]}}),
        ("PUT", "/registry/agents/weather/labels/stable", {"version": "1"}),
        ("PUT", "/registry/agents/weather/versions/1/state", {"state": "deprecated"}),
        ("PUT", "/registry/agents/weather/rule", rule),
        ("POST", "/registry/agents/weather/rule/dry-run", {"rule": rule, "callers": ["a"]}),
        ("POST", "/registry/agents/weather/endpoints", place),
        ("POST", "/registry/agents/weather/resolve", {"key": "k", "metadata": {"a": "b"}, "ref": "stable"}),
        ("POST", "/registry/search", {"query": {"text": "sun", "filter": {"tags": ["a"]}}, "pageSize": 3}),
        ("POST", "/registry/explore", {"query": {"text": "x"}, "resultType": {"facets": [{"field": "tags"}]}}),
        ("POST", "/registry/explain", {"query": {"text": "x", "where": "tag=a"}, "name": "weather"}),
        ("POST", "/registry/prompts/plan/render", {"ref": "latest", "values": {"city": "x"}}),
        ("POST", "/registry/tokens", {"who": "x", "role": "read", "namespace": "n", "lifetime": 5}),
        ("PUT", "/registry/policy", {"signed": False, "schemes": [], "hosts": ["*"], "approval": False}),
        ("GET", "/registry/agents?filter=tag%3Da&pageSize=3&pageToken=0", None),
        ("GET", "/registry/changes?after=0&limit=3", None),
        ("GET", "/registry/agents/weather/resolve?key=a&ref=stable", None),
    ]  # fmt: skip


VALUES = [
    None, True, 0, -1, 1.5, 1e308, 2**63, 2**70, "", "x", "\x00", "北京", "x" * 3000, "../..", "a/b", "1", "latest",
    [], [[]], {}, {"": {}}, {"a": [1, {"b": None}]}, ["x"] * 50, "tag=" + "(" * 50, "*?[\\",
]  # fmt: skip


def mutated(value: Any, random: Random) -> Any:
    """A value with one place of it changed."""
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            places += [(part, key) for key in (part if isinstance(part, dict) else range(len(part)))]
            waiting += part.values() if isinstance(part, dict) else part
    if not places:
        return value
    part, key = random.choice(places)
    change = random.randrange(3)
    if change == 0 and isinstance(part, dict):
        del part[key]
    elif change == 1 and isinstance(part, dict):
        part[random.choice(["colour", "", "name\u0000"])] = copy.deepcopy(random.choice(VALUES))
    else:
        part[key] = copy.deepcopy(random.choice(VALUES))
    return value


def test_broken_calls_are_refused_and_never_an_internal_error(door: TestClient, two: Registry) -> None:
    seed = 6
    random = Random(seed)
    door.raise_server_exceptions = True  # type: ignore[attr-defined]
    refused = 0
    for turn in range(600):
        method, path, body = json.loads(json.dumps(random.choice(good_calls())))
        if body is None or turn % 7 == 0:
            parts = path.split("/")
            parts[random.randrange(2, len(parts))] = quote(str(random.choice(VALUES)), safe="=&?%")
            path = "/".join(parts)
        if body is not None:
            for _ in range(random.randint(1, 3)):
                body = mutated(body, random)
        raw = json.dumps(body).encode() if body is not None else None
        if raw and turn % 11 == 0:
            raw = raw[: random.randrange(len(raw))]
        answer = door.request(method, path, content=raw, headers={"content-type": "application/json"})
        assert answer.status_code < 500, (seed, turn, method, path, body, answer.text)
        if answer.status_code >= 400:
            refused += 1
            assert answer.headers["content-type"] == "application/problem+json", (seed, turn, path)
    assert refused > 200
    assert two.verify().whole
    assert two.get("weather", "2").skills == ("rain",)
