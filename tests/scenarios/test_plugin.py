from __future__ import annotations

import json
import shutil
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds

pytest_plugins = ["pytester"]

HEAVY = ("IPython", "nbclient", "nbformat", "pandas", "papermill", "pydantic", "rocksdict")
OTHERS = [f"-pno:{entry.name}" for entry in entry_points(group="pytest11") if entry.name not in {"nbagora", "timeout"}]
"""Other plugins left out: nbmake alone adds seconds to a start."""


def collected(pytester: pytest.Pytester, *arguments: str) -> set[str]:
    # hypothesis, which pytester forgets after each run, is seconds to import
    done = pytester.runpytest_inprocess("--collect-only", "-q", "-pno:hypothesispytest", *arguments)
    assert done.ret in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return {line for line in done.outlines if "::" in line}


def book(path: Path, source: str, *tags: str, kind: str = "code") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = {"cell_type": kind, "metadata": {"tags": tags}, "source": source}
    path.write_text(json.dumps({"cells": [cell | {"outputs": []}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Notebooks that load nbagora in each way, ones that are papermill's, and ones that are neither."""
    folder = pytester.path / "notebooks"
    book(folder / "magic.ipynb", "# first\n%load_ext nbagora")
    book(folder / "reload.ipynb", "  %reload_ext nbagora")
    book(folder / "module.ipynb", "import os\nimport nbagora")
    book(folder / "names.ipynb", "from nbagora_lab.lab import Lab")
    book(folder / "deep" / "below.ipynb", "%load_ext nbagora")
    book(folder / "tagged.ipynb", "seed = 1", "parameters")
    book(folder / "deep" / "tagged_below.ipynb", "seed = 1", "parameters")
    book(folder / "prose.ipynb", "%load_ext nbagora", kind="markdown")
    book(folder / "other.ipynb", "print('from nbagora, with love')")
    book(folder / "another.ipynb", "import nbagora_lookalike")
    book(folder / ".ipynb_checkpoints" / "magic-checkpoint.ipynb", "%load_ext nbagora")
    (folder / "broken.ipynb").write_text("nbagora, not JSON")
    (folder / "empty.ipynb").write_text('{"nbagora": 1}')
    pytester.makeini("[pytest]")
    return pytester


LOADING = {
    "notebooks/deep/below.ipynb::below",
    "notebooks/magic.ipynb::magic",
    "notebooks/module.ipynb::module",
    "notebooks/names.ipynb::names",
    "notebooks/reload.ipynb::reload",
}


def test_notebooks_that_load_nbagora_are_tests_anywhere(project: pytest.Pytester) -> None:
    assert collected(project) == LOADING
    assert collected(project, ".") == LOADING


def test_notebooks_with_parameters_are_tests_where_their_folder_is_asked_for(project: pytest.Pytester) -> None:
    assert collected(project, "notebooks") == LOADING | {"notebooks/tagged.ipynb::tagged"}


def test_a_notebook_that_is_named_is_a_test(project: pytest.Pytester) -> None:
    for name in ("other", "deep/tagged_below", "broken"):
        node = f"notebooks/{name}.ipynb::{Path(name).name}"
        assert collected(project, f"notebooks/{name}.ipynb") == {node}
        assert collected(project, node) == {node}


@pytest.mark.thorough
@pytest.mark.parametrize("flag", ["--nbmake", "--nbval", "--nbval-lax"])
def test_another_runner_that_is_asked_for_has_the_notebooks(project: pytest.Pytester, flag: str) -> None:
    found = collected(project, flag, "notebooks/magic.ipynb", "notebooks/tagged.ipynb")
    assert len(found) == 2
    assert not found & (LOADING | {"notebooks/tagged.ipynb::tagged"})


@pytest.mark.thorough
def test_a_failing_notebook_shows_what_it_needs_and_no_more(project: pytest.Pytester, notebooks: Path) -> None:
    for name in ("raises_lab_error", "passes"):
        shutil.copy(notebooks / f"{name}.ipynb", project.path)
    done = project.runpytest_subprocess(
        *OTHERS,
        "raises_lab_error.ipynb",
        "passes.ipynb",
        "--nb-out=out",
        "--junitxml=j.xml",
    )
    assert done.ret == 1
    report = done.stdout.str().partition("FAILURES")[2]
    shown = report.partition("__\n")[2].partition("\n- generated")[0]
    assert shown == "\n".join(
        [
            "CellFailed: cell 2 of raises_lab_error: AgentNotFound: no agent 'wether'",
            "hint: did you mean 'weather'?",
            "",
            "cell 2:",
            "    from nbagora_lab.core.errors import AgentNotFound",
            "",
            "    raise AgentNotFound(\"no agent 'wether'\", \"did you mean 'weather'?\")",
            "",
            "again: nbagora run raises_lab_error.ipynb",
            f"executed: {project.path / 'out' / 'raises_lab_error.ipynb'}",
        ]
    )
    assert "Traceback" not in done.stdout.str()
    assert "FAILED raises_lab_error.ipynb::raises_lab_error" in done.stdout.str()
    assert "1 failed, 1 passed" in done.stdout.str()
    assert sorted(path.name for path in (project.path / "out").iterdir()) == [
        "passes.ipynb",
        "passes.trace.jsonl",
        "raises_lab_error.ipynb",
        "raises_lab_error.trace.jsonl",
    ]
    cases = {case.get("name"): case for case in ET.parse(project.path / "j.xml").getroot().iter("testcase")}
    assert "cell 2: import os" in {one.get("name") for one in cases["passes"].iter("property")}


@pytest.mark.thorough
def test_parameters_reach_all_notebooks_and_unknown_ones_fail(project: pytest.Pytester, notebooks: Path) -> None:
    for folder in ("one", "two"):
        (project.path / folder).mkdir()
        shutil.copy(notebooks / "passes.ipynb", project.path / folder / "passes.ipynb")
    shutil.copy(notebooks / "writes_records.ipynb", project.path)
    done = project.runpytest_subprocess(
        *OTHERS,
        "one/passes.ipynb",
        "two/passes.ipynb",
        "writes_records.ipynb",
        "--nb-param=seed=3",
        '--nb-param=days=["a=b"]',
        "-rN",
    )
    assert "1 failed, 2 passed" in done.stdout.str()
    assert "UnknownParameter: writes_records.ipynb has no parameter 'seed'" in done.stdout.str()
    out = project.path / ".pytest_cache" / "d" / "nbagora-scenarios"
    for folder in ("one", "two"):  # two of one name do not write over each other
        head = json.loads((out / folder / "passes.trace.jsonl").read_text(encoding="utf-8").splitlines()[0])
        assert head["parameters"] == {"seed": 3, "days": ["a=b"]}


def test_a_parameter_without_a_value_is_refused(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess(*OTHERS, "--nb-param=seed")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "--nb-param seed: write it as KEY=VALUE" in done.stderr.str()


@pytest.mark.thorough
def test_the_plugin_is_light_where_it_has_nothing_to_do(project: pytest.Pytester) -> None:
    (project.path / "test_light.py").write_text(
        "import sys\n\n\n"
        "def test_light():\n"
        "    assert 'nbagora_lab.scenarios.plugin' in sys.modules\n"
        f"    assert [name for name in {HEAVY} if name in sys.modules] == []\n"
    )
    done = project.runpytest_subprocess("test_light.py", *OTHERS)
    assert done.ret == pytest.ExitCode.OK


def test_the_kit_is_there_as_fixtures(virtual_clock: VirtualClock, seeded_ids: SeededIds) -> None:
    before = virtual_clock.now()
    virtual_clock.advance(60)
    assert (before, virtual_clock.now()) == (1_767_225_600.0, 1_767_225_660.0)
    assert seeded_ids.new("task", "ctx-1") == SeededIds(1, epoch=1).new("task", "ctx-1")
