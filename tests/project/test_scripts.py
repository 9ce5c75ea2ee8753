"""The commands in `scripts/`: what each passes on, what it says, and how it ends."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import _bench
import _check
import _lab
import _prove
import _python
import _setup
import _system
import _tests
from sources import ROOT

COMMANDS = [path for path in sorted((ROOT / "scripts").iterdir()) if path.is_file() and not path.suffix]


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Catches what a script goes on as; nothing is set up."""
    seen: dict[str, Any] = {}

    def become(args: list[str | Path], *, env: dict[str, str] | None = None) -> int:
        seen.update(args=[str(arg) for arg in args], env=env)
        return 0

    for module in (_bench, _check, _lab, _tests):
        monkeypatch.setattr(module, "environment", lambda *extras: seen.update(extras=extras))
        if hasattr(module, "become"):
            monkeypatch.setattr(module, "become", become)
    monkeypatch.setattr(_system, "install", lambda names: seen.update(installed=list(names)))
    return seen


def test_there_are_seven_commands() -> None:
    assert [path.name for path in COMMANDS] == ["bench", "check", "engines", "lab", "prove", "tck", "test"]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_a_command_runs_by_its_path_alone(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")
    assert os.name == "nt" or os.access(path, os.X_OK)


def test_ci_is_one_line() -> None:
    path = ROOT / ".ci" / "run"
    assert path.read_text(encoding="utf-8").splitlines() == ["#!/usr/bin/env bash", "./scripts/test --strict"]
    assert os.name == "nt" or os.access(path, os.X_OK)


@pytest.mark.parametrize("path", [*COMMANDS, ROOT / "scripts" / "_python.py"], ids=lambda path: path.name)
def test_any_python_can_read_the_gate(path: Path) -> None:
    late = ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef, ast.YieldFrom
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, late)] == []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if node.returns or any(arg.annotation for arg in node.args.args)] == []


class TestGate:
    """`_python.ensure`, under a Python that is too old."""

    @pytest.fixture(autouse=True)
    def _old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "version_info", (3, 9, 2))
        monkeypatch.setattr(sys, "version", "3.9.2 (main)")
        monkeypatch.setattr(sys, "argv", ["scripts/lab", "--no-browser"])

    def test_a_newer_one_on_the_path_takes_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        taken: list[object] = []
        monkeypatch.setattr(_python, "CANDIDATES", ("no-such-python", sys.executable))
        monkeypatch.setattr(os, "execvp", lambda *args: taken.extend(args) or sys.exit())
        with pytest.raises(SystemExit):
            _python.ensure()
        assert taken == [sys.executable, [sys.executable, "scripts/lab", "--no-browser"]]

    def test_without_one_a_line_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_python, "CANDIDATES", ("no-such-python", "false"))
        with pytest.raises(SystemExit) as exit_:
            _python.ensure()
        line = str(exit_.value)
        assert line.startswith("nbagora needs Python 3.11 or newer, and this is 3.9.2: ")
        assert "\n" not in line


