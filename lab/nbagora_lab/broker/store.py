"""The open store of the embedded engine: what its log and its groups share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from rocksdict import WriteBatch

from nbagora_lab.broker.blobs import Blobs
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.hot import HotTopics
from nbagora_lab.broker.parent import Parent
from nbagora_lab.broker.rocks import Put, Rocks
from nbagora_lab.broker.writer import Writer
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import LabError, TopicNotFound, did_you_mean

__all__ = ["Store"]

_PER_EPOCH = 1 << 40  # numbers of leases, so that they grow over restarts


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
        self._leases = 0

    @property
    def lease(self) -> int:
        """Number of the latest lease; higher than that of any earlier opening."""
        return self.writer.epoch * _PER_EPOCH + self._leases

    def next_lease(self) -> int:
        """A number for a new one."""
        self._leases += 1
        return self.lease

    def entered(self) -> Self:
        """Around a group's call, under the lock: ``with store.lock, store.entered():``; maps RocksDB's errors.

        The lock by itself, as nothing can interrupt between taking it and being inside its ``with``.
        """
        return self

    def __enter__(self) -> None:
        self.rocks.edge.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        group, self.writer.acting = self.writer.acting, None
        if group is not None and (error is None or isinstance(error, LabError)):
            group.torn = False
        self.rocks.edge.__exit__(kind, error, trace)

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
