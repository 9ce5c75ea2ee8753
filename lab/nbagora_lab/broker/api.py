"""What an engine must be: a log of records on lite topics, and groups that consume them.

`Log`: methods stand by what ends a record's life: `append` starts it, durable on return; `expire` ends it; everything
else only reads, moves nobody's progress and may be called from any thread at any time. Notices (`watch`) are never
stored. Every engine is a log.

`Groups`: what a group has been handed is leased until it is acked, or until the lease ends. Progress, attempts and
dead letters are durable; leases, suspensions and the subscriptions of clients that are not durable die with the
process, and what was leased is then handed out again. Not every engine can do all of it: see `Groups.capabilities`.

Neither offers a call that waits: `broker.tail` is made of `watch` and `scan`, `broker.consumer` of `when_ready` and
`receive`, for every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from nbagora_lab.broker.blobs import BlobReader, BlobRef
from nbagora_lab.broker.delivery import Batch, Given, Handle
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.model import TopicInfo, TopicSpec
from nbagora_lab.broker.stats import GroupStats, TopicProgress

__all__ = ["Groups", "Log", "Stored"]

Stored = tuple[int, bytes]
"""A record's offset, and its bytes as `core.events.encode` packs them."""


class Log(Protocol):
    """An engine's log.

    Every method but `close` raises `StoreClosed` once the log is closed; those that write may raise `StoreError`, and
    then nothing was written.

    Attributes:
        engine: ``embedded`` or the name of another engine, with the version that it answers.
        epoch: How often this store was opened; higher than that of any former holder.
        capabilities: What this engine can beyond the protocol: ``batch`` (an append over several topics is atomic);
            or what sets it apart: ``remote`` (each call goes over a network, so an event loop makes none).
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

    def stage(self, chunks: Iterable[bytes]) -> BlobRef:
        """Stores a large body, in pieces of any size, for a record that will refer to it; memory holds one chunk.

        It is kept while records refer to it, forks included, and by `append` alone becomes durable.

        Raises:
            TooLarge: It is above the limit; nothing is kept.
        """
        ...

    def unstage(self, ref: BlobRef) -> None:
        """Lets go of a staged body whose record was not appended."""
        ...

    def open_body(self, ref: BlobRef) -> BlobReader:
        """A large body, to be read in pieces or from any place; each chunk is checked as it is read.

        Raises:
            BodyNotFound: No record refers to it, or its servers have removed it.
            StoreCorrupt: It is damaged.
        """
        ...

    def expire_due(self) -> float | None:
        """Removes what is past its TTL, as the settings of its parent say; an engine that does so itself does nothing.

        Returns:
            Seconds until more is; None: never, unless a topic comes.
        """
        ...

    def on_due(self, wake: Callable[[], None]) -> None:
        """Has `wake` called when something comes to be due earlier than `expire_due` last said."""
        ...

    def watch(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Has `wake` called after every append to `topic`, from then on, in the appender's thread, and by `close`.

        `wake` must be quick and must not raise. It may come once more than there are appends.

        Returns:
            What ends the watch; calling it twice does no harm.
        """
        ...

    def watch_parent(self, parent: str, heard: Callable[[str, int], None]) -> Callable[[], None]:
        """Has `heard` called with topic and first offset after every append below `parent`, as `watch` does.

        By `close`, and where an engine may have missed something, it is called with the parent's name and -1.

        Raises:
            TopicNotFound: No such parent.
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


class Groups(Protocol):
    """An engine's consumer groups.

    All methods may be called from any thread and never wait. Those that name a group raise `GroupNotFound`, those
    that name deliveries `LeaseLost` as `ack` does, and all `StoreClosed` once the engine is closed.

    A group is handed records of a lite topic in the order of offsets, one batch at a time: while any record of it is
    neither acked nor past its lease, the topic is locked. On a PRIORITY parent records stand for themselves: each has
    a lease of its own and the order is that of the schedule.

    Attributes:
        capabilities: ``glob`` (subscriptions by pattern), ``exclusive``, ``durable`` (subscribers that survive a
            restart), ``suspend``, ``seek``, ``schedule`` (priority, aging, deadlines, quotas and shares),
            ``transaction`` (an ack and sends as one).
    """

    capabilities: frozenset[str]

    def create_group(self, name: str, spec: GroupSpec) -> bool:
        """Makes a group; there already and equal, it does nothing. Durable on return.

        Returns:
            Whether it is new.

        Raises:
            GroupExists: It exists with other settings.
            TopicNotFound: No such parent.
            Unsupported: The engine lacks a capability that the settings ask for.
        """
        ...

    def alter_group(self, name: str, spec: GroupSpec) -> None:
        """Changes settings while it runs; what is leased stays as it is. Durable on return.

        Raises:
            Conflict: Topic, mode and start can't be changed.
        """
        ...

    def groups(self) -> dict[str, GroupSpec]:
        """All groups."""
        ...

    def delete_group(self, name: str) -> None:
        """Ends a group, with its progress, leases, subscriptions and dead letters."""
        ...

    def subscribe(
        self,
        group: str,
        client: str,
        patterns: Collection[str],
        *,
        durable: bool = False,
        evicted: Callable[[list[str]], None] | None = None,
    ) -> None:
        """Adds lite topics, by name or glob (``*``, ``?``, ``[…]``), to what a client reads; live on return.

        No glob takes in the parent's own ``_events``: who names it reads of the life of topics, from the group's start.

        Ends with `unsubscribe`, with the group's `client_ttl` unless the client is heard of, or with the process
        unless it is `durable`.

        Args:
            group: The group.
            client: Name of the client.
            patterns: Within the group's parent, without the parent's name.
            durable: Whether it is stored.
            evicted: Called with the patterns that a newer client of an exclusive group took over; must not raise.

        Raises:
            QuotaExceeded: More subscriptions than the group allows a client.
            BadName: A pattern that no name can match.
        """
        ...

    def unsubscribe(self, group: str, client: str, patterns: Collection[str] | None = None) -> None:
        """Takes patterns away, or (None) the whole client: what it holds is handed out again, at once."""
        ...

    def subscriptions(self, group: str) -> dict[str, list[str]]:
        """Each client's patterns."""
        ...

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
        """Leases the next records to a client: a batch that may mix topics, empty where nothing is ready.

        The attempt of each record is durable on return. Being called says that the client lives.

        Args:
            group: The group.
            client: Name of the client.
            limit: Records at most.
            max_bytes: Their size as they are stored at most, the first one's excepted; None: any.
            lease: Seconds until they are handed out again; None: the group's.
            attempt_id: Names this call: the same id again gives the same batch again, as far as its lease holds.

        Raises:
            NotSubscribed: The client is unknown, or was dropped.
        """
        ...

    def when_ready(self, group: str, client: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Has `wake` called once when something becomes ready for `client`, or by closing; quick, and must not raise.

        Who watches first and receives then misses nothing.

        Returns:
            What ends the watch; calling it twice does no harm.
        """
        ...

    def ack(
        self,
        group: str,
        handles: Collection[Given],
        *,
        costs: dict[Handle, float] | None = None,
        send: Sequence[tuple[str, bytes]] = (),
    ) -> list[int]:
        """Ends deliveries for good, in any order; durable on return. Acking twice under one lease does no harm.

        Args:
            group: The group.
            handles: Of the deliveries, or these themselves.
            costs: What they really cost, where that is not what was said at sending.
            send: Records to append in the same step: all of it happens, or nothing (capability ``transaction``).

        Returns:
            The offsets of what was sent.

        Raises:
            LeaseLost: Some were not, or no longer, leased under that number; with `send`, then nothing is done,
                otherwise the others are acked.
        """
        ...

    def extend(self, group: str, handles: Collection[Given], lease: float) -> None:
        """Has their leases end `lease` seconds from now."""
        ...

    def fail(self, group: str, handles: Collection[Given], *, pause: float | None = None) -> None:
        """Gives deliveries back as failed: again after the back-off, or `pause` seconds; in the end dead letters."""
        ...

    def release(self, group: str, handles: Collection[Given]) -> None:
        """Gives deliveries back, with what else is out of their topics, as if they had never been handed out."""
        ...

    def suspend(self, group: str, topic: str, pause: float) -> None:
        """Hands nothing of a topic out for `pause` seconds (0 ends it); what is out of it is given back, uncounted."""
        ...

    def seek(self, group: str, topic: str, start: Start) -> int:
        """Moves a group's progress on a topic, back or forth; what is leased of it is given back.

        Returns:
            The offset that is next.

        Raises:
            TopicNotFound: No such topic.
        """
        ...

    def progress(self, group: str, topic: str) -> TopicProgress:
        """Where a group stands on a topic.

        Raises:
            TopicNotFound: No such topic.
        """
        ...

    def stats(self, group: str, *, unread: bool = True) -> GroupStats:
        """What the group has ready, leased and held, now, and has served since this process began.

        What waits and nobody reads is counted by looking for it, which takes as long as much does; or not (`unread`).
        """
        ...
