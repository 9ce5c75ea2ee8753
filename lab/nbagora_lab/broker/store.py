"""The open store of the embedded engine: what its log and its groups share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from rocksdict import WriteBatch

from nbagora_lab.broker.blobs import Blobs
from nbagora_lab.broker.hot import HotTopics
from nbagora_lab.broker.parent import Parent
from nbagora_lab.broker.rocks import Rocks
from nbagora_lab.broker.writer import Writer
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import TopicNotFound, did_you_mean

__all__ = ["Store"]


class Store:
    """One lock, one RocksDB, and the topics in use.

    Args:
        rocks: The open RocksDB.
        clock: Time.
        write: Writes a batch.
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
        self, rocks: Rocks, clock: Clock, write: Callable[[WriteBatch], None], blobs: Blobs, *, remember: bool
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

    def entered(self) -> Self:
        """Holds the lock, and maps RocksDB's errors: ``with store.entered():``."""
        return self

    def __enter__(self) -> None:
        self.lock.acquire()
        try:
            self.rocks.edge.__enter__()
        except BaseException:
            self.lock.release()
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.rocks.edge.__exit__(kind, error, trace)
        finally:
            self.lock.release()

    def parent(self, name: str) -> Parent:
        """A parent topic.

        Raises:
            TopicNotFound: There is none of that name.
        """
        parent = self.parents.get(name)
        if parent is None:
            raise TopicNotFound(f"no topic '{name}'", did_you_mean(name, self.parents))
        return parent
