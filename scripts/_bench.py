"""Runs a benchmark of ``tests/benchmarks``: a module whose `main` prints a table, with its peer in the same run."""

from __future__ import annotations

import ast
from pathlib import Path

from _setup import ROOT, Failed, become, command, environment, say, tool

__all__ = ["main"]

FOLDER = ROOT / "tests" / "benchmarks"
RUN = (
    "import importlib, sys; sys.path[:0] = sys.argv[1:3]; name = sys.argv[3]; del sys.argv[:3]; "
    "sys.exit(importlib.import_module(name).main())"
)
"""Imported by its name, so that processes which a benchmark spawns can import it as well."""


@command
def main(args: list[str]) -> int:
    """``scripts/bench [NAME [ARGUMENTS…]]``: lists the benchmarks, or runs one."""
    found = {path.stem: path for path in sorted(FOLDER.glob("[!_]*.py"))}
    if not args or args[0] in {"-h", "--help"}:
        say("usage: scripts/bench NAME [ARGUMENTS…]")
        for name, path in found.items():
            say(f"  {name:<20} {_purpose(path)}")
        return 0
    if args[0] not in found:
        raise Failed(f"there is no benchmark {args[0]}; there are: {', '.join(found) or 'none yet'}")
    environment("test", "bench")
    return become([tool("python"), "-c", RUN, FOLDER, ROOT / "scripts", *args])


def _purpose(path: Path) -> str:
    """First line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
