"""Deliveries over HTTP: receive, ack, extend, fail, release, suspend and seek.

A receive waits on the service loop, woken by what becomes ready; no thread stands by. One whose caller hangs up while
it waits is handed nothing. A record that was leased at the very moment is given back, and one whose answer is lost on
the way is handed out again by its lease; the same `attempt_id` gives it again at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from nbagora_lab.broker.delivery import Batch, Delivery, Handle
from nbagora_lab.broker.group import Start
from nbagora_lab.broker.http import MOST, Call, Door, dump
from nbagora_lab.broker.http_events import Event, Read, array, event_json, packed
from nbagora_lab.broker.model import seconds
from nbagora_lab.core.errors import LeaseLost, UsageError
from nbagora_lab.core.service import waker

__all__ = [
    "Ack",
    "Acked",
    "Delivered",
    "Evictions",
    "Extend",
    "Fail",
    "Receive",
    "Received",
    "Release",
    "Seek",
    "Sent",
    "Sought",
    "Suspend",
    "delivery_doors",
]

_GROUP = "/broker/groups/{group}"
_DIGITS = 18  # of an offset
_LONGEST = 300.0  # seconds of a wait; proxies end requests that take longer
_TURNS = 5  # of the loop, until it has heard that a caller hung up, where that was before the batch came


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Receive(_Body):
    """A receive: for whom, how many records and bytes at most, and how long to wait where nothing is ready."""

    client: str
    max: int = Field(32, ge=1, le=MOST)
    max_bytes: int | None = Field(None, ge=1)
    wait: float = Field(0.0, ge=0, le=_LONGEST)
    lease: float | None = Field(None, gt=0, allow_inf_nan=False)
    attempt_id: str = Field("", max_length=200)


class Delivered(BaseModel):
    """A record, handed out; `handle` is what an ack names."""

    handle: str
    attempt: int
    record: Read


class Received(BaseModel):
    """What was handed out.

    `held` counts, by rule, what is held back; after `wake` seconds time alone makes more ready (null: only an event
    can). `evicted` are the patterns that a newer client of an exclusive group took over since the last receive.
    """

    deliveries: list[Delivered]
    held: dict[str, int]
    wake: float | None
    evicted: list[str]


class Sent(Event):
    """A record to append in the same step as an ack."""

    topic: str


class Ack(_Body):
    """Ends deliveries for good: what they really cost, by handle, and records to append in the same step."""

    handles: list[str]
    costs: dict[str, float] = {}
    send: list[Sent] = []


class Acked(BaseModel):
    """The offsets of what was sent with it."""

    offsets: list[int]


class Extend(_Body):
    """Has leases end so many seconds from now."""

    handles: list[str]
    lease: float = Field(gt=0, allow_inf_nan=False)


class Fail(_Body):
    """Gives deliveries back as failed; they come again after `pause` seconds, or the group's back-off."""

    handles: list[str]
    pause: float | None = Field(None, ge=0, allow_inf_nan=False)


class Release(_Body):
    """Gives deliveries back as if they had never been handed out, with what else is out of their topics."""

    handles: list[str]


class Suspend(_Body):
    """Has nothing of a topic handed out for so long; 0 ends that."""

    topic: str
    pause: float | str


class Seek(_Body):
    """Moves a group's progress on a topic."""

    topic: str
    start: int | str


class Sought(BaseModel):
    """The offset that is next."""

    next: int


class Evictions:
    """What clients over HTTP lost to newer ones since they last asked; told by the next receive."""

    def __init__(self) -> None:
        self._lost: dict[tuple[str, str], list[str]] = {}

    def listen(self, group: str, client: str) -> Callable[[list[str]], None]:
        """What is called with the patterns that a client lost."""
        return lambda patterns: self._lost.setdefault((group, client), []).extend(patterns)

    def take(self, group: str, client: str) -> list[str]:
        """What it lost, once."""
        return self._lost.pop((group, client), [])


def _handles(texts: list[str]) -> list[Handle]:
    handles = []
    for text in texts:
        handle = Handle.parse(text)
        if not (0 <= handle.offset < 2**63 and 0 <= handle.lease < 2**63):
            raise UsageError(f"'{text[:60]}' is no handle of a delivery", "give back what receive gave")
        handles.append(handle)
    return handles


def _ack(call: Call) -> Acked:
    body: Ack = call.body
    costs = dict(zip(_handles(list(body.costs)), body.costs.values(), strict=True))
    sent = [(one.topic, packed(call, one)) for one in body.send]
    handles = _handles(body.handles)
    offsets = call.broker.group_engine.ack(call.path["group"], handles, costs=costs or None, send=sent)
    return Acked(offsets=offsets)


