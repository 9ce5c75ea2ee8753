"""What the room's tests share: a registry on a folder of the test's own, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(0)


@pytest.fixture
def registry(tmp_path: Path, clock: VirtualClock) -> Iterator[Registry]:
    catalog = EmbeddedCatalog(tmp_path / "registry.db", clock=clock, ids=SeededIds(1))
    yield Registry(catalog, clock=clock)
    catalog.close()


@pytest.fixture
def two(registry: Registry) -> Registry:
    """An agent with versions 1, which is stable, and 2, which is the latest; each answers at a place."""
    for version, what in (("1", "sun"), ("2", "rain")):
        registry.publish(card(skills=[skill(what)]), version=version)
        registry.register_endpoint("weather", version, f"http://127.0.0.1:800{version}/", lease=1e6)
    registry.label("weather", "stable", "1")
    return registry
