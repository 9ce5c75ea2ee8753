"""A record over HTTP as CloudEvents' JSON has it, both ways.

Beside CloudEvents' attributes go ``priority``, ``tenant``, ``cost``, ``deadline`` (seconds since the Unix epoch) and
``traceparent``; what is told has its ``topic`` and ``offset``, too.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from nbagora_lab.broker.http import Call, dump
from nbagora_lab.broker.model import split_topic
from nbagora_lab.core.clock import rfc3339
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.events import Flags, Record
from nbagora_lab.core.openapi import JSON

__all__ = ["ATTRIBUTES", "LATEST", "SCHEDULING", "Event", "Read", "array", "event_json", "is_json", "packed"]

LATEST = 253402300799
"""The latest deadline, in seconds since the Unix epoch: the end of the year 9999."""

SCHEDULING = {"priority": int, "tenant": str, "cost": float, "deadline": float}
"""What a producer says of when a record should be handed out, with its types."""

ATTRIBUTES = ("type", "subject", "source", "id", "traceparent")
"""What it says of the record itself."""


class Event(BaseModel):
    """A record that is to be appended, as CloudEvents' JSON has it."""

    model_config = ConfigDict(extra="forbid")

    specversion: Literal["1.0"] = "1.0"
    id: str = ""
    source: str = ""
    type: str = "message"
    subject: str = ""
    time: str | None = Field(None, description="read over: the broker's clock gives a record its time")
    datacontenttype: str | None = None
    data: Any = None
    data_base64: str | None = None
    traceparent: str = ""
    priority: int = Field(0, ge=0, le=255)
    tenant: str = ""
    cost: float = Field(1.0, ge=0, allow_inf_nan=False)
    deadline: float | None = Field(None, ge=0, le=LATEST, description="seconds since the Unix epoch")


class Read(BaseModel):
    """A record as it stands on its topic.

    Its body is `data` where that is JSON or text, otherwise `data_base64`, and a large one is at `dataref`.
    """

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: Any = None
    data_base64: str | None = None
    dataref: str | None = None
    traceparent: str
    priority: int
    tenant: str
    cost: float
    deadline: float | None
    topic: str
    offset: int


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON's, or a kind of it."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind == JSON or kind.endswith("+json")


def event_json(record: Record) -> bytes:
    """A record as it is told over HTTP; what can't be told as JSON or text goes as base64."""
    plan = record.scheduling
    event = {
        "specversion": "1.0",
        "id": record.id,
        "source": record.source or "/",
        "type": record.type,
        "subject": record.subject,
        "time": rfc3339(record.time),
        "datacontenttype": record.datacontenttype,
        "traceparent": record.traceparent,
        "priority": plan.priority,
        "tenant": plan.tenant,
        "cost": plan.cost,
        "deadline": plan.deadline,
        "topic": record.topic,
        "offset": record.offset,
    }
    kind = record.datacontenttype
    if record.flags & Flags.REFERENCE:
        parent, lite = (quote(name, safe="") for name in split_topic(record.topic))
        return dump(event | {"dataref": f"/broker/topics/{parent}/{lite}/records/{record.offset}/body"})
    try:
        if is_json(kind):
            return dump(event | {"data": json.loads(record.body.decode())})
        if kind.startswith("text/"):
            return dump(event | {"data": record.body.decode()})
    except (ValueError, RecursionError):  # no JSON, or such as Python reads and JSON does not have: NaN
        return dump(event | {"data_base64": base64.b64encode(record.body).decode()})
    return dump(event | {"data_base64": base64.b64encode(record.body).decode()})


def array(items: Iterable[bytes]) -> bytes:
    """A JSON array of what is JSON already."""
    return b"[%b]" % b",".join(items)


def packed(call: Call, event: Event) -> bytes:
    """An event as the store keeps it.

    Raises:
        UsageError: Its data does not fit its media type.
    """
    kind = event.datacontenttype
    if event.data_base64 is not None:
        if event.data is not None:
            raise UsageError("an event with both data and data_base64", "give one of them")
        try:
            body = base64.b64decode(event.data_base64, validate=True)
        except (binascii.Error, ValueError):
            raise UsageError("data_base64 is not base64", "encode it as RFC 4648 has it") from None
        kind = kind or "application/octet-stream"
    elif kind is None or is_json(kind):
        kind = kind or JSON
        body = b"" if "data" not in event.model_fields_set else _json(event.data)
    elif isinstance(event.data, str):
        body = _utf8("data", event.data)
    elif event.data is None:
        body = b""
    else:
        raise UsageError(f"data of a {type(event.data).__name__} as {kind[:60]}", "give text, or data_base64")
    attributes = {name: getattr(event, name) for name in ATTRIBUTES if getattr(event, name)}
    plan = {name: getattr(event, name) for name in SCHEDULING}
    return call.broker.encode(body, datacontenttype=kind, **plan, **attributes)


def _json(data: Any) -> bytes:
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    except (ValueError, RecursionError):
        raise UsageError(
            "data holds a number that JSON does not have", "give numbers within a double's range"
        ) from None


def _utf8(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} has half a surrogate pair", "send text that UTF-8 can hold") from None
