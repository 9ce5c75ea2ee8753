"""The notebooks that teach are scenarios: each is green, and the same again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbagora_lab.scenarios.runner import run_notebook

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TWICE = {"00_quickstart"}
"""Those that run twice each time, the others under ``--strict`` and in a campaign."""


@pytest.fixture
def thorough(pytestconfig: pytest.Config) -> bool:
    options = {"--campaign": "NBAGORA_CAMPAIGN", "--strict-env": "NBAGORA_STRICT"}
    return any(pytestconfig.getoption(option) or os.environ.get(name) for option, name in options.items())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_green_and_the_same_again(notebook: Path, tmp_path: Path, thorough: bool) -> None:
    traces = []
    for run in ("first", "second") if thorough or notebook.stem in TWICE else ("only",):
        result = run_notebook(notebook, out=tmp_path / run)
        result.check()
        assert result.trace is not None
        traces.append(result.trace.read_bytes())
    assert traces[0] == traces[-1]
