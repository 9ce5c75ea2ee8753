"""What keeping a batch of records takes at the least: through RocksDB as the engine does it, and in other ways.

Thread CPU, in turns, so that other work on the machine changes all figures alike; an addition of integers is timed
beside them. What lies between these figures and the broker's own is Python.
"""

from __future__ import annotations

import argparse
import mmap
import os
import struct
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _report import conditions, quantile, table
from rocksdict import Options, Rdict, WriteBatch

from nbagora_lab.broker import keys

RECORD = b"r" * 240
BATCH = 1000
TOPICS = 100_000
_HEAD = struct.Struct("<IQQ")  # size, topic number, offset
_SPACE = 64 << 20


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench floors", description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=40)
    turns = parser.parse_args().turns
    conditions("rocksdict")
    spent: dict[str, list[float]] = defaultdict(list)

    def timed(what: str, work: Callable[[], Any], records: int = BATCH) -> Any:
        began = time.thread_time()
        result = work()
        spent[what].append((time.thread_time() - began) / records * 1e6)
        return result

    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as folder:
        store, files = _Store(folder), _Files(Path(folder))
        for turn in range(turns):
            numbers = [(place * 7919 + turn * BATCH) % TOPICS for place in range(BATCH)]
            timed("an addition of integers", lambda: sum(range(10 * BATCH)), 10 * BATCH)
            for what, work in store.ways(numbers, turn) | files.ways(numbers, turn):
                timed(what, work, BATCH // 10 if what.startswith("one at a time") else BATCH)
        store.close()
        files.close()
    rows = [[what, f"{quantile(times, 0.1):.2f}", f"{quantile(times, 0.5):.2f}"] for what, times in spent.items()]
    table([f"µs of the thread a record, {BATCH} at once unless it says so", "p10", "p50"], rows)
    return 0


class _Ways(list[tuple[str, Callable[[], Any]]]):
    def __or__(self, other: _Ways) -> _Ways:
        return _Ways([*self, *other])


class _Store:
    """RocksDB."""

    def __init__(self, folder: str) -> None:
        self._db = Rdict(f"{folder}/db", _options(), {name: _options() for name in ("records", "waiting", "log")})
        self._families = {name: self._db.get_column_family(name) for name in ("records", "waiting", "log")}
        self._handles = {name: self._db.get_column_family_handle(name) for name in self._families}

    def ways(self, numbers: list[int], turn: int) -> _Ways:
        """What the engine does, and the same with one value for all of a batch."""
        records, log = self._families["records"], self._families["log"]
        wanted = [keys.record_key(number, turn) for number in numbers]
        whole = _framed(numbers, turn)
        return _Ways(
            [
                ("a put of each record", lambda: self._put("records", wanted, RECORD)),
                ("a read of each", lambda: records.get(wanted)),
                ("what waits, put", lambda: self._put("waiting", [keys.waiting_key(1, one) for one in numbers], b"s")),
                ("what waits, deleted", lambda: self._put("waiting", [keys.waiting_key(1, one) for one in numbers])),
                ("one value for the batch, put", lambda: self._put("log", [keys.u64(2 * turn)], whole)),
                ("one value for the batch, read", lambda: log.get(keys.u64(2 * turn))),
                (
                    "an index of the batch as one list, put",
                    lambda: self._put("log", [keys.u64(2 * turn + 1)], _listed(numbers, turn)),
                ),
                (
                    "one at a time: a batch of one",
                    lambda: [self._put("records", [key], RECORD) for key in wanted[:100]],
                ),
                ("one at a time: a bare put", lambda: [records.put(key, RECORD) for key in wanted[:100]]),
                ("one at a time: a read", lambda: [records.get(key) for key in wanted[:100]]),
            ]
        )

    def _put(self, family: str, wanted: list[bytes], value: bytes | None = None) -> None:
        batch, handle = WriteBatch(raw_mode=True), self._handles[family]
        for key in wanted:
            if value is None:
                batch.delete(key, handle)
            else:
                batch.put(key, value, handle)
        self._db.write(batch)

    def close(self) -> None:
        """Gives the store back."""
        self._handles.clear()
        for family in self._families.values():
            family.close()
        self._db.close()


class _Files:
    """A segment file, and mapped memory."""

    def __init__(self, folder: Path) -> None:
        self._segment = (folder / "segment").open("w+b", buffering=0)
        self._file = (folder / "mapped").open("w+b")
        self._file.truncate(_SPACE)
        self._mapped = mmap.mmap(self._file.fileno(), _SPACE)

    def ways(self, numbers: list[int], turn: int) -> _Ways:
        """What a log beside RocksDB would do."""
        whole = _framed(numbers, turn)
        each = len(whole) // BATCH
        segment, start = self._segment.fileno(), turn * len(whole)
        at = start % (_SPACE - len(whole))
        return _Ways(
            [
                ("framing the records into one piece", lambda: _framed(numbers, turn)),
                ("a CRC-32 of the piece", lambda: zlib.crc32(whole)),
                ("a write to a segment file", lambda: os.pwrite(segment, whole, start)),
                ("a read of the piece", lambda: os.pread(segment, len(whole), start)),
                ("cutting the piece up", lambda: [whole[one * each : one * each + each] for one in range(BATCH)]),
                ("a copy into mapped memory", lambda: self._mapped.__setitem__(slice(at, at + len(whole)), whole)),
                ("an entry each in a dictionary", lambda: dict.fromkeys(numbers, turn)),
                ("one at a time: a write to a segment file", lambda: self._each(whole[:each], start)),
            ]
        )

    def _each(self, piece: bytes, start: int) -> None:
        for _ in range(BATCH // 10):
            os.pwrite(self._segment.fileno(), piece, start)

    def close(self) -> None:
        """Closes the files."""
        self._mapped.close()
        self._file.close()
        self._segment.close()


def _framed(numbers: list[int], turn: int) -> bytes:
    parts = []
    for number in numbers:
        parts += (_HEAD.pack(len(RECORD), number, turn), RECORD)
    return b"".join(parts)


def _listed(numbers: list[int], turn: int) -> bytes:
    return b"".join([keys.handed_pair(number, turn) for number in numbers])


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    return options


if __name__ == "__main__":
    sys.exit(main())
