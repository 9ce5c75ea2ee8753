"""The fixture notebooks, one for each behaviour and named for it, and their runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from nbagora_lab.scenarios import ScenarioResult, run_notebook

collect_ignore = ["notebooks"]  # most of them fail, and are meant to

Run = Callable[[str], ScenarioResult]


@pytest.fixture(scope="session")
def notebooks() -> Path:
    """The folder of the fixture notebooks."""
    return Path(__file__).parent / "notebooks"


@pytest.fixture(scope="session")
def ran(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``ran("passes")`` is the result of that notebook's run without parameters; it runs once, for all tests."""

    @functools.cache
    def run(name: str) -> ScenarioResult:
        return run_notebook(notebooks / f"{name}.ipynb", out=tmp_path_factory.mktemp("out"))

    return run
