"""A2A's JSON, written straight as the bytes that go out.

Bodies are the ProtoJSON of `StreamResponse` (A2A 1.0, `specification/a2a.proto`): one of ``task``, ``message``,
``statusUpdate``, ``artifactUpdate``. Each ends in the log extension's own metadata,

    ..."metadata":{"urn:nbagora:a2a-log:1":{"topic":"sessions/ctx-1"}}}}

so that a reader puts the offset, which nobody knows while writing, in front of the last four bytes (`splice`) and
never parses the rest. Offset and generation travel as strings: a protobuf `Struct` would make doubles of them. What an
agent wrote with a prompt says so there, too: ``"prompts":["plan@0.0.3"]``.
"""

from __future__ import annotations

import base64
import functools
import json
import mimetypes
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, Final

import orjson

from nbagora_lab.core.errors import BadYield
from nbagora_lab.inspect.fold import LOG_EXTENSION

__all__ = [
    "BINDINGS",
    "CANCELED",
    "COMPLETED",
    "DEEPEST",
    "FAILED",
    "INBOX_EXTENSION",
    "INPUT_REQUIRED",
    "INTERRUPTED_STATES",
    "REJECTED",
    "SUBMITTED",
    "TERMINAL_STATES",
    "WORKING",
    "artifact_body",
    "dumps",
    "is_text",
    "message_body",
    "message_of",
    "nested_deeper",
    "one_line",
    "part_of",
    "short_state",
    "splice",
    "status_body",
    "task_body",
    "text_of",
    "text_part",
    "unstructured",
]

BINDINGS: Final = ("JSONRPC", "HTTP+JSON")
"""A2A's bindings that agents are called by, as cards name them; the one that is liked best first."""

INBOX_EXTENSION: Final = "urn:nbagora:a2a-inbox:1"
"""URI of the A2A extension by which a message says when its turn is, and a task that waits where it stands in line.

A message's metadata has there any of ``priority`` (0 to 255, the higher goes first), ``tenant``, ``cost`` and
``deadline`` (RFC 3339, or seconds since the Unix epoch); headers ``nbagora-priority`` and so on say the same. A task
that waits has ``place`` and ``held``.
"""

_STRUCTS = frozenset({"data", "metadata"})  # members of A2A's messages that are of protobuf's type `Struct`

SUBMITTED: Final = "TASK_STATE_SUBMITTED"
WORKING: Final = "TASK_STATE_WORKING"
COMPLETED: Final = "TASK_STATE_COMPLETED"
FAILED: Final = "TASK_STATE_FAILED"
CANCELED: Final = "TASK_STATE_CANCELED"
REJECTED: Final = "TASK_STATE_REJECTED"
INPUT_REQUIRED: Final = "TASK_STATE_INPUT_REQUIRED"
TERMINAL_STATES: Final = frozenset({COMPLETED, FAILED, CANCELED, REJECTED})
INTERRUPTED_STATES: Final = frozenset({INPUT_REQUIRED, "TASK_STATE_AUTH_REQUIRED"})

DEEPEST: Final = 30
"""Levels that data in parts and metadata may nest. What reads A2A by protobuf, other faces and other people's clients
included, takes 100 levels of messages, of which each level of an object costs three."""

_TAIL = len(b"}}}}")


# made once, not per call
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_LINE_ENDS = ("\x85".encode(), "\u2028".encode(), "\u2029".encode())
_STRICT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def dumps(value: object) -> bytes:
    """Strict JSON in UTF-8 on one line: no NaN, lone surrogates replaced.

    By orjson, in a tenth of the time, but for what that one refuses or writes otherwise: numbers beyond 64 bits, keys
    that are no text, NaN, which it takes for null, and the characters that line readers take for a line's end.
    """
    if type(value) is str:  # a chunk: what orjson allocates for its answer costs more than the text
        return _encoded(encode_basestring(value))
    try:
        packed = orjson.dumps(value, option=_STRICT)
    except orjson.JSONEncodeError:
        return _encoded(_encode(value))
    if b"null" in packed or (not packed.isascii() and any(one in packed for one in _LINE_ENDS)):
        return _encoded(_encode(value))
    return packed


