"""RocksDB as the embedded engine opens it: options, errors made ours, and who holds the folder."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from nbagora_lab.broker.wal import find_damage
from nbagora_lab.core.errors import (
    LabError,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
)
from nbagora_lab.core.log import logger

__all__ = ["Edge", "Put", "Rocks"]

Put = tuple[str, bytes, bytes]
"""A family, a key and its value: what needs no batch, and by itself takes half the time of one."""

_log = logger.getChild("broker")

_WRITE_BUFFER = 32 << 20  # bytes a column family gathers in memory before it writes a file
_BLOCK_CACHE = 32 << 20  # bytes, shared by all stores of the process
_LONGEST_LOG = 32 << 20  # bytes of write-ahead log at most: what memory holds of all families, and a killed store reads
_PATIENCE = 5.0  # seconds that closing waits for reads under way
_cache: list[Cache] = []
_AGAIN = "stop the lab and start it again; what was acknowledged is kept"


class Edge:
    """Where RocksDB's errors become ours, and what closing waits for: every use of the store is inside of it.

    Args:
        rocks: The store.

    Attributes:
        inside: One for each use under way; a list's append and pop need no lock.
        left: Set by who leaves while the store is being closed.
    """

    def __init__(self, rocks: Rocks) -> None:
        self._rocks = rocks
        self.inside: list[None] = []
        self.left = threading.Event()

    def __enter__(self) -> None:
        self.inside.append(None)
        if self._rocks.closed:
            self.__exit__(None, None, None)
            raise self._rocks.mapped(RuntimeError("closed"))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.inside.pop()
        if self._rocks.closed:
            self.left.set()
        if isinstance(error, Exception):
            raise self._rocks.mapped(error) from None

    def wait(self) -> None:
        """Returns once nobody is inside any more, or patience has run out; new uses are refused already."""
        deadline = time.monotonic() + _PATIENCE
        while self.inside and self.left.wait(max(0.0, deadline - time.monotonic())):
            self.left.clear()


class Rocks:
    """An open RocksDB.

    Keys and values are bytes; rocksdict types them as unions, so the families are typed as Any here, once.

    Args:
        path: Its folder; made if absent.
        families: Names of its column families.

    Attributes:
        edge: The context manager around every use of what follows.
        closed: Whether the folder is being given back.
        db: The default family.
        families: The others, by name.
        handles: Their handles by name, for write batches.

    Raises:
        StoreLocked: Another process, or this one, holds it.
        StoreReadOnly: The folder can't be written.
        StoreCorrupt: Damage in more than the unfinished tail.
        StoreTooNew: It has families that this version does not know.
    """

    def __init__(self, path: Path, families: Sequence[str]) -> None:
        self._path = path
        self.closed = False
        self.edge = Edge(self)
        with self.edge:
            path.mkdir(parents=True, exist_ok=True)
            if (damage := find_damage(path)) is not None:
                raise StoreCorrupt(
                    f"the store {path} is damaged: {damage.path.name} makes no sense after byte {damage.at}, "
                    "and holds records after that",
                    "restore a copy, or cut that file off at that byte and lose what follows",
                )
            self.db: Any = Rdict(str(path), _options(), {name: _options() for name in families})
            self.families: dict[str, Any] = {name: self.db.get_column_family(name) for name in families}
            self.handles: dict[str, Any] = {name: self.db.get_column_family_handle(name) for name in families}

    def hold(self, since: float) -> None:
        """Writes down which process holds the store, for the next one that tries."""
        with self.edge:
            holder = {"pid": os.getpid(), "since": since}
            (self._path / "holder.json").write_text(json.dumps(holder), encoding="utf-8")

    def write(self, what: WriteBatch | Put, options: WriteOptions) -> None:
        """Writes a batch, or a single key."""
        if isinstance(what, tuple):
            family, key, value = what
            self.families[family].put(key, value, options)
        else:
            self.db.write(what, options)

    def revision(self) -> int:
        """RocksDB's sequence number: grows with every write."""
        return int(self.db.latest_sequence_number())

    def close(self) -> None:
        """Waits for the uses under way and refuses new ones; the caller drops its families and handles then."""
        if self.closed:
            return
        self.closed = True
        self.edge.wait()
        self.handles.clear()
        failure = None
        for family in (*self.families.values(), self.db):
            try:
                family.close()
            except Exception as error:  # noqa: BLE001 -- RocksDB's errors have no class of their own
                failure = error
        self.families.clear()
        self.db = None
        if failure is not None:  # what could not be written out is in the write-ahead log, for the next opening
            _log.warning("the store %s was closed as after a crash: %s", self._path, failure)

    def mapped(self, error: Exception) -> Exception:
        """Our error for one of rocksdict's, which are bare `Exception`s with RocksDB's status in their text."""
        if isinstance(error, LabError):
            return error
        path, text = self._path, str(error)
        if self.closed:
            return StoreClosed(f"the store {path} is closed", "start the lab again with %lab start")
        if re.search("No space left|Disk quota exceeded|File too large", text):
            return StoreError(f"no space left for the store {path}", f"free some; then {_AGAIN}")
        if isinstance(error, PermissionError) or "Permission denied" in text or "Read-only file system" in text:
            return StoreReadOnly(f"the store {path} can't be written", "make the folder writable, or use --store")
        if re.search(r"lock file|lock hold by|file for lock", text, re.IGNORECASE):
            return StoreLocked(f"the store {path} is held by {_holder(path)}", "stop that one, or use another --store")
        if "Column families not opened" in text:
            families = text.rpartition(":")[2].strip()
            return StoreTooNew(
                f"the store {path} holds what this nbagora does not know: {families}",
                "upgrade nbagora, or start on another folder with --store",
            )
        if isinstance(error, FileExistsError | NotADirectoryError):
            return StoreError(f"the store {path} is no folder", "use another --store")
        if "Corruption" in text or "No such file or directory" in text:
            return StoreCorrupt(
                f"the store {path} is damaged: {text.splitlines()[0]}", "restore a copy, or use another --store"
            )
        if "IO error" in text:  # RocksDB writes nothing more until it is opened again
            return StoreError(f"the disk of the store {path} fails: {text}", _AGAIN)
        return StoreError(f"the store {path} can't serve: {text or type(error).__name__}", "see %lab status")


def _options() -> Options:
    """The options of the store, and of each of its families."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    # A torn last write is what a killed process leaves and is dropped; damage anywhere else must not be skipped over.
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1 << 20)
    options.set_write_buffer_size(_WRITE_BUFFER)
    options.set_max_total_wal_size(_LONGEST_LOG)
    if not _cache:
        _cache.append(Cache(_BLOCK_CACHE))
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)
    table.set_block_cache(_cache[0])
    options.set_block_based_table_factory(table)
    return options


def _holder(path: Path) -> str:
    try:
        pid = json.loads((path / "holder.json").read_text(encoding="utf-8"))["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return "this very process" if pid == os.getpid() else f"process {pid}"
