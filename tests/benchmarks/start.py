"""Time from nothing to an agent that answers: `%load_ext`, `%lab start` and `%%agent` against a bare kernel start.

Each round starts a kernel of its own; what a round measures, in order: the kernel, from launch until it has answered
its first execute request; `%load_ext nbagora`; `%lab start`; the cell of the first agent until that agent has answered
an A2A request; the same for further agents. So peer and subject alternate and meet the same load. In every second round
the first agent comes right after `%lab start`, as a runner of notebooks has it; in the others after a pause, as a
person has it. The first round warms the file caches and is not counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import zmq
from _report import conditions, goal, quantile, table
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from jupyter_client.manager import KernelManager

PAUSE = 3.0  # seconds a person takes to go on to the next cell
AGENTS = 5  # agents a round defines after the first

AGENT = """%%agent {name} --skill "echo: says it again"
async def {name}(message, task):
    yield message.text
"""


class Kernel:
    """A fresh kernel of this Python, in a folder of its own, without the user's IPython profile."""

    def __init__(self, folder: Path) -> None:
        # A kernel listens some 100 ms after a client has first tried to reach it; trying again every 5 ms instead of
        # every 100 keeps the client's waiting out of the figure for a bare start.
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.setsockopt(zmq.RECONNECT_IVL, 5)
        self._manager = KernelManager(kernel_name=NATIVE_KERNEL_NAME, context=self._context)
        environment = {**os.environ, "IPYTHONDIR": str(folder / "ipython")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start compiles every module anew
        log = self._log = (folder / "kernel.log").open("wb")
        self._manager.start_kernel(cwd=str(folder), env=environment, stdout=log, stderr=log)
        self._client = self._manager.client()
        self._client.start_channels()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._context.destroy(linger=0)
        self._log.close()

    def cpu(self) -> float:
        """Seconds of CPU time that the kernel has used so far."""
        times = psutil.Process(self._manager.provisioner.pid).cpu_times()  # type: ignore[union-attr]
        return float(times.user + times.system)

    def run(self, code: str, **expressions: str) -> dict[str, Any]:
        """Executes a cell; the values of expressions after it, as text. Raises if the cell did."""
        self._client.execute(code, user_expressions=expressions, store_history=False)
        reply = self._client.get_shell_msg(timeout=120)["content"]
        assert reply["status"] == "ok", "\n".join(reply.get("traceback", [])) or reply
        return {name: value["data"]["text/plain"].strip("'") for name, value in reply["user_expressions"].items()}


def ask(url: str, token: str, agent: str) -> str:
    """The text that an agent answers over A2A's JSON-RPC, on a connection of its own."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": f"你好 {agent}"}]}
    call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    headers = {"Content-Type": "application/json", "A2A-Version": "1.0", "Authorization": f"Bearer {token}"}
    try:
        connection.request("POST", f"/agents/{agent}/", json.dumps(call), headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status == 200, body
    task = json.loads(body)["result"]["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED", task
    return "".join(part["text"] for artifact in task["artifacts"] for part in artifact["parts"])


class Steps:
    """Wall and CPU time of the steps of all rounds."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)

    def take(self, name: str, kernel: Kernel, step: Callable[[], Any]) -> Any:
        """Runs a step and books its time under `name`."""
        cpu, began = kernel.cpu(), time.perf_counter()
        result = step()
        self.wall[name].append(time.perf_counter() - began)
        self.cpu[name].append(kernel.cpu() - cpu)
        return result

    def median(self, *names: str) -> float:
        """Median over rounds of the summed wall time of steps."""
        return statistics.median(sum(times) for times in zip(*(self.wall[name] for name in names), strict=True))


def measure(steps: Steps, folder: Path, *, pause: float) -> dict[str, str]:
    """One round in a folder of its own; what the lab says of itself."""
    began = time.perf_counter()
    with Kernel(folder) as kernel:
        kernel.run("pass")
        steps.wall["bare kernel"].append(time.perf_counter() - began)
        steps.cpu["bare kernel"].append(kernel.cpu())
        steps.take("an empty cell", kernel, lambda: kernel.run("pass"))
        steps.take("%load_ext nbagora", kernel, lambda: kernel.run("%load_ext nbagora"))
        steps.take("%lab start", kernel, lambda: kernel.run("%lab start"))
        url, token = (json.loads((folder / ".nbagora/lab.json").read_bytes())[name] for name in ("url", "token"))
        assert token, "the doors have a token, as a user's have"

        def define(name: str) -> None:
            kernel.run(AGENT.format(name=name))
            assert ask(url, token, name) == f"你好 {name}"

        time.sleep(pause)
        first = "%%agent, the first, after a pause" if pause else "%%agent, the first, at once"
        steps.take(first, kernel, lambda: define("echo"))
        for number in range(AGENTS):
            steps.take("%%agent, a further one", kernel, lambda: define(f"echo{number}"))  # noqa: B023 -- runs at once
        steps.take("%%agent, run again", kernel, lambda: define("echo"))
        said = kernel.run(
            "import nbagora, sys; lab = nbagora.Lab.current()",
            python="sys.executable",
            durability="lab.settings.durability",
            agents="len(lab.agents())",
            tasks="len(lab.tasks())",
        )
        assert said["python"] == sys.executable, said
        assert said["agents"] == str(AGENTS + 1), said
        assert said["tasks"] == str(AGENTS + 2), said
    return said


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="kernels to start, after the one that warms up")
    parser.add_argument("--quick", action="store_true", help="two rounds")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    conditions("ipykernel", "ipython", "a2a-sdk", "rocksdict", "uvicorn")

    steps = Steps()
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as top:
        for number in range(rounds + 1):
            folder = Path(top) / str(number)
            folder.mkdir()
            if number == 1:
                steps = Steps()
            said = measure(steps, folder, pause=PAUSE if number % 2 else 0)
    print(f"{rounds} kernels after 1 to warm up, each with a new store; durability {said['durability']}, token on")

    bare = steps.median("bare kernel")
    rows = []
    for name, wall in steps.wall.items():
        figures = [1e3 * value for value in (statistics.median(wall), min(wall), quantile(wall, 0.9))]
        cpu = 1e3 * statistics.median(steps.cpu[name])
        rows.append(
            [name, len(wall), *(f"{value:.0f}" for value in figures), f"{cpu:.0f}", f"{figures[0] / bare / 1e3:.2f}"]
        )
    table(["step", "n", "median ms", "least", "p90", "CPU ms", "× bare"], rows)
    print()
    load, started = steps.median("%load_ext nbagora"), steps.median("%load_ext nbagora", "%lab start")
    goal("%load_ext + %lab start, × a bare kernel start", started / bare, at_most=1.0)
    goal("%load_ext, × a bare kernel start", load / bare, at_most=0.5)
    for name in steps.wall:
        if name.startswith("%%agent"):
            goal(f"{name}, to answering, ms (median)", 1e3 * statistics.median(steps.wall[name]), at_most=50)
    return 0


if __name__ == "__main__":
    sys.exit(main())
