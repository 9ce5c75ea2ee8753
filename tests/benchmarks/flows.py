"""Flows: what a step costs, and how long a flow of 1,000 steps takes to go on after its process ended.

    scripts/bench flows [--steps N] [--rounds N]

Each round runs a flow of N steps in a lab; its last step waits until that lab is stopped. Another lab on the same store
calls the agent anew, which goes over the steps that have a result and does the last one. Beside it runs a flow of one
step, which is the work that was left; the goal is for the difference.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from _report import conditions, goal, spread, table

from nbagora_lab.flows import ask, repeatable
from nbagora_lab.lab import Lab


def define(lab: Lab, steps: int, held: threading.Event | None, at_last: threading.Event, calls: list[int]) -> None:
    """Hosts the flow; with `held`, its last step waits for it."""

    @repeatable
    def step(number: int) -> int:
        calls.append(number)
        if number == steps - 1:
            at_last.set()
            if held is not None:
                held.wait()
        return number

    @lab.agent(resumable=True)
    async def long(message: Any, task: Any) -> str:
        for number in range(steps):
            await ask(step, number, name="step")
        return "done"


def resume(steps: int) -> tuple[float, float]:
    """Seconds of the first run up to its last step, and of going on from there to the end."""
    with tempfile.TemporaryDirectory() as folder:
        held, at_last, calls = threading.Event(), threading.Event(), []
        lab = Lab(store=Path(folder) / "store", cancel_grace=0.1)
        define(lab, steps, held, at_last, calls)
        began = time.perf_counter()
        task = lab.send("long", "go")
        at_last.wait()
        ran = time.perf_counter() - began
        stopper = threading.Thread(target=lab.stop)
        stopper.start()
        stopper.join(5)
        held.set()
        stopper.join()
        assert len(calls) == steps
        with Lab(store=Path(folder) / "store") as lab:
            assert lab.task(task.id).state == "WORKING"
            calls.clear()
            began = time.perf_counter()
            define(lab, steps, None, threading.Event(), calls)
            done = lab.wait(task.id)
            went_on = time.perf_counter() - began
            assert done.text == "done"
            assert calls == [steps - 1], f"asked again: {calls[:5]}"
        return ran, went_on


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="scripts/bench flows", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    conditions("rocksdict", "pydantic")
    resume(1)  # loads what the first lab loads
    long = [resume(chosen.steps) for _ in range(chosen.rounds)]
    short = [resume(1) for _ in range(chosen.rounds)]
    table(
        ("seconds", f"{chosen.steps} steps", "1 step"),
        [
            ("first run, to its last step", spread([one for one, _ in long], 3), spread([one for one, _ in short], 3)),
            ("going on, to the end", spread([one for _, one in long], 3), spread([one for _, one in short], 3)),
        ],
    )
    beyond = statistics.median(one for _, one in long) - statistics.median(one for _, one in short)
    per_step = statistics.median(one for one, _ in long) / chosen.steps
    print(f"\na step costs {per_step * 1e3:.2f} ms, two durable records included")
    goal(f"seconds beyond the remaining work, {chosen.steps} steps", beyond, at_most=1)
    return 0
