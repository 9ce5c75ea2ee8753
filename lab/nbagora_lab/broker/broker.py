"""The broker as people use it: send, read, tail, fork, on whatever engine is behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import Receipt, TopicInfo, TopicSpec
from nbagora_lab.broker.tail import tail
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import UsageError
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
        >>> lab.broker.create_topic("chat", ttl=3600)
        True
        >>> lab.broker.send("chat/s-1", b"hello")
        Receipt(topic='chat/s-1', offset=0)
        >>> [record.body for record in lab.broker.read("chat/s-1")]
        [b'hello']
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self.log = log
        self._clock = clock

    def create_topic(self, name: str, *, type: str = "LITE", ttl: float | None = None) -> bool:  # noqa: A002
        """Makes a parent topic; there already and equal, it does nothing.

        Args:
            name: Name of the parent.
            type: ``LITE``.
            ttl: Seconds after its last write that a lite topic is kept; None keeps it.

        Returns:
            Whether it is new.

        Raises:
            TopicExists: It exists with other settings.
            UsageError: A type or TTL that does not fit.
        """
        if type != "LITE" or (ttl is not None and ttl <= 0):
            raise UsageError(f"no topic of type {type!r} with a TTL of {ttl}", "the type is LITE, a TTL above 0 s")
        return self.log.create_topic(name, TopicSpec(type="LITE", ttl=ttl))

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
        """
        if isinstance(body, str):
            body = body.encode()
            if datacontenttype == "application/octet-stream":
                datacontenttype = "text/plain; charset=utf-8"
        texts = {"subject": subject, "source": source, "id": id, "datacontenttype": datacontenttype}
        packed: dict[str, Any] = {name: text.encode() for name, text in (texts | {"traceparent": traceparent}).items()}
        for name, value in {**packed, "type": type.encode()}.items():
            longest = 65535 if name in {"subject", "source"} else 255
            if len(value) > longest:
                raise UsageError(f"the record's {name} has {len(value)} bytes", f"it takes {longest} at most")
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
        """Records in order of their offsets; moves nobody's progress.

        Args:
            topic: Full name.
            after: Leaves out offsets up to and including this one.
            before: Leaves out offsets from this one on.
            since: Leaves out records before this time, in seconds since the Unix epoch.
            limit: Number of records at most.

        Raises:
            TopicNotFound: No such topic.
            UsageError: A negative offset or limit.
        """
        for name, value in (("after", after), ("before", before), ("limit", limit)):
            if value is not None and value < 0:
                raise UsageError(f"{name}={value} is negative", "offsets and limits count from 0")
        self.log.info(topic)
        start = -1 if after is None else after
        if since is not None:
            start = max(start, self.log.seek(topic, since) - 1)
        records: list[Record] = []
        while limit is None or len(records) < limit:
            left = _PAGE if limit is None else min(_PAGE, limit - len(records))
            batch = self.log.scan(topic, after=start, limit=left)
            records += [decode(stored, topic, offset) for offset, stored in batch if before is None or offset < before]
            if not batch or (before is not None and batch[-1][0] + 1 >= before):
                break
            start = batch[-1][0]
        return records

    def tail(self, topic: str, *, after: int | None = None, timeout: float | None = None) -> Iterator[Record]:
        """Records as they come, in this thread; wakes on a write.

        Args:
            topic: Full name; the lite topic need not exist yet.
            after: Offset that is already known; None starts with the first record that is written from now on.
            timeout: Seconds without a record after which it ends; None: never.
        """
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
