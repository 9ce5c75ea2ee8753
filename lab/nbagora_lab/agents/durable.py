"""pydantic-ai on the journal: each request to a model and each call of a tool is a step.

It stands on what pydantic-ai names for builders of durable engines: a model around the model, the hooks of a
capability, and the codec and result types of `pydantic_ai.durable_exec`. Its base class for engines is left out, which
makes four operations and rebuilds the model at each request; and the capability is made part of a copy of the agent,
since one that is given to a run has all others composed anew: that halves what a journaled run takes beyond a bare one.
This is the one file that knows any of it; `tests/agents/test_durable.py` is its contract. What crosses is JSON; what
two equal runs would differ in (times, run ids) is left out of it, so that they leave the same records.

Model steps are idempotent: asked again, a model may answer otherwise, and nothing that was recorded depends on it. A
tool is not, unless its metadata says ``idempotent``. Tools must run one after another, in the order in which the model
named them, so that their paths are the same each time.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability, CombinedCapability
from pydantic_ai.capabilities.abstract import WrapToolExecuteHandler
from pydantic_ai.durable_exec import JSON_CODEC, CallToolResult, durable_unit_scope
from pydantic_ai.durable_exec._toolset import unwrap_tool_call_result, wrap_tool_call_result
from pydantic_ai.exceptions import ModelRetry, ToolFailed, ToolFailedError, ToolRetryError
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    RetryFeedbackPart,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, RunContext, ToolDefinition, ToolDenied
from pydantic_core import to_jsonable_python

from nbagora_lab.agents.journal import Journal
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import StepFailed
from nbagora_lab.core.events import RecordType

__all__ = ["AGENT", "IDEMPOTENT", "JournalDurability", "JournaledModel"]

AGENT = "agent"
"""Key of a tool's metadata that names the agent that it asks, which minds the time by itself."""

IDEMPOTENT = "idempotent"
"""Key of a tool's metadata: whether it may be called again where nobody knows whether it was."""

_OUTCOME = "nbagora:outcome"  # marks a tool's result that is something else than a value
_LEFT_OUT = {"timestamp", "run_id", "conversation_id"}  # what would be another each time
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_RESULT: TypeAdapter[Any] = TypeAdapter(CallToolResult)
_TEXT = 2000  # characters of a text in a model step's input
_YES = ("yes", "y", "approve", "approved", "ok", "是", "好", "同意", "批准", "可以", "确认")


class JournaledModel(WrapperModel):
    """A model each request to which is a step of a task.

    A stream is heard to its end inside the step; who asked gets it whole.

    Args:
        wrapped: What answers.
        journal: The task's journal.
        kind: What records call it: `nbagora_lab.agents.models.kind_of`.
        say: Is given the text of the answers, as it comes.
    """

    def __init__(self, wrapped: Model, journal: Journal, *, kind: str, say: Callable[[str], None]) -> None:
        super().__init__(wrapped)
        self.kind = kind
        self._journal = journal
        self._say = say
        self._seen = 0  # messages that a step's record has told already

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model, unless it was asked."""
        return await self._step(
            messages, lambda: self.wrapped.request(messages, model_settings, model_request_parameters)
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncIterator[CompletedStreamedResponse]:
        """Asks the model for a stream, unless it was asked; gives the whole of it."""

        async def heard() -> ModelResponse:
            async with self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream:
                async for event in stream:
                    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                        self._say(event.part.content)
                    elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                        self._say(event.delta.content_delta)
            return stream.get()

        response = await self._step(messages, heard, streamed=True)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)

    async def _step(
        self, messages: list[ModelMessage], ask: Callable[[], Awaitable[ModelResponse]], *, streamed: bool = False
    ) -> ModelResponse:
        heard, asked = False, _asked(messages[self._seen :])
        self._seen = len(messages)

        async def call() -> ModelResponse:
            nonlocal heard
            with durable_unit_scope():
                answer = await ask()
            heard = streamed
            return answer

        response: ModelResponse = await self._journal.step(
            RecordType.STEP_MODEL,
            "model",
            call,
            input={"messages": len(messages), "new": asked},
            idempotent=True,
            returns=_ANSWER,
            about={"model": self.kind},
            tell=self._spent,
        )
        if not heard:
            for part in response.parts:
                if isinstance(part, TextPart):
                    self._say(part.content)
        return response

    def _spent(self, response: ModelResponse) -> Mapping[str, Any]:
        """What an answer took, for its record; the price of a live model's, where it is known."""
        usage = response.usage
        counted = {name: number for name in _TOKENS if (number := getattr(usage, name))}
        cost = usage.cost
        if cost is None and self.kind.startswith("live:"):
            try:
                cost = response.cost().total_price
            except (LookupError, ValueError, AssertionError):  # nobody knows the model, or it told too little
                cost = None
        return ({"usage": counted} if counted else {}) | ({"cost": float(cost)} if cost is not None else {})


