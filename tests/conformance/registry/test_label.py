"""Labels: they move, never onto nothing, and everything that goes by `latest` goes with it."""

from __future__ import annotations

import pytest

from cards import draft, skill
from nbagora_lab.core.errors import VersionNotFound
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.model import Query


@pytest.fixture
def two(catalog: Catalog) -> Catalog:
    """An agent whose versions 1 and 2 differ in their skill."""
    catalog.publish(draft(skills=[skill("sun")]), version="1")
    catalog.publish(draft(skills=[skill("rain")]), version="2")
    return catalog


def test_a_label_points_where_it_was_put(two: Catalog) -> None:
    assert two.label("public", "weather", "stable", "1") is True
    assert two.labels("public", "weather") == {"latest": "2", "stable": "1"}
    assert two.get("public", "weather", "stable").version == "1"
    assert two.get("public", "weather", "1").labels == ("stable",)


def test_a_version_has_all_its_labels_in_order(two: Catalog) -> None:
    for label in ("stable", "canary", "稳定"):
        two.label("public", "weather", label, "2")
    assert two.get("public", "weather", "2").labels == ("canary", "latest", "stable", "稳定")


def test_a_label_that_points_there_already_does_nothing(two: Catalog) -> None:
    revision = two.revision()
    assert two.label("public", "weather", "latest", "2") is False
    assert two.revision() == revision


def test_a_label_moves_onto_no_unknown_version(two: Catalog) -> None:
    with pytest.raises(VersionNotFound):
        two.label("public", "weather", "latest", "3")
    assert two.labels("public", "weather") == {"latest": "2"}


def test_latest_can_be_taken_back_and_the_search_follows(two: Catalog) -> None:
    assert two.find(Query(skill="sun")) == []
    two.label("public", "weather", "latest", "1")
    assert [found.agent.version for found in two.find(Query(skill="sun"))] == ["1"]
    assert two.find(Query(skill="rain")) == []
    assert two.find(Query(text="rain")) == []
    assert [agent.version for agent in two.ls("public")] == ["1"]


def test_another_label_leaves_the_search_alone(two: Catalog) -> None:
    two.label("public", "weather", "stable", "1")
    assert two.find(Query(text="sun")) == []
    assert [found.agent.version for found in two.find(Query(text="rain"))] == ["2"]


def test_after_a_rollback_the_old_content_is_the_latest_and_publishing_it_does_nothing(two: Catalog) -> None:
    two.label("public", "weather", "latest", "1")
    assert two.publish(draft(skills=[skill("sun")])).version == "1"
    assert two.publish(draft(skills=[skill("rain")])).version == "0.0.1"
