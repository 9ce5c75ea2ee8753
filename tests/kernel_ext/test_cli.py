from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from nbagora.cli import main
from nbagora.commands import nouns
from nbagora_lab.core.errors import LabError

AGENT = "from nbagora import agent\n\n@agent\ndef parrot(message):\n    return message.text\n"


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ([], "UsageError: nbagora needs a command", "agent, broker, lab, prompt, registry, run, serve, task, topic"),
        (["serv"], "UsageError: nbagora has no command 'serv'", "did you mean 'serve'?"),
        (["serve", "--prt", "1"], "UsageError: nbagora serve has no option '--prt'", "did you mean '--port'?"),
        (["serve", "--port", "x"], "UsageError: nbagora serve: --port can't be 'x'", "port of the doors"),
        (["run"], "UsageError: nbagora run: the following arguments are required: NOTEBOOK", "usage: nbagora run"),
        (["run", "a.ipynb", "-p", "x"], "UsageError: nbagora run: argument -p: expected 2 arguments", "usage"),
        (["run", "a.ipynb", "--clock", "sun"], "UsageError: nbagora run: --clock can't be 'sun'", "there are: "),
        (["agent", "aks"], "UnknownVerb: nbagora agent has no verb 'aks'", "did you mean 'ask'?"),
        (["agent"], "UnknownVerb: nbagora agent needs a verb", "there are: ls, ask"),
        (["topic", "read"], "UsageError: nbagora topic read: the following arguments are required: TOPIC", "usage"),
    ],
)
def test_what_is_typed_wrong_ends_with_two_lines_and_2(
    words: list[str], what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    first, second = lines(capsys)
    assert first.startswith(what)
    assert second.startswith("hint: ")
    assert hint in second


@pytest.mark.parametrize(
    ("words", "status", "what", "hint"),
    [
        ("agent ask weather hi there", 1, "NotStarted: no lab runs on .nbagora", "nbagora serve"),
        ("topic ls --lab nowhere", 1, "NotStarted: no lab runs on nowhere", "nbagora serve"),
        (
            "topic ls --lab http://127.0.0.1:1",
            1,
            "Unreachable: no lab answers at http://127.0.0.1:1",
            "whether it runs",
        ),
        ("topic ls -o yaml", 2, "UsageError: nbagora topic ls: -o can't be 'yaml'", "json, text"),
        ("topic ls --lub x", 2, "UsageError: nbagora topic ls has no option '--lub'", "did you mean '--lab'?"),
        ("topic view", 2, "UsageError: 'nbagora topic view' does nothing that would outlive it", "%topic view"),
        ("lab start", 2, "UsageError: 'nbagora lab start' does nothing that would outlive it", "nbagora serve"),
        ("lab join http://127.0.0.1:1", 2, "UsageError: 'nbagora lab join' does nothing", "nbagora serve FILE --join"),
    ],
)
def test_a_command_without_a_lab_to_run_on_ends_with_two_lines(
    words: str, status: int, what: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == status
    first, second = lines(capsys)
    assert first.startswith(what)
    assert hint in second


def test_what_fails_ends_with_two_lines_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "gone.ipynb")]) == 1
    assert len(lines(capsys)) == 2
    assert main(["serve", str(tmp_path / "gone.py"), "--store", str(tmp_path / "s")]) == 1
    assert lines(capsys)[0] == f"NotFound: no file {tmp_path / 'gone.py'}"


@pytest.mark.parametrize("error", [LabError("what\nthere", "do"), RuntimeError("odd")])
def test_a_traceback_is_for_debug_alone(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr("nbagora_lab.scenarios.run", broken)
    assert main(["run", "a.ipynb"]) == 1
    plain = lines(capsys)
    assert len(plain) == 2
    assert main(["--debug", "run", "a.ipynb"]) == 1
    debugged = lines(capsys)
    assert debugged[0] == "Traceback (most recent call last):"
    assert debugged[-2:] == plain


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("nbagora_lab.scenarios.run", interrupted)
    assert main(["run", "a.ipynb"]) == 130


def test_run_hands_over_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("nbagora_lab.scenarios.run", lambda *a, **k: calls.append((a, k)) or 7)
    words = "run a.ipynb -p seed 3 b -p city 北京 --out o --junit j.xml --seed 5 --clock system --timeout 9"
    assert main(words.split()) == 7
    [(given, options)] = calls
    assert given == (
        (Path("a.ipynb"), Path("b")),
        (("seed", "3"), ("city", "北京")),
        Path("o"),
        Path("j.xml"),
    )
    assert options == {"seed": 5, "clock": "system", "timeout": 9.0}


def test_serve_hands_over_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("nbagora_lab.serve.serve", lambda *a, **k: calls.append(k) or 0)
    assert main(["serve", "a.py", "--store", "s", "--port", "0", "--token", "", "--root", "a", "--json"]) == 0
    assert calls == [{"root": "a", "root_protocol": "1.0", "as_json": True, "store": Path("s"), "port": 0, "token": ""}]


@pytest.mark.parametrize("words", [["--help"], ["serve", "-h"], ["run", "--help"], *([noun, "-h"] for noun in nouns())])
def test_help_goes_to_stdout(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "nbagora" in out
    assert err == ""


def test_help_of_a_verb_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "ask", "--help"]) == 0
    assert "usage: nbagora agent ask" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2


def test_serve_hosts_a_file_until_its_stdin_ends(tmp_path: Path) -> None:
    (tmp_path / "agents.py").write_text(AGENT)
    command = [sys.executable, "-m", "nbagora.cli", "serve", "agents.py", "--store", "s", "--json", "--root", "parrot"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        found = json.loads(line)
        request = urllib.request.Request(
            f"{found['url']}/agents/parrot/.well-known/agent-card.json",
            headers={"Authorization": f"Bearer {found['token']}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["name"] == "parrot"
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


def test_serve_refuses_a_file_without_agents(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    command = [sys.executable, "-m", "nbagora.cli", "serve", "empty.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "BadAgent: empty.py defines no agent",
        "hint: put @agent from nbagora over a function",
    ]