def _encoded(text: str) -> bytes:
    return one_line(text).encode("utf-8", "replace")


def _stamp(topic: str, metadata: dict[str, Any] | None, prompts: tuple[str, ...] = ()) -> bytes:
    """The closing metadata; the extension's must be the last of it."""
    if not metadata:
        return _bare_stamp(topic, prompts)
    if nested_deeper(metadata):
        raise BadYield(f"metadata nested deeper than {DEEPEST} levels, A2A can't carry it", "make it flatter")
    own = b"".join(dumps(key) + b":" + dumps(value) + b"," for key, value in metadata.items() if key != LOG_EXTENSION)
    return b'"metadata":{%s%s' % (own, _bare_stamp(topic, prompts).removeprefix(b'"metadata":{'))


@functools.lru_cache(1024)  # sessions that write now
def _bare_stamp(topic: str, prompts: tuple[str, ...]) -> bytes:
    used = b',"prompts":%s' % dumps(prompts) if prompts else b""
    return b'"metadata":{"%s":{"topic":%s%s}}}}' % (LOG_EXTENSION.encode(), dumps(topic), used)


def splice(body: bytes, offset: int, generation: int) -> bytes:
    """`body` as readers get it: with its offset and generation in the extension's metadata."""
    return b'%b,"offset":"%d","generation":"%d"}}}}' % (body[:-_TAIL], offset, generation)


def task_body(task_id: str, context_id: str, state: str, timestamp: str, topic: str) -> bytes:
    """A ``task`` event that opens a task."""
    return b'{"task":{"id":%b,"contextId":%b,"status":{"state":"%b","timestamp":"%b"},%b' % (
        dumps(task_id),
        dumps(context_id),
        state.encode(),
        timestamp.encode(),
        _stamp(topic, None),
    )


def status_body(
    ids: bytes,
    state: str,
    timestamp: str,
    topic: str,
    message: dict[str, Any] | None,
    metadata: dict[str, Any] | None,
    prompts: tuple[str, ...] = (),
) -> bytes:
    """A ``statusUpdate`` event.

    Args:
        ids: The JSON of the members taskId and contextId, with their closing comma.
        state: Full name of the state.
        timestamp: RFC 3339.
        topic: Full name of the session topic.
        message: What the agent says with it, as an A2A message.
        metadata: Caller's own metadata of the event.
        prompts: The prompts that the agent has used so far, each as ``name@version``.
    """
    said = b',"message":%b' % dumps(message) if message else b""
    return b'{"statusUpdate":{%b"status":{"state":"%b"%b,"timestamp":"%b"},%b' % (
        ids,
        state.encode(),
        said,
        timestamp.encode(),
        _stamp(topic, metadata, prompts),
    )


def artifact_body(
    ids: bytes,
    artifact: bytes,
    parts: bytes,
    topic: str,
    *,
    append: bool,
    last: bool = False,
    metadata: dict[str, Any] | None = None,
    prompts: tuple[str, ...] = (),
) -> bytes:
    """An ``artifactUpdate`` event.

    Args:
        ids: As for `status_body`.
        artifact: The JSON of the artifact's members before its parts, with their closing comma.
        parts: The JSON of its parts, without the brackets.
        topic: Full name of the session topic.
        append: Whether the parts are put after those that the artifact has.
        last: Whether the artifact is complete with this.
        metadata: Caller's own metadata of the event.
        prompts: As for `status_body`.
    """
    return b'{"artifactUpdate":{%b"artifact":{%b"parts":[%b]},%b%b%b' % (
        ids,
        artifact,
        parts,
        b'"append":true,' if append else b"",
        b'"lastChunk":true,' if last else b"",
        _stamp(topic, metadata, prompts),
    )


