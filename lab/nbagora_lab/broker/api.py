"""What an engine must be: a log of records on lite topics.

Methods stand by what ends a record's life: `append` starts it, durable on return; `expire` ends it; everything else
only reads, moves nobody's progress and may be called from any thread at any time. Notices (`watch`) are never stored.

Not offered here: groups, leases and acks (a protocol of their own, beside this one, with capability flags);
transactions over several calls; a read that waits (`broker.tail` is made of `watch` and `scan`, for every engine).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from nbagora_lab.broker.model import TopicInfo, TopicSpec

__all__ = ["Log", "Stored"]

Stored = tuple[int, bytes]
"""A record's offset, and its bytes as `core.events.encode` packs them."""


class Log(Protocol):
    """An engine's log.

    Every method but `close` raises `StoreClosed` once the log is closed; those that write may raise `StoreError`, and
    then nothing was written.

    Attributes:
        engine: ``embedded`` or the name of another engine, with the version that it answers.
        epoch: How often this store was opened; higher than that of any former holder.
        capabilities: What this engine can beyond the protocol: ``batch`` (an append over several topics is atomic).
    """

    engine: str
    epoch: int
    capabilities: frozenset[str]

    def create_topic(self, parent: str, spec: TopicSpec) -> bool:
        """Makes a parent topic; there already and equal, it does nothing.

        Returns:
            Whether it is new.

        Raises:
            TopicExists: It exists with other settings.
        """
        ...

    def parents(self) -> dict[str, TopicSpec]:
        """All parent topics."""
        ...

    def lites(self, parent: str, *, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """Names of a parent's lite topics in the order of their UTF-8, from `prefix` on and past `after`.

        Raises:
            TopicNotFound: No such parent.
        """
        ...

    def append(self, entries: Sequence[tuple[str, bytes]]) -> list[int]:
        """Stores records, each on its lite topic, which comes into being by its first.

        On return all of them are durable in the store's mode and visible to readers; with the capability ``batch``
        they become so together.

        Args:
            entries: Full topic names and encoded records; those of one topic get offsets in this order.

        Returns:
            Each record's offset.

        Raises:
            TopicNotFound: No such parent.
            BadName: A lite topic's name breaks the rules.
            TooLarge: A record is above the limit.
        """
        ...

    def scan(self, topic: str, *, after: int = -1, limit: int = 1000, max_bytes: int = 4 << 20) -> list[Stored]:
        """The records past offset `after`, in order.

        A topic that does not exist has none: it may come.

        Args:
            topic: Full name.
            after: Offset that is already known.
            limit: Number of records at most.
            max_bytes: Their size at most; the first one comes however large it is.

        Raises:
            BadName: It is no full name of a topic.
        """
        ...

    def seek(self, topic: str, time: float) -> int:
        """The offset of the first record at or after `time` (seconds since the Unix epoch); `next` if there is none.

        Takes a topic's times to be in order; a clock that jumped back makes the answer approximate.

        Raises:
            TopicNotFound: No such topic.
        """
        ...

    def info(self, topic: str) -> TopicInfo:
        """What is known of a lite topic now.

        Raises:
            TopicNotFound: No such topic.
        """
        ...

    def fork(self, topic: str, to: str, *, at: int) -> TopicInfo:
        """Makes `to` a new topic that holds `topic`'s records up to and including offset `at`.

        A crash in the middle leaves no topic `to`.

        Raises:
            TopicNotFound: No such topic, or it has no record at that offset, or the parent of `to` does not exist.
            TopicExists: `to` exists.
        """
        ...

    def expire(self, topic: str) -> None:
        """Removes a lite topic and its records; a later record starts it anew, at offset 0.

        Raises:
            TopicNotFound: No such topic.
        """
        ...

    def watch(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Has `wake` called after every append to `topic`, from then on, in the appender's thread, and by `close`.

        `wake` must be quick and must not raise. It may come once more than there are appends.

        Returns:
            What ends the watch; calling it twice does no harm.
        """
        ...

    def revision(self) -> int:
        """A number that grows with every write to the store; equal numbers mean that nothing was written between."""
        ...

    def close(self) -> None:
        """Gives the store back and wakes whoever watches, for their next read to say so; a second call does nothing.

        Reads under way end first.
        """
        ...
