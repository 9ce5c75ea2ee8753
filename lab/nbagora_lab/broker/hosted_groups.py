"""Groups of a lab on shared servers: served by the lab that hosts them, from a copy of what they read.

A server hands out lite topics in order and no more: no shares, quotas, deadlines or globs, attempts that a restart
forgets, no seek. So a parent that has groups is followed: each of its records is copied, under the same offset, into
the lab's own store, where the embedded engine's groups serve it with all that they can. Their progress is as durable
as that store, and what is `drained` stays there until they have read it, whatever the servers have removed. A group is
its lab's: who joins that lab reads it; other labs on these servers have groups of their own.

Where the servers have no record for an offset, one of ours keeps its place in the copy: ``topic.gap`` for what they
removed before it could be copied, which groups are given, and ``topic.resent`` for a message that they stored twice,
which groups never see.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Collection, Sequence

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.delivery import Batch, Given, Handle
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.broker.model import EVENTS, TopicSpec, join_topic
from nbagora_lab.broker.stats import GroupStats, TopicProgress
from nbagora_lab.core.errors import LabError, LeaseLost, StoreClosed, TopicNotFound
from nbagora_lab.core.events import RecordType, decode, encode
from nbagora_lab.core.log import logger

__all__ = ["HostedGroups"]

_log = logger.getChild("broker")
_PAGE = 1000
_GAP, _RESENT = (
    encode(kind, b"", datacontenttype=b"application/octet-stream")
    for kind in (RecordType.TOPIC_GAP, RecordType.TOPIC_RESENT)
)


class HostedGroups:
    """The groups of a `HostedLog`.

    Args:
        log: The log.
    """

    capabilities = EmbeddedGroups.capabilities - {"transaction"}

    def __init__(self, log: HostedLog) -> None:
        self._log = log
        self._groups = EmbeddedGroups(log.own)
        self._follows: dict[str, _Follower] = {}
        self._lock = threading.RLock()
        for parent in sorted(log.followed & {spec.topic for spec in self._groups.groups().values()}):
            self._follow(parent)
        log.appended = self._copy

    def _follow(self, parent: str) -> None:
        """Has a parent's copy be complete from now on."""
        with self._lock:
            if parent not in self._follows:
                self._follows[parent] = _Follower(self._log.shared, self._log.own, parent)

    def _copy(self, topics: Collection[str]) -> None:
        """What was just appended is there for groups before the append returns."""
        for topic in topics:
            if (follower := self._follows.get(topic.partition("/")[0])) is not None:
                follower.copy(topic)

    def create_group(self, name: str, spec: GroupSpec) -> bool:
        """See `Groups.create_group`."""
        if self._log.of(spec.topic) is self._log.shared and name not in self._groups.groups():
            there = self._log.shared.parents().get(spec.topic)
            if there is not None:
                self._log.follow(spec.topic, TopicSpec(ttl=there.ttl, drained=there.drained))
                self._follow(spec.topic)
        return self._groups.create_group(name, spec)

    def alter_group(self, name: str, spec: GroupSpec) -> None:
        """See `Groups.alter_group`."""
        self._groups.alter_group(name, spec)

    def groups(self) -> dict[str, GroupSpec]:
        """See `Groups.groups`."""
        return self._groups.groups()

    def delete_group(self, name: str) -> None:
        """See `Groups.delete_group`."""
        self._groups.delete_group(name)

    def subscribe(
        self,
        group: str,
        client: str,
        patterns: Collection[str],
        *,
        durable: bool = False,
        evicted: Callable[[list[str]], None] | None = None,
    ) -> None:
        """See `Groups.subscribe`."""
        self._groups.subscribe(group, client, patterns, durable=durable, evicted=evicted)

    def unsubscribe(self, group: str, client: str, patterns: Collection[str] | None = None) -> None:
        """See `Groups.unsubscribe`."""
        self._groups.unsubscribe(group, client, patterns)

    def subscriptions(self, group: str) -> dict[str, list[str]]:
        """See `Groups.subscriptions`."""
        return self._groups.subscriptions(group)

    def receive(
        self,
        group: str,
        client: str,
        *,
        limit: int = 32,
        max_bytes: int | None = None,
        lease: float | None = None,
        attempt_id: str = "",
    ) -> Batch:
        """See `Groups.receive`."""
        while True:
            batch = self._groups.receive(
                group, client, limit=limit, max_bytes=max_bytes, lease=lease, attempt_id=attempt_id
            )
            again = [delivery for delivery in batch if delivery.stored == _RESENT]
            if not again:
                return batch
            with contextlib.suppress(LeaseLost):  # the same attempt once more
                self._groups.ack(group, again)
            if len(again) < len(batch) or attempt_id:
                batch[:] = [delivery for delivery in batch if delivery.stored != _RESENT]
                return batch

    def when_ready(self, group: str, client: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Groups.when_ready`."""
        return self._groups.when_ready(group, client, wake)

    def ack(
        self,
        group: str,
        handles: Collection[Given],
        *,
        costs: dict[Handle, float] | None = None,
        send: Sequence[tuple[str, bytes]] = (),
    ) -> list[int]:
        """See `Groups.ack`; what is sent goes first, so that after a crash between the two it comes once more."""
        offsets = self._log.append(send) if send else []
        self._groups.ack(group, handles, costs=costs)
        return offsets

    def extend(self, group: str, handles: Collection[Given], lease: float) -> None:
        """See `Groups.extend`."""
        self._groups.extend(group, handles, lease)

    def fail(self, group: str, handles: Collection[Given], *, pause: float | None = None) -> None:
        """See `Groups.fail`."""
        self._groups.fail(group, handles, pause=pause)

    def release(self, group: str, handles: Collection[Given]) -> None:
        """See `Groups.release`."""
        self._groups.release(group, handles)

    def suspend(self, group: str, topic: str, pause: float) -> None:
        """See `Groups.suspend`."""
        self._groups.suspend(group, topic, pause)

    def seek(self, group: str, topic: str, start: Start) -> int:
        """See `Groups.seek`."""
        return self._groups.seek(group, topic, start)

    def progress(self, group: str, topic: str) -> TopicProgress:
        """See `Groups.progress`."""
        return self._groups.progress(group, topic)

    def stats(self, group: str, *, unread: bool = True) -> GroupStats:
        """See `Groups.stats`."""
        return self._groups.stats(group, unread=unread)


class _Follower:
    """Copies a parent's records into the lab's own store, under their offsets."""

    def __init__(self, shared: Log, own: EmbeddedLog, parent: str) -> None:
        self._shared = shared
        self._own = own
        self._parent = parent
        self._lock = threading.RLock()
        self._events = f"{parent}/{EVENTS}"
        with self._lock:  # what is heard meanwhile waits, and then finds nothing left to do
            shared.watch_parent(parent, self._heard)
            self._told = shared.info(self._events).next - 1 if shared.scan(self._events, limit=1) else -1
            self._copy_all()

    def _copy_all(self) -> None:
        after = ""
        while names := self._shared.lites(self._parent, after=after, limit=_PAGE):
            for after in names:
                if after != EVENTS:
                    self.copy(join_topic(self._parent, after))

    def _heard(self, topic: str, offset: int) -> None:
        try:
            if offset < 0:  # something may have been missed, or the log is closed
                self._remove()
                self._copy_all()
            elif topic == self._events:
                self._remove()
            else:
                self.copy(topic)
        except StoreClosed:
            return
        except LabError as error:  # the next record on it brings it along
            _log.warning("groups on %s wait: %s", topic, error.what)

    def copy(self, topic: str) -> None:
        """Brings a topic's copy up to date."""
        with self._lock:
            following = self._next(topic)
            while batch := self._shared.scan(topic, after=following - 1, limit=_PAGE):
                entries = []
                for offset, stored in batch:
                    if offset > following:
                        gone = min(offset, max(self._shared.info(topic).first, following)) - following
                        entries += [(topic, _GAP)] * gone + [(topic, _RESENT)] * (offset - following - gone)
                    entries.append((topic, stored))
                    following = offset + 1
                self._own.append(entries)

    def _next(self, topic: str) -> int:
        try:
            return self._own.info(topic).next
        except TopicNotFound:
            return 0

    def _remove(self) -> None:
        """Removes the copies of topics that were removed."""
        with self._lock:
            while batch := self._shared.scan(self._events, after=self._told):
                for self._told, stored in batch:
                    record = decode(stored, self._events, self._told)
                    if record.type == RecordType.TOPIC_EXPIRED:
                        topic = json.loads(record.body)["topic"]
                        if self._next(topic):
                            self._own.expire(topic)
