"""A version's life: drafts that nobody is led to, labels that never point at nothing, and rollbacks."""

from __future__ import annotations

import pytest

from cards import draft, skill
from nbagora_lab.core.errors import Forbidden, InUse, VersionNotFound, WrongState
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.model import By, Query

ANN = By("ann", "because")


@pytest.fixture
def two(catalog: Catalog) -> Catalog:
    """An agent whose versions 1 and 2 differ in their skill, and whose 9 is a draft."""
    catalog.publish(draft(skills=[skill("sun")]), version="1", by=ANN)
    catalog.publish(draft(skills=[skill("rain")]), version="2")
    catalog.publish(draft(skills=[skill("snow")]), version="9", state="draft")
    return catalog


def told(catalog: Catalog, since: int) -> list[tuple[str, str, dict[str, str]]]:
    return [(change.type, change.version, change.detail) for change in catalog.changed_since(since)]


def test_nobody_is_led_to_a_draft_until_it_is_approved(two: Catalog) -> None:
    assert two.get("public", "weather", "9").state == "draft"
    assert two.labels("public", "weather") == {"latest": "2"}
    assert two.find(Query(skill="snow")) == []
    with pytest.raises(WrongState):
        two.label("public", "weather", "stable", "9")
    revision = two.revision()
    assert two.set_state("public", "weather", "9", "published", by=ANN) is True
    assert two.set_state("public", "weather", "9", "published") is False
    assert two.labels("public", "weather") == {"latest": "9"}
    assert [found.agent.version for found in two.find(Query(skill="snow"))] == ["9"]
    assert told(two, revision) == [
        ("state.changed", "9", {"from": "draft", "to": "published"}),
        ("label.moved", "9", {"label": "latest", "from": "2"}),
    ]
    assert {(change.who, change.why) for change in two.changed_since(revision)} == {ANN}


def test_what_a_label_or_a_rule_leads_to_is_not_withdrawn(two: Catalog) -> None:
    two.label("public", "weather", "stable", "1")
    revision = two.revision()
    with pytest.raises(InUse, match="stable of 'weather' points at 1"):
        two.set_state("public", "weather", "1", "withdrawn")
    assert two.revision() == revision
    two.set_rule("public", "weather", {"needs": ["latest", "1"]})
    assert two.unlabel("public", "weather", "stable") is True
    with pytest.raises(InUse, match="the rule of 'weather' sends callers to 1"):
        two.set_state("public", "weather", "1", "withdrawn")
    with pytest.raises(InUse, match="sends callers to latest"):
        two.unlabel("public", "weather", "latest")
    two.set_rule("public", "weather", None)
    assert two.set_state("public", "weather", "1", "withdrawn") is True
    assert two.get("public", "weather", "1").state == "withdrawn"
    with pytest.raises(WrongState, match="withdrawn"):
        two.label("public", "weather", "stable", "1")
    with pytest.raises(WrongState, match="nothing else"):
        two.set_state("public", "weather", "1", "published")


def test_a_deprecated_version_is_still_found_and_comes_back(two: Catalog) -> None:
    two.set_state("public", "weather", "2", "deprecated")
    assert [found.agent.state for found in two.find(Query(skill="rain"))] == ["deprecated"]
    assert two.find(Query(skill="rain", state="published")) == []
    assert two.set_state("public", "weather", "2", "published") is True
    assert [found.agent.state for found in two.find(Query(state="published"))] == ["published"]
    with pytest.raises(WrongState):
        two.set_state("public", "weather", "2", "draft")


def test_a_rollback_is_one_move_that_is_told_and_that_a_second_one_undoes(two: Catalog) -> None:
    revision = two.revision()
    back = two.rollback("public", "weather", "latest", by=ANN)
    assert (back.version, back.detail) == ("1", {"label": "latest", "from": "2"})
    assert (back.who, back.why) == ANN
    assert [found.agent.version for found in two.find(Query())] == ["1"]
    forth = two.rollback("public", "weather", "latest")
    assert (forth.version, forth.detail) == ("2", {"label": "latest", "from": "1"})
    assert two.changed_since(revision) == [back, forth]


def test_a_rollback_onto_nothing_is_refused(two: Catalog) -> None:
    two.label("public", "weather", "stable", "2")
    with pytest.raises(VersionNotFound, match="never pointed"):
        two.rollback("public", "weather", "stable")
    with pytest.raises(VersionNotFound, match="no label 'canary'"):
        two.rollback("public", "weather", "canary")
    two.set_state("public", "weather", "1", "withdrawn")
    with pytest.raises(WrongState):
        two.rollback("public", "weather", "latest")
    assert two.labels("public", "weather") == {"latest": "2", "stable": "2"}


def test_a_label_that_is_taken_away_is_gone_from_search_and_told_once(two: Catalog) -> None:
    two.label("public", "weather", "stable", "1")
    assert [found.agent.version for found in two.find(Query(skill="sun", label="stable"))] == ["1"]
    revision = two.revision()
    assert two.unlabel("public", "weather", "stable") is True
    assert two.unlabel("public", "weather", "stable") is False
    assert told(two, revision) == [("label.removed", "1", {"label": "stable"})]
    assert two.find(Query(skill="sun", label="stable")) == []


def test_a_rule_leads_to_what_exists_alone(two: Catalog) -> None:
    revision = two.revision()
    for needs, error in ((["canary"], VersionNotFound), (["3"], VersionNotFound), (["9"], WrongState)):
        with pytest.raises(error):
            two.set_rule("public", "weather", {"needs": needs})
    assert two.rule("public", "weather") is None
    assert two.revision() == revision
    rule = {"needs": ["latest", "1"]}
    assert two.set_rule("public", "weather", rule) is True
    assert two.set_rule("public", "weather", rule) is False
    assert two.rule("public", "weather") == rule
    assert told(two, revision) == [("rule.changed", "", {"from": None, "to": rule})]


def test_a_thing_belongs_to_whom_published_it_first(two: Catalog) -> None:
    assert two.get("public", "weather", "1").owner == "ann"
    two.publish(draft(skills=[skill("fog")]), by=ANN, as_owner=True)
    revision = two.revision()
    with pytest.raises(Forbidden, match="ann's"):
        two.publish(draft(skills=[skill("hail")]), by=By("bob"), as_owner=True)
    assert two.revision() == revision
    assert two.own("public", "weather", owner="bob", private=True) is True
    assert two.own("public", "weather", owner="bob") is False
    assert (two.get("public", "weather", "1").owner, two.get("public", "weather", "1").private) == ("bob", True)
    two.publish(draft(skills=[skill("hail")]), by=By("bob"), as_owner=True)
    assert two.find(Query(seen_by="ann")) == []
    assert [found.agent.name for found in two.find(Query(seen_by="bob"))] == ["weather"]
