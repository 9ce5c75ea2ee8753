"""The notebooks that teach are scenarios: each is green, and the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbagora_lab.scenarios.runner import run_notebook

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_green_twice_with_one_trace(notebook: Path, tmp_path: Path) -> None:
    traces = []
    for run in ("first", "second"):
        result = run_notebook(notebook, out=tmp_path / run)
        result.check()
        assert result.trace is not None
        traces.append(result.trace.read_bytes())
    assert traces[0] == traces[1]
