"""Consumer groups over HTTP: their settings, subscriptions, progress, report and dead letters."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nbagora_lab.broker.http import MOST, OFFSET, Call, Door, dump
from nbagora_lab.broker.http_deliveries import Evictions, delivery_doors
from nbagora_lab.broker.http_events import Read, array, event_json
from nbagora_lab.broker.http_shapes import Group, GroupChanges, group_of, settings_of, shape, told
from nbagora_lab.broker.http_topics import Created
from nbagora_lab.broker.model import check_name
from nbagora_lab.broker.stats import GroupStats, TopicProgress
from nbagora_lab.core.errors import GroupNotFound, did_you_mean

__all__ = ["Groups", "Letter", "Letters", "Receipts", "Subscribe", "Subscriptions", "group_doors"]

_GROUPS = "/broker/groups"
_GROUP = f"{_GROUPS}/{{group}}"


class Groups(BaseModel):
    """All groups."""

    groups: list[Group]


class Subscriptions(BaseModel):
    """Each client's names and globs."""

    subscriptions: dict[str, list[str]]


class Subscribe(BaseModel):
    """What a client subscribes to, in place of what it did: lite topics of the group's parent, by name or glob."""

    model_config = ConfigDict(extra="forbid")

    patterns: list[str] = Field(default=["*"], min_length=1)
    durable: bool = False


class Letter(BaseModel):
    """A record that the group gave up on, with its place among the group's dead letters."""

    offset: int
    attempts: int
    record: Read


class Letters(BaseModel):
    """A page of dead letters, oldest first; `after` is the next page's, null where that was the last."""

    letters: list[Letter]
    after: int | None


class Receipts(BaseModel):
    """Where each dead letter was sent again."""

    receipts: list[dict[str, str | int]]


def _spec_of(call: Call) -> Any:
    group = check_name(call.path["group"], "group")
    groups = call.broker.groups()
    if group not in groups:
        raise GroupNotFound(f"no group '{group}'", did_you_mean(group, groups))
    return groups[group]


def _groups(call: Call) -> dict[str, Any]:
    return {"groups": [group_of(name, spec) for name, spec in call.broker.groups().items()]}


def _create(call: Call) -> Created:
    return Created(created=call.broker.create_group(call.body.name, **settings_of(call.body)))


def _show(call: Call) -> dict[str, Any]:
    return group_of(call.path["group"], _spec_of(call))


def _alter(call: Call) -> dict[str, Any]:
    _spec_of(call)
    return group_of(call.path["group"], call.broker.alter_group(call.path["group"], **settings_of(call.body)))


def _subscriptions(call: Call) -> Subscriptions:
    return Subscriptions(subscriptions=call.broker.group_engine.subscriptions(call.path["group"]))


def _letters(call: Call) -> bytes:
    group, limit = call.path["group"], call.query.get("limit", 100)
    letters = call.broker.dead_letters(group, after=call.query.get("after", -1), limit=limit)
    more = bool(letters) and bool(call.broker.dead_letters(group, after=letters[-1].offset, limit=1))
    shown = array(
        b'{"offset":%d,"attempts":%d,"record":%b}' % (one.offset, one.attempts, event_json(one.record))
        for one in letters
    )
    return b'{"letters":%b,"after":%b}' % (shown, dump(letters[-1].offset if more else None))


def _replay(call: Call) -> Receipts:
    _spec_of(call)
    return Receipts(receipts=[receipt._asdict() for receipt in call.broker.replay_dead(call.path["group"])])


def group_doors() -> tuple[Door, ...]:
    """The doors of one server."""
    evictions = Evictions()

    def subscribe(call: Call) -> None:
        engine, group, client = call.broker.group_engine, call.path["group"], call.path["client"]
        wanted = call.body.patterns
        engine.subscribe(group, client, wanted, durable=call.body.durable, evicted=evictions.listen(group, client))
        if stale := set(engine.subscriptions(group).get(client, ())) - set(wanted):
            engine.unsubscribe(group, client, stale)

    def unsubscribe(call: Call) -> None:
        call.broker.group_engine.unsubscribe(call.path["group"], check_name(call.path["client"], "client"))
        evictions.take(call.path["group"], call.path["client"])

    subscription = f"{_GROUP}/subscriptions/{{client}}"
    return (
        Door(method="GET", path=_GROUPS, summary="Lists the groups", result=Groups, run=_groups),
        Door(method="POST", path=_GROUPS, summary="Makes a group", body=Group, result=Created, run=_create, status=201),
        Door(method="GET", path=_GROUP, summary="Tells a group's settings", result=Group, run=_show),
        Door(
            method="PATCH",
            path=_GROUP,
            summary="Changes settings of a group while it runs",
            body=GroupChanges,
            result=Group,
            run=_alter,
        ),
        Door(
            method="DELETE",
            path=_GROUP,
            summary="Ends a group, with its progress, subscriptions and dead letters",
            run=lambda call: call.broker.delete_group(call.path["group"]),
            status=204,
        ),
        Door(
            method="GET",
            path=f"{_GROUP}/subscriptions",
            summary="Lists a group's clients",
            result=Subscriptions,
            run=_subscriptions,
        ),
        Door(
            method="PUT",
            path=subscription,
            summary="Subscribes a client; it stays so while it receives",
            body=Subscribe,
            run=subscribe,
            status=204,
        ),
        Door(
            method="DELETE",
            path=subscription,
            summary="Takes a client out; what it holds is handed out again",
            run=unsubscribe,
            status=204,
        ),
        *delivery_doors(evictions),
        Door(
            method="GET",
            path=f"{_GROUP}/progress",
            summary="Tells where a group stands on a topic",
            query={"topic": {"type": "string"}},
            result=shape(TopicProgress),
            run=lambda call: told(call.broker.progress(call.path["group"], call.query.get("topic", ""))),
        ),
        Door(
            method="GET",
            path=f"{_GROUP}/stats",
            summary="Tells what a group has ready, leased, held back and served",
            result=shape(GroupStats),
            run=lambda call: told(call.broker.stats(call.path["group"])),
        ),
        Door(
            method="GET",
            path=f"{_GROUP}/dead-letters",
            summary="Reads the records that a group gave up on",
            query={"after": OFFSET, "limit": {"type": "integer", "minimum": 1, "maximum": MOST}},
            result=Letters,
            run=_letters,
        ),
        Door(
            method="POST",
            path=f"{_GROUP}/dead-letters/replay",
            summary="Sends a group's dead letters to their topics again, and forgets them",
            result=Receipts,
            run=_replay,
        ),
    )
