"""Finding: why something was found and why not, by meaning where vectors are to be had, and what a change touches."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cards import card, skill
from nbagora_lab.core.errors import UsageError
from nbagora_lab.registry import Registry
from nbagora_lab.registry.card import with_links
from nbagora_lab.registry.model import Link
from nbagora_lab.registry.where import All, Either, Is, Not, parse


@pytest.fixture
def agora(registry: Registry) -> Registry:
    painter = skill("image-generation", tags=["art"], examples=["画一只猫"])
    registry.publish(card("painter", skills=[painter]))
    registry.publish(card("poet", capabilities={}, skills=[skill("verse", tags=["art"])]))
    registry.publish(card("trip"))
    return registry


def test_the_article_s_own_example_is_one_line(agora: Registry) -> None:
    assert [found.agent.name for found in agora.find(capability="streaming", skill="image-generation")] == ["painter"]


def test_a_result_is_explained_and_so_is_what_was_not_found(agora: Registry) -> None:
    query = agora.query({"text": "cat 猫", "tag": "art", "capability": "streaming", "limit": 1})
    found = agora.explain(query, "painter")
    assert (found.found, found.place) == (True, 1)
    assert all(check.holds for check in found.checks)
    missed = agora.explain(query, "poet")
    assert (missed.found, missed.place) == (False, None)
    assert [(check.what, check.holds) for check in missed.checks] == [
        ("tag is art", True),
        ("capability is streaming", False),
        ("a word of 'cat 猫'", False),
    ]
    assert "capability is streaming does not hold (it has nothing)" in missed.reason
    assert agora.explain(query, "nobody").reason == "no agent 'nobody'"


def test_what_stands_too_far_down_is_told_its_place(agora: Registry) -> None:
    query = agora.query({"tag": "art", "limit": 1})
    assert agora.explain(query, "poet").reason == "it is number 2, and 1 were asked for"
    assert agora.explain(query, "painter").reason == "it is number 1 of 2"
    query = agora.query({"name": "p*", "health": "none", "where": "state=published"})
    assert agora.explain(query, "painter").found
    assert [check.what for check in agora.explain(query, "trip").checks if not check.holds] == ["name is p*"]


def test_a_name_with_signs_is_explained_too(registry: Registry) -> None:
    registry.publish(card("a*b?"))
    registry.publish(card("axbx"))
    assert registry.explain(registry.query({"tag": "none"}), "a*b?").checks[0].holds is False
    assert registry.explain(registry.query({"skill": "forecast"}), "a*b?").found


def test_vectors_find_what_no_word_does_and_say_how_near(agora: Registry) -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> list[list[float]]:
        asked.extend(texts)
        return [[1.0, 0.0] if "image" in text or "drawing" in text else [0.0, 1.0] for text in texts]

    agora._embed = embed
    [found] = agora.find("drawing")
    assert found.agent.name == "painter"
    assert [(why.field, why.text) for why in found.why] == [("meaning", "1.00")]
    assert agora.find("verse")[0].agent.name == "poet"
    assert len(asked) == len(set(asked))
    assert agora.find("drawing", tag="nothing") == []
    agora._embed = lambda texts: []
    with pytest.raises(UsageError, match="0 vectors for 1 texts"):
        agora.find("something else")


def test_what_breaks_if_this_changes(agora: Registry) -> None:
    agora.publish({"name": "style", "description": "d", "template": "t"}, kind="prompt", version="1")
    agora.publish({"name": "style", "description": "d", "template": "u"}, kind="prompt", version="2")
    agora.publish(with_links(card("poet"), [Link("prompt", "style", "latest")]))
    agora.publish(with_links(card("trip"), [Link("agent", "poet", "latest"), Link("prompt", "style", "1")]))
    agora.register_endpoint("poet", "0.0.2", "http://127.0.0.1:1/")

    def shown(version: str | None = None) -> list[tuple[str, tuple[str, ...], str, int]]:
        impacts = agora.impact("style", version, kind="prompt")
        return [(one.version.name, one.via, one.ref, one.endpoints) for one in impacts]

    poet = ("poet", ("style",), "latest", 1)
    by_poet = ("trip", ("style", "poet"), "latest", 0)
    assert shown() == [poet, ("trip", ("style",), "1", 0), by_poet]
    assert shown("2") == [poet, by_poet]
    assert shown("1") == [("trip", ("style",), "1", 0)]
    assert agora.impact("trip") == []


def test_links_go_round_and_end(agora: Registry) -> None:
    agora.publish(with_links(card("poet"), [Link("agent", "trip", "latest")]))
    agora.publish(with_links(card("trip"), [Link("agent", "poet", "latest")]))
    assert [one.version.name for one in agora.impact("poet")] == ["trip", "poet"]


@pytest.mark.parametrize(
    "uses",
    [
        5,
        [5],
        [{"kind": "moon", "name": "x"}],
        [{"kind": "agent", "name": ""}],
        [{"kind": "agent", "name": "x", "ref": 5}],
    ],
)
def test_a_link_that_leads_nowhere_is_refused_with_its_place(registry: Registry, uses: object) -> None:
    extension = {"uri": "urn:nbagora:uses:1", "params": {"uses": uses}}
    with pytest.raises(UsageError, match="/capabilities/extensions/0/params/uses"):
        registry.publish(card(capabilities={"extensions": [extension]}))


def test_two_versions_differ_where_they_do(agora: Registry) -> None:
    agora.publish(card("trip", description="Plans."))
    assert agora.diff("trip", "0.0.1") == ['/description: "Is trip." became "Plans."']
    assert agora.diff("trip", "0.0.2", "latest") == []


def test_a_condition_is_read_as_it_is_written() -> None:
    one, two, three = Is("tag", "a"), Is("skill", "b c"), Is("health", "up")
    assert parse("tag=a") == one
    assert parse("tag=a skill='b c'") == parse('TAG = a AND skill="b c"') == All((one, two))
    assert parse("tag=a or skill='b c' and health=up") == Either((one, All((two, three))))
    assert parse("not (tag=a or not health=up)") == Not(Either((one, Not(three))))