class TestTest:
    """`scripts/test`."""

    def test_goes_on_as_pytest_with_its_options(self, became: dict[str, Any]) -> None:
        assert _tests.main(["-k", "fork", "tests/broker"]) == 0
        assert became["args"] == [str(_setup.tool("pytest")), *_tests.SIDE_BY_SIDE, "-k", "fork", "tests/broker"]
        assert became["extras"] == ("test",)
        assert became["installed"] == list(_system.TOOLS)
        assert not {"NBAGORA_STRICT", "NBAGORA_CAMPAIGN"} & set(became["env"])

    def test_strict_runs_the_checks_first(self, became: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[str] = []
        monkeypatch.setattr(_tests, "run_checks", lambda names: ran.extend(names) or [])
        assert _tests.main(["--strict", "--campaign"]) == 0
        assert ran == list(_check.CHECKS)
        assert became["installed"] == [*_system.TOOLS, *_system.SERVERS]
        assert became["args"][1:] == _tests.SIDE_BY_SIDE
        assert {"NBAGORA_STRICT": "1", "NBAGORA_CAMPAIGN": "1"}.items() <= became["env"].items()

    def test_a_failed_check_fails_it_though_every_test_passes(
        self, became: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(_tests, "run_checks", lambda names: ["mypy"])
        passes = "import os; print('1 passed', os.environ['NBAGORA_FAILED_CHECKS'])"
        monkeypatch.setattr(_tests, "tool", lambda name: sys.executable)
        monkeypatch.setattr(_tests, "SIDE_BY_SIDE", [])
        assert _tests.main(["--strict", "-c", passes]) == 1
        assert capfd.readouterr().out.splitlines()[-2:] == [
            "failed checks: mypy; the tests run all the same",
            "1 passed mypy",
        ]

    def test_help_sets_nothing_up(self, became: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
        assert _tests.main(["--help"]) == 0
        assert became == {}
        assert "--campaign" in capsys.readouterr().out


class TestCheck:
    """`scripts/check`."""

    @pytest.fixture
    def results(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
        """Three checks in place of ours: one that holds, two that don't."""
        monkeypatch.setattr(_check, "tool", lambda name: sys.executable)
        monkeypatch.setattr(
            _check,
            "CHECKS",
            {"a": ["python", "-c", "exit('bad a')"], "b": ["python", "-c", ""], "c": ["python", "-c", "exit('bad c')"]},
        )
        return _check.CHECKS

    @pytest.mark.usefixtures("results", "became")
    def test_runs_all_to_the_end_and_shows_what_failed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _check.main([]) == 1
        out = capsys.readouterr().out
        assert out.endswith("failed: a, c\n")
        assert "bad a" in out
        assert "bad c" in out

    @pytest.mark.usefixtures("results", "became")
    def test_runs_those_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _check.main(["b"]) == 0
        assert capsys.readouterr().out.endswith("all hold\n")

    @pytest.mark.usefixtures("results", "became")
    def test_an_unknown_name_is_told_with_those_there_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _check.main(["b", "x"]) == 1
        assert capsys.readouterr().err == "usage: scripts/check [a|b|c]…; there is no x\n"


class TestBench:
    """`scripts/bench`."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "append.py").write_text(
            '"""Appends a second.\n\nMore."""\nimport sys\ndef main(): print(__name__, sys.argv[1:]); return 3\n'
        )
        (tmp_path / "_peer.py").write_text("")
        monkeypatch.setattr(_bench, "FOLDER", tmp_path)

    def test_lists_them_with_what_they_measure(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _bench.main([]) == 0
        assert capsys.readouterr().out.splitlines()[1:] == ["  append               Appends a second."]

    def test_an_unknown_one_is_told_with_those_there_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _bench.main(["x"]) == 1
        assert capsys.readouterr().err == "there is no benchmark x; there are: append\n"

    def test_runs_its_main_with_the_arguments(self, became: dict[str, Any]) -> None:
        _bench.main(["append", "--size", "4"])
        done = subprocess.run([sys.executable, *became["args"][1:]], capture_output=True, encoding="utf-8", check=False)
        assert (done.returncode, done.stdout) == (3, "append ['--size', '4']\n")


class TestLab:
    """`scripts/lab`."""

    @pytest.fixture(autouse=True)
    def _tree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, text in {"notebooks/00_quickstart.ipynb": "{}", ".venv/nbagora.json": "{}", "lab/a.py": "a"}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        for module in (_lab, _setup):
            monkeypatch.setattr(module, "ROOT", tmp_path)
            monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
        monkeypatch.setattr(_lab, "NOTEBOOK", tmp_path / "notebooks" / "00_quickstart.ipynb")
        monkeypatch.setattr(_lab, "CHECKED", tmp_path / ".venv" / "self-check")
        monkeypatch.setattr(_lab, "OUT", tmp_path / "artifacts")
        self.tree = tmp_path

    @pytest.fixture
    def runs(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Exit status of each self-check to come; one is taken at each run."""
        coming: list[int] = []
        monkeypatch.setattr(_lab, "attend", lambda args, *, env: coming.pop(0))
        return coming

    def test_checks_once_and_again_after_a_change(
        self, became: dict[str, Any], runs: list[int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        for change in ("", "notebooks/00_quickstart.ipynb", ".venv/nbagora.json", "lab/a.py"):
            if change:
                (self.tree / change).write_text("other")
            runs.append(0)
            assert _lab.main([]) == 0
            assert runs == [], f"a self-check after a change of {change}"
            assert _lab.main([]) == 0
            assert "self-check is up to date" in capsys.readouterr().out
        assert became["args"][1] == str(_lab.LAUNCHER)

    def test_a_red_self_check_opens_nothing_and_comes_again(
        self, became: dict[str, Any], runs: list[int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs += [1, 1]
        assert _lab.main([]) == 1
        assert _lab.main([]) == 1
        assert "args" not in became
        assert "the executed notebook is in artifacts/" in capsys.readouterr().err

    def test_opens_all_the_same_without_a_check(self, became: dict[str, Any]) -> None:
        assert _lab.main(["--no-check", "--port=1"]) == 0
        assert became["args"][-1] == "--port=1"
        assert "--no-check" not in became["args"]

    def test_a_checkout_without_the_notebook_is_told(
        self, became: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        (self.tree / "notebooks" / "00_quickstart.ipynb").unlink()
        assert _lab.main([]) == 1
        assert capsys.readouterr().err.endswith("00_quickstart.ipynb is missing: this checkout isn't whole\n")
        assert "args" not in became

    def test_what_the_user_says_goes_before_what_we_would(self) -> None:
        given = ["--ip=0.0.0.0", "--debug", "--LabApp.news_url=x", "--no-browser"]
        options, _ = _lab.jupyter(given, terminal=False, root=True)
        assert options[-4:] == given
        assert not any(
            option.startswith(("--ServerApp.ip=", "--Application.log", "--LabApp.n")) for option in options[:-4]
        )
        assert "--no-browser" not in options[:-4]
        assert "--allow-root" in options

    @pytest.mark.parametrize(("terminal", "opens"), [(True, True), (False, False)])
    def test_a_browser_is_opened_for_a_person_only(self, terminal: bool, opens: bool) -> None:
        options, _ = _lab.jupyter([], terminal=terminal, root=False)
        assert ("--no-browser" not in options) is opens

    def test_a_user_keeps_a_configuration_folder_of_their_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
        _, env = _lab.jupyter([], terminal=True, root=False)
        assert env["JUPYTER_CONFIG_PATH"].split(os.pathsep) == [str(_lab.CONFIG), "mine"]


@pytest.mark.skipif(os.name == "nt", reason="exec there is a child")
def test_a_script_goes_on_as_another_program_in_the_projects_folder(tmp_path: Path) -> None:
    source = (
        "import sys, _setup; _setup.become([sys.executable, '-c', "
        "'import os; print(os.getpid(), os.getcwd(), os.environ[\"A\"]); raise SystemExit(7)'], env={'A': 'b'})"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    out, _ = child.communicate()
    assert (child.returncode, out) == (7, f"{child.pid} {ROOT} b\n")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_program_in_full_view_cleans_up_before_its_script_ends(number: signal.Signals, status: int) -> None:
    program = (
        "import os, signal, sys, time\n"
        "def end(*_): os.write(1, b'cleaned up\\n'); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, end); signal.signal(signal.SIGINT, end)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    source = f"import sys, _setup; sys.exit(_setup.command(_setup.attend)([sys.executable, '-c', {program!r}]))"
    script = subprocess.Popen(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    )
    assert script.stdout
    assert script.stdout.readline() == "ready\n"
    if number == signal.SIGINT:
        os.killpg(script.pid, number)  # as a terminal does
    else:
        script.send_signal(number)
    out, _ = script.communicate()
    assert (script.returncode, out) == (status, "cleaned up\n")


@pytest.mark.parametrize(("ends", "status"), [("pass", 0), ("sys.exit(3)", 3), ("sys.exit('no')", 1)])
def test_a_thread_that_jupyter_forgets_holds_nothing_up(tmp_path: Path, ends: str, status: int) -> None:
    (tmp_path / "jupyterlab").mkdir()
    (tmp_path / "jupyterlab" / "__init__.py").touch()
    (tmp_path / "jupyterlab" / "labapp.py").write_text(
        "import atexit, sys, threading\n"
        "def main():\n"
        "    atexit.register(print, 'cleaned up')\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        f"    {ends}\n"
    )
    done = subprocess.run(
        [sys.executable, _lab.LAUNCHER],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (status, "cleaned up\n")


class TestProve:
    """`scripts/prove`."""

    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        started: list[Any] = []
        monkeypatch.setattr(_prove, "environment", lambda *_: None)
        monkeypatch.setattr(_prove, "become", lambda command, env: started.append((command, env)) or 0)
        return started

    def test_it_lists_the_proofs_and_each_has_its_tests(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _prove.main([]) == 0
        told = capsys.readouterr().out
        for name, (what, tests) in _prove.PROOFS.items():
            assert f"  {name:<12} {what}" in told
            assert all((ROOT / test).exists() for test in tests)

    def test_it_runs_one_for_as_long_as_is_asked_for(self, started: list[Any]) -> None:
        assert _prove.main(["kill", "--long", "--rounds", "7", "-x"]) == 0
        [(command, env)] = started
        assert command[-3:] == [*_prove.PROOFS["kill"][1], "-x"]
        assert env == {"NBAGORA_STRICT": "1", "NBAGORA_KILL_ROUNDS": "7", "NBAGORA_CAMPAIGN": "1"}

    def test_what_it_does_not_know_it_says(self, started: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
        assert _prove.main(["kil"]) == 1
        assert "there are: conformance, model, kill, faults, fuzz" in capsys.readouterr().err
        assert _prove.main(["kill", "--rounds"]) == 1
        assert started == []
