"""Recordings of a model: what it was asked and what it answered, in a file that reads well beside a notebook.

A recording is found by what was asked: the conversation, the instructions, the tools with their schemas. What two equal
runs would differ in (times, ids of runs and calls) is no part of it. A request that is not on the tape is an error that
names the nearest recording and the first thing in which it differs; nothing is guessed. What looks like a secret is
written as ``<secret>``.

The file is JSON, one recording after another in the order in which they were asked, made to be read in a diff.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_core import to_jsonable_python

from nbagora_lab.agents.scripted import in_words
from nbagora_lab.core.errors import AgentError, NotRecorded, UsageError

__all__ = ["TapeModel", "asked_of", "tape"]

_FORMAT = 1
_RESPONSE: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)
_SECRET_KEY = re.compile(r"(?:key|authorization|token|secret|password|passwd|credential|cookie)$", re.IGNORECASE)
_SECRET = re.compile(
    r"\b(?:sk|pk|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{12,}|\bBearer\s+[A-Za-z0-9._~+/-]{8,}=*"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*|\bAKIA[0-9A-Z]{16}\b"
)
_ANSWER = ("parts", "usage", "model_name", "finish_reason", "kind")  # what is kept of a response


def asked_of(messages: Sequence[ModelMessage], info: AgentInfo) -> dict[str, Any]:
    """What a model is asked, in a form that two equal runs share.

    Returns:
        ``instructions``, ``conversation`` (``{"user": …}``, ``{"said": …}``, ``{"call": …, "with": …}``,
        ``{"tool": …, "gave": …}``, ``{"retry": …}``) and ``tools``, by name with a digest of the schema.
    """
    said: list[dict[str, Any]] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                said.append({"user": _content(part.content)})
            elif isinstance(part, SystemPromptPart):
                said.append({"system": part.content})
            elif isinstance(part, TextPart):
                said.append({"said": part.content})
            elif isinstance(part, ToolCallPart):
                said.append({"call": part.tool_name, "with": _arguments(part)})
            elif isinstance(part, ToolReturnPart):
                gave = {"tool": part.tool_name, "gave": _content(part.content)}
                said.append(gave if part.outcome == "success" else {**gave, "is": part.outcome})
            elif isinstance(part, RetryFeedbackPart):
                said.append({"retry": _content(part.content)})
            else:  # parts that a later pydantic-ai brings
                said.append({type(part).__name__: _content(getattr(part, "content", None))})
    tools = {tool.name: _digest([tool.description, tool.parameters_json_schema]) for tool in info.function_tools}
    outputs = {tool.name: _digest(tool.parameters_json_schema) for tool in info.output_tools}
    asked = {"instructions": info.instructions or "", "conversation": said, "tools": tools | outputs}
    redacted: dict[str, Any] = _redacted(asked)
    return redacted


def _arguments(part: ToolCallPart) -> Any:
    try:
        return part.args_as_dict()
    except ValueError:
        return part.args


def _content(value: Any) -> Any:
    plain = to_jsonable_python(value, fallback=str, bytes_mode="base64")
    return _without_times(plain) if isinstance(plain, list | dict) else plain


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(one) for name, one in value.items() if name != "timestamp"}
    return [_without_times(one) for one in value] if isinstance(value, list) else value


def _redacted(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _redacted(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_redacted(one, name) for one in value]
    if isinstance(value, str):
        return "<secret>" if value and _SECRET_KEY.search(name) else _SECRET.sub("<secret>", value)
    return value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()[:12]


class TapeModel(FunctionModel):
    """A model that answers from a recording, and records where it is given a model to ask.

    Args:
        path: The file.
        record: What is asked where the tape has nothing; None: that is an error.

    Raises:
        UsageError: The file is no tape, or there is none and nothing to record.
    """

    def __init__(self, path: Path | str, record: Model | None = None) -> None:
        self.path = Path(path)
        self._record = record
        self._lock = threading.Lock()
        self._recordings: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            self._load()
        elif record is None:
            raise UsageError(f"there is no tape {self.path}", "record one: --model record:FILE:NAME of a live model")
        self.kind = "tape" if record is None else f"record:{getattr(record, 'kind', '') or record.model_name}"

        async def stream(
            messages: list[ModelMessage], info: AgentInfo
        ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
            async for chunk in in_words(await self._respond(messages, info)):
                yield chunk

        super().__init__(self._respond, stream_function=stream, model_name="tape")

    async def __aenter__(self) -> Self:
        if self._record is not None:
            await self._record.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._record is not None:
            await self._record.__aexit__(kind, error, trace)

    def _load(self) -> None:
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            version, recordings = told["tape"], told["recordings"]
            for recording in recordings:
                _RESPONSE.validate_python(recording["answer"])
                self._recordings[_digest(recording["asked"])] = recording
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"{type(error).__name__} {str(error).splitlines()[0]}"
            raise UsageError(f"{self.path} is no tape: {why}", "restore it, or record it anew") from None
        if version != _FORMAT:
            raise UsageError(f"the tape {self.path} has format {version}, not {_FORMAT}", "record it anew")

    async def _respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked = asked_of(messages, info)
        key = _digest(asked)
        recording = self._recordings.get(key)
        if recording is None:
            if self._record is None:
                raise self._miss(asked)
            answer = await self._record.request(messages, info.model_settings, info.model_request_parameters)
            recording = {"asked": asked, "answer": _redacted(_kept(answer))}
            with self._lock:
                self._recordings.setdefault(key, recording)
                self._save()
        return _RESPONSE.validate_python(recording["answer"])

    def _save(self) -> None:
        told = {"tape": _FORMAT, "recordings": list(self._recordings.values())}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.part")
        part.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        part.replace(self.path)

    def _miss(self, asked: dict[str, Any]) -> AgentError:
        if not self._recordings:
            return NotRecorded(f"the tape {self.path} is empty", "record it: --model record:FILE:NAME")
        recordings = list(self._recordings.values())
        nearest = max(range(len(recordings)), key=lambda at: _likeness(recordings[at]["asked"], asked))
        where, was, now = _first_difference(recordings[nearest]["asked"], asked)
        return NotRecorded(
            f"{self.path} has no recording of this; the nearest is number {nearest + 1}, "
            f"where {where} was {was} and is now {now}",
            "record anew with --model record:FILE:NAME, or put back what was asked",
        )


def _kept(answer: ModelResponse) -> dict[str, Any]:
    told = _RESPONSE.dump_python(answer, mode="json")
    kept = {name: told[name] for name in _ANSWER if told.get(name) is not None}
    kept["parts"] = [{name: value for name, value in part.items() if value is not None} for part in told["parts"]]
    kept["usage"] = {name: value for name, value in told.get("usage", {}).items() if value}
    return kept


def _lines(asked: dict[str, Any]) -> list[str]:
    told = [json.dumps(one, ensure_ascii=False, sort_keys=True) for one in asked["conversation"]]
    return [asked["instructions"], *told, *(f"{name} {digest}" for name, digest in asked["tools"].items())]


def _likeness(one: dict[str, Any], other: dict[str, Any]) -> float:
    return difflib.SequenceMatcher(None, "\n".join(_lines(one)), "\n".join(_lines(other)), autojunk=False).quick_ratio()


def _first_difference(was: dict[str, Any], now: dict[str, Any]) -> tuple[str, str, str]:
    """Where two requests differ first, and how each reads there."""
    if was["instructions"] != now["instructions"]:
        return "the instructions", _short(was["instructions"]), _short(now["instructions"])
    for number in range(max(len(was["conversation"]), len(now["conversation"]))):
        one, other = (said["conversation"][number : number + 1] for said in (was, now))
        if one != other:
            return f"message {number + 1}", _short(*one), _short(*other)
    for name in sorted({*was["tools"], *now["tools"]}):
        if was["tools"].get(name) != now["tools"].get(name):
            told = [("another schema" if name in said["tools"] else "not there") for said in (was, now)]
            return f"the tool '{name}'", told[0], told[1]
    return "the order of the tools", "another", "this"


def _short(*value: Any) -> str:
    if not value:
        return "nothing"
    text = json.dumps(value[0], ensure_ascii=False)
    return text if len(text) <= 160 else text[:159] + "…"


def tape(path: Path | str, *, record: Model | str | None = None) -> TapeModel:
    """A model that answers from a recording.

    Args:
        path: The file.
        record: A model that is asked, and recorded, where the tape has nothing; None: that is an error.
    """
    from nbagora_lab.agents.models import choose

    return TapeModel(path, choose(record))
