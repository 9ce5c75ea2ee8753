"""Flows without a lab: a task on an embedded log whose process dies where a test says, and members that tell.

`Team` makes members that note who was asked in which step. Its agents stand for other labs: they remember what they
were asked under which key, and answer the same call once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from unittest import mock

from crashes import Crashes, Died
from nbagora_lab.a2a.task import Task
from nbagora_lab.agents.defaults import Defaults
from nbagora_lab.agents.journal import Journal, current_step
from nbagora_lab.agents.task import running
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import TaskFailed
from nbagora_lab.flows import repeatable
from nbagora_lab.inspect.steps import Step, read_steps

__all__ = ["FlowRuns", "Team", "prove"]

Flow = Callable[[], Awaitable[Any]]


class Team:
    """Members, and what they were asked.

    Attributes:
        asked: The paths of steps in which somebody was asked, in order; one twice if it was asked twice.
        agents: Functions that stand for A2A agents, by name.
        keys: What was asked of agents, by the key of the call: it is theirs, and outlives the caller's process.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.agents: dict[str, Callable[[Any], Any]] = {}
        self.keys: dict[str, Any] = {}

    def member(self, name: str, does: Callable[[Any], Any], *, again: bool = True, waits: int = 0) -> Any:
        """A function as a member; `waits` gives the loop to others so many times first."""

        async def work(value: Any) -> Any:
            self.asked.append(current_step())
            for _ in range(waits):
                await asyncio.sleep(0)
            return does(value)

        work.__name__ = name
        return repeatable(work) if again else work

    def model(self, agent: Any) -> Any:
        """A pydantic-ai `Agent` as a member; each request to its model, and each call of its tools, is noted."""
        model = agent.model

        def noted(call: Callable[..., Any]) -> Callable[..., Any]:
            def answer(*args: Any, **named: Any) -> Any:
                self.asked.append(current_step())
                return call(*args, **named)

            return answer

        model.function = noted(model.function)
        model.stream_function = model.stream_function and noted(model.stream_function)
        return agent

    def agent(self, name: str, does: Callable[[Any], Any]) -> str:
        """An A2A agent as a member."""
        self.agents[name] = does
        return name

    async def call(self, agent: str, content: Any, *, key: str = "", levels: int | None = None, **_: Any) -> Task:
        """What `AgentTask.call` does."""
        if key not in self.keys:
            self.asked.append(key)
            await asyncio.sleep(0)
            self.keys[key] = self.agents[agent](content)
        said = self.keys[key]
        if isinstance(said, Exception):
            raise TaskFailed(f"the task of {agent} ended FAILED: {said}", "", None)
        part = {"text": said} if isinstance(said, str) else {"data": said}
        raw = {"id": key, "status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": [{"parts": [part]}]}
        return Task(agent, raw)


class _FlowTask:
    id, agent, defaults = "ctx.t", "flow", Defaults()

    def __init__(self, journal: Journal, team: Team) -> None:
        self.journal = journal
        self.call = team.call
        self.clock = VirtualClock()


class FlowRuns:
    """Runs of one flow in one store.

    Args:
        path: The store.
        team: Whom the flow asks.
        answers: What the user answers.
    """

    def __init__(
        self, path: Path, team: Team | None = None, answers: Callable[[str, Mapping[str, Any]], str] | None = None
    ) -> None:
        self._path, self._answers, self._stores = path, answers or (lambda question, metadata: "do it"), 0
        self.team = team or Team()
        self.crashes = Crashes(path / "0", self._answers)

    def anew(self) -> Self:
        """Another task, in another store, for another flow; the team is a new one, too."""
        self.crashes.close()
        self._stores += 1
        self.team, self.crashes = Team(), Crashes(self._path / str(self._stores), self._answers)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.crashes.close()

    def run(self, flow: Flow, *, after: int | None = None) -> Any:
        """What a flow gives; see `Crashes.run`."""

        async def body(journal: Journal) -> Any:
            running.set(_FlowTask(journal, self.team))  # type: ignore[arg-type]
            return await flow()

        return self.crashes.run(body, after=after)

    @property
    def log(self) -> EmbeddedLog:
        return self.crashes._log

    def steps(self) -> dict[str, Step]:
        """The steps by path."""
        if self.crashes.live is None:
            return {}
        return {step.key: step for step in read_steps(self.log, self.crashes.live.topic)}

    def told(self) -> dict[str, tuple[Any, ...]]:
        """What the records say in the end, whatever happened in between; without questions about outcomes."""
        return {
            path: (step.parent, step.name, step.state, dumped(step.input), dumped(step.output), dumped(step.error))
            for path, step in self.steps().items()
            if "/outcome" not in path
        }


def dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def outcome(runs: FlowRuns, flow: Flow, **options: Any) -> tuple[str, Any]:
    """What a flow gives or raises."""
    try:
        return "gives", runs.run(flow, **options)
    except Exception as error:
        return "raises", f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def nobody_is_called() -> Iterator[None]:
    """No socket opens inside."""
    with mock.patch.object(socket, "socket", side_effect=AssertionError("a socket was opened")):
        yield


def prove(path: Path, build: Callable[[Team], Flow], *, every: int = 1) -> Counter[str]:
    """Crashes a flow behind each record, and once more behind each record of what then goes on.

    Each process has members of its own. Each time it ends as without a crash, its records tell the same, and no step
    that had a result was asked again. Once it has ended, running it anew asks nobody, and reading it opens no socket.

    Returns:
        How often each step was asked without a crash.
    """
    whole = FlowRuns(path / "whole")
    with whole:
        ended = outcome(whole, build(whole.team))
        records = len(whole.crashes.records())
        told, asked = whole.told(), Counter(whole.team.asked)
        assert outcome(whole, build(whole.team)) == ended
        with nobody_is_called():
            assert whole.told() == told
        assert Counter(whole.team.asked) == asked, "replaying asked somebody"
    assert max(asked.values(), default=1) == 1
    for after in range(0, records, every):
        with FlowRuns(path / f"after-{after}") as runs:
            for crash in (after, 1, None):
                finished = {key for key, step in runs.steps().items() if step.ended >= 0}
                before = len(runs.team.asked)
                with contextlib.suppress(Died):
                    came = outcome(runs, build(runs.team), after=crash)
                assert not finished & set(runs.team.asked[before:]), "a finished step was asked again"
            assert came == ended
            assert runs.told() == told
    return asked
