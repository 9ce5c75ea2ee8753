"""Topics and their records as people use them, on whatever engine is behind them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.blobs import BlobRef
from nbagora_lab.broker.message import encode_message, pieces_of
from nbagora_lab.broker.model import Receipt, TopicInfo, TopicSpec, split_topic
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.broker.replay import replay
from nbagora_lab.broker.tail import tail, tail_many
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import TopicNotFound, UsageError, did_you_mean
from nbagora_lab.core.events import Flags, Record, decode

__all__ = ["Topics", "settings_of"]

_PAGE = 1000


class Topics:
    """Topics and their records.

    All methods may be called from any thread and take full topic names, ``parent/lite``.

    Args:
        log: The engine's log.
        clock: Time of the records that are sent here.
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self.log = log
        self._clock = clock

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
        return self.log.create_topic(name, settings_of(TopicSpec, "topic", settings))

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
        body: bytes | str | Iterable[bytes],
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
            body: Bytes, text that is stored as UTF-8, or a large body in pieces: a binary file, an iterable of bytes.
                What is above 1 MiB is stored apart and read by `body` or `open`.
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
        options: dict[str, Any] = dict(attributes, priority=priority, tenant=tenant, cost=cost, deadline=deadline)
        if (pieces := pieces_of(body)) is None:
            [offset] = self.log.append([(topic, self.encode(body, **options))])  # type: ignore[arg-type]
            return Receipt(topic, offset)
        split_topic(topic)
        self.encode(b"", **options)  # what does not fit is told before gigabytes are read
        ref = self.log.stage(pieces)
        try:
            [offset] = self.log.append([(topic, self.encode(ref.body(), flags=Flags.REFERENCE, **options))])
        except BaseException:
            self.log.unstage(ref)
            raise
        return Receipt(topic, offset)

    def send_many(self, messages: Iterable[tuple[str, bytes | str]], **options: Any) -> list[Receipt]:
        """Appends many records in one step, which is many times faster; options as for `send`."""
        given = list(messages)
        if not all(type(body) is bytes for _, body in given):
            entries = [(topic, self.encode(body, **options)) for topic, body in given]
        else:  # one head for all of them
            head = self.encode(b"", **options)
            entries = [(topic, head + body) for topic, body in given if isinstance(body, bytes)]
        offsets = self.log.append(entries)
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

    def body(self, record: Record) -> bytes:
        """A record's body, also where it is stored apart.

        Raises:
            BodyNotFound: The record has expired meanwhile.
            StoreCorrupt: It is damaged.
        """
        if not record.flags & Flags.REFERENCE:
            return record.body
        with self.open(record) as file:
            return file.read()

    def open(self, record: Record) -> io.RawIOBase | io.BytesIO:
        """A record's body as a binary file, for one that is read in pieces; memory holds 1 MiB of it."""
        if not record.flags & Flags.REFERENCE:
            return io.BytesIO(record.body)
        return self.log.open_body(BlobRef.parse(record.body))

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

    def expire_due(self) -> float | None:
        """Ends what is past its TTL now; a lab does so by itself.

        Returns:
            Seconds until more is due; None: never, unless a topic comes.
        """
        return self.log.expire_due()

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


def settings_of(model: Any, what: str, settings: dict[str, Any]) -> Any:
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
