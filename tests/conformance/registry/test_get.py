"""Reading versions: one by number or label, all of an agent, all agents; and what is said of what is not there."""

from __future__ import annotations

import pytest

from cards import draft
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import AgentNotFound, VersionNotFound
from nbagora_lab.registry.api import Catalog


def test_an_unknown_agent_is_not_found_and_a_near_one_is_named(catalog: Catalog) -> None:
    catalog.publish(draft("weather"))
    with pytest.raises(AgentNotFound) as raised:
        catalog.get("public", "wether", "latest")
    assert "'wether'" in raised.value.what
    assert "'weather'" in raised.value.hint


def test_every_method_that_names_an_agent_says_that_it_is_unknown(catalog: Catalog) -> None:
    for call in (
        lambda: catalog.get("public", "x", "1"),
        lambda: catalog.versions("public", "x"),
        lambda: catalog.label("public", "x", "latest", "1"),
        lambda: catalog.labels("public", "x"),
        lambda: catalog.register("public", "x", "1", "http://127.0.0.1:1", "JSONRPC", 30),
        lambda: catalog.endpoints("public", "x"),
    ):
        with pytest.raises(AgentNotFound):
            call()


def test_an_unknown_version_is_not_found_and_those_there_are_named(catalog: Catalog) -> None:
    catalog.publish(draft())
    with pytest.raises(VersionNotFound) as raised:
        catalog.get("public", "weather", "9.9")
    assert "no version '9.9'" in raised.value.what
    assert "0.0.1" in raised.value.hint


def test_an_unknown_label_is_called_one(catalog: Catalog) -> None:
    catalog.publish(draft())
    with pytest.raises(VersionNotFound, match="no label 'stable'"):
        catalog.get("public", "weather", "stable")


def test_versions_come_newest_first_with_their_times_and_labels(catalog: Catalog, clock: VirtualClock) -> None:
    catalog.publish(draft(description="One."), version="2.0")
    clock.advance(5)
    catalog.publish(draft(description="Two."), version="1.0")
    versions = catalog.versions("public", "weather")
    assert [(agent.version, agent.published, agent.labels) for agent in versions] == [
        ("1.0", 1005.0, ("latest",)),
        ("2.0", 1000.0, ()),
    ]


def test_agents_are_listed_by_the_utf8_of_their_names_in_pages(catalog: Catalog) -> None:
    names = ["b", "a", "天气", "é", "Z", "\U0001f324", "\uff5a"]
    for name in names:
        catalog.publish(draft(name))
    ordered = sorted(names, key=str.encode)
    assert [agent.name for agent in catalog.ls("public")] == ordered
    first = [agent.name for agent in catalog.ls("public", limit=3)]
    assert first == ordered[:3]
    assert [agent.name for agent in catalog.ls("public", after=first[-1])] == ordered[3:]


def test_a_listing_has_each_agent_once_in_its_latest_version(catalog: Catalog) -> None:
    catalog.publish(draft(description="One."))
    catalog.publish(draft(description="Two."))
    assert [(agent.version, agent.description) for agent in catalog.ls("public")] == [("0.0.2", "Two.")]


def test_an_empty_namespace_lists_nothing(catalog: Catalog) -> None:
    assert catalog.ls("public") == []
