"""Runs the tests: sets up what they need, and leaves the last word to pytest's own summary."""

from __future__ import annotations

import os

import _system
from _check import CHECKS, run_checks
from _setup import attend, become, command, environment, say, tool

__all__ = ["SIDE_BY_SIDE", "main"]

HELP = """usage: scripts/test [--strict] [--campaign] [pytest's options]

  --strict     skip nothing: what is missing fails; add the thorough tests; run the checks first (scripts/check)
  --campaign   add the long tests

Tests run side by side, one more at a time than there are cores, since they wait more than they work; -n 0 ends that."""

SIDE_BY_SIDE = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"]


@command
def main(args: list[str]) -> int:
    """``scripts/test [--strict] [--campaign] …``; see `HELP`."""
    if {"-h", "--help"} & set(args):
        say(HELP)
        return 0
    strict, campaign = "--strict" in args, "--campaign" in args
    passed_on = [arg for arg in args if arg not in {"--strict", "--campaign"}]
    environment("test")
    _system.install([*_system.TOOLS, *(_system.SERVERS if strict else ())])
    failed = run_checks(list(CHECKS)) if strict else []
    passed_on = [*SIDE_BY_SIDE, *passed_on]
    env = {"NBAGORA_FAILED_CHECKS": " ".join(failed)}  # tests/conftest.py names them above the summary
    env |= {"NBAGORA_STRICT": "1"} if strict else {}
    env |= {"NBAGORA_CAMPAIGN": "1"} if campaign else {}
    if not failed:
        return become([tool("pytest"), *passed_on], env=env)
    say(f"failed checks: {', '.join(failed)}; the tests run all the same")
    return attend([tool("pytest"), *passed_on], env=env) or 1
