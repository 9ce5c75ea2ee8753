"""A SQLite file as a room's store: transactions, named migrations, and errors in the house's own words.

One connection, guarded by one lock, serves all threads. A transaction here takes well under a millisecond and is never
held across a wait, so a connection per thread would save nothing and would leave one behind for every thread that
comes and goes in a kernel. Other processes may use the file at the same time: SQLite's own locks order the writers.

The file is in WAL mode: a commit is one append to the log, readers see whole transactions, and a process that dies
leaves all that it had committed and nothing else. `os` durability survives the death of the process; `fsync` has each
commit on the disk before it returns.

A layout changes by a migration that is added to the end of the list, never by changing one that stands there. Each is
recorded in the transaction that applies it, so a file is never half-way; one that has a migration which this list lacks
is from a later version and is refused before anything is written.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from nbagora_lab.core.errors import (
    LabError,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    TooLarge,
    UsageError,
)
from nbagora_lab.core.log import logger

__all__ = ["Migration", "Run", "SqliteStore", "mapped"]

_TRIES = 50

Run = Callable[..., sqlite3.Cursor]
"""``run(sql, parameters)``: one statement within the open transaction."""


class Migration(NamedTuple):
    """One step of a file's layout.

    Attributes:
        name: Its name for good; they apply in the order of the list.
        statements: What it does, one statement each.
    """

    name: str
    statements: tuple[str, ...]


class SqliteStore:
    """One SQLite file, open.

    Args:
        path: The file; it and its folder are made if absent.
        migrations: The whole list, oldest first.
        application_id: What marks a file of this kind, a number of 31 bits.
        durability: ``os`` or ``fsync``.
        patience: Seconds to wait for another process that writes.

    Raises:
        StoreLocked: Another process kept it locked for longer than `patience`.
        StoreReadOnly: It, or its folder, can't be written.
        StoreTooNew: A later version wrote it.
        StoreCorrupt: It is damaged, or a file of another kind.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migration],
        *,
        application_id: int,
        durability: str = "os",
        patience: float = 5.0,
    ) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=patience, isolation_level=None, check_same_thread=False
            )
            self._refuse_foreign(application_id)
            self._tune(durability)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise mapped(error, self.path) from error
        except BaseException:
            self.close()
            raise
        try:
            self._migrate(migrations, application_id)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives the file back; a second call does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def reading(self) -> Iterator[Run]:
        """A transaction that sees the file as it is at its first statement.

        Raises:
            StoreClosed: The store was closed.
            StoreError: SQLite could not serve.
            UsageError: A value that SQLite can't hold.
        """
        with self._transaction("BEGIN") as run:
            yield run

    @contextmanager
    def writing(self) -> Iterator[Run]:
        """A transaction that is the only writer; durable when the block ends, undone when it raises.

        Raises:
            StoreClosed: The store was closed.
            StoreLocked: Another process wrote for longer than the store's patience.
            StoreError: SQLite could not serve; nothing was written.
            UsageError: A value that SQLite can't hold; nothing was written.
        """
        with self._transaction("BEGIN IMMEDIATE") as run:
            yield run

    @contextmanager
    def glancing(self) -> Iterator[Run]:
        """For one statement that reads; it needs no transaction around it.

        Raises:
            StoreClosed, StoreError, UsageError: As `reading`.
        """
        with self._transaction("") as run:
            yield run

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Run]:
        with self._lock:
            if self._connection is None:
                raise StoreClosed(f"the store {self.path} is closed", "start the lab again")
            try:
                try:
                    if begin:
                        self._execute(begin)
                    yield self._execute
                    if begin:
                        self._execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:  # SQLite undoes some failures by itself
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise mapped(error, self.path) from error
            except (OverflowError, UnicodeEncodeError) as error:  # a number above 64 bits, half a surrogate pair
                raise UsageError(f"a value that {self.path} can't hold: {error}", "give another value") from error

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """The one place that statements go through: tests let faults in here."""
        assert self._connection is not None
        return self._connection.execute(sql, parameters)

    def _refuse_foreign(self, application_id: int) -> None:
        [tables] = self._execute("SELECT count(*) FROM sqlite_master").fetchone()
        [found] = self._execute("PRAGMA application_id").fetchone()  # second: a process that makes both makes it first
        if tables and found != application_id:
            raise StoreCorrupt(
                f"{self.path} is a SQLite file of something else", "start on another folder with --store"
            )

    def _tune(self, durability: str) -> None:
        mode = self._journal_mode()
        if mode != "wal":  # a file system without shared memory; correct, but writers hold readers up
            logger.getChild("registry").warning("%s is in SQLite's %s mode, WAL is not possible there", self.path, mode)
        self._execute(f"PRAGMA synchronous = {'FULL' if durability == 'fsync' or mode != 'wal' else 'NORMAL'}")
        self._execute("PRAGMA foreign_keys = ON")

    def _journal_mode(self) -> str:
        """Switches to WAL. SQLite has no patience here, so a file that others are making takes several tries."""
        for tries in count(1):
            try:
                [mode] = self._execute("PRAGMA journal_mode = WAL").fetchone()
                return str(mode)
            except sqlite3.OperationalError as error:
                if _primary(error) != sqlite3.SQLITE_BUSY or tries == _TRIES:
                    raise
                self._execute("BEGIN EXCLUSIVE")  # here it has: this waits until nobody reads or writes
                self._execute("ROLLBACK")
        raise AssertionError

    def _migrate(self, migrations: Sequence[Migration], application_id: int) -> None:
        known = [migration.name for migration in migrations]
        with self.reading() as run:
            applied = _applied(run)
        if set(applied) != set(known):
            with self.writing() as run:
                applied = _applied(run)  # another process may have been here since
                if unknown := [name for name in applied if name not in known]:
                    raise StoreTooNew(
                        f"{self.path} has '{unknown[-1]}', which this nbagora does not know",
                        "upgrade nbagora, or start on another folder with --store",
                    )
                if not applied:
                    run(f"PRAGMA application_id = {application_id}")
                    run("CREATE TABLE migrations (name TEXT PRIMARY KEY) WITHOUT ROWID")
                for migration in migrations:
                    if migration.name not in applied:
                        for statement in migration.statements:
                            run(statement)
                        run("INSERT INTO migrations VALUES (?)", (migration.name,))


