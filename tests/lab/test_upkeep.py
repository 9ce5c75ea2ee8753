"""Upkeep: what is elsewhere is looked at, taken down, put up again, and held against what was registered."""

from __future__ import annotations

import json
import queue
from pathlib import Path

from card_site import Site, define
from cards import card
from nbagora_lab.lab import Lab
from nbagora_lab.upkeep import Round


def test_a_probe_takes_down_what_does_not_answer_and_brings_it_back(lab: Lab, site: Site) -> None:
    define(lab, "sun", "1.0")
    site.status = 503
    gone = lab.registry.register_endpoint("weather", "1.0", site.url, "HTTP+JSON")
    found = lab.service.call(lab.upkeep.probe, "weather")
    assert found.pop(gone.id) is False
    assert list(found.values()) == [True]
    states = {endpoint.id: (endpoint.state, endpoint.reason) for endpoint in lab.registry.endpoints("weather")}
    assert states[gone.id] == ("down", f"{site.url}/.well-known/agent-card.json answers 503")
    assert lab.ask("weather", "?").text == "sun"
    site.status = 200
    assert lab.service.call(lab.upkeep.probe, "weather")[gone.id] is True
    assert {endpoint.state for endpoint in lab.registry.endpoints("weather")} == {"up"}


def test_a_round_looks_at_what_is_elsewhere_by_card_and_by_protocol_and_at_nothing_of_this_lab(
    lab: Lab, site: Site
) -> None:
    define(lab, "sun", "1.0")
    lab.registry.publish(card("painter"), version="1")
    ids = {
        lab.registry.register_endpoint("painter", "1", url, transport).id
        for url, transport in ((site.url, "JSONRPC"), (f"{site.url}/rest", "HTTP+JSON"))
    }
    grpc = lab.registry.register_endpoint("painter", "1", "localhost:1", "GRPC")
    leaving = lab.registry.register_endpoint("painter", "1", f"{site.url}/leaving")
    lab.registry.drain(leaving.id)
    assert lab.service.call(lab.upkeep.run_once).found == dict.fromkeys(ids, True)
    assert {path for path, _ in site.asked} == {"/.well-known/agent-card.json", "/rest/.well-known/agent-card.json"}
    assert grpc.state == "up"


def test_a_card_that_is_no_longer_the_registered_one_is_told_once(lab: Lab, site: Site) -> None:
    lab.registry.publish(card("painter"), version="1")
    lab.registry.register_endpoint("painter", "1", site.url)
    site.body, site.tag = json.dumps(card("painter", version="1")).encode(), '"1"'
    lab.discover(site.url)

    def told() -> list[str]:
        lab.service.call(lab.upkeep.run_once)
        return [line.message for line in lab.log() if line.level == "WARNING" and "the card at" in line.message]

    assert told() == []
    site.body, site.tag = json.dumps(card("painter", version="1", description="Other.")).encode(), '"2"'
    endpoint, place = told()
    assert f"the card at {site.url} is not 'painter' 1: /description" in endpoint
    assert f"{site.url}/.well-known/agent-card.json is not the one that is registered: /description" in place
    assert len(told()) == 2
    assert site.asked[-1] == ("/.well-known/agent-card.json", '"2"')
    site.body, site.tag = b'{"colour": 1}', ""
    assert "no field of AgentCard" in told()[2]
    assert [one.state for one in lab.registry.endpoints("painter")] == ["up"]


def test_a_place_that_was_signed_must_stay_signed(lab: Lab, site: Site) -> None:
    site.body = json.dumps(card("painter")).encode()
    found = lab.discover(site.url)
    lab.discovery._follow(found, {"k1": {}})
    assert lab.service.call(lab.discovery.poll) == 1
    assert "carries no signature" in lab.log()[-1].message


def test_rounds_follow_one_another_by_themselves(tmp_path: Path, site: Site) -> None:
    with Lab(store=tmp_path, token="", probe=0.05) as lab:
        rounds: queue.SimpleQueue[Round] = queue.SimpleQueue()
        lab.upkeep.on_round = rounds.put
        lab.registry.publish(card("painter"), version="1")
        endpoint = lab.registry.register_endpoint("painter", "1", site.url, lease=600)
        while not (found := rounds.get(timeout=20).found):
            pass
        assert found == {endpoint.id: True}
        site.status = 500
        while rounds.get(timeout=20).found != {endpoint.id: False}:
            pass
        assert lab.registry.endpoints("painter")[0].state == "down"