def text_part(text: str) -> bytes:
    """The JSON of a part that is a text."""
    return b'{"text":%b}' % dumps(text)


def message_body(message: dict[str, Any], topic: str, prompts: tuple[str, ...] = ()) -> bytes:
    """A ``message`` event: a plain reply, or a user's message."""
    own = {key: value for key, value in message.items() if key != "metadata"}
    return b'{"message":%b,%b' % (dumps(own)[:-1], _stamp(topic, message.get("metadata"), prompts))


def message_of(
    role: str, message_id: str, parts: list[dict[str, Any]], *, task_id: str = "", context_id: str = ""
) -> dict[str, Any]:
    """An A2A message; `role` is ``ROLE_USER`` or ``ROLE_AGENT``."""
    ids = {"taskId": task_id, "contextId": context_id}
    return {"messageId": message_id, "role": role, "parts": parts} | {key: value for key, value in ids.items() if value}


def part_of(value: object) -> dict[str, Any]:
    """The A2A part for a Python value.

    Args:
        value: str, a dict or pydantic model, bytes, a `Path` (read now), or a dict that is a part already.

    Raises:
        BadYield: Another type, or data that JSON can't hold; names it.
    """
    match value:
        case str():
            return {"text": value}
        case bytes():
            return {"raw": base64.b64encode(value).decode(), "mediaType": "application/octet-stream"}
        case Path():
            try:
                content = value.read_bytes()
            except OSError as error:
                raise BadYield(f"can't read the file {value}: {error.strerror}", "yield a Path that exists") from None
            kind = mimetypes.guess_type(value.name)[0] or "application/octet-stream"
            return {"raw": base64.b64encode(content).decode(), "filename": value.name, "mediaType": kind}
    dump = None if isinstance(value, type) else getattr(value, "model_dump", None)
    data = dump(mode="json") if callable(dump) else value
    if not isinstance(data, dict | list):
        raise BadYield(
            f"a {type(value).__name__} has no meaning as output of an agent",
            "yield str, dict, a pydantic model, bytes, a Path, or task.status(), task.artifact() and their like",
        )
    try:
        dumps(data)
    except (TypeError, ValueError) as error:
        raise BadYield(f"data that JSON can't hold: {error}", "yield plain dicts of str, numbers and lists") from None
    if nested_deeper(data):
        raise BadYield(
            f"data nested deeper than {DEEPEST} levels, which A2A can't carry", "yield it flatter, or as bytes"
        )
    return {"data": data, "mediaType": "application/json"}


def text_of(parts: list[dict[str, Any]]) -> str:
    """The text parts, joined."""
    return "".join(part.get("text", "") for part in parts)


def unstructured(value: Any, *, inside: bool = False) -> Any:
    """A message's JSON that passed through protobuf, with its data and metadata mended, which are of the type `Struct`.

    That one knows only doubles: whole numbers are int again. And its members have no order, or another one in each
    process: they are put in that of their names, or two equal runs would not record the same.

    Args:
        value: As `MessageToDict` gives it.
        inside: Whether it is part of a `Struct`.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    if isinstance(value, dict):
        members = sorted(value.items()) if inside else value.items()
        return {key: unstructured(one, inside=inside or key in _STRUCTS) for key, one in members}
    if isinstance(value, list):
        return [unstructured(one, inside=inside) for one in value]
    return value


def is_text(value: object) -> bool:
    """Whether all strings of a JSON value can be written: a lone surrogate can't."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def one_line(text: str) -> str:
    """JSON without the characters that line readers, the SDK's client among them, take for a line's end."""
    if text.isascii():
        return text
    return text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def nested_deeper(value: object, limit: int = DEEPEST) -> bool:
    """Whether a JSON value nests lists and objects deeper than `limit`."""
    level = [value]
    for _ in range(limit):
        if not level:
            return False
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in level)


def short_state(state: str) -> str:
    """A state as people read it: ``INPUT_REQUIRED``."""
    return state.removeprefix("TASK_STATE_")
