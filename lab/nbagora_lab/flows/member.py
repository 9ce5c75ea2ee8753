"""Members of a flow: an A2A agent by name, a pydantic-ai `Agent`, or a plain function, asked in one way.

Each ask is a step of the task's journal (`flow.step`): on resuming, one that has a result is not asked again.

- The name of an A2A agent: is given text, or a dict as data; gives its data, if that is one value and there is no text,
  else its text. What it asks back is asked of the task's user, and the answer goes to it. Where its caller's process
  dies, the same message is sent again: who took it in goes on with its task.
- A pydantic-ai `Agent`: is given text, gives its output; goes on at its first model or tool step without a result.
- A function of ``(value)`` or ``(value, task)``: is given the value as it is. Where the process dies in it, the user is
  asked whether it happened, unless it is `repeatable`.
- A `person`: is asked as the user of the task, and the question stands until it is answered.

What goes in and comes out is JSON, also the first time, so that a flow that goes on sees what it saw before: a pydantic
model comes out as a dict.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic_core import to_jsonable_python

from nbagora_lab.a2a.task import Task
from nbagora_lab.agents.definition import AgentDefinition, define
from nbagora_lab.agents.journal import current_step
from nbagora_lab.agents.message import Message
from nbagora_lab.agents.output import USAGE
from nbagora_lab.agents.task import running_task
from nbagora_lab.core.errors import AgentChanged, BadAgent, LabError, LimitReached, StoreError, TaskEnded, TaskFailed
from nbagora_lab.core.events import RecordType
from nbagora_lab.flows.limits import Spent, account, levels_left, spend, tokens_left

__all__ = [
    "Asked",
    "Member",
    "ask",
    "attempt",
    "container",
    "member_of",
    "person",
    "plain",
    "reason",
    "repeatable",
    "step",
    "text_of_value",
]

Asked = Any
"""What can be a member: the name of an A2A agent, a pydantic-ai `Agent`, a function, or a `Member`."""

_NESTED = re.compile(r"^'[^']*' failed: ")  # of calls within calls the innermost says what was wrong
_F = TypeVar("_F", bound=Callable[..., Any])
_REPEATABLE = "__nbagora_repeatable__"
_NAMELESS = "agent"


def repeatable(function: _F) -> _F:
    """Declares that a function may be called again where nobody knows whether it was: it has no lasting effect.

    Example:
        >>> @repeatable
        ... def long_enough(text):
        ...     return len(text) > 100
    """
    try:
        setattr(function, _REPEATABLE, True)
    except AttributeError:  # a built-in one, such as `str.upper`
        return cast("_F", repeatable(functools.partial(function)))
    return function


def person(name: str = "user") -> Member:
    """The user as a member: is asked, and the task waits for the answer; an approval, a turn, a last resort."""
    return Member(name, None, "person", repeatable=True)


@dataclass(frozen=True, slots=True)
class Member:
    """A member.

    Attributes:
        name: What steps and lanes call it.
        target: The agent's name, the `Agent` or the function.
        kind: ``agent``, ``model``, ``function`` or ``person``.
        repeatable: Whether it may be asked again where nobody knows whether it was.
        definition: How a function is called; None for others.
    """

    name: str
    target: Any
    kind: str
    repeatable: bool
    definition: AgentDefinition | None = None

    def given(self, value: Mapping[str, Any]) -> Any:
        """A dict as this member takes it best: functions as it is, all others as text."""
        return value if self.kind == "function" else text_of_value(value)


def member_of(target: Asked, name: str = "") -> Member:
    """Takes an object as a member.

    Args:
        target: An agent's name or URL, a pydantic-ai `Agent`, a function of ``(value)`` or ``(value, task)``.
        name: What steps call it; by default its own name.

    Raises:
        BadAgent: It can't be one.
    """
    if isinstance(target, Member):
        return target if not name else Member(name, target.target, target.kind, target.repeatable, target.definition)
    if isinstance(target, str):
        if not target.strip():
            raise BadAgent("a member without a name", "give the name of an agent, a function or an Agent")
        return Member(name or target, target, "agent", repeatable=True)
    pydantic_ai = sys.modules.get("pydantic_ai")
    if pydantic_ai is not None and isinstance(target, pydantic_ai.Agent):
        return Member(name or target.name or _NAMELESS, target, "model", repeatable=True)
    try:
        return _function(target, name)
    except TypeError:  # it can't be hashed
        return _function.__wrapped__(target, name)


@functools.lru_cache(256)  # a flow of a thousand steps asks the same few
def _function(target: Any, name: str) -> Member:
    inner = target.func if isinstance(target, functools.partial) else target
    own = name or str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
    if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
        raise BadAgent(f"the member '{own}' yields", "a member returns; host one that yields as an agent, and name it")
    definition = define(own, target)
    return Member(
        own,
        target,
        "function",
        bool(getattr(target, _REPEATABLE, False) or getattr(inner, _REPEATABLE, False)),
        definition,
    )


def plain(value: object) -> Any:
    """A value as JSON: what a step is asked, and what comes of it.

    A `Message` or `Task` is its data if that is one value and there is no text, else its text.

    Raises:
        BadYield: JSON can't hold it.
    """
    if isinstance(value, Message | Task):
        return value.data[0] if len(value.data) == 1 and not value.text else value.text
    if isinstance(value, str | int | float | bool | None):
        return value
    return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64")


def text_of_value(value: object) -> str:
    """A value as a model reads it: text as it is, a dict as paragraphs ``key: value``, all else as JSON."""
    value = plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n\n".join(f"{key}: {text_of_value(one)}" for key, one in value.items())
    return json.dumps(value, ensure_ascii=False)


async def ask(
    target: Asked,
    value: object,
    *,
    name: str = "",
    key: str = "",
    about: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Asks a member, as a step of the running task: done once, whatever happens to the process.

    Args:
        target: The member.
        value: What it is asked: text, a `Message`, or JSON.
        name: What the step is called; by default as the member.
        key: Its name in the path of steps, where several of one name run side by side.
        about: More for the step's records.
        options: For a pydantic-ai `Agent`: more arguments of its ``run``.

    Returns:
        What came of it, as JSON.

    Raises:
        LimitReached: Nothing is left of what the flow may spend.
        TaskFailed: An agent's task ended FAILED, REJECTED or CANCELED.
    """
    member, question = member_of(target, name), plain(value)
    with account(member=True) as spent:
        call = _CALLS[member.kind]
        told = {"member": member.kind, **(about or {})}
        if member.kind == "model":
            from nbagora_lab.agents.pydantic import model_name

            told["model"] = model_name(member.target, running_task().defaults.model)
        return await _spending(
            member.name,
            lambda: call(member, question, **options),
            spent,
            key=key,
            input=question,
            idempotent=member.repeatable,
            about=told,
        )


