"""The notebooks that teach are scenarios: each is green, and the same again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nbagora_lab.core.errors import CellFailed
from nbagora_lab.core.settings import SERVERS
from nbagora_lab.scenarios.runner import run_notebook
from servers import running_server

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TWICE = {"00_quickstart"}
"""Those that run twice each time, the others under ``--strict`` and in a campaign."""
ON_SERVERS = {"00_quickstart", "05_agents", "09_engines"}
"""Those that run on real engines under ``--strict``, the others in a campaign."""

ONLY_EMBEDDED = {"01_lite_topics": "Unsupported: RocketMQ can't hold 'chat' to its settings: expiring is None"}
"""Those that need what servers lack, here to be told of a TTL that is about to end, and what is said then."""


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


def _marks(path: Path) -> pytest.MarkDecorator:
    return pytest.mark.thorough if path.stem in ON_SERVERS else pytest.mark.campaign


@pytest.mark.server("rocketmq")
@pytest.mark.parametrize("notebook", [pytest.param(path, id=path.stem, marks=_marks(path)) for path in NOTEBOOKS])
def test_a_notebook_is_green_on_rocketmq(notebook: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(notebook.parent, tmp_path / "notebooks")
    server = running_server("rocketmq")
    (tmp_path / SERVERS).write_text(json.dumps(server.settings), encoding="utf-8")
    result = run_notebook(folder / notebook.name, parameters={"broker": "rocketmq"}, out=tmp_path / "out")
    if lacking := ONLY_EMBEDDED.get(notebook.stem):
        with pytest.raises(CellFailed, match=lacking):
            result.check()
        return
    result.check()
    assert result.trace is not None
    header = json.loads(result.trace.read_text(encoding="utf-8").splitlines()[0])
    assert header["engines"]["broker"].startswith(f"rocketmq {server.version}, client ")
