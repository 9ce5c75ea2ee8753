"""What a request asks for, read from its parts and checked: the message, what comes back, where to go on, the trace."""

from __future__ import annotations

import math
import re
from datetime import datetime
from functools import cache
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.jsonrpc_models import JSONRPCError
from a2a.server.request_handlers.response_helpers import EXCEPTION_MAP
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    A2A_ERROR_REASONS,
    A2A_REST_ERROR_MAPPING,
    JSON_RPC_ERROR_CODE_MAP,
    A2AError,
    ContentTypeNotSupportedError,
    ErrorMapping,
    ExtensionSupportRequiredError,
    InvalidParamsError,
    InvalidRequestError,
    VersionNotSupportedError,
)
from a2a.utils.proto_utils import validate_proto_required_fields
from google.api.field_behavior_pb2 import REQUIRED, field_behavior
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message

from nbagora_lab.a2a.protojson import written
from nbagora_lab.a2a.wire import DEEPEST, INBOX_EXTENSION, nested_deeper, unstructured
from nbagora_lab.core.errors import TooLarge
from nbagora_lab.core.events import PLAIN, Scheduling
from nbagora_lab.inspect.directory import LEVELS

__all__ = [
    "SHOWN",
    "check_output_modes",
    "check_request",
    "check_scopes",
    "content_of",
    "cursor_of",
    "generation_mismatch",
    "history_length",
    "limits_of",
    "plan_of",
    "trace_of",
    "validated",
]

SHOWN = 100
"""Messages of a task's history, the newest, that a caller is told who does not say how many."""

_VERSIONS = ("", "0.3", "1.0")  # none at all means 0.3
_PATCHED = re.compile(r"(\d+\.\d+)\.\d+\Z", re.ASCII)
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class _TaskGenerationMismatchError(A2AError):
    """Of the 1.1 draft: -32010, 409."""


# where the SDK's builders of answers look errors up
EXCEPTION_MAP[_TaskGenerationMismatchError] = JSONRPCError
JSON_RPC_ERROR_CODE_MAP[_TaskGenerationMismatchError] = -32010
A2A_REST_ERROR_MAPPING[_TaskGenerationMismatchError] = ErrorMapping(409, "ABORTED", "TASK_GENERATION_MISMATCH")
A2A_ERROR_REASONS[_TaskGenerationMismatchError] = "TASK_GENERATION_MISMATCH"


def generation_mismatch(task_id: str, at: int, expected: int) -> A2AError:
    """The refusal of a message to a task that is not at the generation that the caller took it to be at."""
    return _TaskGenerationMismatchError(f"the task {task_id} is at generation {at}, not {expected}")


def validated(params: Any) -> Any:
    """`params`, once its required fields are there; for paths that bypass the SDK's decorator.

    The SDK looks at every field that there could be, 130 µs for a short message, and is asked only what is missing.
    """
    if not _complete(params):
        validate_proto_required_fields(params)
    return params


def _complete(message: Message) -> bool:
    """Whether a protobuf message has all fields that A2A requires of it, and of those within it."""
    required, inner = _fields(message.DESCRIPTOR)
    there = message.ListFields()
    if not required <= {field.number for field, _ in there}:
        return False
    for field, value in there:
        if field.number in inner:
            within = [value] if isinstance(value, Message) else value.values() if hasattr(value, "values") else value
            if not all(_complete(one) for one in within):
                return False
    return True


@cache
def _fields(of: Descriptor) -> tuple[frozenset[int], frozenset[int]]:
    """Numbers of the fields that are required, and of those that hold messages of A2A."""
    required, inner = set(), set()
    for field in of.fields:
        if REQUIRED in field.GetOptions().Extensions[field_behavior]:  # type: ignore[index]
            required.add(field.number)
        held = field.message_type
        if held is not None and held.GetOptions().map_entry:
            held = held.fields_by_name["value"].message_type
        if held is not None and held.file.package == of.file.package:
            inner.add(field.number)
    return frozenset(required), frozenset(inner)


def content_of(message: pb.Message) -> dict[str, Any]:
    """A user's message as ProtoJSON.

    Raises:
        InvalidParamsError: It has no parts, an empty one, a number that JSON can't hold, or data nested too deep.
    """
    if not message.parts:
        raise InvalidParamsError("the message has no parts")
    for number, part in enumerate(message.parts):
        if part.WhichOneof("content") is None:
            raise InvalidParamsError(f"part {number} of the message has neither text, raw, url nor data")
    try:
        content: dict[str, Any] = unstructured(written(message))
    except SerializeToJsonError as error:
        raise InvalidParamsError(f"the message can't be written as JSON: {error}") from None
    for holder in (content, *content["parts"]):
        if nested_deeper(holder.get("metadata")) or nested_deeper(holder.get("data")):
            raise InvalidParamsError(f"the message nests data deeper than {DEEPEST} levels")
    return content


def history_length(config: Any) -> int:
    """Number of messages of the history that a request asks for."""
    return int(config.history_length) if config.HasField("history_length") else SHOWN


def check_output_modes(config: pb.SendMessageConfiguration, card: pb.AgentCard) -> None:
    """Checks that the agent offers a media type that the caller accepts.

    Raises:
        ContentTypeNotSupportedError: It offers none of them.
    """
    wanted, offered = set(config.accepted_output_modes), set(card.default_output_modes)
    if wanted and offered and not wanted & offered and not any(mode.endswith("*") for mode in wanted | offered):
        raise ContentTypeNotSupportedError(f"none of {', '.join(sorted(wanted))} is offered by {card.name}")


