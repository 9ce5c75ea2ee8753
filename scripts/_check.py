"""The checks that need no test: style, types, and the arrows between packages."""

from __future__ import annotations

from _setup import ROOT, Failed, command, environment, run, say, step, tool

__all__ = ["CHECKS", "main", "run_checks"]

CHECKS: dict[str, list[str]] = {
    "ruff": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "mypy-scripts": ["mypy", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "scripts").glob("_[!p]*.py")))],
    "arrows": ["lint-imports", "--no-logo"],
}
"""By name, the program and its arguments; `_python.py` has no types, since any Python must be able to read it."""


def run_checks(names: list[str]) -> list[str]:
    """Runs checks one after the other, to the end.

    Returns:
        Names of those that failed; what they found is printed.
    """
    failed = []
    for name in names:
        program, *args = CHECKS[name]
        try:
            with step(f"check {name}"):
                run([tool(program), *args], env={"MYPYPATH": str(ROOT / "scripts")} if name == "mypy-scripts" else None)
        except Failed as failure:
            say(str(failure))
            failed.append(name)
    return failed


@command
def main(args: list[str]) -> int:
    """``scripts/check [NAME…]``: all checks, or those named."""
    if unknown := set(args) - set(CHECKS):
        raise Failed(f"usage: scripts/check [{'|'.join(CHECKS)}]…; there is no {', '.join(sorted(unknown))}")
    environment("test")
    failed = run_checks(args or list(CHECKS))
    say(f"failed: {', '.join(failed)}" if failed else "all hold")
    return bool(failed)