class _Answer:
    """How an answer of a model stands in its record."""

    _adapter: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)

    def dump_python(self, response: ModelResponse, *, mode: Literal["json"]) -> dict[str, Any]:
        told: dict[str, Any] = self._adapter.dump_python(response, mode=mode, exclude=_LEFT_OUT, exclude_none=True)
        told["usage"] = {name: value for name, value in told["usage"].items() if value}
        return {name: value for name, value in told.items() if value not in ([], {})}

    def validate_python(self, told: dict[str, Any]) -> ModelResponse:
        response: ModelResponse = JSON_CODEC.load(ModelResponse, told)
        return response


_ANSWER = _Answer()


class JournalDurability(AbstractCapability[Any]):
    """Records the calls of tools of one run of one agent, and has the run be the same each time.

    Args:
        journal: The task's journal.
        clock: The lab's clock.
        run_id: What the run is called; the same each time.
        tool_timeout: Seconds that a call of a tool may take; None: as long as it likes.
        result_limit: Bytes of a tool's result at most, as JSON.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        run_id: str,
        tool_timeout: float | None = None,
        result_limit: int = 1 << 20,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._run_id = run_id
        self._tool_timeout = tool_timeout
        self._result_limit = result_limit

    def part_of(self, agent: Agent[Any, Any]) -> Agent[Any, Any]:
        """An agent that is this one for as long as a run, and has this among its capabilities."""
        bound = copy.copy(agent)
        everything = CombinedCapability([*agent.root_capability.capabilities, self])
        bound._root_capability = everything  # noqa: SLF001 -- there is no other way to add to it
        return bound

    def get_default_run_id(self) -> str:
        """The same each time."""
        return self._run_id

    def get_default_conversation_id(self, run_id: str) -> str:
        """The same each time."""
        return run_id

    def get_run_clock(self) -> Callable[[], datetime]:
        """The lab's."""
        return lambda: datetime.fromtimestamp(self._clock.now(), UTC)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],  # noqa: ARG002 -- its signature
        *,
        call: ToolCallPart,  # noqa: ARG002
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """A call of a tool, as a step."""
        kept: list[Any] = []
        about = tool_def.metadata or {}

        async def execute() -> Any:
            try:
                with durable_unit_scope():
                    value = await _within(None if AGENT in about else self._tool_timeout, handler(args))
            except ToolRetryError as error:
                kept.append(error)
                return {_OUTCOME: "retry", "message": _content(error.tool_retry)}
            except ToolFailedError as error:
                kept.append(error)
                return {_OUTCOME: "failed", "message": _content(error.tool_failed)}
            except _TookTooLongError:
                return {_OUTCOME: "failed", "message": f"{tool_def.name} took longer than {self._tool_timeout:g} s"}
            kept.append(value)
            return _encoded(await wrap_tool_call_result(_given(value)))

        def checked(output: Any) -> Any:
            size = len(str(output))
            if size > self._result_limit:
                kept.clear()
                told = f"{tool_def.name} gave {size:,} characters, more than the {self._result_limit:,} allowed"
                return {_OUTCOME: "failed", "message": told}
            return output

        async def step() -> Any:
            return checked(await execute())

        output = await self._journal.step(
            RecordType.STEP_TOOL,
            tool_def.name,
            step,
            input=to_jsonable_python(args, fallback=str),
            idempotent=bool(about.get(IDEMPOTENT)),
            about=_source(tool_def),
        )
        if kept:
            if isinstance(kept[0], ToolRetryError | ToolFailedError):
                raise kept[0]
            return kept[0]
        return _decoded(output)

    async def handle_deferred_tool_calls(
        self,
        ctx: RunContext[Any],  # noqa: ARG002 -- its signature
        *,
        requests: DeferredToolRequests,
    ) -> DeferredToolResults | None:
        """Asks the user for approval, one call after another."""
        results = DeferredToolResults()
        for call in requests.approvals:
            args = call.args_as_dict()
            told = ", ".join(f"{name} {value}" for name, value in args.items())
            answer = await self._journal.ask(
                f"May I call {call.tool_name}{f' with {told}' if told else ''}? Answer 'yes', or say why not.",
                key=f"approve {call.tool_name}",
                metadata={"choices": ["yes", "no"], "tool": call.tool_name, "input": to_jsonable_python(args)},
            )
            text = answer.text.strip()
            if text.lower().rstrip(".!。！") in _YES:
                results.approvals[call.tool_call_id] = True
            else:
                results.approvals[call.tool_call_id] = ToolDenied(f"The user said no: {text}")
        return results if results.approvals else None


