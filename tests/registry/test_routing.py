"""Routing: the version by rule, the endpoint by load and health, and what calls teach."""

from __future__ import annotations

import pytest

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import EndpointNotFound, UsageError, VersionNotFound, WrongState
from nbagora_lab.registry import Registry
from nbagora_lab.registry.routing import COOLING, FAILURES


@pytest.fixture
def elapsed(registry: Registry) -> VirtualClock:
    """The clock of budgets and circuits."""
    clock = VirtualClock(100)
    registry._router._elapsed = clock.now
    return clock


def call(
    registry: Registry, *, ok: bool = True, seconds: float = 0.1, key: str = "k", ref: str | None = None
) -> str | None:
    endpoint = registry.resolve("weather", key, ref=ref).endpoint
    registry.began(endpoint)
    return registry.report(endpoint, ok=ok, seconds=seconds)


def test_a_rule_leads_to_its_version_and_says_why(two: Registry) -> None:
    assert two.resolve("weather", "k").why == ("latest is 2: everybody goes to latest",)
    two.set_rule("weather", {"matches": [{"key": "user", "value": "ann", "to": "1"}]})
    assert two.resolve("weather", "k", user="ann").version == "1"
    assert two.resolve("weather", "k", user="bob").version == "2"
    assert two.resolve("weather", ref="stable").why == ("stable is 1: asked for",)
    two.deprecate("weather", "1")
    assert two.resolve("weather", ref="1").why == ("1: asked for", "1 is deprecated")


def test_a_weight_s_share_is_what_callers_get(two: Registry) -> None:
    two.canary("weather", "1", 30)
    assert two.labels("weather")["canary"] == "1"
    got = [two.resolve("weather", f"ctx-{number}").version for number in range(1000)]
    assert 240 <= got.count("1") <= 360
    again = [two.resolve("weather", f"ctx-{number}").version for number in range(1000)]
    assert again == got


def test_a_rule_is_tried_without_being_set(two: Registry) -> None:
    revision = two.revision
    run = two.dry_run("weather", {"weights": {"stable": 25, "latest": 75}}, [f"ctx-{number}" for number in range(1000)])
    assert (run.callers, run.moved) == (1000, run.shares["stable"])
    assert 200 <= run.moved <= 300
    assert two.revision == revision
    with pytest.raises(UsageError):
        two.dry_run("weather", {"weights": {"stable": 0}}, [])


def test_the_least_loaded_endpoint_for_its_weight_is_taken(two: Registry) -> None:
    heavy = two.register_endpoint("weather", "2", "http://127.0.0.1:9000/", lease=1e6, weight=3)
    taken = []
    for _ in range(8):
        endpoint = two.resolve("weather").endpoint
        two.began(endpoint)
        taken.append(endpoint.id)
    assert taken.count(heavy.id) == 6
    resolution = two.resolve("weather")
    assert "the least loaded of 2" in resolution.why[-1]
    two.report(heavy, ok=True, seconds=0.1)
    assert two.resolve("weather").endpoint == heavy


def test_a_zone_is_preferred_while_it_answers(two: Registry) -> None:
    near = two.register_endpoint("weather", "2", "http://127.0.0.1:9000/", lease=1e6, zone="hz")
    assert two.resolve("weather", zone="hz").endpoint == near
    assert "in the zone hz" in two.resolve("weather", zone="hz").why
    two.drain(near.id)
    assert two.resolve("weather", zone="hz").endpoint.zone == ""


def test_what_drains_gets_nothing_more_and_is_told(two: Registry) -> None:
    [endpoint] = two.endpoints("weather", "2")
    revision = two.revision
    assert two.drain(endpoint.id) is True
    assert two.drain(endpoint.id) is False
    assert two.endpoints("weather", "2")[0].state == "draining"
    with pytest.raises(EndpointNotFound, match=r"takes calls: .* is draining"):
        two.resolve("weather")
    two.renew(endpoint.id)
    two.deregister(endpoint.id)
    assert [change.type for change in two.changed_since(revision)] == ["endpoint.draining", "endpoint.down"]
    with pytest.raises(EndpointNotFound, match="no longer live"):
        two.drain(endpoint.id)


def test_failures_take_an_endpoint_down_and_one_success_brings_it_back(two: Registry, elapsed: VirtualClock) -> None:
    other = two.register_endpoint("weather", "2", "http://127.0.0.1:9000/", lease=1e6)
    for _ in range(FAILURES):
        two.began(other)
        two.report(other, ok=False, seconds=0.1)
    [down] = [one for one in two.endpoints("weather", "2") if one.id == other.id]
    assert (down.state, down.reason) == ("down", "5 failed calls in a row")
    assert {two.resolve("weather").endpoint.id for _ in range(5)} == {two.endpoints("weather", "2")[1].id}
    elapsed.advance(COOLING)
    trial = two.resolve("weather")
    assert trial.endpoint.id == other.id
    assert "tries it again" in trial.why[-1]
    assert two.resolve("weather").endpoint.id != other.id  # one call alone tries
    two.began(other)
    two.report(other, ok=False, seconds=0.1)
    elapsed.advance(COOLING / 2)
    assert two.resolve("weather").endpoint.id != other.id
    elapsed.advance(COOLING / 2)
    assert two.resolve("weather").endpoint.id == other.id
    two.began(other)
    two.report(other, ok=True, seconds=0.1)
    assert {one.state for one in two.endpoints("weather", "2")} == {"up"}


