"""RocksDB as the embedded engine opens it: options, errors made ours, and who holds the folder."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options, Rdict

from nbagora_lab.core.errors import LabError, StoreClosed, StoreCorrupt, StoreError, StoreLocked, StoreReadOnly

__all__ = ["Rocks"]

_WRITE_BUFFER = 32 << 20  # bytes a column family gathers in memory before it writes a file
_BLOCK_CACHE = 32 << 20  # bytes, shared by all stores of the process
_cache: list[Cache] = []


class Rocks:
    """An open RocksDB.

    Keys and values are bytes; rocksdict types them as unions, so the families are typed as Any here, once.

    Args:
        path: Its folder; made if absent.
        families: Names of its column families.

    Attributes:
        db: The default family.
        families: The others, in the order given.
        handles: Their handles, for write batches.

    Raises:
        StoreLocked: Another process, or this one, holds it.
        StoreReadOnly: The folder can't be written.
        StoreCorrupt: Damage in more than the unfinished tail.
    """

    def __init__(self, path: Path, families: Sequence[str]) -> None:
        self._path = path
        self._closed = False
        with self.edge():
            path.mkdir(parents=True, exist_ok=True)
            self.db: Any = Rdict(str(path), _options(), {name: _options() for name in families})
            self.families: list[Any] = [self.db.get_column_family(name) for name in families]
            self.handles: list[Any] = [self.db.get_column_family_handle(name) for name in families]

    def hold(self, since: float) -> None:
        """Writes down which process holds the store, for the next one that tries."""
        with self.edge():
            holder = {"pid": os.getpid(), "since": since}
            (self._path / "holder.json").write_text(json.dumps(holder), encoding="utf-8")

    def revision(self) -> int:
        """RocksDB's sequence number: grows with every write."""
        return int(self.db.latest_sequence_number())

    def close(self) -> None:
        """Gives the folder back, once the caller holds no family and no handle any more."""
        if not self._closed:
            self._closed = True
            self.handles.clear()
            for family in (*self.families, self.db):
                family.close()
            self.families.clear()

    @contextlib.contextmanager
    def edge(self) -> Iterator[None]:
        """Where RocksDB's errors become ours."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- RocksDB's errors have no class of their own
            raise self.mapped(error) from None

    def mapped(self, error: Exception) -> Exception:
        """Our error for one of rocksdict's, which are bare `Exception`s with RocksDB's status in their text."""
        if isinstance(error, LabError):
            return error
        path, text = self._path, str(error)
        if self._closed:
            return StoreClosed(f"the store {path} is closed", "start the lab again with %lab start")
        if "lock" in text.lower() and "LOCK" in text:
            return StoreLocked(f"the store {path} is held by {_holder(path)}", "stop that one, or use another --store")
        if isinstance(error, PermissionError) or "Permission denied" in text or "Read-only file system" in text:
            return StoreReadOnly(f"the store {path} can't be written", "make the folder writable, or use --store")
        if isinstance(error, FileExistsError | NotADirectoryError):
            return StoreError(f"the store {path} is no folder", "use another --store")
        if "No space left" in text:
            return StoreError(f"no space left for the store {path}", "free some; what was acknowledged is kept")
        if "Corruption" in text:
            return StoreCorrupt(
                f"the store {path} is damaged: {text.splitlines()[0]}", "restore a copy, or use another --store"
            )
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
    except (OSError, ValueError, KeyError):
        return "another process"
    return "this very process" if pid == os.getpid() else f"process {pid}"
