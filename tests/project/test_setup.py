"""The virtual environment is made once, and again only for a reason."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import _setup

PROJECT = (
    '[build-system]\nrequires=[]\n[project]\nname="a"\ndependencies=["b"]\n[tool.hatch]\n[tool.ruff]\nline-length=1\n'
)


class Tools:
    """Stands in for the tools that set-up runs: notes them, and leaves what they would leave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[list[str]] = []
        self.version = "3.12"
        self.fails = ""

    def __call__(self, args: Iterable[str | Path], *, env: object = None) -> str:
        command = [str(arg) for arg in args]
        python = self.root / ".venv" / "bin" / "python"
        if "-c" in command:
            if not python.exists():
                raise _setup.Failed("there is none")
            return f"{self.version}\n"
        self.ran.append([Path(command[0]).name, *command[1:]])
        if self.fails and self.fails in command:
            raise _setup.Failed("no such package")
        if "venv" in command:
            python.parent.mkdir(parents=True)
            python.touch()
            (self.root / ".venv" / "pyvenv.cfg").touch()
        return ""

    def verbs(self) -> list[str]:
        """What was done since the last look: ``venv`` and ``install``, with the extras."""
        done = ["venv" if "venv" in command else command[-1].removeprefix(str(self.root)) for command in self.ran]
        self.ran.clear()
        return [verb for verb in done if verb != "--version"]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    fake = Tools(tmp_path)
    monkeypatch.setattr(_setup, "ROOT", tmp_path)
    monkeypatch.setattr(_setup, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(_setup, "STAMP", tmp_path / ".venv" / "nbagora.json")
    monkeypatch.setattr(_setup, "run", fake)
    monkeypatch.setattr(_setup, "tool", lambda name: tmp_path / ".venv" / "bin" / name)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return fake


def test_the_second_start_does_nothing(tools: Tools) -> None:
    _setup.environment("test")
    assert tools.verbs() == ["venv", "[test]"]
    _setup.environment("test")
    _setup.environment()
    assert tools.verbs() == []


def test_an_extra_is_added_and_those_before_it_stay(tools: Tools) -> None:
    _setup.environment("test")
    _setup.environment("rocketmq")
    assert tools.verbs() == ["venv", "[test]", "[rocketmq,test]"]


def test_other_dependencies_are_installed_into_the_same_environment(tools: Tools) -> None:
    _setup.environment()
    (tools.root / "pyproject.toml").write_text(PROJECT.replace('"b"', '"b", "c"'))
    _setup.environment()
    assert tools.verbs() == ["venv", "", ""]


def test_an_option_of_a_tool_is_no_reason(tools: Tools) -> None:
    _setup.environment()
    tools.verbs()
    (tools.root / "pyproject.toml").write_text(PROJECT.replace("= 1", "= 2"))
    _setup.environment()
    assert tools.verbs() == []


def test_a_folder_that_was_moved_gets_a_new_environment(tools: Tools) -> None:
    _setup.environment()
    stamp = tools.root / ".venv" / "nbagora.json"
    stamp.write_text(stamp.read_text().replace(str(tools.root), "/elsewhere"))
    tools.verbs()
    _setup.environment()
    assert tools.verbs() == ["venv", ""]


def test_so_does_one_whose_python_is_gone(tools: Tools) -> None:
    _setup.environment()
    (tools.root / ".venv" / "bin" / "python").unlink()
    tools.verbs()
    _setup.environment()
    assert tools.verbs() == ["venv", ""]


def test_another_python_in_it_is_a_reason_to_install(tools: Tools) -> None:
    _setup.environment()
    tools.verbs()
    tools.version = "3.13"
    _setup.environment()
    assert tools.verbs() == [""]


def test_an_install_that_failed_is_tried_again(tools: Tools) -> None:
    tools.fails = "install"
    with pytest.raises(_setup.Failed, match="no such package"):
        _setup.environment()
    tools.fails = ""
    tools.verbs()
    _setup.environment()
    assert tools.verbs() == [""]


def test_a_folder_that_is_no_environment_is_left_alone(tools: Tools) -> None:
    (tools.root / ".venv").mkdir()
    (tools.root / ".venv" / "thesis.txt").touch()
    with pytest.raises(_setup.Failed, match=r"is no virtual environment: move it away"):
        _setup.environment()
    assert (tools.root / ".venv" / "thesis.txt").exists()


def test_uv_is_used_where_it_is(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv" if name == "uv" else None)
    _setup.environment("test")
    python = str(tools.root / ".venv" / "bin" / "python")
    assert tools.ran == [
        ["uv", "venv", "--python", sys.executable, str(tools.root / ".venv")],
        ["uv", "pip", "install", "--python", python, "-e", f"{tools.root}[test]"],
    ]


def test_an_environment_that_uv_made_gets_pip_once_uv_is_gone(tools: Tools) -> None:
    tools.fails = "--version"
    _setup.environment()
    assert ["python", "-m", "ensurepip"] in tools.ran


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="a line for Debian")
def test_without_venv_one_line_gives_the_command(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name))
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(_setup.Failed) as failure:
        _setup.environment()
    assert str(failure.value) == "this Python has no venv module: apt install python3-venv"


def test_a_tool_that_fails_shows_the_end_of_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_setup, "TAIL", 2)
    with pytest.raises(_setup.Failed) as failure:
        _setup.run([sys.executable, "-c", "print(*'abc', sep='\\n'); raise SystemExit(3)"])
    assert str(failure.value).startswith("b\nc\n`")
    assert str(failure.value).endswith("` ended with 3")


def test_a_tool_that_is_not_there_is_named() -> None:
    with pytest.raises(_setup.Failed, match="can't run no-such-tool"):
        _setup.run(["no-such-tool"])


def test_a_failure_ends_a_script_with_a_line_and_one(capsys: pytest.CaptureFixture[str]) -> None:
    @_setup.command
    def main(args: list[str]) -> int:
        with _setup.step("packages"):
            raise _setup.Failed(args[0])

    assert main(["no network"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("packages ... failed\n", "no network\n")


def test_ctrl_c_ends_a_script_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    @_setup.command
    def main(args: list[str]) -> int:
        raise KeyboardInterrupt

    assert main([]) == 130
    assert capsys.readouterr().err == "stopped\n"
