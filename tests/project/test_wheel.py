"""What is shipped: all sources, the views' files and the marks for type checkers, and nothing of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sources import PACKAGES, ROOT


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel that is built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_it_holds_every_file_of_the_packages(shipped: set[str]) -> None:
    kinds = {".py", ".js", ".css", ".typed"}
    expected = {
        path.relative_to(folder.parent).as_posix()
        for folder in PACKAGES.values()
        for path in folder.rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }
    assert expected - shipped == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_it_is_typed(shipped: set[str], package: str) -> None:
    assert f"{package}/py.typed" in shipped


def test_it_holds_nothing_else(shipped: set[str]) -> None:
    tops = {Path(name).parts[0] for name in shipped}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
