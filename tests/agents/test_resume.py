"""An agent's run that a killed process left goes on in the next one: no finished step is done again, and what it said
before is written anew in its place."""

import json
import os
import signal
import subprocess
import sys

import pytest

CHILD = """
import os, sys, threading
from pathlib import Path
from pydantic_ai import Agent
from nbagora_lab.agents.models import call, scripted
from nbagora_lab.agents.tools import repeatable
from nbagora_lab.inspect.steps import read_steps
from nbagora_lab.lab import Lab
import json

store, life = Path(sys.argv[1]), sys.argv[2]

def find_trains(to: str) -> str:
    with open(store / "calls", "a") as file:
        file.write(f"trains {life}\\n")
    return "G1"

def find_hotels(city: str) -> str:
    with open(store / "calls", "a") as file:
        file.write(f"hotels {life}\\n")
    if life == "1":
        os.write(1, b"in the second tool\\n")  # what an agent prints goes to its task's log
        threading.Event().wait(60)
    return "Jade"

model = scripted(call("find_trains", to="北京"), call("find_hotels", city="北京"), "G1 and Jade it is.")
with Lab(store=store / "lab") as lab:
    lab.define("trip", Agent(model, instructions="Plan.", tools=[repeatable(find_trains), repeatable(find_hotels)]))
    if life == "1":
        lab.send("trip", "周末去北京", context="ctx-1")
        threading.Event().wait(60)
    task = lab.wait(lab.tasks()[0], timeout=60)
    steps = list(read_steps(lab.broker.log, "sessions/ctx-1"))
    print(json.dumps({
        "state": task.state, "text": task.text, "artifacts": len(task.raw["artifacts"]),
        "steps": [[step.key, step.state, step.attempts] for step in steps],
    }), flush=True)
"""


@pytest.mark.thorough
def test_a_run_that_was_killed_goes_on_in_the_next_process(tmp_path):
    program = tmp_path / "child.py"
    program.write_text(CHILD, encoding="utf-8")
    first = subprocess.Popen([sys.executable, program, tmp_path, "1"], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "in the second tool\n"
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        first.stdout.close()
    second = subprocess.run(
        [sys.executable, program, tmp_path, "2"], capture_output=True, text=True, timeout=200, check=False
    )
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout.splitlines()[-1]) == {
        "state": "COMPLETED",
        "text": "G1 and Jade it is.",
        "artifacts": 1,
        "steps": [
            ["model", "done", 1],
            ["find_trains", "done", 1],
            ["model.2", "done", 1],
            ["find_hotels", "done", 2],
            ["model.3", "done", 1],
        ],
    }
    assert (tmp_path / "calls").read_text().splitlines() == ["trains 1", "hotels 1", "hotels 2"]
