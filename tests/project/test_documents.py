"""What README, CONTRIBUTING and CHANGELOG tell to type or to open exists."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import _check
from sources import ROOT, tracked

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]


def commands(text: str) -> list[list[str]]:
    """Command lines in fenced blocks for a terminal, and inline code that begins as one."""
    fenced = re.findall(r"^```(?:console|sh|bash|shell)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in fenced for line in block.splitlines()]
    lines += re.findall(r"`((?:\./scripts/|python scripts|nbagora |pytest )[^`]*)`", text)
    return [words for line in lines if (words := line.partition("#")[0].split())]


def script(words: list[str]) -> str | None:
    """The script of ours that a command line starts, None if it starts another program."""
    first = words[1] if words[0] in {"python", "python3", "py"} and len(words) > 1 else words[0]
    found = re.fullmatch(r"(?:\./)?scripts[/\\](\w+)", first)
    return found[1] if found else None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_scripts_that_it_names_exist(path: Path) -> None:
    named = {name for words in commands(path.read_text(encoding="utf-8")) if (name := script(words))}
    assert [name for name in named if not (ROOT / "scripts" / name).is_file()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_checks_that_it_names_exist(path: Path) -> None:
    named = {
        word for words in commands(path.read_text(encoding="utf-8")) if script(words) == "check" for word in words[1:]
    }
    assert named - set(_check.CHECKS) == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_verbs_of_nbagora_that_it_names_exist(path: Path) -> None:
    named = {words[1] for words in commands(path.read_text(encoding="utf-8")) if words[0] == "nbagora" and words[1:]}
    if not named:
        return
    done = subprocess.run(
        [sys.executable, "-m", "nbagora.cli", "--help"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert [verb for verb in named if not re.search(rf"\b{re.escape(verb)}\b", done.stdout)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_files_that_it_names_exist(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+|[\w-]+\.(?:md|toml|yml|ipynb))`", text)
    named += re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    beside = [name for name in named if not name.startswith(".venv/") and not (ROOT / name).exists()]
    assert [name for name in beside if not (path.parent / name).exists()] == []


def test_every_script_is_told_to_contributors() -> None:
    told = {script(words) for words in commands((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))}
    assert {path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix} - told == set()


def test_every_mark_of_tests_is_told_to_contributors() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        marks = tomllib.load(file)["tool"]["pytest"]["ini_options"]["markers"]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [mark for line in marks if f"pytest.mark.{(mark := re.split(r'[(:]', line)[0])}" not in text] == []
