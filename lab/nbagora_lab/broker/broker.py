"""The broker as people use it: topics, records and groups, on whatever engine is behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.consumer import Consumer
from nbagora_lab.broker.dead import DEAD_LETTERS, REPLAYS, DeadLetter, dead_topic, parse_letter
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.model import Receipt, escape_name, seconds
from nbagora_lab.broker.stats import GroupStats, TopicProgress
from nbagora_lab.broker.topics import Topics, settings_of
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import GroupNotFound, Unsupported, UsageError, did_you_mean
from nbagora_lab.core.events import restamped
from nbagora_lab.core.ids import Ids, RandomIds

__all__ = ["Broker"]

_PAGE = 1000


class Broker(Topics):
    """Topics, their records, and the groups that read them.

    All methods may be called from any thread and take full topic names, ``parent/lite``.

    Args:
        log: The engine's log.
        clock: Time of the records that are sent here.
        groups: The engine's groups; None: it is opened for its records alone.
        ids: Names of clients that bring none.

    Example:
        >>> lab.broker.create_topic("chat", ttl="1h")
        True
        >>> lab.broker.send("chat/s-1", b"hello")
        Receipt(topic='chat/s-1', offset=0)
        >>> [record.body for record in lab.broker.read("chat/s-1")]
        [b'hello']
    """

    def __init__(self, log: Log, clock: Clock, groups: Groups | None = None, ids: Ids | None = None) -> None:
        super().__init__(log, clock)
        self._groups = groups
        self._ids = ids or RandomIds()

    @property
    def group_engine(self) -> Groups:
        """The engine's groups.

        Raises:
            Unsupported: It has none.
        """
        if self._groups is None:
            raise Unsupported(f"the {self.log.engine} engine was opened without groups", "open it with %lab start")
        return self._groups

    def create_group(self, name: str, *, topic: str, **settings: Any) -> bool:
        """Makes a consumer group; there already and equal, it does nothing.

        Args:
            name: Its name.
            topic: The parent that it reads.
            settings: Fields of `GroupSpec`: ``mode``, ``start``, ``lease``, ``max_attempts``, ``backoff``, ``quota``
                (``"50/s"``), ``topic_quota``, ``tenant_quota``, ``weights``, ``fair``, ``aging``, ``client_ttl``.

        Returns:
            Whether it is new.

        Raises:
            GroupExists: It exists with other settings.
            TopicNotFound: No such parent.
            UsageError: A setting that does not fit.
        """
        return self.group_engine.create_group(name, settings_of(GroupSpec, "group", {"topic": topic, **settings}))

    def alter_group(self, name: str, **changes: Any) -> GroupSpec:
        """Changes settings of a group while it runs, such as ``weights``; returns all that are now in force."""
        there = self.group_engine.groups().get(name)
        if there is None:
            raise GroupNotFound(f"no group '{name}'", did_you_mean(name, self.group_engine.groups()))
        changed: GroupSpec = settings_of(GroupSpec, "group", there.model_dump() | changes)
        self.group_engine.alter_group(name, changed)
        return changed

    def groups(self) -> dict[str, GroupSpec]:
        """All groups with their settings."""
        return self.group_engine.groups()

    def delete_group(self, name: str) -> None:
        """Ends a group, with its progress, leases, subscriptions and dead letters."""
        self.group_engine.delete_group(name)

    def consumer(
        self,
        group: str,
        client_id: str | None = None,
        *,
        subscribe: Collection[str] | str = "*",
        durable: bool = False,
        lease: float | str | None = None,
        on_evicted: Callable[[list[str]], None] | None = None,
    ) -> Consumer:
        """Subscribes a client to a group.

        Args:
            group: Name of the group.
            client_id: Name of the client; a new one unless given.
            subscribe: Lite topics by name or glob; the parent's name before it may be left out.
            durable: Whether the subscription survives a restart; it needs a `client_id`.
            lease: How long a batch is leased for; None: the group's.
            on_evicted: Called with the patterns that a newer client of an exclusive group took over.

        Raises:
            GroupNotFound: No such group.
            QuotaExceeded: More subscriptions than the group allows.
            UsageError: `durable` without a name to come back under.
        """
        spec = self.groups().get(group)
        if spec is None:
            raise GroupNotFound(f"no group '{group}'", did_you_mean(group, self.groups()))
        if durable and client_id is None:
            raise UsageError("a durable subscriber without a client_id", "give the name under which it comes back")
        texts = [subscribe] if isinstance(subscribe, str) else list(subscribe)
        return Consumer(
            self.group_engine,
            self._clock,
            group,
            client_id or self._ids.new("client"),
            subscribe=[text.removeprefix(f"{spec.topic}/") for text in texts],
            durable=durable,
            lease=None if lease is None else seconds(lease),
            on_evicted=on_evicted,
            independent=self.topics()[spec.topic].type == "PRIORITY",
        )

    def suspend(self, group: str, topic: str, pause: float | str) -> None:
        """Has nothing of a topic handed out to a group for so long; 0 ends that."""
        self.group_engine.suspend(group, topic, seconds(pause))

    def seek(self, group: str, topic: str, start: object) -> int:
        """Moves a group's progress on a topic to ``"first"``, ``"last"``, an offset, ``"tail-10"`` or a time.

        Returns:
            The offset that is next.
        """
        return self.group_engine.seek(group, topic, Start.parse(start))

    def progress(self, group: str, topic: str) -> TopicProgress:
        """Where a group stands on a topic."""
        return self.group_engine.progress(group, topic)

    def stats(self, group: str) -> GroupStats:
        """What a group has ready, leased, held back and served."""
        return self.group_engine.stats(group)

    def dead_letters(self, group: str, *, after: int = -1, limit: int | None = None) -> list[DeadLetter]:
        """The records that a group gave up on and that were not replayed, oldest first, past the letter `after`."""
        if group not in self.groups():
            raise GroupNotFound(f"no group '{group}'", did_you_mean(group, self.groups()))
        topic = dead_topic(group)
        if not self.log.scan(topic, limit=1):
            return []
        replayed = self.progress(REPLAYS, topic).committed if REPLAYS in self.groups() else 0
        past = max(after, replayed - 1)
        return [parse_letter(record) for record in self.read(topic, after=past if past >= 0 else None, limit=limit)]

    def replay_dead(self, group: str) -> list[Receipt]:
        """Sends a group's dead letters to their topics again, as new records, each once whatever happens.

        It is a group that does so, by acks that send: `REPLAYS`.
        """
        if group not in self.groups():
            raise GroupNotFound(f"no group '{group}'", did_you_mean(group, self.groups()))
        self.create_group(REPLAYS, topic=DEAD_LETTERS)
        receipts = []
        with self.consumer(REPLAYS, subscribe=[escape_name(group)]) as consumer:
            while batch := consumer.receive(max=_PAGE):
                now, epoch = self._clock.now(), self.log.epoch
                letters = [parse_letter(delivery.record) for delivery in batch]
                send = [(one.record.topic, restamped(one.record, time=now, epoch=epoch)) for one in letters]
                offsets = consumer.ack(batch, send=send)
                receipts += [Receipt(topic, offset) for (topic, _), offset in zip(send, offsets, strict=True)]
        return receipts
