"""The broker as people use it: send, read, tail, fork, on whatever engine is behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import Receipt, TopicInfo, TopicSpec, seconds, split_topic
from nbagora_lab.broker.tail import tail
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import TopicNotFound, UsageError, did_you_mean
from nbagora_lab.core.events import Record, decode, encode

__all__ = ["Broker"]

_PAGE = 1000


class Broker:
    """Topics and their records.

    All methods may be called from any thread and take full topic names, ``parent/lite``.

    Args:
        log: The engine.
        clock: Time of the records that are sent here.

    Example:
        >>> lab.broker.create_topic("chat", ttl="1h")
        True
        >>> lab.broker.send("chat/s-1", b"hello")
        Receipt(topic='chat/s-1', offset=0)
        >>> [record.body for record in lab.broker.read("chat/s-1")]
        [b'hello']
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self.log = log
        self._clock = clock

    def create_topic(self, name: str, *, type: str = "LITE", ttl: float | str | None = None) -> bool:  # noqa: A002
        """Makes a parent topic; there already and equal, it does nothing.

        Args:
            name: Name of the parent.
            type: ``LITE``.
            ttl: How long after its last write a lite topic is kept: seconds, or ``"1h"``; None keeps it.

        Returns:
            Whether it is new.

        Raises:
            TopicExists: It exists with other settings.
            UsageError: A type or TTL that does not fit.
        """
        try:
            spec = TopicSpec.model_validate({"type": type, "ttl": None if ttl is None else seconds(ttl)})
        except ValidationError:
            raise UsageError(
                f"no topic of type {type!r} with a TTL of {ttl!r}", "the type is LITE; a TTL is in seconds, above 0"
            ) from None
        return self.log.create_topic(name, spec)

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
        type: str = "message",  # noqa: A002 -- CloudEvents' name
        subject: str = "",
        source: str = "",
        id: str = "",  # noqa: A002 -- CloudEvents' name
        datacontenttype: str = "application/octet-stream",
        traceparent: str = "",
    ) -> Receipt:
        """Appends a record; durable when this returns.

        Args:
            topic: Full name; the lite topic comes into being by its first record.
            body: Bytes, or text that is stored as UTF-8.
            type: Dotted type of the record.
            subject: What it is about.
            source: Who says it, as a URI reference.
            id: Producer's own id; 255 bytes at most.
            datacontenttype: Media type; for text given as str, ``text/plain; charset=utf-8`` unless set.
            traceparent: W3C trace context.

        Raises:
            TopicNotFound: No such parent.
            TooLarge: The body, or an attribute, is above its limit.
            UsageError: A body that is neither bytes nor text, or text that UTF-8 can't hold.
        """
        if isinstance(body, str):
            body = _utf8("body", body)
            if datacontenttype == "application/octet-stream":
                datacontenttype = "text/plain; charset=utf-8"
        elif not isinstance(body, bytes | bytearray | memoryview):
            raise UsageError(
                f"a body of type {body.__class__.__name__}", "send bytes or text; json.dumps makes text of data"
            )
        texts = {"subject": subject, "source": source, "id": id, "datacontenttype": datacontenttype}
        packed: dict[str, Any] = {
            name: _utf8(name, text) for name, text in (texts | {"traceparent": traceparent}).items()
        }
        _utf8("type", type)
        stored = encode(type, bytes(body), time=self._clock.now(), epoch=self.log.epoch, **packed)
        [offset] = self.log.append([(topic, stored)])
        return Receipt(topic, offset)

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


def _utf8(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the record's {name} has half a surrogate pair", "send text that UTF-8 can hold") from None
