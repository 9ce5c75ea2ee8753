"""Changes: each is told once, in order, under a revision of its own; what changed nothing is not told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cards import draft
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import VersionExists
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.change import Change

HERE = "http://127.0.0.1:8001/agents/weather"


def told(catalog: Catalog, since: int = 0) -> list[tuple[str, str, dict[str, str]]]:
    return [(change.type, change.version, change.detail) for change in catalog.changed_since(since)]


def test_a_registry_begins_at_revision_0(catalog: Catalog) -> None:
    assert catalog.revision() == 0
    assert catalog.changed_since(0) == []


def test_a_publication_tells_the_version_and_the_label(catalog: Catalog, clock: VirtualClock) -> None:
    catalog.publish(draft(description="One."))
    clock.advance(5)
    catalog.publish(draft(description="Two."))
    assert told(catalog) == [
        ("published", "0.0.1", {}),
        ("label.moved", "0.0.1", {"label": "latest"}),
        ("published", "0.0.2", {}),
        ("label.moved", "0.0.2", {"label": "latest", "from": "0.0.1"}),
    ]
    assert catalog.changed_since(0)[2] == Change(
        revision=3, time=1005.0, type="published", namespace="public", name="weather", version="0.0.2"
    )


def test_an_endpoint_tells_its_coming_its_takeover_and_its_end(catalog: Catalog, clock: VirtualClock) -> None:
    catalog.publish(draft(), version="1")
    start = catalog.revision()
    place = {"url": HERE, "transport": "JSONRPC"}
    one = catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    two = catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    catalog.deregister(two.id)
    three = catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    clock.advance(30)
    catalog.expire()
    assert told(catalog, start) == [
        ("endpoint.up", "1", {"id": one.id, **place}),
        ("endpoint.up", "1", {"id": two.id, **place, "replaces": one.id}),
        ("endpoint.down", "1", {"id": two.id, **place, "reason": "deregistered"}),
        ("endpoint.up", "1", {"id": three.id, **place}),
        ("endpoint.down", "1", {"id": three.id, **place, "reason": "expired"}),
    ]
    assert catalog.changed_since(0)[-1].time == 1030.0


def test_a_lease_that_ran_out_is_told_once(catalog: Catalog, clock: VirtualClock) -> None:
    catalog.publish(draft(), version="1")
    catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    start = catalog.revision()
    clock.advance(31)
    catalog.expire()
    catalog.expire()
    catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    assert [what for what, *_ in told(catalog, start)] == ["endpoint.down", "endpoint.up"]


def test_a_place_whose_lease_ran_out_unnoticed_goes_down_before_it_comes_up(
    catalog: Catalog, clock: VirtualClock
) -> None:
    catalog.publish(draft(), version="1")
    catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    start = catalog.revision()
    clock.advance(30)
    catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    (down, _, detail), (up, _, fresh) = told(catalog, start)
    assert (down, detail["reason"], up) == ("endpoint.down", "expired", "endpoint.up")
    assert "replaces" not in fresh


def test_what_changed_nothing_is_not_told(catalog: Catalog) -> None:
    catalog.publish(draft(), version="1")
    endpoint = catalog.register("public", "weather", "1", HERE, "JSONRPC", 30)
    revision = catalog.revision()
    catalog.publish(draft(), version="1")
    catalog.label("public", "weather", "latest", "1")
    catalog.renew(endpoint.id)
    catalog.expire()
    catalog.deregister("no such")
    with pytest.raises(VersionExists):
        catalog.publish(draft(description="Another."), version="1")
    assert catalog.revision() == revision


def test_a_reader_resumes_in_pages_where_it_stopped(catalog: Catalog) -> None:
    for number in range(5):
        catalog.publish(draft(f"agent {number}"))
    seen: list[int] = []
    while page := catalog.changed_since(seen[-1] if seen else 0, limit=3):
        assert len(page) <= 3
        seen += [change.revision for change in page]
    assert seen == list(range(1, 11))
    assert catalog.revision() == 10


def test_revisions_go_on_when_the_store_is_opened_again(reopen: Callable[[], Catalog]) -> None:
    first = reopen()
    first.publish(draft(description="One."))
    first.close()
    again = reopen()
    assert again.revision() == 2
    again.publish(draft(description="Two."))
    assert [change.revision for change in again.changed_since(2)] == [3, 4]
