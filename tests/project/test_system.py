"""Programs of the system: found, installed where that needs no question, else named with the line that would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable

import pytest

import _setup
import _system

System = Callable[..., list[str]]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    """Pretends a system: its programs, whether root asks, and what an install brings; gives the commands run."""

    def pretend(*programs: str, root: bool = True, brings: Iterable[str] = (), fails: bool = False) -> list[str]:
        present, ran = set(programs), []

        def run(args: list[str], *, env: dict[str, str]) -> str:
            assert env == {"DEBIAN_FRONTEND": "noninteractive"}
            ran.append(" ".join(args[5:]))
            if fails:
                raise _setup.Failed("no such package")
            present.update(brings)
            return ""

        for tool in _system.EVERY.values():
            monkeypatch.delenv(tool.variable, raising=False)
        monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in present else None)
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000, raising=False)
        monkeypatch.setattr(_system, "run", run)
        return ran

    return pretend


def test_what_is_there_is_not_installed(system: System) -> None:
    ran = system("apt-get", "chromium-browser", "node")
    _system.install(_system.TOOLS)
    assert ran == []
    assert _system.find("chromium") == "/bin/chromium-browser"


def test_root_on_debian_gets_what_is_missing(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    ran = system("apt-get", "node", brings=["chromium"])
    _system.install(_system.TOOLS)
    assert ran == ["update", "install -y --no-install-recommends chromium fonts-wqy-microhei"]
    assert "skipped" not in capsys.readouterr().out


def test_anybody_else_gets_the_line_that_would_install_it(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    ran = system("apt-get", "node", root=False)
    _system.install(_system.TOOLS)
    assert ran == []
    assert capsys.readouterr().out == (
        "without chromium, its tests are skipped; to have them: sudo apt-get install -y chromium fonts-wqy-microhei\n"
    )


def test_an_install_that_fails_is_told_and_stops_nothing(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    system("apt-get", "chromium", fails=True)
    _system.install(_system.TOOLS)
    out = capsys.readouterr().out
    assert out.startswith("node, by apt-get ... failed\nno such package\n")
    assert out.endswith("to have them: apt-get install -y nodejs\n")


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        ("dnf", "sudo dnf install -y chromium"),
        ("pacman", "sudo pacman -S --noconfirm chromium"),
        ("brew", "brew install --cask google-chrome"),
        ("winget", "winget install Google.Chrome"),
    ],
)
def test_other_systems_have_a_line_of_their_own(system: System, manager: str, line: str) -> None:
    system(manager, root=False)
    assert _system.hint("chromium") == line


def test_without_a_package_manager_the_variable_is_named(system: System) -> None:
    system()
    assert _system.hint("chromium") == "put chromium on the PATH, or its path into CHROMIUM"


def test_a_variable_names_the_program_and_no_other_is_taken(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system("chromium", "my-chromium")
    monkeypatch.setenv("CHROMIUM", "my-chromium")
    assert _system.find("chromium") == "/bin/my-chromium"
    monkeypatch.setenv("CHROMIUM", "gone")
    assert _system.find("chromium") is None
    assert _system.hint("chromium") == "CHROMIUM names gone, which is none: unset it, or mend it"


def test_what_a_variable_names_wrongly_is_not_installed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = system("apt-get", "chromium", "node")
    monkeypatch.setenv("CHROMIUM", "gone")
    _system.install(_system.TOOLS)
    assert ran == []


@pytest.mark.parametrize("name", _system.EVERY)
def test_every_package_manager_knows_every_tool(name: str) -> None:
    assert set(_system.EVERY[name].packages) == set(_system.VERBS)


def test_a_peer_is_found_and_hinted_at_as_a_tool_is(system: System) -> None:
    system("apt-get")
    assert _system.find("redis-server") is None
    assert _system.hint("redis-server") == "apt-get install -y redis-server"
    system("apt-get", "redis-server")
    assert _system.find("redis-server") == "/bin/redis-server"
