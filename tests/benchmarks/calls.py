"""An agent calls another of its kernel: straight to its operations, and the same over loopback HTTP.

Both are durable: the call and its return are records of the caller, the called task's events records of its own. What
differs is the way alone: the second names the lab's root, which is an address like any other. Turns of the two
alternate.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from _report import conditions, goal, quantile, table

from nbagora_lab.lab import Lab


def main() -> int:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="calls in a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each way")
    options = parser.parse_args(sys.argv[1:])
    conditions("a2a-sdk", "httpx", "uvicorn", "rocksdict")
    figures: dict[str, list[float]] = {"direct": [], "loopback HTTP": []}
    with tempfile.TemporaryDirectory() as folder, Lab(store=Path(folder) / "store") as lab:

        @lab.agent
        async def echo(message: Any, task: Any) -> Any:
            """Says the same."""
            return message.text

        @lab.agent
        async def caller(message: Any, task: Any) -> Any:
            """Calls one of that address so often, and tells how many seconds each call took."""
            asked = message.data[0]
            took = []
            for number in range(asked["calls"]):
                began = perf_counter()
                answer = await task.call(asked["whom"], f"call {number}")
                took.append(perf_counter() - began)
                assert answer.text == f"call {number}"
            return {"took": took}

        lab.put_at_root("echo")
        ways = {"direct": "echo", "loopback HTTP": lab.url}
        for whom in ways.values():  # imports and connections
            lab.ask("caller", {"whom": whom, "calls": 20})
        for _ in range(options.turns):
            for way, whom in ways.items():
                figures[way] += lab.ask("caller", {"whom": whom, "calls": options.calls}).data[0]["took"]
    rows = [
        [way, f"{quantile(took, 0.5) * 1e3:.2f}", f"{quantile(took, 0.99) * 1e3:.2f}", f"{len(took) / sum(took):.0f}"]
        for way, took in figures.items()
    ]
    table(["agent calls agent, durable", "p50 ms", "p99 ms", "calls/s"], rows)
    halves = {way: quantile(took, 0.5) for way, took in figures.items()}
    goal("direct / loopback HTTP, p50", halves["direct"] / halves["loopback HTTP"], at_most=0.5)
    return 0
