"""What is wrong with a message of the protocol: A2A 1.0's own schema, and the rules that it can't express.

The schema is the SDK's protobuf: unknown members, wrong types and enumerations, and required fields that are missing.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["message_problems"]

_CONTENTS = frozenset({"text", "raw", "url", "data"})
_MEMBERS = frozenset({"task", "message", "statusUpdate", "artifactUpdate"})


def message_problems(body: object) -> tuple[str, ...]:
    """All that is wrong with a `StreamResponse` in ProtoJSON; nothing if it is as the specification has it.

    Example:
        >>> message_problems({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]}})
        ()
        >>> message_problems({"message": {"role": "ROLE_AGENT", "parts": []}})
        ('message.messageId: Field is required.', 'message.parts: Field must contain at least one element.')
    """
    if not isinstance(body, dict) or len(body) != 1 or not body.keys() <= _MEMBERS:
        return ("it is none of task, message, statusUpdate and artifactUpdate",)
    from a2a.types import a2a_pb2 as pb
    from a2a.utils.errors import InvalidParamsError
    from a2a.utils.proto_utils import validate_proto_required_fields
    from google.protobuf.json_format import ParseDict, ParseError

    [(member, inner)] = body.items()
    try:
        message = ParseDict(body, pb.StreamResponse())
    except (ParseError, RecursionError) as error:
        return (str(error).partition("\n")[0],)
    found = []
    try:
        validate_proto_required_fields(getattr(message, message.WhichOneof("payload") or member))
    except InvalidParamsError as error:
        details = (error.data or {}).get("errors", []) if isinstance(error.data, dict) else []
        found += [f"{member}.{_camel(one['field'])}: {one['message']}" for one in details] or [error.message]
    found += _parts(member, inner)
    if member in {"task", "statusUpdate"} and inner.get("status", {}).get("state") == "TASK_STATE_UNSPECIFIED":
        found.append(f"{member}.status.state: unspecified")
    return tuple(found)


def _camel(name: str) -> str:
    """A field's name as JSON has it."""
    return re.sub(r"_([a-z])", lambda found: found.group(1).upper(), name)


def _parts(member: str, inner: dict[str, Any]) -> list[str]:
    """Parts that hold nothing, or more than one thing."""
    holders = [(f"{member}.status.message", inner.get("status", {}).get("message", {}))]
    holders += [(f"{member}", inner if member == "message" else {})]
    holders += [(f"{member}.artifact", inner.get("artifact", {}))]
    holders += [(f"{member}.artifacts[{at}]", one) for at, one in enumerate(inner.get("artifacts", []))]
    holders += [(f"{member}.history[{at}]", one) for at, one in enumerate(inner.get("history", []))]
    return [
        f"{where}.parts[{at}]: one of text, raw, url and data"
        for where, holder in holders
        for at, part in enumerate(holder.get("parts", []))
        if len(part.keys() & _CONTENTS) != 1
    ]
