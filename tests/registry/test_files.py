"""Export and import: the same state comes back, the same export is equal, and the same import does nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cards import card
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import UsageError, VersionExists
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.files import export_files, import_files


@pytest.fixture
def full(two: Registry) -> Registry:
    two.publish(card("天 气", description="三"), version="1+x~2")
    two.publish(card("..dots"), version="1")
    two.publish(card("weather", description="Three."), version="3")
    two.publish(card("weather", description="Four."), version="4", state="draft")
    two.label("weather", "latest", "2")
    two.deprecate("weather", "1")
    two.withdraw("weather", "3")
    two.set_rule("weather", {"weights": {"stable": 1, "latest": 3}, "budget": {"errors": 0.5}})
    two.publish({"name": "plan", "description": "d", "template": "{{a}}"}, kind="prompt")
    return two


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Registry]:
    catalog = EmbeddedCatalog(tmp_path / "other.db", clock=VirtualClock(5), ids=SeededIds(2))
    yield Registry(catalog)
    catalog.close()


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.json")}


def shown(registry: Registry) -> object:
    return [
        (kind, one.name, one.version, one.hash, one.state, one.labels)
        for kind in ("agent", "mcp", "prompt")
        for latest in registry.ls(kind=kind)  # type: ignore[arg-type]
        for one in registry.versions(latest.name, kind=kind)  # type: ignore[arg-type]
    ]


def test_what_was_exported_comes_back_as_it_was(full: Registry, other: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert export_files(full, folder) == 7
    done = import_files(other, folder)
    assert (done.made, done.there, done.rules) == (7, 0, 1)
    assert shown(other) == shown(full)
    assert other.rule("weather") == full.rule("weather")
    export_files(other, tmp_path / "again")
    assert tree(folder) == tree(tmp_path / "again")


def test_the_same_import_again_does_nothing(full: Registry, tmp_path: Path) -> None:
    export_files(full, tmp_path / "out")
    revision = full.revision
    done = import_files(full, tmp_path / "out")
    assert (done.made, done.there, done.labels, done.rules) == (0, 7, 0, 0)
    assert full.revision == revision


def test_an_import_that_differs_is_refused(full: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_files(full, folder)
    path = folder / "agents" / "weather" / "1.json"
    path.write_text(json.dumps(card("weather", description="Forged.")), encoding="utf-8")
    with pytest.raises(VersionExists):
        import_files(full, folder)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="holds no object"):
        import_files(full, folder)
    with pytest.raises(UsageError, match="holds no registry"):
        import_files(full, tmp_path / "nothing")


def test_no_name_leads_out_of_the_folder(full: Registry, tmp_path: Path) -> None:
    export_files(full, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "agents").iterdir()} == {"weather", "天%20气", "%2E.dots"}
    assert not list(tmp_path.glob("*.json"))
