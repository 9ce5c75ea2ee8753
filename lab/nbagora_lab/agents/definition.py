"""What can be an agent: a function, sync or async, returning or yielding, or a pydantic-ai `Agent`."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

from nbagora_lab.agents.defaults import Defaults
from nbagora_lab.agents.message import Message
from nbagora_lab.agents.output import Output
from nbagora_lab.agents.task import AgentTask, Emission, Reply
from nbagora_lab.core.errors import BadAgent

__all__ = ["AgentDefinition", "define"]

_Kind = Literal["async function", "sync function", "pydantic-ai"]


_DEFAULTS = Defaults()
_TURN = 250e-6
# seconds that an async generator may hold the agents' loop: one that yields and never awaits would else keep all other
# agents, and its own cancellation, waiting until it ends


@dataclass(frozen=True, slots=True)
class AgentDefinition:
    """An agent as its cell or file defines it.

    Attributes:
        name: The agent's name.
        target: The function or pydantic-ai `Agent`.
        kind: Which of these it is; sync functions run on worker threads.
        description: First paragraph of its docstring, or what was given.
        reply: ``task``, ``message`` or ``either``.
        takes: Number of arguments that the function takes: message, task.
        model: What answers, as records name it: ``code`` for functions, the model's kind for pydantic-ai.
        defaults: What holds where nothing else is said.
        asked_model: The model that was asked for where the agent was defined; empty for its own or the lab's.
        resumable: Whether a task that was at work when its process died is called anew.
    """

    name: str
    target: Any
    kind: _Kind
    description: str
    reply: str
    takes: int
    model: str
    defaults: Defaults = _DEFAULTS
    asked_model: str = ""
    resumable: bool = False

    @property
    def sync(self) -> bool:
        """Whether it must be run on a worker thread."""
        return self.kind == "sync function"

    async def run(self, message: Message, task: AgentTask, output: Output) -> None:
        """Runs it on the agents' loop, to its end. Not for sync functions."""
        if self.kind == "pydantic-ai":
            from nbagora_lab.agents.pydantic import run_agent

            await run_agent(self.target, message, task, output, self.defaults, self.asked_model)
            return
        result = self.target(*(message, task)[: self.takes])
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterator):
            began = perf_counter()
            async for value in result:
                _take(value, output)
                if perf_counter() - began > _TURN:
                    await asyncio.sleep(0)
                    began = perf_counter()
            result = None
        _finish(result, output)

    def run_sync(self, message: Message, task: AgentTask, output: Output) -> None:
        """Runs a sync function in this thread, to its end."""
        result = self.target(*(message, task)[: self.takes])
        if isinstance(result, Iterator):
            result = _drain(result, task, output)
        _finish(result, output)


def _drain(values: Iterator[Any], task: AgentTask, output: Output) -> Any:
    """Takes all that a generator yields; returns what it returns. A cancelled task's generator is closed."""
    while not task.cancelled:
        try:
            _take(next(values), output)
        except StopIteration as stop:
            return stop.value
    close = getattr(values, "close", None)
    if close is not None:
        close()
    raise asyncio.CancelledError


def _take(value: object, output: Output) -> None:
    if isinstance(value, Emission):
        value.act()
    elif value is not None:
        output.put(value)


def _finish(result: object, output: Output) -> None:
    if isinstance(result, Reply):
        output.answer(result.parts)
        return
    if isinstance(result, Emission):
        result.act()
    elif result is not None:
        output.put(result, last=True)
    if not output.ended:
        output.complete()


def define(
    name: str,
    target: object,
    *,
    reply: str = "task",
    description: str | None = None,
    model: str = "",
    defaults: Defaults = _DEFAULTS,
    resumable: bool = False,
) -> AgentDefinition:
    """Takes an object as an agent.

    Args:
        name: The agent's name.
        target: A function of ``(message, task)`` or ``(message)``, or a pydantic-ai `Agent`.
        reply: What it may answer with: ``task``, ``message`` or ``either``.
        description: What it does; by default the first paragraph of its docstring.
        model: What answers for a pydantic-ai `Agent`, as `models.choose` takes it; empty: its own, or else the lab's.
        defaults: What holds where nothing else is said.
        resumable: Whether a task that was at work when its process died is called anew; a pydantic-ai `Agent`'s are.

    Raises:
        BadAgent: It can't be one; says why.
    """
    if reply not in {"task", "message", "either"}:
        raise BadAgent(f"the agent '{name}' replies with {reply!r}", "reply is task, message or either")
    pydantic_ai = sys.modules.get("pydantic_ai")
    if pydantic_ai is not None and isinstance(target, pydantic_ai.Agent):
        from nbagora_lab.agents.pydantic import describe, model_name

        about = description or describe(target)
        answers = model or model_name(target, defaults.model)
        return AgentDefinition(name, target, "pydantic-ai", about, reply, 2, answers, defaults, model, True)
    function: Any = target
    if isinstance(target, type) or not callable(function):
        raise BadAgent(
            f"'{name}' is a {type(target).__name__}, not an agent",
            "an agent is a function of (message, task) or a pydantic-ai Agent",
        )
    takes = _takes(name, function)
    called: Any = target if inspect.isroutine(target) else type(target).__call__
    is_async = inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
    about = description or (inspect.getdoc(target) or "").partition("\n\n")[0].replace("\n", " ").strip()
    kind: _Kind = "async function" if is_async else "sync function"
    return AgentDefinition(name, target, kind, about, reply, takes, "code", defaults, resumable=resumable)


def _takes(name: str, target: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return 2
    positional = [one for one in parameters if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}]
    required = [one for one in positional if one.default is one.empty]
    missing = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    star = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    if len(required) > 2 or missing or (not positional and not star):
        raise BadAgent(
            f"the function of '{name}' takes ({', '.join(one.name for one in parameters)})",
            "an agent's function takes (message, task) or (message)",
        )
    return 2 if star else min(len(positional), 2)
