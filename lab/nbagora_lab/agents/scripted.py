"""Models that say what they are told to: `scripted` follows a script, `function` asks a function.

Neither pretends: a script fails on a step too few or too many, and records name the model ``scripted`` or
``function:name``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from nbagora_lab.core.errors import AgentError

__all__ = ["Calls", "ScriptedModel", "Step", "call", "calls", "function", "in_words", "numbered", "scripted"]

_RUNS = 1000  # runs whose place in the script is remembered


class Calls(tuple[ToolCallPart, ...]):
    """Several tool calls in one answer; made by `calls`."""

    __slots__ = ()


Step = str | ToolCallPart | Calls | BaseException | Callable[[list[ModelMessage], AgentInfo], Any]
"""One answer of a scripted model: a text, a tool call (`call`), several (`calls`), an error to raise, or a function of
the conversation that returns one of these."""


def call(tool: str, /, **arguments: Any) -> ToolCallPart:
    """A step of a script that calls a tool.

    Example:
        >>> call("find_hotels", city="北京").tool_name
        'find_hotels'
    """
    return ToolCallPart(tool, arguments)


def calls(*parts: ToolCallPart) -> Calls:
    """A step of a script that calls several tools at once: ``calls(call("find_trains"), call("find_hotels"))``."""
    return Calls(parts)


def numbered(parts: Sequence[ToolCallPart], messages: Sequence[ModelMessage]) -> list[ToolCallPart]:
    """Tool calls with the ids ``call-1``, ``call-2``, … that follow on those in the conversation.

    Ids that are drawn at random would make two equal runs leave different records.
    """
    before = sum(
        isinstance(part, ToolCallPart) for one in messages if isinstance(one, ModelResponse) for part in one.parts
    )
    return [replace(part, tool_call_id=f"call-{before + number}") for number, part in enumerate(parts, 1)]


async def in_words(response: ModelResponse) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
    """An answer as a live model would stream it: a word at a time, then the tool calls."""
    for index, part in enumerate(response.parts):
        if isinstance(part, TextPart):
            for number, word in enumerate(part.content.split(" ")):
                yield f" {word}" if number else word
        elif isinstance(part, ToolCallPart):
            yield {
                index: DeltaToolCall(
                    name=part.tool_name, json_args=part.args_as_json_str(), tool_call_id=part.tool_call_id
                )
            }


class ScriptedModel(FunctionModel):
    """A model that answers what its script says.

    It keeps no place of its own: which step comes next is counted in the conversation, so that a run which goes on
    after a crash goes on in the script as well.

    Args:
        runs: One list of steps for each run of the agent, in order.
    """

    def __init__(self, runs: Sequence[Sequence[Step]]) -> None:
        self._runs = [list(run) for run in runs]
        self._begun: OrderedDict[str, int] = OrderedDict()  # run ids, and which run of the script they are
        self._next_run = 0
        self._lock = threading.Lock()

        async def stream(
            messages: list[ModelMessage], info: AgentInfo
        ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
            async for chunk in in_words(self._respond(messages, info)):
                yield chunk

        super().__init__(self._respond, stream_function=stream, model_name="scripted")

    def resume(self, run_ids: Iterable[str]) -> None:
        """Says which runs of the agent earlier processes began, in order: the script goes on after them."""
        for run_id in run_ids:
            self._number(run_id)

    def end(self, messages: Sequence[ModelMessage]) -> None:
        """Looks whether a run has used all of its script.

        Args:
            messages: The run's own.

        Raises:
            AgentError: Steps of it are left over.
        """
        run_id = next((one.run_id for one in messages if one.run_id), None) or ""
        number = self._begun.get(run_id)
        if number is None:  # nothing was asked in this process
            return
        left = len(self._runs[number]) - sum(isinstance(one, ModelResponse) for one in messages)
        if left > 0:
            raise AgentError(
                f"{left} step(s) of the script were left over", "take them out, or find why the agent ended early"
            )

    def _respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked = max((at for at, one in enumerate(messages) if _is_prompt(one)), default=0)
        at = sum(isinstance(one, ModelResponse) for one in messages[asked:])
        run_id = messages[-1].run_id or f"run of {id(messages[0])}"
        steps = self._runs[self._number(run_id)]
        if at >= len(steps):
            raise AgentError(
                f"the model was asked a {at + 1}. time, the script has {len(steps)} step(s)",
                "add the missing step to the script",
            )
        step = steps[at]
        if callable(step) and not isinstance(step, BaseException):
            step = step(messages, info)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, ModelResponse):
            return step
        if isinstance(step, ToolCallPart):
            step = Calls((step,))
        if isinstance(step, Calls):
            return ModelResponse(parts=numbered(step, messages))
        return ModelResponse(parts=[TextPart(str(step))])

    def _number(self, run_id: str) -> int:
        with self._lock:
            number = self._begun.get(run_id)
            if number is None:
                if self._next_run >= len(self._runs):
                    raise AgentError(
                        f"the script has {len(self._runs)} run(s) and the agent was asked once more",
                        "give scripted() one list of steps for each run",
                    )
                number = self._begun[run_id] = self._next_run
                self._next_run += 1
                if len(self._begun) > _RUNS:
                    self._begun.popitem(last=False)
            return number


def _is_prompt(message: ModelMessage) -> bool:
    return isinstance(message, ModelRequest) and any(isinstance(part, UserPromptPart) for part in message.parts)


def scripted(*steps: Step | Sequence[Step]) -> ScriptedModel:
    """A model that answers what its script says, and fails on a step too few or too many.

    Args:
        steps: The answers of one run; or a list of them for each run.

    Example:
        >>> model = scripted(call("find_hotels", city="北京"), "The Jade, 480 yuan a night.")
        >>> model.model_name
        'scripted'
    """
    runs = [list(one) for one in steps if isinstance(one, list | tuple) and not isinstance(one, Calls)]
    single: list[Step] = [one for one in steps if not isinstance(one, list | tuple) or isinstance(one, Calls)]  # type: ignore[misc]
    return ScriptedModel([*([single] if single else []), *runs])


def function(respond: Callable[[list[ModelMessage], AgentInfo], ModelResponse | str], name: str = "") -> FunctionModel:
    """A model that answers what a function of the conversation returns.

    Args:
        respond: Takes the messages so far and what the agent offers; returns the answer.
        name: What records call it: ``function:name``; the function's own by default.
    """

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = respond(messages, info)
        return ModelResponse(parts=[TextPart(said)]) if isinstance(said, str) else said

    return FunctionModel(answer, model_name=f"function:{name or getattr(respond, '__name__', 'function')}")
