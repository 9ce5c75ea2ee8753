"""pydantic-ai agents: their text streams into the task, what was said before in the context is their history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import FunctionModel

from nbagora_lab.agents.message import Message
from nbagora_lab.agents.models import ScriptedModel
from nbagora_lab.agents.output import Output
from nbagora_lab.agents.task import AgentTask
from nbagora_lab.core.errors import BadAgent

__all__ = ["describe", "model_name", "run_agent"]


def describe(agent: Agent[Any, Any]) -> str:
    """What an agent does, from its own description or the first line of its instructions."""
    for attribute in ("description", "_description"):
        if text := getattr(agent, attribute, None):
            return str(text)
    for sourced in getattr(agent, "_instructions", None) or ():
        instruction = getattr(sourced, "instruction", sourced)
        if isinstance(instruction, str) and instruction.strip():
            return instruction.strip().splitlines()[0]
    return ""


def model_name(agent: Agent[Any, Any]) -> str:
    """The name of the model that answers, as records and tables show it."""
    model = agent.model
    if model is None:
        return "none"
    return model if isinstance(model, str) else model.model_name


async def run_agent(agent: Agent[Any, Any], message: Message, task: AgentTask, output: Output) -> None:
    """Runs an agent on a message.

    Raises:
        BadAgent: It has no model.
    """
    if agent.model is None:
        raise BadAgent("the pydantic-ai agent has no model", "give it one: Agent(model=scripted(...))")
    prompt, history = _prompt(message), _history(task.session[:-1])
    scripted = agent.model if isinstance(agent.model, ScriptedModel) else None
    if scripted is not None:
        scripted.begin()
    if _streams(agent.model):
        said, result = False, None
        async with agent.run_stream_events(prompt, message_history=history) as events:
            async for event in events:
                if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    output.put(event.part.content)
                    said = True
                elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    output.put(event.delta.content_delta)
                elif isinstance(event, AgentRunResultEvent):
                    result = event.result.output
        if result is not None and not (said and isinstance(result, str)):
            output.put(result)
    else:
        output.put((await agent.run(prompt, message_history=history)).output)
    if scripted is not None:
        scripted.end()
    output.complete()


def _streams(model: Model | str) -> bool:
    return not (isinstance(model, FunctionModel) and model.stream_function is None)


def _prompt(message: Message) -> str | Sequence[UserContent]:
    files = [BinaryContent(file.content, media_type=file.media_type) for file in message.files if file.content]
    texts = [message.text, *(str(value) for value in message.data)]
    text = "\n".join(part for part in texts if part)
    return [text, *files] if files else text


def _history(session: Sequence[Message]) -> list[ModelMessage]:
    history: list[ModelMessage] = []
    for one in session:
        if one.role == "user":
            history.append(ModelRequest(parts=[UserPromptPart(one.text)]))
        else:
            history.append(ModelResponse(parts=[TextPart(one.text)]))
    return history
