"""The sessions that `sessions` writes, and the engines that it writes them to: the broker's, and its two peers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from _flood import chunks
from rocksdict import WriteBatch, WriteOptions

from nbagora_lab.a2a.wire import artifact_body, dumps
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.keys import record_key
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocks import Rocks
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.events import RecordType, encode

__all__ = ["ENGINES", "Broker", "Engine", "RocksAlone", "Sqlite", "records"]


def records(session: int, count: int) -> list[bytes]:
    """A session's records as the broker stores them: A2A updates with a short chunk, which tells its place."""
    context = f"ctx-{session:08d}"
    task = f"{context}.task".encode()
    ids = b'"taskId":"%b","contextId":"%b",' % (task, context.encode())
    trace = f"00-{session:032x}-{session:016x}-01".encode()
    return [
        encode(
            RecordType.ARTIFACT,
            artifact_body(
                ids,
                b'"artifactId":"a",',
                b'{"text":%b}' % dumps(text),
                f"sessions/{context}",
                append=number > 0,
                last=False,
                metadata=None,
            ),
            source=b"/agents/bench",
            subject=task,
            traceparent=trace,
            time=1.7e9 + number,
            epoch=1,
            generation=number + 1,
        )
        for number, text in enumerate(chunks(count))
    ]


class Engine(Protocol):
    """What is compared. Every append is one record, and acknowledged only when the operating system has it."""

    def append(self, session: int, number: int, record: bytes) -> None:
        """Appends a record; `number` counts a session's from 0."""
        ...

    def read(self, session: int) -> Sequence[bytes]:
        """All records of a session, in order."""
        ...

    def close(self) -> None:
        """Closes it, cleanly."""
        ...


class Broker:
    """The broker's embedded engine, as the lab uses it."""

    def __init__(self, folder: Path) -> None:
        self.log = EmbeddedLog(folder, clock=SystemClock(), durability="os")
        self.log.create_topic("sessions", TopicSpec())

    def append(self, session: int, number: int, record: bytes) -> None:
        [offset] = self.log.append([(f"sessions/ctx-{session:08d}", record)])
        assert offset == number

    def read(self, session: int) -> Sequence[bytes]:
        found, after = [], -1
        while batch := self.log.scan(f"sessions/ctx-{session:08d}", after=after):
            after = batch[-1][0]
            found += [stored for _, stored in batch]
        return found

    def close(self) -> None:
        self.log.close()


class RocksAlone:
    """The limit: rocksdict with the broker's options and keys, and nothing else: no topics, no offsets, no lock."""

    def __init__(self, folder: Path) -> None:
        self._rocks = Rocks(folder, ("records",))
        self._records: Any = self._rocks.families["records"]
        self._handle = self._rocks.handles["records"]
        self._options = WriteOptions()

    def append(self, session: int, number: int, record: bytes) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.put(record_key(session, number), record, self._handle)
        self._rocks.db.write(batch, self._options)

    def read(self, session: int) -> Sequence[bytes]:
        found, prefix = [], record_key(session, 0)[:8]
        for key, stored in self._records.items(from_key=record_key(session, 0)):
            if key[:8] != prefix:
                break
            found.append(stored)
        return found

    def close(self) -> None:
        self._records = self._handle = None
        self._rocks.close()


class Sqlite:
    """The peer: a table in SQLite's WAL mode, a commit a record; NORMAL is its counterpart of durability `os`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(folder / "sessions.db", isolation_level=None)
        [mode] = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        assert mode == "wal", mode
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS records (session INTEGER, number INTEGER, record BLOB, "
            "PRIMARY KEY (session, number)) WITHOUT ROWID"
        )

    def append(self, session: int, number: int, record: bytes) -> None:
        self._connection.execute("INSERT INTO records VALUES (?, ?, ?)", (session, number, record))

    def read(self, session: int) -> Sequence[bytes]:
        asked = "SELECT record FROM records WHERE session = ? ORDER BY number"
        return [record for (record,) in self._connection.execute(asked, (session,))]

    def close(self) -> None:
        self._connection.close()


ENGINES = {"nbagora": Broker, "RocksDB alone": RocksAlone, "SQLite": Sqlite}
