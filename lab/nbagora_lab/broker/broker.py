"""The broker as people use it: topics, records and groups, on whatever engine is behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.consumer import Consumer
from nbagora_lab.broker.dead import DeadLetter, dead_topic, parse_letter
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.message import encode_message
from nbagora_lab.broker.model import Receipt, TopicInfo, TopicSpec, seconds, split_topic
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.broker.replay import replay
from nbagora_lab.broker.stats import GroupStats, TopicProgress
from nbagora_lab.broker.tail import tail, tail_many
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import GroupNotFound, TopicNotFound, Unsupported, UsageError, did_you_mean
from nbagora_lab.core.events import Record, decode, restamped
from nbagora_lab.core.ids import Ids, RandomIds

__all__ = ["Broker"]

_PAGE = 1000


class Broker:
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
        self.log = log
        self._groups = groups
        self._clock = clock
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

    # -- topics -----------------------------------------------------------------------------------------------------

    def create_topic(self, name: str, **settings: Any) -> bool:
        """Makes a parent topic; there already and equal, it does nothing.

        Args:
            name: Name of the parent.
            settings: Fields of `TopicSpec`: ``type``, ``ttl``, ``expiring``, ``drained``, ``archive``, ``max_topics``,
                ``max_bytes``; durations in seconds, or ``"1h"``.

        Returns:
            Whether it is new.

        Raises:
            TopicExists: It exists with other settings.
            UsageError: A setting that does not fit.
        """
        return self.log.create_topic(name, _spec(TopicSpec, "topic", settings))

    def topics(self) -> dict[str, TopicSpec]:
        """All parent topics with their settings."""
        return self.log.parents()

    def ls(self, parent: str, *, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """Names of lite topics under `parent`, in order, `limit` at most, past `after`.

        Raises:
            TopicNotFound: No such parent.
        """
        return self.log.lites(parent, prefix=prefix, after=after, limit=limit)

    def send(
        self,
        topic: str,
        body: bytes | str,
        *,
        priority: int = 0,
        tenant: str = "",
        cost: float = 1.0,
        deadline: float | None = None,
        **attributes: str,
    ) -> Receipt:
        """Appends a record; durable when this returns.

        Args:
            topic: Full name; the lite topic comes into being by its first record.
            body: Bytes, or text that is stored as UTF-8.
            priority: 0 to 255; groups hand out the higher first.
            tenant: On whose behalf, for shares and quotas.
            cost: What it takes, in the unit of the groups' quotas.
            deadline: When it should be handed out at the latest, in seconds since the Unix epoch.
            attributes: ``type`` (``message``), ``subject``, ``source``, ``id``, ``datacontenttype``, ``traceparent``,
                as CloudEvents means them.

        Raises:
            TopicNotFound: No such parent.
            TooLarge: The body, or an attribute, is above its limit.
            QuotaExceeded: The parent has as many topics, or bytes, as it may.
            UsageError: A body that is neither bytes nor text, or an attribute that does not fit.
        """
        stored = self.encode(body, priority=priority, tenant=tenant, cost=cost, deadline=deadline, **attributes)
        [offset] = self.log.append([(topic, stored)])
        return Receipt(topic, offset)

    def send_many(self, messages: Iterable[tuple[str, bytes | str]], **options: Any) -> list[Receipt]:
        """Appends many records in one step, which is many times faster; options as for `send`."""
        given = list(messages)
        offsets = self.log.append([(topic, self.encode(body, **options)) for topic, body in given])
        return [Receipt(topic, offset) for (topic, _), offset in zip(given, offsets, strict=True)]

    def encode(self, body: bytes | str, **options: Any) -> bytes:
        """A record as `Consumer.ack` takes it for ``send``; arguments and errors as for `send`."""
        return encode_message(body, time=self._clock.now(), epoch=self.log.epoch, **options)

    def read(
        self,
        topic: str,
        *,
        after: int | None = None,
        before: int | None = None,
        since: float | None = None,
        limit: int | None = None,
    ) -> list[Record]:
        """Records in order of their offsets, as many as there are at the time of the call; moves nobody's progress.

        Args:
            topic: Full name.
            after: Leaves out offsets up to and including this one.
            before: Leaves out offsets from this one on.
            since: Leaves out records before this time, in seconds since the Unix epoch.
            limit: Number of records at most.

        Raises:
            TopicNotFound: No such topic.
            UsageError: A negative offset or limit, or a time that is none.
        """
        for name, value in (("after", after), ("before", before), ("limit", limit)):
            if value is not None and value < 0:
                raise UsageError(f"{name}={value} is negative", "offsets and limits count from 0")
        if since is not None and not math.isfinite(since):
            raise UsageError(f"since={since} is no time", "it is in seconds since the Unix epoch")
        following = self.log.info(topic).next  # who writes faster than this reads must not keep it here for ever
        before = following if before is None else min(before, following)
        start = -1 if after is None else after
        if since is not None:
            start = max(start, self.log.seek(topic, since) - 1)
        records: list[Record] = []
        while limit is None or len(records) < limit:
            left = _PAGE if limit is None else min(_PAGE, limit - len(records))
            batch = self.log.scan(topic, after=start, limit=left)
            records += [decode(stored, topic, offset) for offset, stored in batch if offset < before]
            if not batch or batch[-1][0] + 1 >= before:
                break
            start = batch[-1][0]
        return records

    def tail(self, topic: str, *, after: int | None = None, timeout: float | None = None) -> Iterator[Record]:
        """Records as they come, in this thread; wakes on a write.

        Args:
            topic: Full name; the lite topic need not exist yet.
            after: Offset that is already known; None starts with the first record that is written from now on.
            timeout: Seconds without a record after which it ends; None: never.

        Raises:
            TopicNotFound: No such parent.
        """
        parent, _ = split_topic(topic)
        if parent not in (parents := self.log.parents()):
            raise TopicNotFound(f"no topic '{parent}'", did_you_mean(parent, parents))
        if after is None:
            after = self.log.info(topic).next - 1 if self.log.scan(topic, limit=1) else -1
        return tail(self.log, topic, after=after, timeout=timeout)

    def tail_many(self, pattern: str, *, timeout: float | None = None) -> Iterator[Record]:
        """Records of all topics that match ``parent/glob``, as they are written from now on; see `tail_many`.

        Raises:
            TopicNotFound: No such parent.
        """
        parent, _, glob = pattern.partition("/")
        return tail_many(self.log, parent, Pattern.parse(glob or "*"), timeout=timeout)

    def info(self, topic: str) -> TopicInfo:
        """What is known of a lite topic now.

        Raises:
            TopicNotFound: No such topic.
        """
        return self.log.info(topic)

    def fork(self, topic: str, to: str, *, at: int | None = None) -> TopicInfo:
        """Makes `to` a new topic with `topic`'s records up to and including offset `at` (None: all).

        Raises:
            TopicNotFound: No such topic, or no such offset.
            TopicExists: `to` exists.
        """
        return self.log.fork(topic, to, at=self.log.info(topic).next - 1 if at is None else at)

    def rm(self, topic: str) -> None:
        """Removes a lite topic and its records.

        Raises:
            TopicNotFound: No such topic.
        """
        self.log.expire(topic)

    def replay(
        self,
        topic: str,
        to: str,
        *,
        after: int | None = None,
        before: int | None = None,
        speed: float | None = None,
    ) -> int:
        """Sends a topic's records once more, to another topic, as they are but for their time.

        Args:
            topic: Full name.
            to: Full name of the other; it may have records already.
            after: Leaves out offsets up to and including this one.
            before: Leaves out offsets from this one on.
            speed: Times the speed at which they came; None: at once.

        Returns:
            Number of records.

        Raises:
            TopicNotFound: No such topic, or parent of `to`.
            UsageError: A speed that is not above 0.
        """
        return replay(self.log, self._clock, self.read(topic, after=after, before=before), to, speed)

    # -- groups -----------------------------------------------------------------------------------------------------

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
        return self.group_engine.create_group(name, _spec(GroupSpec, "group", {"topic": topic, **settings}))

    def alter_group(self, name: str, **changes: Any) -> GroupSpec:
        """Changes settings of a group while it runs, such as ``weights``; returns all that are now in force."""
        there = self.group_engine.groups().get(name)
        if there is None:
            raise GroupNotFound(f"no group '{name}'", did_you_mean(name, self.group_engine.groups()))
        changed: GroupSpec = _spec(GroupSpec, "group", there.model_dump() | changes)
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

    def dead_letters(self, group: str, *, limit: int | None = None) -> list[DeadLetter]:
        """The records that a group gave up on, oldest first."""
        if group not in self.groups():
            raise GroupNotFound(f"no group '{group}'", did_you_mean(group, self.groups()))
        if not self.log.scan(dead_topic(group), limit=1):
            return []
        return [parse_letter(record) for record in self.read(dead_topic(group), limit=limit)]

    def replay_dead(self, group: str) -> list[Receipt]:
        """Sends a group's dead letters to their topics again, as new records, and forgets them.

        A crash in the middle leaves the letters as they are, so some may be sent twice.
        """
        letters = self.dead_letters(group)
        if not letters:
            return []
        now, epoch = self._clock.now(), self.log.epoch
        topics = [letter.record.topic for letter in letters]
        records = [restamped(letter.record, time=now, epoch=epoch) for letter in letters]
        offsets = self.log.append(list(zip(topics, records, strict=True)))
        self.log.expire(dead_topic(group))
        return [Receipt(topic, offset) for topic, offset in zip(topics, offsets, strict=True)]


def _spec(model: Any, what: str, settings: dict[str, Any]) -> Any:
    """Settings as a model, with an error that names all that does not fit."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            name = ".".join(map(str, item["loc"]))
            problems.append(f"{name}: {item['msg']}" if name else item["msg"].removeprefix("Value error, "))
        raise UsageError(
            f"no {what} like that: {'; '.join(problems)}", f"its settings are: {', '.join(model.model_fields)}"
        ) from None


def _fields(model: Any) -> str:
    return ", ".join(model.model_fields)
