"""The open store of the embedded engine: what its log and its groups share."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rocksdict import WriteBatch

from nbagora_lab.broker.blobs import Blobs
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.hot import HotTopics
from nbagora_lab.broker.parent import Parent
from nbagora_lab.broker.rocks import Edge, Put, Rocks
from nbagora_lab.broker.writer import Writer
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import LabError, TopicNotFound, did_you_mean

__all__ = ["Store"]

_PER_EPOCH = 1 << 40  # numbers of leases, so that they grow over restarts


class _Entered(Edge):
    """The edge around a group's call, under the lock: ``with store.lock, store.entered:``; ends what `Store.act` began.

    The lock by itself, as nothing can interrupt between taking it and being inside its ``with``.
    """

    def __init__(self, rocks: Rocks, writer: Writer) -> None:
        super().__init__(rocks)
        self.inside, self.left = rocks.edge.inside, rocks.edge.left
        self._writer = writer

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        group, self._writer.acting = self._writer.acting, None
        if group is not None and (error is None or isinstance(error, LabError)):
            group.torn = False
        super().__exit__(kind, error, trace)


class Store:
    """One lock, one RocksDB, and the topics in use.

    Args:
        rocks: The open RocksDB.
        clock: Time.
        write: Writes a batch, or a single key.
        blobs: Large bodies.
        remember: See `Writer`.

    Attributes:
        lock: Held by whoever changes anything.
        parents: Parent topics by name.
        hot: Topics in use.
        writer: Turns entries into write batches.
        on_close: Called as it closes, under the lock.
        entered: Around a group's call.
        lease: Number of the latest lease; higher than any of an earlier opening.
    """

    def __init__(
        self, rocks: Rocks, clock: Clock, write: Callable[[WriteBatch | Put], None], blobs: Blobs, *, remember: bool
    ) -> None:
        self.lock = threading.RLock()
        self.rocks = rocks
        self.clock = clock
        self.blobs = blobs
        self.write = write
        self.parents: dict[str, Parent] = {}
        self.hot = HotTopics(rocks.families["topics"], rocks.families["records"], self.parents.__getitem__)
        self.writer = Writer(rocks, self.hot, clock, parent_of=self.parent, write=write, remember=remember, blobs=blobs)
        self.on_close: list[Callable[[], None]] = []
        self.entered = _Entered(rocks, self.writer)
        self.lease = 0

    def begin(self, epoch: int) -> None:
        """Has leases and topics be numbered in an epoch, which is higher than that of any earlier opening."""
        self.writer.epoch = epoch
        self.lease = epoch * _PER_EPOCH

    def act(self, group: Dispatch) -> None:
        """Notes that what follows changes a group's memory, up to the end of this call."""
        group.torn = True
        self.writer.acting = group

    def parent(self, name: str) -> Parent:
        """A parent topic.

        Raises:
            TopicNotFound: There is none of that name.
        """
        parent = self.parents.get(name)
        if parent is None:
            raise TopicNotFound(f"no topic '{name}'", did_you_mean(name, self.parents))
        return parent
