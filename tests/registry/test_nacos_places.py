"""Endpoints as instances of Nacos' naming, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nbagora_lab.core.errors import TooLarge
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.registry import nacos_places
from nbagora_lab.registry.model import Endpoint
from nbagora_lab.registry.nacos_places import OwnPlaces, instance, places_of

NOW = 1000.0


def endpoint(number: int = 0, **more: Any) -> Endpoint:
    known = {
        "url": f"http://127.0.0.1:8001/agents/weather/{number}",
        "lease": 30,
        "registered": NOW,
        "transport": "JSONRPC",
    } | more
    return Endpoint(
        id=f"endpoint-{number}", epoch=0, namespace="public", name="weather", version="1.0", expires=NOW + 30, **known
    )


def given(*endpoints: Endpoint) -> dict[str, Any]:
    """What Nacos would give back of an instance."""
    form = instance("lab", "agent", endpoints)
    metadata = json.loads(str(form["metadata"]))
    assert all(isinstance(value, str) for value in metadata.values())
    return {"ip": form["ip"], "port": form["port"], "healthy": True, "enabled": True, "metadata": metadata}


def read(instance: dict[str, Any]) -> list[Endpoint]:
    return places_of(instance, "public", "weather", "1.0", NOW)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"transport": "HTTP+JSON", "weight": 2.5, "zone": "杭州", "tenant": "acme"},
        {"state": "draining", "reason": "going home"},
        {"url": "https://a.example/x?y=z", "lease": 600},
    ],
)
def test_an_endpoint_comes_back_as_it_was(more: dict[str, Any]) -> None:
    one = endpoint(**more)
    [back] = read(given(one))
    assert back.model_dump(exclude={"expires"}) == one.model_dump(exclude={"expires"})


def test_several_at_one_host_and_port_are_one_instance_that_tells_of_all() -> None:
    four = [endpoint(number) for number in range(4)]
    assert [one.id for one in read(given(*four))] == [one.id for one in four]


@pytest.mark.parametrize(
    ("name", "more", "room"),
    [("weather", {}, 6), ("weather", {"zone": "eu-1", "tenant": "acme", "weight": 2.0}, 4), ("a" * 64, {}, 3)],
    ids=["usual", "with zone, tenant and weight", "long name"],
)
def test_one_host_and_port_has_room_for(name: str, more: dict[str, Any], room: int) -> None:
    where, ids = f"http://127.0.0.1:40123/agents/{name}", RandomIds()
    places = [
        endpoint(number, url=f"{where}/{number}", registered=1_795_876_543.123456, **more).model_copy(
            update={"id": ids.new("endpoint")}
        )
        for number in range(room + 1)
    ]
    assert len(read(given(*places[:room]))) == room
    with pytest.raises(TooLarge):
        instance("lab", "agent", places)


def test_what_nacos_has_no_room_for_is_refused_with_what_to_do() -> None:
    with pytest.raises(TooLarge) as caught:
        instance("lab", "agent", [endpoint(number) for number in range(20)])
    told = caught.value._render_traceback_()
    assert len(told) == 2
    assert "'weather' 1.0 at 127.0.0.1:8001" in told[0]
    assert "1024" in told[0]
    assert "fewer endpoints" in told[1]


def test_a_long_reason_is_cut_and_stands_in_nobodys_way() -> None:
    [back] = read(given(endpoint(state="down", reason="连接被拒绝 " * 500)))
    assert back.state == "down"
    assert back.reason.startswith("连接被拒绝")


def test_what_ended_here_is_nobody_elses_however_long_a_list_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own, listed = OwnPlaces(), {one.id: one for one in map(endpoint, range(3))}
    own.begin("endpoint-0")
    own.begin("endpoint-1")
    own.end("endpoint-1")
    assert list(own.others(listed)) == ["endpoint-2"]
    assert ("endpoint-0" in own, "endpoint-1" in own) == (True, False)
    own.begin("endpoint-1")  # it was renewed: the end did not come to pass
    own.end("endpoint-0")
    monkeypatch.setattr(nacos_places, "_REMEMBERED", 1)
    assert list(own.others(listed)) == ["endpoint-2"]
    own.end("endpoint-1")
    assert list(own.others(listed)) == ["endpoint-0", "endpoint-2"]