class _TookTooLongError(Exception):
    """A tool's time is up."""


async def _within(seconds: float | None, call: Awaitable[Any]) -> Any:
    """What comes of a call within its time; one that takes longer is cancelled and left: a thread can't be ended."""
    if seconds is None:
        return await call
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        task.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody asks for it any more
        raise _TookTooLongError
    return task.result()


async def _given(value: Any) -> Any:
    return value


def _asked(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    """What is new to the model, in short: texts, and which tools have answered; what they said, their steps tell."""
    asked: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ModelResponse):
            continue
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                text = part.content if isinstance(part.content, str) else _said(part.content)
                asked.append({"user": text[:_TEXT]})
            elif isinstance(part, ToolReturnPart):
                asked.append({"tool": part.tool_name} | ({} if part.outcome == "success" else {"is": part.outcome}))
            elif isinstance(part, RetryFeedbackPart):
                asked.append({"retry": _content(part)[:_TEXT]})
    return asked


def _said(content: Any) -> str:
    return " ".join(one if isinstance(one, str) else f"[{type(one).__name__}]" for one in content)


def _content(part: Any) -> str:
    content = part.content
    return content if isinstance(content, str) else str(to_jsonable_python(content, fallback=str))


def _source(tool_def: ToolDefinition) -> dict[str, Any]:
    """Where a tool comes from, if it is no function."""
    source = (tool_def.metadata or {}).get("source")
    return {"source": source} if source else {}


def _encoded(result: Any) -> Any:
    payload = _RESULT.dump_python(result, mode="json")
    if payload["kind"] == "tool_return" and not payload.get("content_file_digests"):
        return payload["result"]
    return {_OUTCOME: "result", "payload": payload}


def _decoded(output: Any) -> Any:
    if not isinstance(output, dict) or _OUTCOME not in output:
        return unwrap_tool_call_result(_RESULT.validate_python({"kind": "tool_return", "result": output}))
    outcome = output[_OUTCOME]
    if outcome == "retry":
        raise ModelRetry(output["message"])
    if outcome == "failed":
        raise ToolFailed(output["message"])
    if outcome == "result":
        return unwrap_tool_call_result(_RESULT.validate_python(output["payload"]))
    raise StepFailed(f"a tool's record has the outcome '{outcome}'", "it was written by a later nbagora")
