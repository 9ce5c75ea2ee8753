from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from nbagora_lab.core.errors import NotFound, UsageError
from nbagora_lab.scenarios import command
from nbagora_lab.scenarios.command import run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_notebook_has_one_line_and_a_failed_one_its_report(
    notebooks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [notebooks / "has_no_parameters_cell.ipynb", notebooks / "raises_lab_error.ipynb"]
    assert run(paths, out=tmp_path / "out", junit=tmp_path / "j.xml") == 1
    written = capsys.readouterr()
    lines = [re.sub(r"\d+\.\d s", "N s", line) for line in written.out.splitlines()]
    assert lines == [
        f"passed  has_no_parameters_cell  1 cell  N s  {tmp_path / 'out' / 'has_no_parameters_cell.ipynb'}",
        f"FAILED  raises_lab_error  2 of 3 cells  N s  {tmp_path / 'out' / 'raises_lab_error.ipynb'}",
        "    CellFailed: cell 2 of raises_lab_error: AgentNotFound: no agent 'wether'",
        "    hint: did you mean 'weather'?",
        "",
        "    cell 2:",
        "        from nbagora_lab.core.errors import AgentNotFound",
        "",
        "        raise AgentNotFound(\"no agent 'wether'\", \"did you mean 'weather'?\")",
        "",
        f"    again: nbagora run {notebooks / 'raises_lab_error.ipynb'}",
        "1 passed, 1 failed in N s",
    ]
    assert written.err == ""
    assert [suite.get("name") for suite in ET.parse(tmp_path / "j.xml").getroot()] == [path.stem for path in paths]


def test_on_a_terminal_a_line_says_where_it_is_and_goes_away(
    notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    told: list[str] = []

    def echo(line: str) -> None:
        told.append(line)
        assert terminal.getvalue().endswith("\r\x1b[2K")  # the live line is gone before another is written

    parameters = [("seed", "3"), ("city", "Oslo")]
    assert run([notebooks / "passes.ipynb"], parameters, tmp_path / "out", echo=echo) == 0
    shown = terminal.getvalue().split("\r\x1b[2K")
    assert shown == ["", *(f"passes  cell {number} of 5" for number in range(1, 6)), ""]
    assert len(told) == 1
    assert (tmp_path / "out" / "passes.trace.jsonl").exists()


def test_a_folder_stands_for_its_notebooks(notebooks: Path, tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
    told: list[str] = []
    assert run([tmp_path], out=tmp_path / "out", echo=told.append) == 1
    assert [line.split()[1] for line in told if line.startswith("FAILED")] == ["a", "b"]
    assert told[-1].startswith("0 passed, 2 failed in ")


def test_what_does_not_fit_is_raised_before_anything_runs(notebooks: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(NotFound):
        run([notebooks / "passes.ipynb", "nowhere.ipynb"], out=tmp_path / "out", echo=told.append)
    with pytest.raises(UsageError):
        run([notebooks / "passes.ipynb"], [("no name", "1")], tmp_path / "out", echo=told.append)
    assert told == []
    assert not (tmp_path / "out").exists()


def test_the_files_go_to_a_folder_of_their_own_by_default(
    notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([notebooks / "has_no_parameters_cell.ipynb"], echo=lambda _: None) == 0
    assert {path.name for path in command.DEFAULT_OUT.iterdir()} == {
        "has_no_parameters_cell.ipynb",
        "has_no_parameters_cell.trace.jsonl",
    }
