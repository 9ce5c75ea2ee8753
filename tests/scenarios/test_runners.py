"""An error of ours fails a notebook in every runner that people use, by its two lines and without a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook

LINES = {
    "raises_lab_error": ["AgentNotFound: no agent 'wether'", "hint: did you mean 'weather'?"],
    "raises_lab_error_in_a_magic": ["TopicNotFound: no topic 'ctx-1'", "hint: there are none yet"],
}

each_way = pytest.mark.parametrize("name", LINES)


def check(shown: str, name: str) -> None:
    """Both lines stand there, one below the other, and no frame of a traceback."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "\n".join(LINES[name]) in plain
    assert "Traceback (most recent call last)" not in plain
    assert "nbagora_lab/" not in plain.replace("nbagora_lab.core.errors", "")


def pytest_run(flag: str, notebooks: Path, folder: Path) -> str:
    """What pytest shows of all these notebooks."""
    paths = [notebooks / f"{name}.ipynb" for name in LINES]
    options = ["-q", "--color=no", "-pno:cacheprovider", "-pno:hypothesispytest", f"--rootdir={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, flag, *paths],
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    return done.stdout


@each_way
def test_papermill_fails(name: str, notebooks: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.ipynb"
    with pytest.raises(PapermillExecutionError) as caught:
        execute_notebook(notebooks / f"{name}.ipynb", target, progress_bar=False)
    check(str(caught.value), name)
    book: Any = nbformat.read(target, as_version=4)
    assert [cell.metadata.papermill.status for cell in book.cells if cell.cell_type == "code"][-2:] == [
        "failed",
        "pending",
    ]


@pytest.mark.thorough
@each_way
def test_nbclient_fails(name: str, notebooks: Path) -> None:
    book: Any = nbformat.read(notebooks / f"{name}.ipynb", as_version=4)
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(book, timeout=120).execute()
    check(str(caught.value), name)
    [error] = book.cells[1].outputs
    assert error.traceback == LINES[name]


@pytest.mark.thorough
def test_nbmake_fails(notebooks: Path, tmp_path: Path) -> None:
    shown = pytest_run("--nbmake", notebooks, tmp_path)
    for name in LINES:
        check(shown, name)
    assert "2 failed in" in shown


@pytest.mark.thorough
def test_nbval_fails(notebooks: Path, tmp_path: Path) -> None:
    shown = pytest_run("--nbval-lax", notebooks, tmp_path)
    for name in LINES:
        check(shown, name)
    assert "2 failed, 4 passed in" in shown  # nbval runs the cells behind a failed one
