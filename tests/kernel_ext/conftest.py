"""A real shell with the extension in it, whose cells raise what went wrong in them."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nbagora

SHELL = {"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}}


ECHO = """%%agent echo --skill 'again: says it again' --tag test
def echo(message):
    '''Says it again.'''
    return message.text
"""


class TestingShell(InteractiveShell):
    """Raises what a cell raises, and keeps what it showed."""

    __test__ = False

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self.tracebacks.append(stb)


def new_shell(config: dict[str, Any] | None = None) -> TestingShell:
    shell = TestingShell(config=Config(SHELL | (config or {})), user_module=types.ModuleType("cells"))
    shell.tracebacks = []
    for step in ("write_output_prompt", "write_format_data", "finish_displayhook"):
        setattr(shell.displayhook, step, lambda *_: None)  # results are looked at, not printed
    return shell


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestingShell]:
    """A shell without the extension, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    shell = new_shell()
    yield shell
    nbagora.unload_ipython_extension(shell)


@pytest.fixture
def shell(bare: TestingShell) -> TestingShell:
    """A shell with the extension."""
    nbagora.load_ipython_extension(bare)
    return bare


@pytest.fixture
def run(bare: TestingShell) -> Callable[[str], Any]:
    """Runs a cell; returns its result, or raises its error."""

    def run_cell(source: str) -> Any:
        done = bare.run_cell(source)
        if error := done.error_before_exec or done.error_in_exec:
            raise error
        return done.result

    return run_cell


@pytest.fixture
def lab(shell: TestingShell, run: Callable[[str], Any]) -> Any:
    """The lab that `%lab start` started, with an agent `echo` that says the message again."""
    lab = run("%lab start --seed 1 --clock virtual")
    run(ECHO)
    return lab
