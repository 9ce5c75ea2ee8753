"""What a producer sends, packed as a record."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from nbagora_lab.broker.blobs import CHUNK
from nbagora_lab.core.errors import UsageError, did_you_mean
from nbagora_lab.core.events import Scheduling, encode

__all__ = ["encode_message", "pieces_of"]

_LATEST = 253_402_300_800  # the year 10000, where dates end
_ATTRIBUTES = {"type", "subject", "source", "id", "datacontenttype", "traceparent"}


def encode_message(
    body: bytes | str,
    *,
    time: float,
    epoch: int,
    priority: int = 0,
    tenant: str = "",
    cost: float = 1.0,
    deadline: float | None = None,
    flags: int = 0,
    **attributes: str,
) -> bytes:
    """Packs a body with what its sender says of it; arguments as for `Broker.send`.

    Args:
        body: Bytes, or text that is stored as UTF-8.
        time: Seconds since the Unix epoch.
        epoch: Of the store's holder.
        priority: 0 to 255.
        tenant: On whose behalf.
        cost: 0 or more.
        deadline: Seconds since the Unix epoch.
        flags: Bits of `core.events.Flags`.
        attributes: CloudEvents' attributes.

    Raises:
        TooLarge: An attribute is above its limit.
        UsageError: A body that is neither bytes nor text, or an attribute that does not fit.
    """
    if type(body) is str:
        body = _utf8("body", body)
        attributes.setdefault("datacontenttype", "text/plain; charset=utf-8")
    elif not isinstance(body, bytes | bytearray | memoryview):
        raise UsageError(
            f"a body of type {body.__class__.__name__}", "send bytes or text; json.dumps makes text of data"
        )
    packed: dict[str, Any] = {"datacontenttype": b"application/octet-stream"}
    if attributes:
        if unknown := attributes.keys() - _ATTRIBUTES:
            raise UsageError(f"no attribute '{min(unknown)}'", did_you_mean(min(unknown), _ATTRIBUTES))
        packed |= {name: _utf8(name, text) for name, text in attributes.items()}
    kind = packed.pop("type", b"message").decode()
    if priority or tenant or cost != 1.0 or deadline is not None:
        packed["scheduling"] = _pack(priority, tenant, cost, deadline)
    return encode(kind, bytes(body), time=time, epoch=epoch, flags=flags, **packed)


def pieces_of(body: object) -> Iterable[bytes] | None:
    """A body that is stored apart, in pieces: what is above a chunk, a binary file, an iterable of bytes; else None."""
    if isinstance(body, str):
        return [_utf8("body", body)] if len(body) > CHUNK else None
    if isinstance(body, bytes | bytearray | memoryview):
        return [bytes(body)] if memoryview(body).nbytes > CHUNK else None
    if hasattr(body, "read"):
        return iter(lambda: _bytes(body.read(CHUNK)), b"")
    return (_bytes(piece) for piece in body) if isinstance(body, Iterable) and not isinstance(body, dict) else None


def _bytes(piece: object) -> bytes:
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise UsageError(f"a body with a piece of type {piece.__class__.__name__}", "open files in binary mode")
    return bytes(piece)


def _pack(priority: int, tenant: str, cost: float, deadline: float | None) -> bytes:
    try:
        fits = 0 <= priority <= 255 and 0 <= cost < math.inf and (deadline is None or 0 <= deadline < _LATEST)
    except TypeError:
        fits = False
    if not fits or type(priority) is not int or type(tenant) is not str:
        raise UsageError(
            f"no scheduling: priority={priority!r}, tenant={tenant!r}, cost={cost!r}, deadline={deadline!r}",
            "priority is 0 to 255, tenant a text, cost 0 or more, deadline in seconds since the Unix epoch",
        )
    _utf8("tenant", tenant)
    return Scheduling(priority, tenant, float(cost), deadline).pack()


def _utf8(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the record's {name} has half a surrogate pair", "send text that UTF-8 can hold") from None