def _extend(call: Call) -> None:
    call.broker.group_engine.extend(call.path["group"], _handles(call.body.handles), call.body.lease)


def _fail(call: Call) -> None:
    call.broker.group_engine.fail(call.path["group"], _handles(call.body.handles), pause=call.body.pause)


def _release(call: Call) -> None:
    call.broker.group_engine.release(call.path["group"], _handles(call.body.handles))


def _suspend(call: Call) -> None:
    pause = call.body.pause
    call.broker.suspend(call.path["group"], call.body.topic, seconds(pause) if isinstance(pause, str) else pause)


def _seek(call: Call) -> Sought:
    start = Start.parse(_bounded(call.body.start))
    return Sought(next=call.broker.group_engine.seek(call.path["group"], call.body.topic, start))


def _bounded(start: int | str) -> int | str:
    number = str(start)[:80].removeprefix("tail-").removeprefix("offset-")
    if number.isdigit() and len(number) > _DIGITS:
        raise UsageError(f"no offset is as large as {number[:40]}", f"offsets have at most {_DIGITS} digits")
    return start


def _delivered(delivery: Delivery) -> bytes:
    handle, record = dump(str(delivery.handle)), event_json(delivery.record)
    return b'{"handle":%b,"attempt":%d,"record":%b}' % (handle, delivery.attempt, record)


async def _receive(call: Call, evictions: Evictions) -> bytes:
    body: Receive = call.body
    group = call.path["group"]
    gone = asyncio.create_task(call.gone())
    try:
        batch = await _waited(call, body, group, gone)
        for _ in range(_TURNS if batch else 0):
            await asyncio.sleep(0)
        if gone.done() and batch:
            await asyncio.to_thread(_give_back, call, group, batch)
    finally:
        gone.cancel()
    wake = batch.wake if batch.wake is not None and math.isfinite(batch.wake) else None
    deliveries = array(map(_delivered, batch))
    return b'{"deliveries":%b,"held":%b,"wake":%b,"evicted":%b}' % (
        deliveries, dump(batch.held), dump(wake), dump(evictions.take(group, body.client)),
    )  # fmt: skip


async def _waited(call: Call, body: Receive, group: str, gone: asyncio.Task[None]) -> Batch:
    """The next batch, waited for on the loop; empty where none came, or the caller has gone."""
    engine, loop = call.broker.group_engine, asyncio.get_running_loop()

    def receive() -> Batch:
        return engine.receive(
            group,
            body.client,
            limit=body.max,
            max_bytes=body.max_bytes,
            lease=body.lease,
            attempt_id=body.attempt_id,
        )

    batch = await asyncio.to_thread(receive)
    deadline = loop.time() + body.wait
    while not batch and not gone.done() and (left := deadline - loop.time()) > 0:
        wake = waker(woken := asyncio.Event())
        ends = engine.when_ready(group, body.client, wake), call.clock.watch(wake)
        waiting = asyncio.create_task(woken.wait())
        try:
            batch = await asyncio.to_thread(receive)  # what came before the watch stood
            if not batch:
                seconds = left if batch.wake is None else min(left, batch.wake)
                await asyncio.wait({waiting, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            for end in ends:
                end()
    return batch


def _give_back(call: Call, group: str, batch: Batch) -> None:
    try:
        call.broker.group_engine.release(group, batch)
    except LeaseLost:
        return  # they went back by themselves


def delivery_doors(evictions: Evictions) -> tuple[Door, ...]:
    """The doors of one server.

    Args:
        evictions: What its clients lost.
    """

    async def receive(call: Call) -> bytes:
        return await _receive(call, evictions)

    return (
        Door(
            method="POST",
            path=f"{_GROUP}/receive",
            summary="Leases the next records to a client, and waits for some",
            body=Receive,
            result=Received,
            run=receive,
        ),
        Door(method="POST", path=f"{_GROUP}/ack", summary="Ends deliveries for good", body=Ack, result=Acked, run=_ack),
        Door(method="POST", path=f"{_GROUP}/extend", summary="Extends leases", body=Extend, run=_extend, status=204),
        Door(method="POST", path=f"{_GROUP}/fail", summary="Gives deliveries back", body=Fail, run=_fail, status=204),
        Door(
            method="POST",
            path=f"{_GROUP}/release",
            summary="Gives deliveries back uncounted",
            body=Release,
            run=_release,
            status=204,
        ),
        Door(
            method="POST",
            path=f"{_GROUP}/suspend",
            summary="Holds a topic back for so long",
            body=Suspend,
            run=_suspend,
            status=204,
        ),
        Door(
            method="POST",
            path=f"{_GROUP}/seek",
            summary="Moves a group's progress on a topic, back or forth",
            body=Seek,
            result=Sought,
            run=_seek,
        ),
    )
