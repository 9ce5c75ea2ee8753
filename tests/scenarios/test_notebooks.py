"""The notebooks that teach are scenarios: each is green, and the same again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbagora_lab.scenarios.runner import run_notebook

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TWICE = {"00_quickstart", "01_lite_topics"}
"""Those that run twice each time, the others in a campaign."""


@pytest.fixture
def campaign(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--campaign") or os.environ.get("NBAGORA_CAMPAIGN"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_green_and_the_same_again(notebook: Path, tmp_path: Path, campaign: bool) -> None:
    traces = []
    for run in ("first", "second") if campaign or notebook.stem in TWICE else ("only",):
        result = run_notebook(notebook, out=tmp_path / run)
        result.check()
        assert result.trace is not None
        traces.append(result.trace.read_bytes())
    assert traces[0] == traces[-1]
