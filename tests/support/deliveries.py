"""What tests of groups send and look at: records with scheduling fields, and what a batch or a group holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.delivery import Delivery, Handle
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.core.events import Scheduling, encode

__all__ = ["attempts", "bodies_of", "drain", "handles", "join", "message", "places", "publish"]

Place = tuple[str, int]
"""A lite topic without its parent, and an offset."""


def message(body: bytes | str = b"", *, time: float = 1000.0, **scheduling: Any) -> bytes:
    """An encoded record; keyword arguments are `Scheduling`'s."""
    body = body.encode() if isinstance(body, str) else body
    return encode("test", body, time=time, scheduling=Scheduling(**scheduling).pack())


def publish(log: Log, topic: str, *bodies: str, **options: Any) -> list[int]:
    """Appends a record for each body, in one step; without any, one empty record."""
    return log.append([(topic, message(body, **options)) for body in bodies or ("",)])


def join(groups: Groups, topic: str = "chat", *clients: str, subscribe: Collection[str] = "*", **settings: Any) -> None:
    """Makes the group ``workers`` of a parent, with clients (``c`` unless named) that subscribe to all of it."""
    groups.create_group("workers", GroupSpec(topic=topic, **settings))
    for client in clients or ("c",):
        groups.subscribe("workers", client, subscribe)


def places(batch: Iterable[Delivery]) -> list[Place]:
    """Lite topic and offset of each delivery, in order."""
    return [(one.topic.partition("/")[2], one.offset) for one in batch]


def attempts(batch: Iterable[Delivery]) -> list[int]:
    """How often each has been handed out."""
    return [one.attempt for one in batch]


def handles(batch: Iterable[Delivery]) -> list[Handle]:
    """What an ack of all of it names."""
    return [one.handle for one in batch]


def bodies_of(batch: Iterable[Delivery]) -> list[str]:
    """The bodies as text."""
    return [one.body.decode() for one in batch]


def drain(groups: Groups, group: str, client: str, *, limit: int = 32) -> list[Place]:
    """Receives and acks until nothing is ready; gives all of it."""
    found: list[Place] = []
    while batch := groups.receive(group, client, limit=limit):
        found += places(batch)
        groups.ack(group, handles(batch))
    return found
