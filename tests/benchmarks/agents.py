"""What the journal costs an agent's run; replay and tapes against what they stand in for; a search over 200 tools.

Runs have two requests to a model and one tool call. Each round does one of each kind, so that peer and subject meet the
same load; the medians of all rounds are compared. Time is the process's own CPU time: what waits here waits for others.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from _report import conditions, goal, table
from pydantic_ai import Agent, Tool
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import message_of
from nbagora_lab.agents.defaults import Defaults
from nbagora_lab.agents.journal import Journal
from nbagora_lab.agents.models import function, rules, tape
from nbagora_lab.agents.pydantic import run_steps
from nbagora_lab.agents.replay import replay
from nbagora_lab.agents.tools import search_tools, tools
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.ids import RandomIds

VERBS = ("find", "book", "cancel", "rate", "compare", "list", "change", "price", "share", "print")
THINGS = (
    "ship", "train", "hotel", "museum", "park", "opera", "taxi", "visa", "ticket", "bridge",
    "flight", "bus", "camera", "restaurant", "guide", "tour", "insurance", "meal", "seat", "room",
)  # fmt: skip


def respond(messages: list[Any], info: Any) -> ModelResponse:
    """Calls the tool, then answers."""
    if len(messages) == 1:
        return ModelResponse(parts=[ToolCallPart("find_trains", {"to": "北京"}, tool_call_id="call-1")])
    return ModelResponse(parts=[TextPart("G1 it is.")])


def find_trains(to: str) -> list[str]:
    """Finds trains."""
    return ["G1", "G3"]


async def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds of each kind of run, one of each a round."""
    log = EmbeddedLog(folder / "store", clock=SystemClock(), durability="os")
    tasks = TaskLog(log, SystemClock(), RandomIds())
    agent = Agent(function(respond), name="trip", tools=[find_trains])
    recorded = Agent(tape(folder / "tape.json", record=function(respond)), name="trip", tools=[find_trains])
    await recorded.run("x")
    taped = Agent(tape(folder / "tape.json"), name="trip", tools=[find_trains])
    last: list[Any] = []

    async def bare() -> None:
        assert (await agent.run("x")).output == "G1 it is."

    opened = [tasks.open("", "trip", message_of("ROLE_USER", "m", [{"text": "x"}]))[0] for _ in range(rounds + 5)]

    async def journaled() -> None:
        live = opened.pop()
        last[:] = [live]

        async def nobody(question: str, metadata: Any) -> Any:
            raise AssertionError(question)

        task: Any = SimpleNamespace(
            id=live.id, agent="trip", clock=SystemClock(), journal=Journal(live, log, nobody), defaults=Defaults()
        )
        assert (await run_steps(agent, "x", task, Defaults())).output == "G1 it is."

    async def replayed() -> None:
        [live] = last
        assert len(list(replay(log, live.topic, live.id))) == 3

    async def from_tape() -> None:
        assert (await taped.run("x")).output == "G1 it is."

    kinds: dict[str, Callable[[], Awaitable[None]]] = {
        "bare": bare,
        "journaled": journaled,
        "replayed": replayed,
        "from a tape": from_tape,
    }
    took: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 5):
        for kind, run in kinds.items():
            began = time.process_time()
            await run()
            if number >= 5:  # the first ones warm caches
                took[kind].append((time.process_time() - began) * 1e3)
    log.close()
    return took


async def right_tools() -> list[tuple[str, int, int, float]]:
    """Of so many questions how many have the right tool called: with all tools read, and with a search over them."""
    called: list[str] = []

    def make(name: str) -> Callable[[str], str]:
        def tool(city: str) -> str:
            called.append(name)
            return "done"

        return tool

    offered = [
        Tool(make(f"{verb}_{thing}s"), name=f"{verb}_{thing}s", description=f"{verb.title()}s {thing}s in a city.")
        for verb in VERBS
        for thing in THINGS
    ]
    rows = []
    for how, search in (("all read", False), ("searched", True)):
        together = tools(*offered, search=search)
        agent = Agent(rules(), toolsets=[together])
        asked = [(verb, thing) for verb in VERBS for thing in THINGS][::7]  # 29, of all verbs and most things
        right, all_calls = 0, 0
        for verb, thing in asked:
            called.clear()
            result = await agent.run(f"Please {verb} a {thing} in Beijing", capabilities=search_tools([together]))
            assert result.output
            right += called[:1] == [f"{verb}_{thing}s"]
            all_calls += len(called)
        rows.append((how, right, len(asked), all_calls / len(asked)))
    return rows


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--no-search", action="store_true", help="leaves out the search over 200 tools")
    given = parser.parse_args()
    conditions("pydantic-ai-slim", "pydantic", "rocksdict")
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as folder:
        took = asyncio.run(measure(Path(folder), given.rounds))
    middle = {kind: statistics.median(times) for kind, times in took.items()}
    table(
        ("a run of one tool call", "ms of CPU", "of bare"),
        [(kind, f"{value:.2f}", f"{value / middle['bare']:.2f}x") for kind, value in middle.items()],
    )
    goal("journaled over bare", middle["journaled"] / middle["bare"], at_most=1.3)
    goal("journaled over replayed", middle["journaled"] / middle["replayed"], at_least=10)
    goal("from a tape over the function model", middle["from a tape"] / middle["bare"], at_most=1.2)
    if not given.no_search:
        rows = asyncio.run(right_tools())
        table(
            ("200 tools", "right tool first", "calls a question"),
            [(how, f"{right}/{of} ({100 * right / of:.0f} %)", f"{calls:.2f}") for how, right, of, calls in rows],
        )
    return 0
