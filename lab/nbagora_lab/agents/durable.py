"""pydantic-ai's durable seam on the journal: each request to a model and each call of a tool is a step.

The one file that knows `pydantic_ai.durable_exec`, which is young: `tests/agents/test_durable.py` is its contract. What
crosses is JSON; what two equal runs would differ in (times, run ids) is left out of it, so that they leave the same
records.

Model steps are idempotent: asked again, a model may answer otherwise, and nothing that was recorded depends on it. A
tool is not, unless its metadata says ``idempotent``. Tools run one after another, in the order in which the model named
them, so that their paths are the same each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.capabilities.abstract import WrapToolExecuteHandler
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    CallToolResult,
    DurabilityEngineSpec,
    DurableOperationId,
    JournalCallableOperationBackend,
    ModelRequestId,
    RoleBasedOperationConfig,
    durable_unit_scope,
)
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
from pydantic_ai.models import Model
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, RunContext, ToolDefinition, ToolDenied
from pydantic_core import to_jsonable_python

from nbagora_lab.agents.journal import Journal
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import StepFailed
from nbagora_lab.core.events import RecordType

__all__ = ["AGENT", "IDEMPOTENT", "JournalDurability"]

AGENT = "agent"
"""Key of a tool's metadata that names the agent that it asks, which minds the time by itself."""

IDEMPOTENT = "idempotent"
"""Key of a tool's metadata: whether it may be called again where nobody knows whether it was."""

_OUTCOME = "nbagora:outcome"  # marks a tool's result that is something else than a value
_LEFT_OUT = ("timestamp", "run_id", "conversation_id")
_RESULT: TypeAdapter[Any] = TypeAdapter(CallToolResult)
_TEXT = 2000  # characters of a text in a model step's input
_YES = ("yes", "y", "approve", "approved", "ok", "是", "好", "同意", "批准", "可以", "确认")


class _Backend(JournalCallableOperationBackend[None]):
    """Makes a step of each durable operation that is a request to a model."""

    def __init__(self, durability: JournalDurability) -> None:
        super().__init__(
            agent_name=durability.name,
            config=RoleBasedOperationConfig(model=None, event=None, capability=None, tool=None),
        )
        self.durability = durability

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,  # noqa: ARG002 -- its signature
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,  # noqa: ARG002
    ) -> object:
        """Runs one operation."""
        if not isinstance(operation_id, ModelRequestId):
            return await body()
        messages: Any = cache_key[1]
        return await self.durability.model_step(messages, body)


class JournalDurability(BaseDurabilityCapability[Any]):
    """Records the steps of one run of one agent.

    Args:
        journal: The task's journal.
        model: What answers.
        kind: What records call it: `nbagora_lab.agents.models.kind_of`.
        name: The agent's name.
        clock: The lab's clock.
        run_id: What the run is called; the same each time.
        say: Is given the text of the answers, as it comes.
        tool_timeout: Seconds that a call of a tool may take; None: as long as it likes.
        result_limit: Bytes of a tool's result at most, as JSON.
    """

    engine_spec = DurabilityEngineSpec(
        engine_name="nbagora",
        durable_unit_noun="step",
        durable_container_noun="task",
        codec=JSON_CODEC,
        sequential_tools_in_durable_context=True,
        accepts_cancellation_token=False,
    )

    def __init__(
        self,
        journal: Journal,
        model: Model,
        *,
        kind: str,
        name: str,
        clock: Clock,
        run_id: str,
        say: Callable[[str], None],
        tool_timeout: float | None = None,
        result_limit: int = 1 << 20,
    ) -> None:
        super().__init__(models={"run": model}, name=name)
        self._journal = journal
        self._kind = kind
        self._clock = clock
        self._run_id = run_id
        self._say = say
        self._tool_timeout = tool_timeout
        self._result_limit = result_limit
        self._seen = 0  # messages that a model step's record has told already
        self._streamed = False
        self._backend: _Backend | None = None

    @property
    def in_durable_context(self) -> bool:
        """It is made for one run, which is one."""
        return True

    def get_durable_operation_backend(self) -> _Backend:
        """What makes steps of operations."""
        if self._backend is None or self._backend.durability is not self:  # a bound copy has its own
            self._backend = _Backend(self)
        return self._backend

    def _bind_to_agent(self, agent: Any) -> None:
        """Tools become steps in `wrap_tool_execute`, whatever toolset they are of."""

    def _bind_capability_operations(self, agent: Any) -> None:
        """Operations of other capabilities are done as they come: to look for them took a tenth of a run."""

    def _bind_models(self, agent: Any) -> None:  # noqa: ARG002 -- its signature
        """The run's model is the only one; the agent itself may have none."""
        self._default_model_id = None
        self._models_by_id = dict(self._extra_models)

    def get_default_run_id(self) -> str:
        """The same each time."""
        return self._run_id

    def get_default_conversation_id(self, run_id: str) -> str:
        """The same each time."""
        return run_id

    def get_run_clock(self) -> Callable[[], datetime]:
        """The lab's."""
        return lambda: datetime.fromtimestamp(self._clock.now(), UTC)

    # -- models --------------------------------------------------------------------------------------------------------

    async def model_step(self, messages: list[ModelMessage], body: Callable[[], Awaitable[object]]) -> object:
        """A request to the model, as a step."""
        self._streamed, asked = False, _asked(messages[self._seen :])
        self._seen = len(messages)

        async def call() -> Any:
            payload: Any = await body()
            return _bare(payload)

        payload = await self._journal.step(
            RecordType.STEP_MODEL,
            "model",
            call,
            input={"messages": len(messages), "new": asked},
            idempotent=True,
            about={"model": self._kind},
            tell=_spent,
        )
        if not self._streamed:
            for part in payload["parts"]:
                if part.get("part_kind") == "text":
                    self._say(part["content"])
        return payload

    def _model_stream_event_handler(self) -> Any:
        """Tells the words as the model says them."""
        return self._hear

    async def _hear(self, _context: RunContext[Any], events: AsyncIterable[Any]) -> None:
        self._streamed = True
        async for event in events:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                self._say(event.part.content)
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                self._say(event.delta.content_delta)

    # -- tools ---------------------------------------------------------------------------------------------------------

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


def _bare(payload: dict[str, Any]) -> dict[str, Any]:
    """A response without what says nothing, or would be another each time."""
    kept = {name: value for name, value in payload.items() if value not in (None, [], {}) and name not in _LEFT_OUT}
    kept["parts"] = [{name: value for name, value in part.items() if value is not None} for part in payload["parts"]]
    kept["usage"] = {name: value for name, value in payload.get("usage", {}).items() if value}
    return kept


def _spent(payload: dict[str, Any]) -> Mapping[str, Any]:
    usage = {name: value for name, value in payload["usage"].items() if name != "cost"}
    cost = payload["usage"].get("cost")
    return ({"usage": usage} if usage else {}) | ({"cost": float(cost)} if cost is not None else {})


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
