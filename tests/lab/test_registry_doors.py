"""The registry's doors on a running lab, to callers who ask for too much, come too late, or never read."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from cards import card
from nbagora_lab.core.errors import TooLarge
from nbagora_lab.lab import Lab


@pytest.fixture
def client(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.url, trust_env=False, timeout=60) as client:
        yield client


def big_rule(what: str) -> dict[str, object]:
    """A rule whose change takes some 200 KB to tell."""
    return {"matches": [{"key": "k" * 90, "value": f"{what}{number:09}", "to": "1"} for number in range(1000)]}


@pytest.mark.thorough
def test_a_watcher_that_never_reads_holds_nobody_up(tmp_path: Path) -> None:
    with (
        Lab(store=tmp_path, token="", probe=0) as lab,
        httpx.Client(base_url=lab.url, trust_env=False, timeout=30) as client,
    ):
        lab.registry.publish(card(), version="1")
        where = urlsplit(lab.url)
        with socket.socket() as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.connect((where.hostname, where.port))
            idle.sendall(b"GET /registry/watch?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert idle.recv(15) == b"HTTP/1.1 200 OK"
            for number in range(40):
                lab.registry.set_rule("weather", big_rule("ab"[number % 2]))
            told = [change.revision for change in lab.registry.watch(0, timeout=0)]
            assert told == list(range(1, 43))
            assert sum(len(lab.registry.as_json(one)) for one in lab.registry.changed_since(0)) > 6 << 20
            assert client.get("/registry/agents/weather/labels").json() == {"latest": "1"}
            with client.stream("GET", "/registry/watch?after=41") as answer:
                lines = answer.iter_lines()
                assert next(line for line in lines if line.startswith("id: ")) == "id: 42"
        # it went away; and one that stays does not keep the lab from stopping
        staying = socket.create_connection((str(where.hostname), where.port or 0))
        staying.sendall(b"GET /registry/watch?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert staying.recv(15) == b"HTTP/1.1 200 OK"
    staying.close()


@pytest.mark.parametrize(("size", "says"), [(2 << 20, "the limit is 1048576"), (10 << 20, "larger than 8388608 bytes")])
def test_a_card_of_megabytes_is_too_large_on_each_face(lab: Lab, client: httpx.Client, size: int, says: str) -> None:
    lab.registry.publish(card(), version="1")
    revision = lab.registry.revision
    large = card(description="x" * size)
    with pytest.raises(TooLarge, match="the limit is 1048576"):
        lab.registry.publish(large, version="2")
    answer = client.post("/registry/agents", json={"card": large, "version": "2"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert says in answer.json()["detail"]
    assert client.get("/registry/agents/weather/versions").json()[0]["version"] == "1"
    assert lab.registry.revision == revision


def test_a_token_that_ran_out_opens_no_door(tmp_path: Path) -> None:
    with (
        Lab(store=tmp_path, clock="virtual", probe=0) as lab,
        httpx.Client(base_url=lab.url, trust_env=False, timeout=30) as client,
    ):
        lab.registry.publish(card(), version="1")
        granted = lab.registry.grant("ann", "operate", lifetime=60)
        bearer = {"Authorization": f"Bearer {granted.token}"}
        label = ("/registry/agents/weather/labels/stable", {"version": "1"})
        assert client.put(label[0], json=label[1], headers=bearer).json() == {"changed": True}
        lab.clock.advance(60)  # type: ignore[attr-defined]
        revision = lab.registry.revision
        for answer in (
            client.put(label[0], json={"version": "1"}, headers=bearer),
            client.get("/registry/agents", headers=bearer),
            client.get("/registry/watch", headers=bearer),
        ):
            assert answer.status_code == 401
            assert "ran out" in json.loads(answer.text)["detail"]
        assert lab.registry.revision == revision
