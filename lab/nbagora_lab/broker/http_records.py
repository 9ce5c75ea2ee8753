"""Records over HTTP, in CloudEvents' two modes: read, appended, and tailed as server-sent events.

| media type of what is appended | the record |
|---|---|
| ``application/cloudevents+json`` | one event, structured |
| ``application/cloudevents-batch+json`` | a list of them, appended in one step |
| any other | the body as it stands; the media type is its own, attributes come as ``ce-…`` headers or in the query |

A body in the last mode may be as large as the setting `stored_body_limit` allows: it is stored as it comes, and memory
holds some 1 MiB of it.

The broker's own clock gives a record its time; a producer's ``time`` is read over. Beside CloudEvents' attributes go
``priority``, ``tenant``, ``cost``, ``deadline`` (seconds since the Unix epoch) and ``traceparent``.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import unquote

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response, StreamingResponse

from nbagora_lab.broker.blobs import CHUNK, BlobRef
from nbagora_lab.broker.http import MOST, OFFSET, Call, Door, dump
from nbagora_lab.broker.http_events import ATTRIBUTES, LATEST, SCHEDULING, Event, Read, array, event_json, packed
from nbagora_lab.broker.model import split_topic
from nbagora_lab.broker.tail import tail_batches
from nbagora_lab.core.errors import TopicNotFound, UsageError, did_you_mean
from nbagora_lab.core.events import decode
from nbagora_lab.core.openapi import JSON
from nbagora_lab.core.problem import misfit

__all__ = ["BATCH", "EVENT_STREAM", "RECORD_DOORS", "STRUCTURED", "Appended", "Records", "staged"]

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EVENT_STREAM = "text/event-stream"

T = TypeVar("T")

_RECORDS = "/broker/topics/{parent}/{lite}/records"
_PIECE = 256 << 10  # bytes
_BEAT = 15.0  # seconds without a record after which a stream says that it is still there
_ENVELOPE = ("specversion", "time")


class Records(BaseModel):
    """A page of records; `after` is the next page's, null where that was the last for now."""

    topic: str
    records: list[Read]
    after: int | None


class Appended(BaseModel):
    """Where records were stored: the offset of each, and of the last."""

    topic: str
    offset: int
    offsets: list[int]


_EVENT, _EVENTS = TypeAdapter(Event), TypeAdapter(list[Event])


async def _append(call: Call) -> Appended:
    kind = call.request.headers.get("content-type", "application/octet-stream")
    bare = kind.partition(";")[0].strip().lower()
    if bare in {STRUCTURED, BATCH}:
        body = await call.request.body()
        if call.query:
            raise UsageError(f"the query's {min(call.query)} beside a structured event", "put it into the event")
        try:
            events = _EVENTS.validate_json(body) if bare == BATCH else [_EVENT.validate_json(body)]
        except ValidationError as error:
            raise misfit(error, "the body", "it takes Event; see /broker/openapi.json") from None
        stored = [packed(call, event) for event in events]
    else:
        return await _append_plain(call, kind)
    if not stored:
        raise UsageError("a batch of no events", "give at least one")
    topic = call.topic
    offsets = await asyncio.to_thread(call.broker.log.append, [(topic, one) for one in stored])
    return Appended(topic=topic, offset=offsets[-1], offsets=offsets)


async def _append_plain(call: Call, kind: str) -> Appended:
    """A record in binary mode, its body as it stands."""
    options = {"datacontenttype": kind} | _options(call)
    coming = call.request.stream()
    begun = bytearray()
    async for piece in coming:
        begun += piece
        if len(begun) > CHUNK:
            break
    else:
        sent = await asyncio.to_thread(call.broker.send, call.topic, bytes(begun), **options)
        return Appended(topic=sent.topic, offset=sent.offset, offsets=[sent.offset])
    pieces = itertools.chain([bytes(begun)], _from_loop(coming))
    del begun
    sent = await _aside(functools.partial(call.broker.send, call.topic, pieces, **options))
    return Appended(topic=sent.topic, offset=sent.offset, offsets=[sent.offset])