def check_request(context: ServerCallContext, card: pb.AgentCard) -> None:
    """Checks what a request says of the protocol that it speaks.

    Raises:
        VersionNotSupportedError: A version that is not spoken here; a patch number after Major.Minor says nothing.
        ExtensionSupportRequiredError: The agent requires an extension that the caller does not name.
    """
    version = str(context.state.get("headers", {}).get("a2a-version", "")).strip()
    if _PATCHED.sub(r"\1", version) not in _VERSIONS:
        raise VersionNotSupportedError(f"A2A {version[:20]} is not spoken here; {' and '.join(_VERSIONS[1:])} are")
    required = {one.uri for one in card.capabilities.extensions if one.required}
    if missing := required - set(context.requested_extensions):
        raise ExtensionSupportRequiredError(f"name the extension {min(missing)} in the header A2A-Extensions")


def check_scopes(message: pb.Message, card: pb.AgentCard, context: ServerCallContext) -> None:
    """Checks that the caller may use the skill that a message's metadata names (``skillId``), or else all of them.

    Raises:
        InvalidParamsError: The agent has no such skill.
        InvalidRequestError: The caller lacks a scope.
    """
    held = context.state.get("scopes")
    named = MessageToDict(message.metadata).get("skillId")
    skills = [skill for skill in card.skills if named is None or skill.id == named]
    if held is None:
        return
    if named is not None and not skills:
        raise InvalidParamsError(f"{card.name} has no skill {named!r}")
    for skill in skills:
        ways = [{scope for one in way.schemes.values() for scope in one.list} for way in skill.security_requirements]
        if ways and not any(way <= held for way in ways):
            missing = ", ".join(sorted(min(ways, key=len) - held))
            raise InvalidRequestError(f"forbidden: the skill {skill.id} of {card.name} wants the scope {missing}")


def cursor_of(context: ServerCallContext) -> int | None:
    """The offset after which the caller wants to go on; None where it gives none that could be one."""
    text = str(context.state.get("headers", {}).get("last-event-id", "")).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def limits_of(context: ServerCallContext, now: float) -> dict[str, Any]:
    """What the caller leaves to the task that its message opens, as `TaskLog.open` takes it.

    Levels of calls, of which a stranger can't leave more than anybody has; and, by the header ``nbagora-timeout`` in
    seconds from `now`, when it stops waiting.
    """
    headers = context.state.get("headers", {})
    levels = str(headers.get("nbagora-levels", "")).strip()
    try:
        seconds = float(headers.get("nbagora-timeout", ""))
    except ValueError:
        seconds = math.inf
    return {
        "levels": min(int(levels), LEVELS) if levels.isascii() and levels.isdigit() and len(levels) < 4 else LEVELS,
        "until": now + seconds if 0 <= seconds < math.inf else None,
    }


def trace_of(context: ServerCallContext) -> str:
    """The W3C trace context that a request carries; empty where it carries none, or one that is malformed."""
    given = str(context.state.get("headers", {}).get("traceparent", ""))
    return given if _TRACEPARENT.fullmatch(given) else ""


def plan_of(params: pb.SendMessageRequest, context: ServerCallContext, owner: str) -> Scheduling:
    """When a message's turn is, as its metadata, the request's tenant and headers say.

    A caller with a name of its own is its own tenant, and can't say that it costs less than 1, so that nobody takes
    another's share.

    Raises:
        InvalidParamsError: What they say does not fit.
    """
    headers = context.state.get("headers", {})
    said: dict[str, Any] = {
        name: headers[f"nbagora-{name}"] for name in Scheduling._fields if f"nbagora-{name}" in headers
    }
    if params.tenant:
        said["tenant"] = params.tenant
    if INBOX_EXTENSION in params.message.metadata:
        told = MessageToDict(params.message.metadata)[INBOX_EXTENSION]
        if not isinstance(told, dict):
            raise InvalidParamsError(f"the metadata {INBOX_EXTENSION} is an object")
        said |= {name: told[name] for name in Scheduling._fields if name in told}
    if not said and not owner:
        return PLAIN
    try:
        plan = Scheduling(
            priority=_whole(said.get("priority", 0)),
            tenant=owner or str(said.get("tenant", "")),
            cost=max(_cost(said.get("cost", 1.0)), 1.0 if owner else 0.0),
            deadline=_moment(said["deadline"]) if "deadline" in said else None,
        )
        plan.pack()
    except (TypeError, ValueError, OverflowError, TooLarge) as error:
        raise InvalidParamsError(f"{INBOX_EXTENSION} does not fit: {error}") from None
    return plan


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError(f"{value} is no whole number")
    return int(number)


def _cost(value: Any) -> float:
    cost = float(value)
    if not 0 <= cost < math.inf:
        raise ValueError("the cost is 0 or more")
    return cost


def _moment(value: Any) -> float:
    """Seconds since the Unix epoch."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = datetime.fromisoformat(str(value)).timestamp()
    if not 0 < seconds < 253_402_300_800:  # the year 10000, where dates end
        raise ValueError(f"{value} is no time")
    return seconds
