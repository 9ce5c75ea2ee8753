"""The face: what people type is checked here, and reaches the engine in whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import (
    AgentNotFound,
    BadName,
    EndpointNotFound,
    LabError,
    UsageError,
    VersionExists,
    VersionNotFound,
)
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog

URL = "http://127.0.0.1:8000/agents/weather"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(0)


@pytest.fixture
def registry(tmp_path: Path, clock: VirtualClock) -> Iterator[Registry]:
    catalog = EmbeddedCatalog(tmp_path / "registry.db", clock=clock, ids=SeededIds(1))
    yield Registry(catalog, clock=clock)
    catalog.close()


def test_a_card_without_a_version_gets_the_next_one(registry: Registry) -> None:
    assert registry.publish(card()).version == "0.0.1"
    assert registry.publish(card(version="")).new is False
    assert registry.publish(card(description="Another.")).version == "0.0.2"


def test_the_version_in_the_card_holds_unless_another_is_given(registry: Registry) -> None:
    assert registry.publish(card(version="1.2.0")).version == "1.2.0"
    assert registry.publish(card(version="1.2.0"), version="1.3.0").version == "1.3.0"
    assert registry.get("weather").card["version"] == "1.3.0"
    with pytest.raises(VersionExists):
        registry.publish(card(version="1.2.0", description="Another."))


def test_a_bad_card_changes_nothing(registry: Registry) -> None:
    with pytest.raises(UsageError, match="/description is missing"):
        registry.publish({"name": "weather"})
    assert registry.revision == 0


def test_a_stored_card_is_not_the_caller_s(registry: Registry) -> None:
    mine = card()
    registry.publish(mine)
    mine["skills"].append(skill("more"))
    registry.get("weather").card["skills"].clear()
    assert registry.get("weather").skills == ("forecast",)


def test_a_version_or_a_label_is_told_by_its_first_letter(registry: Registry) -> None:
    registry.publish(card(), version="1.0")
    registry.label("weather", "stable", "1.0")
    assert registry.get("weather", "stable") == registry.get("weather", "1.0") == registry.get("weather")
    assert registry.labels("weather") == {"latest": "1.0", "stable": "1.0"}
    with pytest.raises(VersionNotFound, match="no label 'v1'"):
        registry.get("weather", "v1")


def test_resolve_gives_the_newest_live_endpoint_of_the_latest_version(registry: Registry, clock: VirtualClock) -> None:
    registry.publish(card(), version="1")
    with pytest.raises(EndpointNotFound) as raised:
        registry.resolve("weather")
    assert "'weather' 1 has no live endpoint" in raised.value.what
    assert "run its cell" in raised.value.hint
    one = registry.register_endpoint("weather", "1", URL, lease=10)
    assert registry.resolve("weather").endpoint == one
    two = registry.register_endpoint("weather", "1", f"{URL}/2", lease=5)
    assert registry.resolve("weather", key="ctx-1").endpoint == registry.resolve("weather", "ctx-2").endpoint == two
    clock.advance(5)
    assert registry.resolve("weather").endpoint == one
    registry.publish(card(description="Another."), version="2")
    with pytest.raises(EndpointNotFound) as raised:
        registry.resolve("weather")
    assert "other versions have: 1;" in raised.value.hint
    registry.label("weather", "latest", "1")
    assert registry.resolve("weather").endpoint == one
    clock.advance(5)
    with pytest.raises(EndpointNotFound):
        registry.resolve("weather")
    with pytest.raises(AgentNotFound, match="no agent 'wether'"):
        registry.resolve("wether")


def test_an_engine_s_agent_without_a_latest_version_resolves_to_no_endpoint(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(card())
    monkeypatch.setattr(registry.catalog, "labels", lambda namespace, name, **kind: {"stable": "0.0.1"})
    with pytest.raises(VersionNotFound, match="labelled latest"):
        registry.resolve("weather")


def test_an_endpoint_lives_through_the_face(registry: Registry, clock: VirtualClock) -> None:
    registry.publish(card(), version="1")
    endpoint = registry.register_endpoint("weather", "1", URL, "HTTP+JSON")
    assert endpoint.lease == 30.0
    assert registry.expire() == 30.0
    clock.advance(29)
    assert registry.renew(endpoint.id).expires == 59.0
    assert registry.endpoints("weather") == registry.endpoints("weather", "1") == [registry.renew(endpoint.id)]
    assert registry.deregister(endpoint.id) is True
    assert registry.deregister(endpoint.id) is False
    assert [change.type for change in registry.changed_since(2)] == ["endpoint.up", "endpoint.down"]


def test_namespaces_reach_every_call(registry: Registry) -> None:
    registry.publish(card(), version="1", namespace="lab")
    registry.register_endpoint("weather", "1", URL, namespace="lab")
    assert registry.get("weather", namespace="lab").namespace == "lab"
    assert len(registry.versions("weather", namespace="lab")) == 1
    assert [agent.name for agent in registry.ls(namespace="lab")] == ["weather"]
    assert [found.agent.name for found in registry.find("weather", namespace="lab")] == ["weather"]
    assert registry.label("weather", "stable", "1", namespace="lab")
    assert registry.labels("weather", namespace="lab") == {"latest": "1", "stable": "1"}
    assert len(registry.endpoints("weather", namespace="lab")) == 1
    assert registry.resolve("weather", namespace="lab").url == URL
    assert registry.ls() == registry.find() == []
    with pytest.raises(AgentNotFound):
        registry.get("weather")


def test_bad_input_is_refused_in_two_lines_and_changes_nothing(registry: Registry) -> None:
    registry.publish(card(), version="1")
    endpoint = registry.register_endpoint("weather", "1", URL)
    revision = registry.revision
    for call, kind in (
        (lambda: registry.publish(card(), version="v1"), BadName),
        (lambda: registry.publish(card(), namespace=""), BadName),
        (lambda: registry.get("a/b"), BadName),
        (lambda: registry.get("\ud800"), BadName),
        (lambda: registry.get("weather", "1 0"), BadName),
        (lambda: registry.get("weather", ""), BadName),
        (lambda: registry.get("weather", namespace="a\n"), BadName),
        (lambda: registry.versions(""), BadName),
        (lambda: registry.label("weather", "9", "1"), BadName),
        (lambda: registry.label("weather", "stable", "one"), BadName),
        (lambda: registry.labels("x" * 513), BadName),
        (lambda: registry.register_endpoint("weather", "one", URL), BadName),
        (lambda: registry.register_endpoint("weather", "1", "nowhere"), UsageError),
        (lambda: registry.register_endpoint("weather", "1", URL, lease=0), UsageError),
        (lambda: registry.endpoints("weather", "one"), BadName),
        (lambda: registry.find(limit=0), UsageError),
        (lambda: registry.find(skill="\ud800"), UsageError),
        (lambda: registry.find("x", namespace="a/b"), BadName),
        (lambda: registry.ls(after="\ud800"), UsageError),
        (lambda: registry.ls(namespace="/"), BadName),
        (lambda: registry.renew("\ud800"), UsageError),
        (lambda: registry.deregister("\ud800"), UsageError),
        (lambda: registry.changed_since(2**70), UsageError),
        (lambda: registry.resolve("a/b"), BadName),
    ):
        with pytest.raises(kind) as raised:
            call()
        assert isinstance(raised.value, LabError)
        what, hint = raised.value._render_traceback_()
        assert "\n" not in what + hint
        (what + hint).encode()
    assert registry.revision == revision
    assert registry.endpoints("weather") == [endpoint]
