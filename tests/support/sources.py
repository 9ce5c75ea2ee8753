"""The project's own sources, for tests that look at the code itself."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "modules", "parse", "tracked"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "nbagora": ROOT / "kernel_ext" / "nbagora",
    "nbagora_widgets": ROOT / "widgets" / "nbagora_widgets",
    "nbagora_lab": ROOT / "lab" / "nbagora_lab",
}


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the three packages by its dotted name, a package standing for its ``__init__``."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


@functools.cache
def parse(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def tracked() -> tuple[Path, ...]:
    """The files that git has, or would take; without git, none."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(path for name in sorted(listing.split("\0")) if name and (path := ROOT / name).is_file())
