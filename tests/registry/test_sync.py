"""Two registries made equal: what goes where, what stays and is reported, and that a second time finds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.nacos_files import export_nacos, import_nacos
from nbagora_lab.registry.sync import sync


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Registry, Registry]]:
    clock = VirtualClock(1000)
    catalogs = [EmbeddedCatalog(tmp_path / f"{name}.db", clock=clock, ids=SeededIds(1)) for name in ("here", "there")]
    here, there = (Registry(catalog, clock=clock) for catalog in catalogs)
    here.publish(card("天气", description="一"), version="1.0")
    here.publish(card("天气", description="二"), version="1.1")
    here.label("天气", "stable", "1.0")
    here.set_rule("天气", {"weights": {"stable": 90, "latest": 10}})
    here.publish({"name": "plan", "description": "Plans.", "template": "Plan {{city}}."}, kind="prompt")
    here.publish({"name": "tools", "description": "T.", "tools": [{"name": "t"}]}, kind="mcp")
    yield here, there
    for catalog in catalogs:
        catalog.close()


def told(registry: Registry) -> object:
    """All that a sync compares."""
    return [
        (
            kind,
            one.name,
            sorted((version.version, version.hash) for version in registry.versions(one.name, kind=kind)),
            registry.labels(one.name, kind=kind),
            registry.rule(one.name, kind=kind).weights,
        )
        for kind in ("agent", "mcp", "prompt")
        for one in registry.ls(kind=kind)
    ]


def test_one_way_makes_the_other_what_this_one_is_and_a_second_time_finds_nothing(
    pair: tuple[Registry, Registry],
) -> None:
    here, there = pair
    before = here.revision
    dry = sync(here, there, dry=True)
    assert there.revision == 0
    report = sync(here, there)
    assert report.open == []
    assert (report.things, {one.done for one in report.differences}) == (3, {"sent"})
    assert len(report.differences) >= len(dry.differences)
    assert told(here) == told(there)
    assert here.revision == before
    assert sync(here, there).differences == sync(there, here).differences == []


def test_both_ways_join_what_either_has(pair: tuple[Registry, Registry]) -> None:
    here, there = pair
    there.publish(card("painter", skills=[skill("image")]), version="3.0")
    there.publish(card("天气", description="零"), version="0.9")
    report = sync(here, there)
    assert {(one.name, one.what) for one in report.open} == {
        ("painter", "version"),
        ("painter", "label"),
        ("天气", "version"),
    }
    assert all("only the other" in one.done for one in report.open)
    assert there.labels("天气")["latest"] == "1.1"
    report = sync(here, there, both=True)
    assert report.open == []
    assert told(here) == told(there)
    assert here.labels("天气")["latest"] == "1.1"
    assert here.get("painter").version == "3.0"


def test_what_can_t_be_joined_stays_on_both_sides_and_is_reported(pair: tuple[Registry, Registry]) -> None:
    here, there = pair
    there.publish(card("天气", description="other"), version="1.0")
    sync(here, there, both=True)
    report = sync(here, there, both=True)
    assert [(one.what, one.here[:3], one.there[:3], one.done) for one in report.open] == [
        ("content", "1.0", "1.0", "versions never change"),
        ("label", "lat", "lat", "both have it: move one of them"),
    ]
    assert (here.get("天气", "1.0").description, there.get("天气", "1.0").description) == ("一", "other")


def test_drafts_and_what_is_withdrawn_are_not_carried(pair: tuple[Registry, Registry]) -> None:
    here, there = pair
    here.publish(card("secret"), version="1", state="draft")
    here.publish(card("天气", description="三"), version="1.2")
    here.label("天气", "latest", "1.1")
    here.withdraw("天气", "1.2")
    report = sync(here, there)
    assert [(one.name, one.here, one.done) for one in report.open] == [("天气", "1.2", "it is withdrawn")]


def test_an_export_in_nacos_shape_has_all_again(pair: tuple[Registry, Registry], tmp_path: Path) -> None:
    here, there = pair
    here.deprecate("天气", "1.0")
    assert export_nacos(here, tmp_path / "out") == 4
    done = import_nacos(there, tmp_path / "out")
    assert (done.made, done.there, done.rules) == (4, 0, 1)
    assert told(here) == told(there)
    assert there.get("天气", "1.0").state == "deprecated"
    again = import_nacos(there, tmp_path / "out")
    assert (again.made, again.there, again.labels, again.rules) == (0, 4, 0, 0)
    [first, _] = sorted((tmp_path / "out" / "agents").glob("*/*.json"))
    text = first.read_text(encoding="utf-8")
    for part in ('"protocolVersion": "0.3.0"', '"preferredTransport"', '"url"', '"name": "nb-4wsktzvqsq"'):
        assert part in text