def mapped(error: Exception, path: Path) -> LabError:
    """The house's error for one of SQLite's, or of the operating system's as the file was opened."""
    code = _primary(error)
    refused = isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}
    if refused or code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return _read_only(path)
    if code == sqlite3.SQLITE_CANTOPEN and not _writable(path):
        return _read_only(path)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}:
        return StoreLocked(
            f"another process is writing to {path}", "wait for it, or start on another folder with --store"
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}:
        return StoreCorrupt(
            f"{path} is damaged: {error}", "restore it from a copy, or start on another folder with --store"
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return TooLarge(f"a value is too large for {path}: {error}", "give it in smaller parts")
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"no room left for {path}", "make room on the disk; nothing was written")
    return StoreError(f"{path} can't be used: {error}", "nothing was written; see %lab status")


def _primary(error: Exception) -> int:
    """SQLite's result code without what extends it; 0 where the error has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _applied(run: Run) -> list[str]:
    if not run("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
        return []
    return [name for (name,) in run("SELECT name FROM migrations ORDER BY name")]


def _read_only(path: Path) -> StoreReadOnly:
    return StoreReadOnly(
        f"{path} can't be written", "give yourself the right to write there, or choose another with --store"
    )


def _writable(path: Path) -> bool:
    target = path if path.exists() else path.parent
    return os.access(target, os.W_OK) and os.access(path.parent, os.W_OK)
