"""The notebooks that teach are scenarios: each is green, and the same again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nbagora_lab.core.errors import CellFailed
from nbagora_lab.core.settings import SERVERS
from nbagora_lab.scenarios.model import ScenarioResult
from nbagora_lab.scenarios.runner import run_notebook
from servers import running_server

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TWICE = {"00_quickstart"}
"""Those that run twice each time, the others under ``--strict`` and in a campaign."""
LONG = {"02_scheduling"}
"""Those that run under ``--strict`` and in a campaign alone."""
ON_SERVERS = {"00_quickstart", "05_agents", "09_engines"}
"""Those that run on real engines under ``--strict``, the others in a campaign."""

ONLY_EMBEDDED = {"01_lite_topics": "Unsupported: RocketMQ can't hold 'chat' to its settings: expiring is None"}
"""Those that need what servers lack, here to be told of a TTL that is about to end, and what is said then."""
NEEDS_AN_AUDIT = {"04_discovery": "UsageError: the nacos 3.* registry has no a sealed audit"}
"""Those that need what the registry at Nacos lacks, after all else that they show."""
ON_BOTH = {"00_quickstart": pytest.mark.thorough, "09_engines": pytest.mark.campaign}
"""Those that run on RocketMQ and Nacos at once, and when."""


@pytest.fixture
def thorough(pytestconfig: pytest.Config) -> bool:
    options = {"--campaign": "NBAGORA_CAMPAIGN", "--strict-env": "NBAGORA_STRICT"}
    return any(pytestconfig.getoption(option) or os.environ.get(name) for option, name in options.items())


def _turn(path: Path) -> Any:
    return pytest.param(path, id=path.stem, marks=[pytest.mark.thorough] * (path.stem in LONG))


@pytest.mark.parametrize("notebook", map(_turn, NOTEBOOKS))
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
    result = _run_on(tmp_path, notebook, broker="rocketmq")
    if lacking := ONLY_EMBEDDED.get(notebook.stem):
        with pytest.raises(CellFailed, match=lacking):
            result.check()
        return
    result.check()
    assert result.trace is not None
    assert _engines_of(result)["broker"].startswith(f"rocketmq {running_server('rocketmq').version}, client ")


@pytest.mark.campaign
@pytest.mark.server("nacos")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_green_with_its_registry_at_nacos(notebook: Path, tmp_path: Path) -> None:
    result = _run_on(tmp_path, notebook, registry="nacos")
    if lacking := NEEDS_AN_AUDIT.get(notebook.stem):
        with pytest.raises(CellFailed, match=lacking):
            result.check()
        return
    result.check()
    assert _engines_of(result)["registry"].startswith("nacos 3.1.0")


@pytest.mark.server("rocketmq")
@pytest.mark.server("nacos")
@pytest.mark.parametrize(
    "notebook",
    [pytest.param(path, id=path.stem, marks=ON_BOTH[path.stem]) for path in NOTEBOOKS if path.stem in ON_BOTH],
)
def test_it_is_green_on_both_servers_and_its_trace_says_which_they_are(notebook: Path, tmp_path: Path) -> None:
    result = _run_on(tmp_path, notebook, broker="rocketmq", registry="nacos")
    result.check()
    told = _engines_of(result)
    assert told["broker"].startswith(f"rocketmq {running_server('rocketmq').version}, client ")
    assert told["registry"].startswith("nacos 3.1.0")


def _run_on(folder: Path, notebook: Path, **engines: str) -> ScenarioResult:
    """Runs a copy of a notebook in a checkout in which ``scripts/engines up`` has started servers."""
    notebooks = shutil.copytree(notebook.parent, folder / "notebooks")
    settings = {key: value for name in engines.values() for key, value in running_server(name).settings.items()}
    (folder / SERVERS).write_text(json.dumps(settings), encoding="utf-8")
    return run_notebook(notebooks / notebook.name, parameters=dict(engines), out=folder / "out")


def _engines_of(result: ScenarioResult) -> dict[str, str]:
    """Which engines a trace's header tells of."""
    assert result.trace is not None
    header = json.loads(result.trace.read_text(encoding="utf-8").splitlines()[0])
    return dict(header["engines"])