def test_a_success_in_between_keeps_it_up(two: Registry) -> None:
    [endpoint] = two.endpoints("weather", "2")
    for number in range(3 * FAILURES):
        two.began(endpoint)
        two.report(endpoint, ok=number % FAILURES == FAILURES - 1, seconds=0.1)
    assert two.endpoints("weather", "2")[0].state == "up"


def test_a_probe_s_finding_is_told_once(two: Registry) -> None:
    [endpoint] = two.endpoints("weather", "2")
    revision = two.revision
    assert two.probed(endpoint, ok=True) is False
    assert two.probed(endpoint, ok=False, reason="no card") is True
    assert two.probed(endpoint, ok=False, reason="no card") is False
    assert two.probed(endpoint, ok=True, reason="card fetched") is True
    changes = two.changed_since(revision)
    assert [(change.type, change.detail["state"], change.who) for change in changes] == [
        ("endpoint.health", "down", "circuit"),
        ("endpoint.health", "up", "circuit"),
    ]


def test_a_canary_over_its_error_budget_is_taken_back_with_the_reason(two: Registry) -> None:
    two.canary("weather", "2", 50, rest="stable", errors=0.2, calls=10)
    reasons = [call(two, ok=number % 3 != 0, ref="canary") for number in range(10)]
    assert reasons[:-1] == [None] * 9
    assert reasons[-1] == "4 of 10 calls failed, the budget is 20 %"
    assert {two.resolve("weather", f"ctx-{number}").version for number in range(100)} == {"1"}
    last = two.audit("weather")[-1]
    assert (last.type, last.who) == ("rule.changed", "budget")
    assert last.why == "canary (2): 4 of 10 calls failed, the budget is 20 %"
    assert last.detail["to"]["weights"] == {"stable": 50.0}


def test_a_release_over_its_latency_budget_is_rolled_back(two: Registry) -> None:
    two.set_rule("weather", {"budget": {"latency": 1.0, "calls": 5}})
    for _ in range(4):
        assert call(two, seconds=3.0) is None
    assert call(two, seconds=3.0) == "the 95th percentile of 5 calls is 3 s, the budget is 1 s"
    assert two.labels("weather")["latest"] == "1"
    assert two.rollback("weather").version == "2"  # revocable


def test_calls_count_for_the_window_and_for_the_guarded_version_alone(two: Registry, elapsed: VirtualClock) -> None:
    two.set_rule("weather", {"budget": {"errors": 0.5, "calls": 4, "window": 60}})
    for _ in range(4):
        assert call(two, ok=False, ref="stable") is None
    for _ in range(3):
        assert call(two, ok=False) is None
    elapsed.advance(61)
    for _ in range(3):
        assert call(two, ok=True) is None
    assert call(two, ok=False) is None
    assert two.labels("weather")["latest"] == "2"


def test_a_release_that_can_t_be_taken_back_stays_and_is_said_aloud(
    two: Registry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.unlabel("weather", "stable")
    two.withdraw("weather", "1")
    two.set_rule("weather", {"budget": {"errors": 0.0, "calls": 1}})
    said = []
    monkeypatch.setattr("nbagora_lab.registry.routing._log.warning", lambda *words: said.append(words[0] % words[1:]))
    assert call(two, ok=False) is not None
    assert two.labels("weather")["latest"] == "2"
    assert "can't" in said[0]


def test_a_change_is_seen_at_the_next_call(two: Registry) -> None:
    assert two.resolve("weather").version == "2"
    two.rollback("weather")
    assert two.resolve("weather").version == "1"
    two.publish(card(skills=[skill("snow")]), version="3")
    with pytest.raises(EndpointNotFound, match="3 has no live endpoint"):
        two.resolve("weather")
    with pytest.raises(VersionNotFound):
        two.resolve("weather", ref="canary")
    two.label("weather", "latest", "2")
    two.withdraw("weather", "3")
    with pytest.raises(WrongState):
        two.resolve("weather", ref="3")


def test_a_lease_that_runs_out_is_seen_at_once(registry: Registry, clock: VirtualClock) -> None:
    registry.publish(card(), version="1")
    endpoint = registry.register_endpoint("weather", "1", "http://127.0.0.1:8000/", lease=10)
    assert registry.resolve("weather").endpoint == endpoint
    clock.advance(9)
    registry.renew(endpoint.id)
    clock.advance(9)
    assert registry.resolve("weather").endpoint.id == endpoint.id
    clock.advance(1)
    with pytest.raises(EndpointNotFound):
        registry.resolve("weather")


def test_where_all_are_down_one_is_tried_all_the_same(two: Registry, elapsed: VirtualClock) -> None:
    [endpoint] = two.endpoints("weather", "2")
    two.probed(endpoint, ok=False, reason="no card")
    resolution = two.resolve("weather")
    assert resolution.endpoint.id == endpoint.id
    assert "all are down; one is tried all the same" in resolution.why