async def staged(stage: Callable[[Iterator[bytes]], BlobRef], coming: AsyncIterator[bytes]) -> BlobRef:
    """Stages a large body as it comes.

    Args:
        stage: `Log.stage`.
        coming: The body.
    """
    pieces = _from_loop(coming)
    return await _aside(lambda: stage(pieces))


async def _aside(work: Callable[[], T]) -> T:
    """Runs on a thread of its own what waits for a sender."""
    return await to_thread.run_sync(work, limiter=_uploads())


def _from_loop(coming: AsyncIterator[bytes]) -> Iterator[bytes]:
    """What comes on this event loop, for a thread of its own that reads it."""
    loop = asyncio.get_running_loop()

    async def following() -> bytes:
        async for piece in coming:
            if piece:
                return piece
        return b""

    def pieces() -> Iterator[bytes]:
        while piece := asyncio.run_coroutine_threadsafe(following(), loop).result():
            yield piece

    return pieces()


@functools.cache
def _uploads() -> CapacityLimiter:
    """Large bodies that may come at once: each has a thread, which waits for its sender."""
    return CapacityLimiter(16)


def _options(call: Call) -> dict[str, Any]:
    """What headers and query say of a record in binary mode."""
    found: dict[str, Any] = {}
    if traceparent := call.request.headers.get("traceparent"):
        found["traceparent"] = traceparent
    for header, value in call.request.headers.items():
        if not header.startswith("ce-"):
            continue
        name = header[3:]
        if name not in {*SCHEDULING, *ATTRIBUTES, *_ENVELOPE}:
            raise UsageError(f"no attribute '{name[:60]}'", did_you_mean(name[:60], [*SCHEDULING, *ATTRIBUTES]))
        if name == "specversion" and value != "1.0":
            raise UsageError(f"CloudEvents {value[:20]}", "version 1.0 is spoken here")
        if name not in _ENVELOPE:
            found[name] = _decoded(name, value)
    return found | dict(call.query)


def _decoded(name: str, value: str) -> Any:
    """A header's value; letters beyond ASCII come percent-encoded."""
    try:
        text = unquote(value, errors="strict")
        return SCHEDULING.get(name, str)(text)
    except ValueError:  # a UnicodeDecodeError is one, too
        raise UsageError(
            f"ce-{name} can't be {value[:40]!r}", "numbers as digits, text as UTF-8 by percent signs"
        ) from None


async def _get(call: Call) -> Any:
    if EVENT_STREAM in call.request.headers.get("accept", ""):
        return _stream(call)
    return await asyncio.to_thread(_page, call)


def _body(call: Call) -> Response:
    """The body alone, as it is; in pieces, so that memory holds little of a large one."""
    text = call.path["offset"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"no offset {text[:40]!r}", "give the record's")
    offset = int(text)
    found = call.broker.read(call.topic, after=offset - 1 if offset else None, before=offset + 1, limit=1)
    if not found:
        raise TopicNotFound(f"no record {offset} on '{call.topic}'", "see its first and next: GET the topic")
    file = call.broker.open(found[0])
    # "sandbox" and "nosniff": a page that somebody sent is not to run here, under the lab's own origin
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    return StreamingResponse(_pieces(file), headers=headers | {"Content-Type": found[0].datacontenttype})


def _pieces(file: Any) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _start(call: Call) -> int | None:
    """The offset that is already known, as the query says."""
    after: int | None = call.query.get("after")
    if (since := call.query.get("since")) is not None:
        known = -1 if after is None else after
        return max(known, call.broker.log.seek(call.topic, since) - 1)
    return after


