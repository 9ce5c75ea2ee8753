"""Topics over HTTP: parents, lite topics by page, forks, and replays at a pace that who hangs up ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from broker_doors import at, client_of, port_of
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.lab import Lab
from raw_http import RawExchange, post


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(store=tmp_path_factory.mktemp("lab") / "store", clock=VirtualClock(1000)) as lab:
        lab.broker.create_topic("chat")
        yield lab


@pytest.fixture
def door(lab: Lab) -> Iterator[httpx.Client]:
    with client_of(lab) as client:
        yield client


def test_parents_are_made_once_and_told_with_their_settings(door: httpx.Client, lab: Lab) -> None:
    given = {"name": "作业", "type": "PRIORITY", "ttl": "1h", "max_topics": 5}
    assert door.post("/topics", json=given).json() == {"created": True}
    assert door.post("/topics", json=given).json() == {"created": False}
    other = door.post("/topics", json=given | {"ttl": 60})
    assert (other.status_code, other.json()["type"]) == (409, "urn:nbagora:error:TopicExists")
    [told] = [topic for topic in door.get("/topics").json()["topics"] if topic["name"] == "作业"]
    assert (told["type"], told["ttl"], told["max_topics"]) == ("PRIORITY", 3600.0, 5)
    assert door.post("/topics", json=told).json() == {"created": False}
    assert lab.broker.topics()["作业"].ttl == 3600


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "/name: Field required"),
        ({"name": "a/b"}, 400, "'/'"),
        ({"name": "x" * 10_000}, 400, "10000 bytes"),
        ({"name": "a", "type": "QUEUE"}, 400, "/type"),
        ({"name": "a", "ttl": -1}, 400, "/ttl"),
        ({"name": "a", "ttl": "soon"}, 400, "no duration"),
        ({"name": "a", "colour": 1}, 400, "/colour"),
        ({"name": "a", "ttl": 9, "archive": "/etc"}, 403, "over HTTP"),
        ([], 400, "the body does not fit"),
    ],
)
def test_settings_that_do_not_fit_make_nothing(door: httpx.Client, lab: Lab, body: Any, status: int, says: str) -> None:
    before = lab.broker.topics()
    answer = door.post("/topics", json=body)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert lab.broker.topics() == before


def test_lite_topics_by_page_and_prefix(door: httpx.Client, lab: Lab) -> None:
    lab.broker.create_topic("many")
    for number in range(25):
        lab.broker.send(f"many/会-{number:02}", "x")
    lab.broker.send("many/other", "x")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        found = door.get("/topics/many", params={"prefix": "会-", "after": after, "limit": 10}).json()
        seen += found["topics"]
        after = found["after"]
    assert seen == [f"会-{number:02}" for number in range(25)]
    assert door.get("/topics/many", params={"prefix": "none"}).json() == {"topics": [], "after": None}


def test_info_fork_and_removal(door: httpx.Client, lab: Lab) -> None:
    for number in range(3):
        lab.broker.send("chat/a", str(number))
    fork = door.post(at("chat/a", "fork"), json={"to": "chat/b", "at": 1})
    assert (fork.status_code, fork.json()["next"], fork.json()["forked_from"]) == (201, 2, "chat/a@1")
    assert door.post(at("chat/a", "fork"), json={"to": "chat/c"}).json()["next"] == 3
    assert door.post(at("chat/a", "fork"), json={"to": "chat/b"}).status_code == 409
    assert door.post(at("chat/a", "fork"), json={"to": "chat/d", "at": 9}).status_code == 404
    assert door.post(at("chat/a", "fork"), json={"to": "d"}).status_code == 400
    assert door.get(at("chat/b", "")).json() == lab.broker.info("chat/b").model_dump()
    assert door.delete(at("chat/b", "")).status_code == 204
    assert door.delete(at("chat/b", "")).status_code == 404
    assert door.get(at("chat/b", "")).status_code == 404


def test_a_replay_at_once_and_one_at_a_pace(door: httpx.Client, lab: Lab) -> None:
    clock = lab.clock
    assert isinstance(clock, VirtualClock)
    for number in range(4):
        lab.broker.send("chat/r", str(number))
        clock.advance(10)
    assert door.post(at("chat/r", "replay"), json={"to": "chat/r1", "after": 0, "before": 3}).json() == {"records": 2}
    assert [record.body for record in lab.broker.read("chat/r1")] == [b"1", b"2"]
    answers: list[Any] = []
    heard = lab.broker.tail("chat/r2", after=-1, timeout=20)
    paced = threading.Thread(
        target=lambda: answers.append(door.post(at("chat/r", "replay"), json={"to": "chat/r2", "speed": 5}).json())
    )
    paced.start()
    began = next(heard).time
    for _ in range(3):
        clock.advance(2)
        next(heard)
    paced.join()
    assert answers == [{"records": 4}]
    assert [record.time - began for record in lab.broker.read("chat/r2")] == [0, 2, 4, 6]
    for bad in ({"to": "chat/x", "speed": 0}, {"to": "chat/r", "speed": 1}, {"to": "x"}, {"to": "chat/x", "after": -1}):
        assert door.post(at("chat/r", "replay"), json=bad).status_code == 400, bad
    assert door.post(at("chat/none", "replay"), json={"to": "chat/x"}).status_code == 404


def test_who_hangs_up_ends_a_replay(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = lab.clock
    assert isinstance(clock, VirtualClock)
    waits, ended = threading.Event(), threading.Event()
    watch = clock.watch

    def watched(wake: Any) -> Any:
        end = watch(wake)
        waits.set()
        return lambda: (end(), ended.set())[0]

    monkeypatch.setattr(clock, "watch", watched)
    for number in range(3):
        lab.broker.send("chat/long", str(number))
        clock.advance(3600)
    heard = lab.broker.tail("chat/long2", after=-1, timeout=20)
    target = f"/broker{at('chat/long', 'replay')}"
    with RawExchange(port_of(lab), post(target, {"to": "chat/long2", "speed": 1}, lab.token)) as replay:
        next(heard)
        assert waits.wait(20)
        replay.reset()
    assert ended.wait(20)
    clock.advance(7200)
    assert lab.broker.info("chat/long2").next == 1
