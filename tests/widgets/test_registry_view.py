"""The registry view in Python: what it shows without a browser, what it obeys, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_widgets.registry_table import registry_html, registry_text
from registry_views import RegistryViews


@pytest.fixture
def views(tmp_path: Path) -> Iterator[RegistryViews]:
    clock = VirtualClock(1_790_000_000)
    catalog = EmbeddedCatalog(tmp_path / "registry.db", clock=clock, ids=SeededIds(1))
    registry = Registry(catalog, clock=clock)
    registry.publish(card(skills=[skill("forecast", tags=["travel"])]), version="1")
    registry.publish(card(description="<b>Two</b>", skills=[skill("forecast", tags=["travel"])]), version="2")
    registry.publish(card("酒店", skills=[skill("book", tags=["a*b"])]))
    registry.register_endpoint("weather", "2", "http://127.0.0.1:8000/", lease=60)
    views = RegistryViews(registry)
    yield views
    views.close()
    catalog.close()


def send(views: RegistryViews, **command: Any) -> dict[str, Any]:
    """Sends a command; the problem of its reply, empty where there is none."""
    [reply] = [message["content"] for message in views.receive("v", {"request": 1, **command}) if "content" in message]
    return reply["problem"] or {}


def test_it_reads_as_tables_without_a_kernel(views: RegistryViews) -> None:
    view = views.add("v", name="weather")
    send(views, do="compare", before="1", after="2")
    html, text = registry_html(view._latest), registry_text(view._latest)
    assert "&lt;b&gt;Two&lt;/b&gt;" in html
    assert "<b>" not in html
    for part in (
        "2 agents",
        "酒店",
        "Versions of weather; everybody → latest",
        "http://127.0.0.1:8000/",
        "From 1 to 2",
    ):
        assert part in html
        assert part in text
    assert "label.moved" in text


def test_a_search_keeps_what_is_looked_at_and_another_kind_does_not(views: RegistryViews) -> None:
    view = views.add("v", name="weather")
    assert send(views, do="search", kind="agent", text="", filters=["tag=travel"]) == {}
    assert [row["name"] for row in view.snapshot["rows"]] == ["weather"]
    assert view.snapshot["selected"]["name"] == "weather"
    [tag] = [facet for facet in view.snapshot["facets"] if facet["field"] == "tag"]
    assert tag["values"] == [{"value": "travel", "count": 1, "chosen": True}]
    send(views, do="search", kind="prompt", text="")
    assert (view.snapshot["total"], view.snapshot["selected"]) == (0, None)


def test_a_facet_s_value_is_no_pattern(views: RegistryViews) -> None:
    view = views.add("v")
    send(views, do="search", kind="agent", text="", filters=["tag=a*b"])
    assert [row["name"] for row in view.snapshot["rows"]] == ["酒店"]


def test_what_can_t_be_done_is_told_in_two_lines(views: RegistryViews) -> None:
    view = views.add("v", name="weather")
    assert (
        send(views, do="point", name="weather", label="stable", version="9")["what"] == "'weather' has no version '9'"
    )
    assert send(views, do="roll-back", name="nobody", label="latest")["name"] == "AgentNotFound"
    assert "does not know" in send(views, do="burn", name="weather")["what"]
    send(views, do="search", kind="agent", text="", filters=["colour=red"])
    assert "colour" in view.snapshot["problem"]
    assert send(views, do="search", kind="agent", text="", filters=[]) == {}
    assert view.snapshot["problem"] == ""


def test_nothing_is_read_while_nothing_changed(views: RegistryViews) -> None:
    view = views.add("v")
    seq = view.snapshot["seq"]
    assert views.tick("v") == []
    assert view.snapshot["seq"] == seq
    views.registry.label("weather", "stable", "1")
    views.tick("v")
    assert view.snapshot["seq"] == seq + 1
    assert view.snapshot["changes"][0]["text"] == "stable: new → 1"
