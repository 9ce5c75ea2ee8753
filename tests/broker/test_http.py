"""The broker's doors: who may come in, what paths and queries may say, and the document that tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from broker_doors import at, client_of, port_of
from nbagora_lab.core.problem import PROBLEM
from nbagora_lab.lab import Lab
from raw_http import RawExchange, get, post

NAMES = ["s-1", "会话 一", "a@b*?[x]", "100%", "a?b#c&d=e", "..", "é" * 256, "\U0001f600", "x" * 512]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(store=tmp_path_factory.mktemp("lab") / "store") as lab:
        lab.broker.create_topic("chat")
        lab.broker.create_topic("jobs", type="PRIORITY")
        lab.broker.create_group("workers", topic="chat")
        yield lab


@pytest.fixture
def door(lab: Lab) -> Iterator[httpx.Client]:
    with client_of(lab) as client:
        yield client


@pytest.mark.parametrize("name", NAMES)
def test_every_name_reaches_its_topic(door: httpx.Client, lab: Lab, name: str) -> None:
    path = at(f"chat/{name}")
    target = urlsplit(f"{lab.url}/broker{path}").path
    with RawExchange(port_of(lab), post(target, {"n": 1}, lab.token)) as exchange:
        assert exchange.read().status == 201, exchange.body
    assert lab.broker.read(f"chat/{name}")[-1].body == b'{"n": 1}'
    with RawExchange(port_of(lab), get(target, lab.token)) as exchange:
        assert exchange.read().json()["records"][-1]["topic"] == f"chat/{name}"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/topics/chat/a%2Fb/records", 400, "'/' or a control character"),
        ("/topics/chat/%00/records", 400, "control character"),
        ("/topics/chat/%ff/records", 400, "not UTF-8"),
        (f"/topics/chat/{'x' * 513}/records", 400, "513 bytes"),
        ("/topics/chat//records", 400, "empty lite topic name"),
        ("/topics/chut/s/records", 404, "no topic"),
        ("/topics/chat/never/records", 404, "no topic 'chat/never'"),
        ("/topics/chut", 404, "no topic 'chut'"),
        ("/nothing", 404, "nothing is at"),
        ("/topics/chat/s/records?after=-1", 400, "after can't be -1"),
        ("/topics/chat/s/records?after=x", 400, "after can't be 'x'"),
        ("/topics/chat/s/records?after=99999999999999999999", 400, "after can't be"),
        ("/topics/chat/s/records?limit=0", 400, "limit can't be 0"),
        ("/topics/chat/s/records?since=nan", 400, "since can't be nan"),
        ("/topics/chat/s/records?aftr=1", 400, "no parameter 'aftr'"),
        ("/groups/worker", 404, "no group 'worker'"),
        ("/groups/worker/stats", 404, "no group 'worker'"),
        ("/groups/worker/dead-letters", 404, "no group 'worker'"),
        (f"/groups/{'x' * 10_000}", 400, "10000 bytes"),
        ("/groups/workers/progress", 400, "names no lite topic"),
        ("/groups/workers/progress?topic=chat/never", 404, "no topic"),
    ],
)
def test_what_does_not_fit_is_a_problem_in_two_lines(door: httpx.Client, path: str, status: int, says: str) -> None:
    answer = door.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    problem = answer.json()
    assert problem["status"] == status
    assert says in problem["detail"]
    assert problem["hint"]
    assert "\n" not in problem["detail"] + problem["hint"]


def test_a_method_that_is_not_there_is_told_what_is(door: httpx.Client) -> None:
    answer = door.put("/topics/chat/s", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")


def test_the_lab_s_guard_stands_before_the_doors(lab: Lab, door: httpx.Client) -> None:
    url = f"{lab.url}/broker/topics/chat/s/records"
    assert httpx.post(url, json={}).status_code == 401
    assert httpx.post(url, json={}, headers={**door.headers, "Origin": "http://evil.example"}).status_code == 403
    assert httpx.get(url, headers={**door.headers, "Host": "evil.example"}).status_code == 403
    assert door.post("/groups", content=b"name=x", headers={"Content-Type": "text/plain"}).status_code == 415
    deep = b"[" * 200 + b"]" * 200
    for kind in ("application/json", "application/cloudevents-batch+json", "application/vnd.x+json"):
        answer = door.post("/topics/chat/s/records", content=deep, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["title"]) == (400, "JSON too deep"), kind
    big = b"x" * (lab.settings.body_limit + 1)
    answer = door.post("/topics/chat/s/records", content=big, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_without_a_token_a_page_s_plain_post_appends_nothing(tmp_path: Any) -> None:
    with Lab(store=tmp_path / "open", token="") as lab, httpx.Client(base_url=f"{lab.url}/broker", timeout=30) as door:
        lab.broker.create_topic("chat")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = door.post("/topics/chat/s/records", content=b"x", headers={"Content-Type": kind})
            assert answer.status_code == 415, kind
        assert lab.broker.ls("chat") == []
        answer = door.post("/topics/chat/s/records", content=b"x", headers={"Content-Type": "image/png"})
        assert answer.status_code == 201


def test_a_fault_is_told_in_the_log_and_not_to_the_caller(
    lab: Lab, door: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(lab.broker, "stats", fault)
    answer = door.get("/groups/workers/stats")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert any("a fault at GET" in line.message for line in lab.status().log)


def test_the_document_tells_every_door(door: httpx.Client) -> None:
    document = door.get("/openapi.json").json()
    told = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert len(told) >= 25
    for method, path in told:
        if method not in {"post", "put", "patch"}:
            continue
        filled = path.removeprefix("/broker").replace("{parent}", "chat").replace("{lite}", "never")
        answer = door.request(method.upper(), filled.replace("{group}", "none").replace("{client}", "c"), json=[])
        assert answer.status_code in {400, 404, 201}, (method, path, answer.text)
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(set(ids)) == len(ids)
