"""`environment.yml` asks for what `pyproject.toml` asks for: the same packages, the same versions."""

from __future__ import annotations

import re
import tomllib

import yaml

from sources import ROOT

NOT_OURS = {"python", "pip", "nodejs"}
"""What an environment of conda's needs beside: PyPI has no such packages."""
NAMED = {"jupyterlab", "ipywidgets", "nbclient", "pandas", "httpx", "pydantic", "papermill", "pytest"}
"""What everybody who reads the file looks for."""


def split(requirement: str) -> tuple[str, str]:
    """A requirement's name in normal form, and the rest of it without spaces."""
    name, rest = re.fullmatch(r"\s*([A-Za-z0-9._-]+)\s*(.*?)\s*", requirement).groups()  # type: ignore[union-attr]
    return re.sub(r"[-_.]+", "-", name).lower(), rest.replace(" ", "")


def declared() -> dict[str, str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return dict(map(split, [*project["dependencies"], *project["optional-dependencies"]["test"]]))


def environment() -> tuple[list[str], list[str]]:
    """Requirements that conda resolves, and those that are pip's."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    return [entry for entry in listed if isinstance(entry, str)], [entry for entry in pip if entry != "-e ."]


def test_both_ask_for_the_same() -> None:
    conda, pip = environment()
    found = dict(map(split, [*conda, *pip]))
    assert {name: rest for name, rest in found.items() if name not in NOT_OURS} == declared()


def test_nothing_is_asked_for_twice() -> None:
    names = [split(entry)[0] for part in environment() for entry in part]
    assert sorted(names) == sorted(set(names))


def test_conda_gets_no_words_that_only_pip_knows() -> None:
    conda, _ = environment()
    assert [entry for entry in conda if set(entry) & set("[];@")] == []


def test_python_is_as_old_as_allowed() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        oldest = tomllib.load(file)["project"]["requires-python"]
    conda, _ = environment()
    assert dict(map(split, conda))["python"] == oldest


def test_the_packages_that_make_the_notebook_are_named() -> None:
    conda, _ = environment()
    assert NAMED - {split(entry)[0] for entry in conda} == set()


def test_the_project_itself_comes_last_and_editable() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert listed[-1]["pip"][-1] == "-e ."