async def container(name: str, call: Callable[[], Any], value: object, **about: Any) -> Any:
    """A step that consists of others: it is gone into again, and its finished steps give what they gave.

    Args:
        name: The pattern's name.
        call: Does it.
        value: What it was asked.
        about: More for its records.
    """
    with account() as spent:
        return await _spending(
            name, call, spent, key="", input=plain(value), idempotent=True, about={"flow": name, **about}
        )


def reason(error: BaseException) -> str:
    """Why a member failed, in words; what no other member could help with is raised again.

    Raises:
        LimitReached, AgentChanged, TaskEnded, StoreError: As given.
        BaseException: What is no `Exception`: a cancellation.
    """
    if isinstance(error, LimitReached | AgentChanged | TaskEnded | StoreError) or not isinstance(error, Exception):
        raise error
    return error.what if isinstance(error, LabError) else f"{type(error).__name__}: {error}".rstrip(": ")


async def attempt(asked: Awaitable[Any]) -> tuple[Any, Exception | None]:
    """What a member gave, or how it failed; what no other member could help with is raised."""
    try:
        return await asked, None
    except Exception as error:  # noqa: BLE001 -- whatever it is, somebody else may do it
        reason(error)
        return None, error


async def step(name: str, call: Callable[[], Awaitable[Any]], **options: Any) -> Any:
    """A step of the flow itself; options as `Journal.step` takes them."""
    return await running_task().journal.step(RecordType.FLOW_STEP, name, call, **options)


async def _spending(name: str, call: Callable[[], Any], spent: Spent, **options: Any) -> Any:
    """A step whose record says what was spent in it."""
    called = False

    async def do() -> Any:
        nonlocal called
        called = True
        return await call()

    def heard(about: Mapping[str, Any]) -> None:
        if not called:  # by an earlier process: the record says what it took
            spend(about)

    return await step(name, do, tell=lambda _: spent.as_json(), heard=heard, same=True, **options)


async def _ask_function(member: Member, value: Any) -> Any:
    definition = member.definition
    assert definition is not None
    arguments = (value, running_task())[: definition.takes]
    if definition.sync:
        from anyio import to_thread

        result = await to_thread.run_sync(lambda: definition.target(*arguments))
    else:
        result = definition.target(*arguments)
    return plain(await result if inspect.isawaitable(result) else result)


async def _ask_person(_member: Member, value: Any) -> Any:
    return (await running_task().journal.ask(text_of_value(value), key="answer")).text


async def _ask_agent(member: Member, value: Any) -> Any:
    task = running_task()
    content = value if isinstance(value, str | dict) else text_of_value(value)
    below = levels_left()
    levels = None if below is None else below + 1
    try:
        called = await task.call(member.target, content, key=current_step(), levels=levels, forward=True)
    except TaskFailed as error:
        if not isinstance(error.task, Task):
            raise
        why = _NESTED.sub("", error.task.error) or error.task.state
        raise TaskFailed(f"'{member.target}' failed: {why}", error.hint, error.task) from None
    spend(_usage_of(called))
    return plain(called)


def _usage_of(task: Task) -> Mapping[str, Any]:
    """What a called task says that it took."""
    said = task.raw.get("metadata", {}).get(USAGE, {})
    return said if isinstance(said, Mapping) else {}


async def _ask_model(member: Member, value: Any, **options: Any) -> Any:
    from pydantic_ai import UsageLimits

    from nbagora_lab.agents.pydantic import run_steps

    task, left = running_task(), tokens_left()
    defaults = options.pop("defaults", task.defaults)
    limits = UsageLimits(request_limit=defaults.requests, tool_calls_limit=defaults.tool_calls, total_tokens_limit=left)
    name = member.name if member.name != _NAMELESS else current_step()  # there may be several that have none
    result = await run_steps(member.target, text_of_value(value), task, defaults, name=name, limits=limits, **options)
    usage = result.usage
    counted = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    spend({"usage": counted, "cost": float(usage.cost or 0.0)})
    return plain(result.output)


_CALLS: dict[str, Callable[..., Awaitable[Any]]] = {
    "agent": _ask_agent,
    "function": _ask_function,
    "model": _ask_model,
    "person": _ask_person,
}
