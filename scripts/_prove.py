"""Runs one proof: what is promised, against the real thing, for as long as is asked for."""

from __future__ import annotations

from _setup import Failed, become, command, environment, say, tool
from _tests import SIDE_BY_SIDE

__all__ = ["PROOFS", "main"]

PROOFS = {
    "conformance": ("every engine does what the protocol says", ["tests/conformance/broker"]),
    "model": (
        "any sequence of calls does what a hundred lines in memory do",
        ["tests/broker/test_groups_stateful.py", "tests/broker/test_embedded_stateful.py"],
    ),
    "kill": (
        "nothing acknowledged is lost, reordered or comes again over kill -9",
        ["tests/broker/test_groups_kill.py", "tests/broker/test_embedded_kill.py"],
    ),
    "faults": (
        "a fault at any write of a group's calls, or a Ctrl-C between any two lines, strands and loses nothing",
        ["tests/broker/test_groups_faults.py"],
    ),
    "fuzz": ("no door answers 5xx or hangs", ["tests/broker/test_http_fuzz.py", "tests/a2a/test_fuzz.py"]),
    "cuts": (
        "a stream that is cut at any byte, over kill -9, too, goes on with what comes next, each event once",
        ["tests/a2a/test_resume.py", "tests/a2a/test_kill.py"],
    ),
}
"""What is proven, and the tests that prove it."""

HELP = """usage: scripts/prove PROOF [--long] [--rounds N] [pytest's options]

  --long       for hours rather than minutes: 100,000 steps of each kind, 1,000 kills, 4,000 calls a door
  --rounds N   that many kills, with --long

proofs:"""


@command
def main(args: list[str]) -> int:
    """``scripts/prove PROOF [--long] [--rounds N] …``; see `HELP`."""
    if not args or {"-h", "--help"} & set(args):
        say(HELP)
        for name, (what, _) in PROOFS.items():
            say(f"  {name:<12} {what}")
        return 0
    name, *rest = args
    if name not in PROOFS:
        raise Failed(f"there is no proof {name}; there are: {', '.join(PROOFS)}")
    env = {}
    if "--rounds" in rest:
        at = rest.index("--rounds")
        rounds = rest[at + 1 : at + 2]
        if not rounds or not rounds[0].isdigit():
            raise Failed("--rounds needs a number")
        env["NBAGORA_KILL_ROUNDS"] = rounds[0]
        del rest[at : at + 2]
    if "--long" in rest:
        env["NBAGORA_CAMPAIGN"] = "1"
        rest.remove("--long")
    environment("test")
    return become([tool("pytest"), *SIDE_BY_SIDE, *PROOFS[name][1], *rest], env={"NBAGORA_STRICT": "1", **env})
