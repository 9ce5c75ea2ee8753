"""Topics over HTTP: parents and their settings, lite topics, forks and replays."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nbagora_lab.broker.http import MOST, Call, Door
from nbagora_lab.broker.model import TopicInfo, TopicSpec, check_name
from nbagora_lab.core.errors import Forbidden, TopicNotFound, UsageError, did_you_mean
from nbagora_lab.core.events import restamped
from nbagora_lab.core.service import waker

__all__ = ["TOPIC_DOORS", "Created", "ForkTo", "Lites", "ReplayTo", "Replayed", "Topic", "Topics"]

_TOPICS = "/broker/topics"
_PARENT = f"{_TOPICS}/{{parent}}"
_LITE = f"{_PARENT}/{{lite}}"
_BATCH = 500


class Topic(TopicSpec):
    """A parent topic: its name and its settings; durations in seconds, or ``"1h"``."""

    name: str


class Topics(BaseModel):
    """All parent topics."""

    topics: list[Topic]


class Created(BaseModel):
    """Whether it is new; what is there already and equal is left as it is."""

    created: bool


class Lites(BaseModel):
    """A page of lite topics' names; `after` is the next page's, null where that was the last."""

    topics: list[str]
    after: str | None


class ForkTo(BaseModel):
    """A fork: the full name of the new topic, and the last offset that it takes over (null: all)."""

    model_config = ConfigDict(extra="forbid")

    to: str
    at: int | None = Field(None, ge=0, lt=2**63)


class ReplayTo(BaseModel):
    """A replay: where to, which records, and how many times as fast as they came (null: at once)."""

    model_config = ConfigDict(extra="forbid")

    to: str
    after: int | None = Field(None, ge=0, lt=2**63)
    before: int | None = Field(None, ge=0, lt=2**63)
    speed: float | None = Field(None, gt=0, allow_inf_nan=False)


class Replayed(BaseModel):
    """Number of records that were sent again."""

    records: int


def _topics(call: Call) -> Topics:
    return Topics(topics=[Topic(name=name, **spec.model_dump()) for name, spec in sorted(call.broker.topics().items())])


def _create(call: Call) -> Created:
    settings: dict[str, Any] = call.body.model_dump(exclude_unset=True, exclude={"name"})
    if settings.get("archive") is not None:
        raise Forbidden("a folder of this machine can't be named over HTTP", "make the topic from Python, or by %topic")
    return Created(created=call.broker.create_topic(call.body.name, **settings))


def _lites(call: Call) -> Lites:
    parent, limit = call.path["parent"], call.query.get("limit", 100)
    _known(call, parent)
    names = call.broker.ls(
        parent, prefix=call.query.get("prefix", ""), after=call.query.get("after", ""), limit=limit + 1
    )
    return Lites(topics=names[:limit], after=names[limit - 1] if len(names) > limit else None)


def _known(call: Call, parent: str) -> None:
    if parent not in (parents := call.broker.topics()):
        check_name(parent, "parent topic")
        raise TopicNotFound(f"no topic '{parent}'", did_you_mean(parent, parents))


def _fork(call: Call) -> TopicInfo:
    return call.broker.fork(call.topic, call.body.to, at=call.body.at)


async def _replay(call: Call) -> Replayed:
    """At its pace it may take hours, so it waits on the loop; who hangs up ends it."""
    asked: ReplayTo = call.body
    broker = call.broker
    if asked.speed is None:
        done = await asyncio.to_thread(broker.replay, call.topic, asked.to, after=asked.after, before=asked.before)
        return Replayed(records=done)
    if asked.to == call.topic:
        raise UsageError(f"'{asked.to}' can't be replayed into itself at a pace", "fork it, and replay the fork")
    gone = asyncio.create_task(call.gone())
    sent, after, began, first = 0, asked.after, call.clock.now(), None
    end = broker.info(call.topic).next if asked.before is None else asked.before
    try:
        while records := await asyncio.to_thread(broker.read, call.topic, after=after, before=end, limit=_BATCH):
            for record in records:
                first = record.time if first is None else first
                if not await _until(call, began + max(0.0, record.time - first) / asked.speed, gone):
                    return Replayed(records=sent)  # nobody reads it
                stored = restamped(record, time=call.clock.now(), epoch=broker.log.epoch)
                await asyncio.to_thread(broker.log.append, [(asked.to, stored)])
                sent += 1
            after = records[-1].offset
    finally:
        gone.cancel()
    return Replayed(records=sent)


async def _until(call: Call, moment: float, gone: asyncio.Task[None]) -> bool:
    """Waits until the clock says so, also where somebody sets it; whether the caller is still there."""
    while not gone.done() and (left := moment - call.clock.now()) > 0:
        woken = asyncio.Event()
        end = call.clock.watch(waker(woken))
        waiting = asyncio.create_task(woken.wait())
        try:
            left = moment - call.clock.now()  # it may have been set before the watch stood
            await asyncio.wait({waiting, gone}, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            end()
    return not gone.done()


_PAGE = {"type": "integer", "minimum": 1, "maximum": MOST}
_TEXT = {"type": "string"}

TOPIC_DOORS: tuple[Door, ...] = (
    Door(method="GET", path=_TOPICS, summary="Lists the parent topics", result=Topics, run=_topics),
    Door(
        method="POST", path=_TOPICS, summary="Makes a parent topic", body=Topic, result=Created, run=_create, status=201
    ),
    Door(
        method="GET",
        path=_PARENT,
        summary="Lists a parent's lite topics by name, past `after`",
        query={"prefix": _TEXT, "after": _TEXT, "limit": _PAGE},
        result=Lites,
        run=_lites,
    ),
    Door(
        method="GET",
        path=_LITE,
        summary="Tells what is known of a lite topic",
        result=TopicInfo,
        run=lambda call: call.broker.info(call.topic),
        quick=True,
    ),
    Door(
        method="DELETE",
        path=_LITE,
        summary="Removes a lite topic and its records",
        run=lambda call: call.broker.rm(call.topic),
        status=204,
    ),
    Door(
        method="POST",
        path=f"{_LITE}/fork",
        summary="Makes a new topic of a topic's records up to and including an offset",
        body=ForkTo,
        result=TopicInfo,
        run=_fork,
        status=201,
    ),
    Door(
        method="POST",
        path=f"{_LITE}/replay",
        summary="Sends a topic's records once more, to another topic",
        body=ReplayTo,
        result=Replayed,
        run=_replay,
    ),
)
