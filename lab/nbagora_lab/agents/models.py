"""Models that run anywhere, without a key and without pretending: each says in its name what it is.

`scripted` answers what a script says and fails on a step too few or too many; `function` answers what a function of
the conversation returns. Both are pydantic-ai models.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from nbagora_lab.core.errors import AgentError

__all__ = ["ScriptedModel", "Step", "call", "function", "scripted"]

Step = str | ToolCallPart | BaseException
"""One answer of a scripted model: a text, a tool call (`call`), or an error to raise."""


def call(tool: str, /, **arguments: Any) -> ToolCallPart:
    """A step of a script that calls a tool.

    Example:
        >>> call("find_hotels", city="北京").tool_name
        'find_hotels'
    """
    return ToolCallPart(tool, arguments)


class ScriptedModel(FunctionModel):
    """A model that answers what its script says.

    Args:
        runs: One list of steps for each run of the agent, in order.
    """

    def __init__(self, runs: Sequence[Sequence[Step]]) -> None:
        self._runs = [list(run) for run in runs]
        self._run = -1
        self._step = 0

        def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:  # noqa: ARG001 -- its signature
            step = self._next()
            return ModelResponse(parts=[step if isinstance(step, ToolCallPart) else TextPart(step)])

        async def stream(
            messages: list[ModelMessage],  # noqa: ARG001 -- its signature
            info: AgentInfo,  # noqa: ARG001
        ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
            step = self._next()
            if isinstance(step, ToolCallPart):
                yield {
                    0: DeltaToolCall(
                        name=step.tool_name, json_args=step.args_as_json_str(), tool_call_id=step.tool_call_id
                    )
                }
                return
            for number, word in enumerate(step.split(" ")):  # as a live model would, a word at a time
                yield f" {word}" if number else word

        super().__init__(respond, stream_function=stream, model_name="scripted")

    def begin(self) -> None:
        """Starts the next run of the script.

        Raises:
            AgentError: The script has no run left.
        """
        if self._run + 1 >= len(self._runs):
            raise AgentError(
                f"the script has {len(self._runs)} run(s) and the agent was asked once more",
                "give scripted() one list of steps for each run",
            )
        self._run, self._step = self._run + 1, 0

    def end(self) -> None:
        """Ends the run.

        Raises:
            AgentError: Steps of it are left over.
        """
        left = len(self._runs[self._run]) - self._step
        if left:
            raise AgentError(
                f"{left} step(s) of the script were left over", "take them out, or find why the agent ended early"
            )

    def _next(self) -> str | ToolCallPart:
        steps = self._runs[self._run]
        if self._step >= len(steps):
            raise AgentError(
                f"the model was asked a {self._step + 1}. time, the script has {len(steps)} step(s)",
                "add the missing step to the script",
            )
        step = steps[self._step]
        self._step += 1
        if isinstance(step, BaseException):
            raise step
        return step


def scripted(*steps: Step | Sequence[Step]) -> ScriptedModel:
    """A model that answers what its script says, and fails on a step too few or too many.

    Args:
        steps: The answers of one run; or a list of them for each run.

    Example:
        >>> model = scripted(call("find_hotels", city="北京"), "The Jade, 480 yuan a night.")
        >>> model.model_name
        'scripted'
    """
    runs = [list(one) for one in steps if isinstance(one, list | tuple)]
    single = [one for one in steps if isinstance(one, str | ToolCallPart | BaseException)]
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

    return FunctionModel(answer, model_name=f"function:{name or respond.__name__}")
