"""Discovery in a running lab: three ways to a card, calls that go where the registry leads, and its HTTP face."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from card_site import Site, define
from cards import card
from nbagora_lab.core.errors import AgentNotFound, Forbidden, TooLarge, Unreachable, UsageError
from nbagora_lab.lab import Lab


def test_a_card_is_found_in_hand_in_a_file_in_the_environment_at_a_url_and_by_name(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(lab, "sun", "1.0")
    served = lab.card("weather")
    path = tmp_path / "weather.json"
    path.write_text(json.dumps(served), encoding="utf-8")
    monkeypatch.setenv("WEATHER_CARD", json.dumps(served))
    ways = []
    for what in (served, path, str(path), "env:WEATHER_CARD", f"{lab.url}/agents/weather", "weather"):
        found = lab.discover(what)
        assert (found.card["name"], found.drift) == ("weather", ())
        assert found.signed == (what != "weather")  # a lab signs what it serves; its own registry keeps it as published
        ways.append(found.way)
    assert ways == [*["configured"] * 4, "well-known", "registry"]
    assert lab.discover("weather").where == "weather 1.0"


def test_a_well_known_card_is_read_again_only_if_it_changed_and_its_drift_is_told(lab: Lab, site: Site) -> None:
    lab.registry.publish(card("painter"))
    site.body, site.tag = json.dumps(card("painter")).encode(), '"1"'
    assert lab.discover(site.url).drift == ()
    assert lab.discover(site.url).card["name"] == "painter"
    assert site.asked == [("/.well-known/agent-card.json", ""), ("/.well-known/agent-card.json", '"1"')]
    site.body, site.tag = json.dumps(card("painter", description="Other.")).encode(), '"2"'
    assert lab.discover(site.url).drift == ('/description: "Is painter." became "Other."',)
    site.body, site.tag = json.dumps(card("stranger")).encode(), ""
    assert lab.discover(f"{site.url}/x.json").drift is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"", Unreachable),
        (302, b"", Unreachable),
        (200, b"<html>", UsageError),
        (200, b"[]", UsageError),
        (200, b'{"name": "x", "colour": 1}', UsageError),
        (200, b" " * (3 << 20), TooLarge),
    ],
)
def test_what_is_no_card_at_a_url_is_refused(lab: Lab, site: Site, status: int, body: bytes, error: type) -> None:
    site.status, site.body = status, body
    with pytest.raises(error):
        lab.discover(site.url)


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://169.254.169.254/", "http://192.168.1.1:80/x", "http://[fd00::1]/", "http://0.0.0.0/"],
)
def test_a_private_address_is_not_asked(lab: Lab, url: str) -> None:
    with pytest.raises(UsageError, match="private address"):
        lab.discover(url)


def test_what_can_t_be_discovered_says_why(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AgentNotFound):
        lab.discover("nobody")
    with pytest.raises(UsageError, match="/name is missing; /description is missing"):
        lab.discover({})
    monkeypatch.setenv("BROKEN", "{")
    for what in ("env:NOT_SET_ANYWHERE", "env:BROKEN", str(tmp_path / "none.json")):
        with pytest.raises(UsageError):
            lab.discover(what)
    with pytest.raises(Unreachable):
        lab.discover("http://127.0.0.1:1/")


def test_a_signature_is_checked_and_a_policy_lets_only_signed_cards_in(lab: Lab) -> None:
    from a2a.types import a2a_pb2 as pb
    from a2a.utils.signing import create_agent_card_signer
    from cryptography.hazmat.primitives.asymmetric import ec
    from google.protobuf.json_format import MessageToDict, ParseDict
    from jwt.algorithms import ECAlgorithm

    def pair() -> tuple[Any, dict[str, Any]]:
        private = ec.generate_private_key(ec.SECP256R1())
        return private, json.loads(ECAlgorithm.to_jwk(private.public_key()))

    (private, public), (_, other) = pair(), pair()
    sign = create_agent_card_signer(private, {"kid": "k1", "alg": "ES256", "jku": None, "typ": "JOSE"})
    signed = MessageToDict(sign(ParseDict(card("painter", version="1.0"), pb.AgentCard())))
    keys = {"k1": public | {"alg": "ES256"}}
    assert lab.discover(signed, keys=keys).signed
    for broken, trusted in (
        (signed | {"description": "Forged."}, keys),
        (signed, {"k1": other | {"alg": "ES256"}}),
        (signed, {"k2": public | {"alg": "ES256"}}),
        (card("painter"), keys),
        (signed | {"signatures": [{"protected": "%%", "signature": "x"}]}, keys),
    ):
        with pytest.raises(UsageError, match="signature"):
            lab.discover(broken, keys=trusted)
    lab.registry.set_policy({"signed": True, "keys": keys})
    assert lab.registry.publish(signed).version == "1.0"
    assert lab.registry.signed("painter") == signed
    found = lab.discover("painter", keys=keys)
    assert (found.way, found.signed, found.card) == ("registry", True, signed)
    with pytest.raises(UsageError, match="by a trusted key"):
        lab.discover("painter", keys={"k1": other | {"alg": "ES256"}})
    with pytest.raises(Forbidden, match="only signed cards"):
        lab.registry.publish(card("hotel"))


def test_a_rollback_leads_callers_back_to_the_version_before_which_still_answers(lab: Lab) -> None:
    define(lab, "sun", "1.0")
    define(lab, "rain", "2.0")
    assert lab.ask("weather", "?").text == "rain"
    lab.registry.rollback("weather")
    assert lab.ask("weather", "?").text == "sun"
    assert lab.send("weather", "?").id
    assert [event.text for event in lab.stream("weather", "?") if event.kind == "artifact"] == ["sun"]
    lab.registry.rollback("weather")
    assert lab.ask("weather", "?").text == "rain"
    define(lab, "snow", "3.0")
    assert {endpoint.version for endpoint in lab.registry.endpoints("weather")} == {"2.0", "3.0"}
    lab.remove("weather")
    assert lab.registry.endpoints("weather") == []


def test_a_bad_release_is_taken_back_by_its_error_budget(lab: Lab) -> None:
    define(lab, "sun", "1.0")
    define(lab, "broken", "2.0")
    lab.registry.label("weather", "stable", "1.0")
    lab.registry.canary("weather", "2.0", 50, rest="stable", errors=0.1, calls=5)
    tasks = [lab.ask("weather", "?", context=f"c{number}", check=False) for number in range(40)]
    failed = [task.state == "FAILED" for task in tasks]
    assert failed.count(True) == 5
    assert not any(failed[failed.index(True) + 30 :])
    assert lab.registry.rule("weather").weights == {"stable": 50.0}
    assert "5 of 5 calls failed" in lab.registry.audit("weather")[-1].why


def test_a_conversation_stays_with_its_version(lab: Lab) -> None:
    define(lab, "sun", "1.0")
    define(lab, "rain", "2.0")
    lab.registry.label("weather", "stable", "1.0")
    lab.registry.canary("weather", "2.0", 50, rest="stable")
    answers = {context: lab.ask("weather", "?", context=context).text for context in map("c{}".format, range(20))}
    assert set(answers.values()) == {"sun", "rain"}
    assert answers == {context: lab.ask("weather", "?", context=context).text for context in answers}


def test_a_place_that_drains_gets_no_new_task_and_ends_those_that_it_has(lab: Lab, tmp_path: Path) -> None:
    began: queue.SimpleQueue[str] = queue.SimpleQueue()
    goes_on = threading.Event()

    def host(at: Lab, where: str) -> str:
        async def worker(message: Any, task: Any) -> str:
            """Works."""
            if message.text == "slow":
                began.put(where)
                while not goes_on.is_set():
                    await asyncio.sleep(0.01)
            return where

        return at.define("worker", worker, version="1.0").url

    with Lab(store=tmp_path / "other", token="", probe=0) as other:
        host(lab, "here")
        lab.registry.register_endpoint("worker", "1.0", host(other, "there"), lease=600)
        slow = lab.send("worker", "slow")
        working = began.get(timeout=60)
        of = {endpoint.url.startswith(lab.url): endpoint for endpoint in lab.registry.endpoints("worker")}
        leaving, staying = of[working == "here"], {"here": "there", "there": "here"}[working]
        lab.registry.drain(leaving.id)
        assert [lab.ask("worker", "quick").text for _ in range(4)] == [staying] * 4
        goes_on.set()
        assert lab.wait(slow).text == working
        assert lab.registry.deregister(leaving.id) is True
        assert lab.ask("worker", "quick").text == staying


def test_calls_to_another_lab_s_endpoint_follow_their_task_there(lab: Lab, tmp_path: Path) -> None:
    async def asks(message: Any, task: Any) -> str:
        return f"got {(await task.ask('Which day?')).text}"

    with Lab(store=tmp_path / "other", token="") as other:
        info = other.define("planner", asks)
        lab.registry.publish(other.registry.get("planner").card)
        lab.registry.register_endpoint("planner", info.version, info.url)
        task = lab.ask("planner", "x")
        assert task.state == "INPUT_REQUIRED"
        assert other.task(task.id).state == "INPUT_REQUIRED"
        sent = lab._calls.message("Friday", context_id=task.context_id, task_id=task.id)
        assert lab.service.call(lab._calls.ask, "planner", sent).text == "got Friday"


def test_the_registry_answers_over_http_with_the_lab_s_token_or_its_own(tmp_path: Path) -> None:
    with Lab(store=tmp_path) as lab, httpx.Client(base_url=lab.url, trust_env=False, timeout=30) as client:
        define(lab, "sun", "1.0")
        assert client.get("/registry/agents").status_code == 401
        assert client.get("/registry/agents", headers={"Authorization": "Bearer nba_x"}).status_code == 401
        own = {"Authorization": f"Bearer {lab.token}"}
        [item] = client.get("/registry/agents", headers=own).json()["items"]
        assert client.get(item["url"], headers=own).json()["name"] == "weather"
        assert client.get("/.well-known/ai-catalog.json", headers=own).json()["entries"] == [item]
        granted = client.post("/registry/tokens", json={"who": "ann"}, headers=own).json()["token"]
        bearer = {"Authorization": f"Bearer {granted}"}
        assert client.get("/registry/agents", headers=bearer).status_code == 200
        assert client.post("/registry/agents/weather/labels/latest/rollback", headers=bearer).status_code == 403
        assert client.post("/agents/weather", json={}, headers=bearer).status_code == 401
        assert client.get("/broker/topics", headers=bearer).status_code == 401


def test_a_watch_over_http_resumes_by_its_last_event(tmp_path: Path) -> None:
    with Lab(store=tmp_path, token="") as lab, httpx.Client(base_url=lab.url, trust_env=False, timeout=20) as client:
        define(lab, "sun", "1.0")

        def take(count: int, **headers: str) -> list[dict[str, Any]]:
            events: list[dict[str, Any]] = []
            fields: dict[str, str] = {}
            with client.stream("GET", "/registry/watch?after=0", headers=headers) as answer:
                for line in answer.iter_lines():
                    if line and not line.startswith(":"):
                        name, _, value = line.partition(": ")
                        fields[name] = value
                    elif fields:
                        change = json.loads(fields["data"])
                        assert (fields["id"], fields["event"]) == (str(change["revision"]), change["type"])
                        events.append(change)
                        fields = {}
                        if len(events) == count:
                            return events
                        lab.registry.label("weather", f"l{len(events)}", "1.0")
            return events

        first = take(4)
        assert [event["revision"] for event in first] == [1, 2, 3, 4]
        assert [event["type"] for event in first] == ["published", "label.moved", "endpoint.up", "label.moved"]
        assert take(1, **{"Last-Event-ID": "3"})[0] == first[3]
