"""Supervise: one member decides, step by step, which workers do what, and answers when it has what it needs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nbagora_lab.agents.journal import current_step
from nbagora_lab.agents.task import running_task
from nbagora_lab.core.errors import FlowFailed
from nbagora_lab.flows.member import Asked, Member, ask, attempt, container, member_of, plain, reason

__all__ = ["supervise"]


async def supervise(
    message: object,
    boss: Asked,
    workers: Mapping[str, Asked],
    *,
    at_most: int = 12,
    otherwise: Asked | None = None,
) -> Any:
    """A boss that gives work to others until it can answer.

    A pydantic-ai `Agent` gets each worker as a tool, ``ask_NAME(message)``. Any other boss is asked again and again
    with ``{"task", "done", "workers"}``, as text where it is an A2A agent, and returns ``{"ask": {name: request, …}}``
    for more work; whatever else it returns is the answer.

    A worker that fails does not end the work: the boss is told, and decides. A request that was made before is not
    made again, its result is given once more; and it counts.

    Args:
        message: The question.
        boss: Who decides.
        workers: Who works, by name.
        at_most: Requests at most.
        otherwise: Who answers, asked with ``{"task", "done", "why"}``, where the boss fails or the last request is
            used up.

    Raises:
        FlowFailed: The same, and there is no `otherwise`.
    """
    chief, hands = member_of(boss), {name: member_of(one, name) for name, one in workers.items()}
    fallback = member_of(otherwise) if otherwise is not None else None

    async def run() -> Any:
        question = plain(message)
        desk = _Desk(hands, at_most)
        answer, error = await attempt(_lead(chief, question, desk))
        if error is None:
            return answer
        if fallback is None:
            raise error
        asked = fallback.given({"task": question, "done": desk.done, "why": reason(error)})
        return await ask(fallback, asked, about={"because": reason(error)})

    return await container("supervise", run, message, members=[chief.name, *hands])


async def _lead(boss: Member, question: Any, desk: _Desk) -> Any:
    if boss.kind == "model":
        return await _with_tools(boss, question, desk)
    while True:
        brief = {"task": question, "done": desk.done, "workers": list(desk.workers)}
        said = await ask(boss, boss.given(brief), about={"boss": True})
        wanted = said.get("ask") if isinstance(said, Mapping) else None
        if not isinstance(wanted, Mapping) or not wanted:
            return said
        for name, request in wanted.items():
            await desk.give(name, request)


async def _with_tools(boss: Member, question: Any, desk: _Desk) -> Any:
    """Has a model decide, which asks workers as tools; a worker may take its time."""
    from pydantic_ai import Tool
    from pydantic_ai.toolsets import FunctionToolset

    tools = [Tool(desk.tool(name), metadata={"idempotent": True}) for name in desk.workers]
    defaults = running_task().defaults._replace(tool_timeout=0)
    return await ask(boss, question, about={"boss": True}, toolsets=[FunctionToolset(tools)], defaults=defaults)


class _Desk:
    """What was asked of the workers, and what came of it."""

    def __init__(self, workers: Mapping[str, Member], at_most: int) -> None:
        self.workers = workers
        self.done: list[dict[str, Any]] = []
        self._left = at_most
        self._at_most = at_most

    async def give(self, name: str, request: Any) -> Any:
        """Gives a worker something to do; what came of it, or why nothing did.

        Raises:
            FlowFailed: The last request is used up.
        """
        if self._left <= 0:
            raise FlowFailed(
                f"the boss has made {self._at_most} requests and does not answer", "raise at_most=, or find why"
            )
        self._left -= 1
        request = plain(request)
        for one in self.done:
            if (one["worker"], one["request"]) == (name, request):
                return one["result"]
        if name not in self.workers:
            result: Any = f"there is no worker '{name}'; there are {', '.join(self.workers)}"
        else:
            result, error = await attempt(ask(self.workers[name], request))
            if error is not None:
                result = f"'{name}' failed: {reason(error)}"
        self.done.append({"worker": name, "request": request, "result": result})
        return result

    def tool(self, name: str) -> Callable[[str], Awaitable[Any]]:
        """A worker as a tool of a model."""

        async def work(message: str) -> Any:
            if not self.done:
                self._recall()
            return await self.give(name, message)

        work.__name__ = _tool_name(name)
        work.__doc__ = f"Asks '{name}', who works for you, and returns what it says."
        return work

    def _recall(self) -> None:
        """Puts back what an earlier process had asked: tools that have a result are not called again."""
        boss = current_step().rpartition("/")[0]
        for step in running_task().journal.steps.values():
            if step.parent.rpartition("/")[0] == boss and step.name in self.workers and step.ended >= 0:
                self._left -= 1
                result = step.output if step.error is None else f"'{step.name}' failed: {step.error['what']}"
                self.done.append({"worker": step.name, "request": step.input, "result": result})


def _tool_name(worker: str) -> str:
    return "ask_" + re.sub(r"\W", "_", worker)
