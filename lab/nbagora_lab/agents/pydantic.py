"""pydantic-ai agents: each of their steps is on record, their text streams into the task, what was said before in the
context is their history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any
from weakref import ref

from pydantic_ai import Agent
from pydantic_ai.agent import AgentRunResult
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset
from pydantic_ai.usage import UsageLimits

from nbagora_lab.agents.defaults import Defaults
from nbagora_lab.agents.durable import JournalDurability, JournaledModel
from nbagora_lab.agents.journal import current_step, digest
from nbagora_lab.agents.message import Message
from nbagora_lab.agents.models import ScriptedModel, choose, kind_of
from nbagora_lab.agents.output import Output
from nbagora_lab.agents.short import Turn
from nbagora_lab.agents.task import AgentTask
from nbagora_lab.agents.tools import search_tools
from nbagora_lab.core.errors import AgentError, BadAgent, LimitReached
from nbagora_lab.core.events import RecordType
from nbagora_lab.inspect.model import first_words

__all__ = ["describe", "model_name", "run_agent", "run_steps"]

_BRIEF = "Put this conversation in a few sentences. Keep names, dates, numbers, wishes and what was decided."
_QUOTE = 120  # characters of a message in a summary without a model
_tools: dict[int, tuple[ref[Any], dict[str, str]]] = {}  # by an agent's `id`: its tools with their digests


def describe(agent: Agent[Any, Any]) -> str:
    """What an agent does, from its own description or the first line of its instructions."""
    for attribute in ("description", "_description"):
        if text := getattr(agent, attribute, None):
            return str(text)
    for text in _instructions(agent):
        if text.strip():
            return text.strip().splitlines()[0]
    return ""


def _instructions(agent: Agent[Any, Any]) -> list[str]:
    """Its instructions; of a function, its name."""
    texts = []
    for sourced in getattr(agent, "_instructions", None) or ():
        instruction = getattr(sourced, "instruction", sourced)
        texts.append(instruction if isinstance(instruction, str) else f"{getattr(instruction, '__name__', '…')}()")
    return texts


def model_name(agent: Agent[Any, Any], default: str = "none") -> str:
    """What answers, as records and tables show it: the agent's own model, or else the lab's."""
    return kind_of(agent.model) if agent.model is not None else default


async def run_agent(
    agent: Agent[Any, Any], message: Message, task: AgentTask, output: Output, defaults: Defaults, model: str = ""
) -> None:
    """Runs an agent on a message, as the task.

    Args:
        agent: The agent.
        message: The newest message.
        task: The task.
        output: Where its words go.
        defaults: What holds where nothing else is said.
        model: What answers, before all else; empty: the agent's own model, or else the lab's.

    Raises:
        BadAgent: It has no model.
        AgentError: The model failed it.
        LimitReached: It took more than it may.
    """
    asked = task.request if task.restarted else message
    model = task.model or model
    earlier = await _remembered(agent, task, defaults, model)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        output.put(text)

    result = await run_steps(agent, _prompt(asked), task, defaults, model=model, say=say, history=earlier)
    if not (said and isinstance(result.output, str)):
        output.put(result.output)
    output.complete()


async def run_steps(
    agent: Agent[Any, Any],
    prompt: str | Sequence[UserContent],
    task: AgentTask,
    defaults: Defaults,
    *,
    name: str = "",
    model: Model | str | None = None,
    say: Callable[[str], None] = lambda _: None,
    history: Sequence[ModelMessage] = (),
    limits: UsageLimits | None = None,
    **options: Any,
) -> AgentRunResult[Any]:
    """Runs an agent as a part of a task: its steps are the task's, and are not done again when that goes on.

    Args:
        agent: The agent.
        prompt: What it is asked.
        task: The task.
        defaults: What holds where nothing else is said.
        name: What its steps and its fingerprint go by; by default its own name, or the task's agent.
        model: What answers, before all else; None: the agent's own model, or else the lab's.
        say: Is given the text of its answers, as it comes.
        history: What was said before.
        limits: What it may take; by default what `defaults` say.
        options: More for `Agent.run`.

    Raises:
        As `run_agent`.
    """
    given = model or agent.model or defaults.model
    chosen = choose(given)
    if chosen is None:
        raise BadAgent(
            "the pydantic-ai agent has no model", "give it one: Agent(model=…), %lab start --model rules, or --model"
        )
    kind, name = kind_of(chosen), name or agent.name or task.agent
    journal = task.journal
    journal.begin(name, _fingerprint(agent, kind))
    if isinstance(chosen, ScriptedModel):
        chosen.resume(f"{task.id}/{path}" for path in journal.asked(name))
    durability = JournalDurability(
        journal,
        clock=task.clock,
        run_id=f"{task.id}/{current_step()}",
        tool_timeout=defaults.tool_timeout or None,
        result_limit=defaults.tool_result,
    )
    limits = limits or UsageLimits(request_limit=defaults.requests, tool_calls_limit=defaults.tool_calls)
    if _streams(chosen):
        options["event_stream_handler"] = _drain  # has it ask the model for a stream; the words go out in the step
    try:
        async with nullcontext() if chosen is given else chosen:  # what was made here ends here, with its connections
            with agent.parallel_tool_call_execution_mode("sequential"):
                result: AgentRunResult[Any] = await durability.part_of(agent).run(
                    prompt,
                    message_history=list(history),
                    model=JournaledModel(chosen, journal, kind=kind, say=say),
                    capabilities=search_tools(agent.toolsets) or None,
                    usage_limits=limits,
                    infer_name=False,  # it'd name an agent without a name for a variable of ours, from its second run
                    **options,
                )
    except UsageLimitExceeded as error:
        why = str(error).partition(". Consider ")[0]  # its own hint is of its own settings
        raise LimitReached(f"'{name}' may take no more: {why}", "raise the limit, or find what repeats") from None
    except UnexpectedModelBehavior as error:
        raise AgentError(
            f"the model of '{name}' ({kind}) failed it: {error.message}", "see the task's steps"
        ) from error
    except ModelHTTPError as error:
        raise AgentError(
            f"the model {kind} answered {error.status_code}: {error.message}", "see %lab doctor --model"
        ) from error
    if isinstance(chosen, ScriptedModel):
        chosen.end(result.new_messages())
    return result


async def _drain(_context: Any, events: Any) -> None:
    async for _ in events:
        pass


def _fingerprint(agent: Agent[Any, Any], kind: str) -> dict[str, Any]:
    """What makes an agent what it is; a server tells its tools once it is connected."""
    key = id(agent)
    known = _tools.get(key)
    if known is None:
        tools: dict[str, str] = {}
        for toolset in agent.toolsets:
            toolset.apply(lambda leaf: tools.update(_digests(leaf)))
        known = _tools[key] = ref(agent, lambda _: _tools.pop(key, None)), tools
    return {"instructions": "\n".join(_instructions(agent)), "model": kind, "tools": known[1]}


def _digests(leaf: AbstractToolset[Any]) -> dict[str, str]:
    if not isinstance(leaf, FunctionToolset):
        return {leaf.label: ""} if leaf.id and not leaf.id.startswith("<") else {}
    found = {}
    for name, tool in leaf.tools.items():
        told = [tool.description, tool.function_schema.json_schema, tool.requires_approval]
        found[name] = digest(told)
    return found


def _streams(model: Model) -> bool:
    return getattr(model, "streams", True) and not (isinstance(model, FunctionModel) and model.stream_function is None)


def _prompt(message: Message) -> str | Sequence[UserContent]:
    files = [BinaryContent(file.content, media_type=file.media_type) for file in message.files if file.content]
    texts = [message.text, *(str(value) for value in message.data)]
    text = "\n".join(part for part in texts if part)
    return [text, *files] if files else text


async def _remembered(agent: Agent[Any, Any], task: AgentTask, defaults: Defaults, model: str) -> list[ModelMessage]:
    """What was said before, as the model is told of it: all, or the newest turns and those before in short."""
    turns, summary, covered = task.memory
    if not defaults.window:
        return _history(turns)
    fresh = turns[covered:]
    if len(fresh) > defaults.window:
        keep = max(1, defaults.window // 2)  # so that not each turn from now on needs another summary
        old, fresh = fresh[:-keep], fresh[-keep:]
        summary = await _summarised(agent, task, defaults, model, summary, old)
        task.summarise(old[-1].task, summary)
    before = [ModelRequest(parts=[UserPromptPart(f"What was said before, in short:\n{summary}")])] if summary else []
    return [*before, *_history(fresh)]


async def _summarised(
    agent: Agent[Any, Any], task: AgentTask, defaults: Defaults, model: str, summary: str, turns: Sequence[Turn]
) -> str:
    """Turns, and the summary of those before them, in short; a step of the task. The model made of rules quotes."""
    said = [f"{one.role}: {one.text}" for turn in turns for one in turn.messages if one.text]
    given = model or agent.model or defaults.model

    async def summarise() -> str:
        if kind_of(given) in {"none", "rules"}:
            return "\n".join(([summary] if summary else []) + [first_words(line, _QUOTE) for line in said])
        brief: Agent[None, str] = Agent(instructions=_BRIEF)
        asked = "\n".join(([f"So far in short: {summary}"] if summary else []) + said)
        return str((await run_steps(brief, asked, task, defaults, name="summary", model=given)).output)

    return str(await task.journal.step(RecordType.FLOW_STEP, "summary", summarise, input=said, idempotent=True))


def _history(turns: Sequence[Turn]) -> list[ModelMessage]:
    history: list[ModelMessage] = []
    for one in (message for turn in turns for message in turn.messages):
        if one.role == "user":
            history.append(ModelRequest(parts=[UserPromptPart(one.text)]))
        else:
            history.append(ModelResponse(parts=[TextPart(one.text)]))
    return history
