"""Tasks of 100,000 events beside tasks of 100: first event of a subscriber, GetTask after a restart, rate of chunks.

One lab, asked over loopback HTTP by a client in the same process. The first event of a subscription is timed from the
request to its last byte: without a cursor it is a snapshot of the task, with one the event after the cursor. The task
is at work and waits meanwhile. "cold" is the first GetTask of a lab that was started anew on the store.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

import anyio
import httpx
from _report import conditions, goal, table

from nbagora_lab.lab import Lab

SMALL, LARGE = 100, 100_000
TIMES = 15
TURNS = 5  # of writing a small task and a large one, each while nothing else is going on
QUIET = 2.0  # seconds that a session is left alone, so that its snapshot is begun


class Labs:
    """A lab with agents that say so many things, wait, and end."""

    def __init__(self, store: str) -> None:
        self.lab = Lab(store=store)
        self.reached: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self.go = threading.Event()
        self.rates: dict[tuple[str, int], list[float]] = {}

        async def say(message: Any, task: Any, kind: str) -> AsyncIterator[Any]:
            count = int(message.text)
            began = time.perf_counter()
            for number in range(count):
                yield task.status(f"step {number}") if kind == "statuses" else f"chunk {number} "
            self.rates.setdefault((kind, count), []).append(count / (time.perf_counter() - began))
            self.reached[task.id].set()
            while not self.go.is_set():
                await anyio.sleep(0.01)

        @self.lab.agent
        async def statuses(message: Any, task: Any) -> AsyncIterator[Any]:
            async for said in say(message, task, "statuses"):
                yield said

        @self.lab.agent
        async def artifacts(message: Any, task: Any) -> AsyncIterator[Any]:
            async for said in say(message, task, "artifacts"):
                yield said

        self.http = httpx.Client(
            headers={"Authorization": f"Bearer {self.lab.token}", "A2A-Version": "1.0"}, timeout=300
        )

    def begin(self, agent: str, count: int) -> str:
        """A task that has said all and waits; gives its id."""
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": str(count)}]}
        sent = {"message": message, "configuration": {"returnImmediately": True}}
        task_id: str = self.http.post(f"{self.url(agent)}/message:send", json=sent).json()["task"]["id"]
        assert self.reached[task_id].wait(280)
        return task_id

    def rest(self) -> None:
        """Returns once the process does nothing any more, snapshots of what was written included."""
        time.sleep(QUIET)
        while True:
            spent = time.process_time()
            time.sleep(0.5)
            if time.process_time() - spent < 0.05:
                return

    def url(self, agent: str) -> str:
        """An agent's doors."""
        return f"{self.lab.url}/agents/{agent}"

    def first(self, agent: str, task_id: str, cursor: str) -> tuple[float, int]:
        """Seconds until a subscriber's first event is there, and its bytes."""
        headers = {"Last-Event-ID": cursor} if cursor else {}
        found = b""
        began = time.perf_counter()
        with self.http.stream("GET", f"{self.url(agent)}/tasks/{task_id}:subscribe", headers=headers) as response:
            for piece in response.iter_raw():
                found += piece
                if b"\r\n\r\n" in found[-len(piece) - 3 :]:
                    return time.perf_counter() - began, len(found)
        raise AssertionError(f"no event: {found[:200]!r}")

    def get(self, agent: str, task_id: str) -> tuple[float, dict[str, Any]]:
        """Seconds of a GetTask, and the task."""
        began = time.perf_counter()
        task = self.http.get(f"{self.url(agent)}/tasks/{task_id}").json()
        return time.perf_counter() - began, task


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench long_tasks", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=LARGE, help="of the large tasks")
    large = parser.parse_args().events
    conditions("a2a-sdk", "rocksdict", "uvicorn")
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as store:
        labs = Labs(store)
        ids = {
            (agent, count): labs.begin(agent, count) for agent in ("statuses", "artifacts") for count in (SMALL, large)
        }
        labs.rest()
        rows, firsts = [], {}
        for (agent, count), task_id in ids.items():
            offset = labs.get(agent, task_id)[1]["metadata"]["urn:nbagora:a2a-log:1"]["offset"]
            for what, cursor in (("snapshot", ""), ("cursor", str(int(offset) - 50))):
                seen = [labs.first(agent, task_id, cursor) for _ in range(TIMES)]
                seconds, size = median(one[0] for one in seen), seen[-1][1]
                firsts[agent, count, what] = seconds, size
                rows.append([agent, count, what, f"{1e3 * seconds:.2f}", size, f"{1e9 * seconds / size:.0f}"])
        table(["task of", "events", "first event", "ms", "bytes", "ns a byte"], rows)
        labs.go.set()
        for (agent, _), task_id in ids.items():
            while labs.get(agent, task_id)[1]["status"]["state"] != "TASK_STATE_COMPLETED":
                time.sleep(0.02)
        time.sleep(QUIET)
        labs.rates.clear()
        for _ in range(TURNS):
            for count in (1000, large):
                labs.rest()
                labs.begin("artifacts", count)
        rates = {key: median(values) for key, values in labs.rates.items()}
        labs.lab.stop()
        again = Labs(store)
        again.get("statuses", "none.x")  # the way is warm, the task is not
        cold = {key: again.get(key[0], task_id)[0] for key, task_id in ids.items()}
        again.lab.stop()
    print()
    table(["task of", "events", "cold GetTask, ms"], [[*key, f"{1e3 * value:.1f}"] for key, value in cold.items()])
    table(["task of", "events", "events/s written"], [[*key, f"{value:.0f}"] for key, value in rates.items()])
    for agent, what in (("statuses", "snapshot"), ("statuses", "cursor"), ("artifacts", "cursor")):
        ratio = firsts[agent, large, what][0] / firsts[agent, SMALL, what][0]
        goal(f"first event of {agent}, {what}, × that of {SMALL}", ratio, at_most=2)
    per = {
        count: firsts["artifacts", count, "snapshot"][0] / firsts["artifacts", count, "snapshot"][1]
        for count in (SMALL, large)
    }
    goal(f"first event of artifacts, snapshot, per byte, × that of {SMALL}", per[large] / per[SMALL], at_most=2)
    goal("cold GetTask of statuses, ×", cold["statuses", large] / cold["statuses", SMALL], at_most=10)
    goal(
        "chunks/s of the large task, × that of 1,000",
        rates["artifacts", large] / rates["artifacts", 1000],
        at_least=0.9,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
