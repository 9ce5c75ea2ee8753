"""The pytest plugin: `pytest notebooks/` runs notebooks as scenarios, and the test kit comes as fixtures.

Which notebooks: those that load nbagora, those with a cell tagged `parameters` if their own folder stands on the
command line, and any that stands there itself; so a project that keeps papermill's notebooks for something else does
not see them run. Where `--nbmake` or `--nbval` asks for another runner, that one has them all.

The plugin is in every pytest run of an environment that has nbagora: it imports nothing heavy before a notebook runs.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbagora_lab.core.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbagora_lab.core.clock import VirtualClock
    from nbagora_lab.core.ids import SeededIds
    from nbagora_lab.scenarios.model import ScenarioResult

__all__ = [
    "NotebookFile",
    "NotebookItem",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "seeded_ids",
    "virtual_clock",
]

_LOADS = re.compile(r"^\s*(?:%(?:re)?load_ext|import|from)\s+nbagora(?:_lab|_widgets)?\b", re.MULTILINE)
_OTHER_RUNNERS = ("nbmake", "nbval", "nbval_lax")
_OUT = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options (pytest's hook)."""
    group = parser.getgroup("nbagora", "notebooks as scenarios")
    group.addoption("--nb-out", metavar="DIR", help="folder for executed notebooks and traces; default: pytest's cache")
    group.addoption(
        "--nb-param",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a parameter for all notebooks; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuses options that do not fit (pytest's hook)."""
    for word in config.getoption("nb_param"):
        if "=" not in word:
            raise pytest.UsageError(f"--nb-param {word}: write it as KEY=VALUE, such as seed=7")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> NotebookFile | None:
    """Takes scenarios (pytest's hook)."""
    if file_path.suffix != ".ipynb" or any(parent.config.getoption(name, False) for name in _OTHER_RUNNERS):
        return None
    return NotebookFile.from_parent(parent, path=file_path) if _is_scenario(file_path, parent.config) else None


class NotebookFile(pytest.File):
    """A notebook that is a scenario."""

    def collect(self) -> Iterator[NotebookItem]:
        """Its one test."""
        yield NotebookItem.from_parent(self, name=self.path.stem)


class NotebookItem(pytest.Item):
    """One notebook, run as one test."""

    def runtest(self) -> None:
        """Runs it; raises `_Failed` if it fails."""
        from nbagora_lab.scenarios.runner import run_notebook

        words = (word.partition("=") for word in self.config.getoption("nb_param"))
        parameters = [(name, text) for name, _, text in words]
        result = run_notebook(self._shown_path(), parameters=parameters, out=self._out())
        self.user_properties += [(cell.title, round(cell.seconds, 3)) for cell in result.cells]
        if not result.passed:
            raise _Failed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The two lines, the cell and the command that repeats it, in place of a traceback (pytest's hook)."""
        if isinstance(excinfo.value, _Failed):
            result = excinfo.value.result
            return "\n".join([result.report(), *([f"executed: {result.notebook}"] if result.notebook else [])])
        if isinstance(excinfo.value, LabError):
            return "\n".join(excinfo.value._render_traceback_())
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is (pytest's hook)."""
        return self.path, 0, f"notebook: {self.name}"

    def _shown_path(self) -> Path:
        """The notebook as a person in pytest's folder would name it."""
        here = self.config.invocation_params.dir
        return self.path.relative_to(here) if self.path.is_relative_to(here) else self.path

    def _out(self) -> Path:
        """Where its files go: the folder asked for, or one below it where several notebooks have its name."""
        base = _out_folder(self.config)
        alike = {item.path for item in self.session.items if isinstance(item, NotebookItem) and item.name == self.name}
        if len(alike) < 2 or not self.path.is_relative_to(self.config.rootpath):
            return base
        return base / self.path.parent.relative_to(self.config.rootpath)


class _Failed(Exception):
    """Carries a failed result from the run to its report."""

    def __init__(self, result: ScenarioResult) -> None:
        super().__init__(result.report())
        self.result = result


def _is_scenario(path: Path, config: pytest.Config) -> bool:
    """Whether a notebook is ours to run; decided on its text, without a notebook library."""
    asked = _asked_for(config)
    if path.resolve() in asked:
        return True
    try:
        text = path.read_text(encoding="utf-8")
        if "nbagora" not in text and '"parameters"' not in text:  # most are told by this, and cost no parse
            return False
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        if any(_LOADS.search("".join(cell["source"])) for cell in cells):
            return True
        tagged = any("parameters" in cell["metadata"].get("tags", ()) for cell in cells)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # no notebook that anybody could run
    return tagged and path.parent.resolve() in asked


def _asked_for(config: pytest.Config) -> set[Path]:
    """The files and folders that somebody named; none where pytest was left to look below its own folder."""
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        return set()
    return {(config.invocation_params.dir / word.partition("::")[0]).resolve() for word in config.args}


def _out_folder(config: pytest.Config) -> Path:
    """The folder for what the runs leave, the same for all of a session."""
    if _OUT not in config.stash:
        if (given := config.getoption("nb_out")) is not None:
            folder = config.invocation_params.dir / given
        elif (cache := getattr(config, "cache", None)) is not None:
            folder = cache.mkdir("nbagora-scenarios")
        else:
            folder = Path(tempfile.mkdtemp(prefix="nbagora-scenarios-"))
        config.stash[_OUT] = folder
    return config.stash[_OUT]


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that stands at 2026-01-01T00:00:00Z until the test moves it."""
    from nbagora_lab.core.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def seeded_ids() -> SeededIds:
    """Ids that are the same in each run: of seed 1, in the first epoch of a store."""
    from nbagora_lab.core.ids import SeededIds
    from nbagora_lab.scenarios.model import DEFAULT_SEED

    return SeededIds(DEFAULT_SEED, epoch=1)