def _page(call: Call) -> bytes:
    following = call.broker.info(call.topic).next
    before = min(following, call.query.get("before", following))
    start = _start(call)
    after = -1 if start is None else start
    batch = call.broker.log.scan(call.topic, after=after, limit=call.query.get("limit", 100))
    records = [decode(stored, call.topic, offset) for offset, stored in batch if offset < before]
    more = bool(records) and records[-1].offset + 1 < before
    after_this = dump(records[-1].offset if more else None)
    shown = array(map(event_json, records))
    return b'{"topic":%b,"records":%b,"after":%b}' % (dump(call.topic), shown, after_this)


def _stream(call: Call) -> Response:
    """A tail; it resumes after the id of the last event, and otherwise begins where the query says, or now."""
    if extra := {"before", "limit"} & call.query.keys():
        raise UsageError(f"'{min(extra)}' in a stream, which has no end", "leave it out, or accept application/json")
    parent, _ = split_topic(call.topic)
    if parent not in (parents := call.broker.topics()):
        raise TopicNotFound(f"no topic '{parent}'", did_you_mean(parent, parents))
    if last := call.request.headers.get("last-event-id"):
        if not (last.isascii() and last.isdigit() and len(last) < 19):
            raise UsageError(
                f"no offset {last[:40]!r} in Last-Event-ID", "give the id of the last event, or leave it out"
            )
        after = int(last)
    else:
        after = _begin(call)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(call, after), media_type=EVENT_STREAM, headers=headers)


def _begin(call: Call) -> int:
    """The offset after which a new tail begins; a topic that does not exist may come."""
    if not call.broker.log.scan(call.topic, limit=1):
        return int(call.query.get("after", -1))
    start = _start(call)
    return call.broker.info(call.topic).next - 1 if start is None else start


async def _events(call: Call, after: int) -> AsyncIterator[bytes]:
    """Records as server-sent events: the id is the offset."""
    batches = tail_batches(call.broker.log, call.topic, after=after)
    coming: asyncio.Task[Any] | None = None
    try:
        yield b": tailing\n\n"
        while True:
            coming = coming or asyncio.ensure_future(anext(batches))
            done, _ = await asyncio.wait({coming}, timeout=_BEAT)
            if not done:
                yield b": still here\n\n"
                continue
            batch, coming = coming.result(), None
            events = [(offset, event_json(decode(stored, call.topic, offset))) for offset, stored in batch]
            yield b"".join(b"id: %d\ndata: %b\n\n" % event for event in events)
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await batches.aclose()


_SECONDS = {"type": "number", "minimum": 0, "maximum": LATEST}
_PLAN: dict[str, dict[str, Any]] = {
    "priority": {"type": "integer", "minimum": 0, "maximum": 255},
    "tenant": {"type": "string"},
    "cost": {"type": "number", "minimum": 0},
    "deadline": _SECONDS,
    **{name: {"type": "string"} for name in ATTRIBUTES},
}
_RAW = {"type": "string", "format": "binary"}

RECORD_DOORS: tuple[Door, ...] = (
    Door(
        method="GET",
        path=_RECORDS,
        summary="Reads records by offset or time, moving nobody's progress; as text/event-stream it tails",
        query={
            "after": OFFSET,
            "before": OFFSET,
            "since": _SECONDS,
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST},
        },
        headers={"last-event-id": {"type": "string"}},
        result=Records,
        results={EVENT_STREAM: {"type": "string"}},
        run=_get,
    ),
    Door(
        method="POST",
        path=_RECORDS,
        summary="Appends a record, or several in one step",
        query=_PLAN,
        bodies={
            STRUCTURED: Event,
            BATCH: {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Event"}},
            JSON: {},
            "text/plain": {"type": "string"},
            "application/octet-stream": _RAW,
        },
        result=Appended,
        run=_append,
        raw=True,
        status=201,
    ),
    Door(
        method="GET",
        path=f"{_RECORDS}/{{offset}}/body",
        summary="Gives a record's body as it is",
        results={"*/*": {}},
        run=_body,
    ),
)
