"""The SQLite file: transactions, migrations, and every failure in the house's own words."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

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
from nbagora_lab.registry.sqlite import Migration, SqliteStore, mapped

ONE = Migration("0001-one", ("CREATE TABLE one (x INTEGER PRIMARY KEY)", "INSERT INTO one VALUES (1)"))
TWO = Migration("0002-two", ("ALTER TABLE one ADD COLUMN y TEXT", "UPDATE one SET y = 'moved'"))
ID = 0x74657374

Open = Callable[..., SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room" / "store.db"


@pytest.fixture
def open_store(path: Path) -> Iterator[Open]:
    opened: list[SqliteStore] = []

    def open_one(*migrations: Migration, **options: Any) -> SqliteStore:
        opened.append(SqliteStore(path, migrations or (ONE,), **{"application_id": ID, "patience": 0.05} | options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def rows(store: SqliteStore, sql: str) -> list[Any]:
    with store.reading() as run:
        return run(sql).fetchall()


def put(store: SqliteStore, x: object) -> None:
    with store.writing() as run:
        run("INSERT INTO one (x) VALUES (?)", (x,))


# -- transactions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt])
def test_a_block_that_ends_is_written_and_one_that_raises_is_not(open_store: Open, kind: type[BaseException]) -> None:
    store = open_store()
    put(store, 2)

    def put_and_raise() -> None:
        with store.writing() as run:
            run("INSERT INTO one VALUES (3)")
            raise kind

    with pytest.raises(kind):
        put_and_raise()
    assert rows(store, "SELECT x FROM one") == [(1,), (2,)]


def test_a_reader_sees_one_moment(open_store: Open) -> None:
    reader, writer = open_store(), open_store()
    with reader.reading() as run:
        assert run("SELECT count(*) FROM one").fetchone() == (1,)
        put(writer, 2)
        assert run("SELECT count(*) FROM one").fetchone() == (1,)
    assert rows(reader, "SELECT count(*) FROM one") == [(2,)]


def test_threads_take_turns_on_one_connection(open_store: Open) -> None:
    store = open_store()
    threads = [
        threading.Thread(target=lambda n=n: [put(store, n * 100 + i) for i in range(20)])
        for n in range(1, 5)  # type: ignore[misc]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(store, "SELECT count(*) FROM one") == [(81,)]


def test_a_closed_store_says_so(open_store: Open) -> None:
    store = open_store()
    store.close()
    store.close()
    with pytest.raises(StoreClosed):
        rows(store, "SELECT 1")


@pytest.mark.parametrize(("durability", "level"), [("os", 1), ("fsync", 2)])
def test_commits_go_to_the_log_as_durably_as_asked(open_store: Open, durability: str, level: int) -> None:
    store = open_store(durability=durability)
    assert rows(store, "PRAGMA journal_mode") == [("wal",)]
    assert rows(store, "PRAGMA synchronous") == [(level,)]
    assert rows(store, "PRAGMA foreign_keys") == [(1,)]


def test_closing_leaves_one_file(open_store: Open, path: Path) -> None:
    open_store().close()
    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


# -- migrations --------------------------------------------------------------------------------------------------------


def test_a_new_file_gets_all_migrations_and_an_old_one_those_it_lacks(open_store: Open) -> None:
    old = open_store(ONE)
    put(old, 2)
    old.close()
    new = open_store(ONE, TWO)
    assert rows(new, "SELECT * FROM one") == [(1, "moved"), (2, "moved")]
    assert rows(new, "SELECT name FROM migrations ORDER BY name") == [("0001-one",), ("0002-two",)]
    new.close()
    again = open_store(ONE, TWO)
    assert rows(again, "SELECT * FROM one") == [(1, "moved"), (2, "moved")]


def test_a_migration_that_fails_leaves_the_file_as_it_was(open_store: Open) -> None:
    open_store(ONE).close()
    broken = Migration("0002-broken", ("ALTER TABLE one ADD COLUMN y TEXT", "INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(StoreError, match="nowhere"):
        open_store(ONE, broken)
    store = open_store(ONE)
    assert rows(store, "SELECT * FROM one") == [(1,)]
    assert rows(store, "SELECT name FROM migrations") == [("0001-one",)]


def test_a_file_of_a_later_version_is_refused_and_left_alone(open_store: Open, path: Path) -> None:
    open_store(ONE, TWO).close()
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="0002-two") as raised:
        open_store(ONE)
    assert "upgrade nbagora" in raised.value.hint
    assert path.read_bytes() == before
    assert rows(open_store(ONE, TWO), "SELECT count(*) FROM one") == [(1,)]


OPENER = """
import pathlib, sys
from nbagora_lab.registry.sqlite import Migration, SqliteStore
migration = Migration("0001-one", ("CREATE TABLE one (x)", "INSERT INTO one VALUES (1)"))
print("ready", flush=True)
for line in sys.stdin:
    store = SqliteStore(pathlib.Path(line.rstrip("\\n")), (migration,), application_id=1)
    with store.writing() as run:
        run("INSERT INTO one VALUES (2)")
    store.close()
    print("done", flush=True)
"""


@pytest.mark.thorough
def test_processes_that_make_a_file_at_once_make_it_once(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    pipes = [(child.stdin, child.stdout) for child in children]
    assert [answers.readline() for _, answers in pipes if answers] == [b"ready\n"] * 4
    paths = [tmp_path / f"{number}.db" for number in range(60)]
    for path in paths:
        for orders, _ in pipes:
            assert orders is not None
            orders.write(f"{path}\n".encode())
            orders.flush()
        for _, answers in pipes:
            assert answers is not None
            answers.readline()
    assert [child.communicate()[1] for child in children] == [b""] * 4
    for path in paths:
        store = SqliteStore(path, (Migration("0001-one", ()),), application_id=1)
        assert rows(store, "SELECT x FROM one ORDER BY x") == [(1,), (2,), (2,), (2,), (2,)]
        store.close()


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_writer_that_stays_locks_out_another_for_its_patience(open_store: Open) -> None:
    holder, other = open_store(), open_store()
    with holder.writing():
        with pytest.raises(StoreLocked, match="another process"):
            put(other, 2)
        assert rows(other, "SELECT x FROM one") == [(1,)]
    put(other, 2)


def test_a_file_of_something_else_is_refused_and_left_alone(open_store: Open, path: Path) -> None:
    path.parent.mkdir()
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.commit()
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="something else"):
        open_store()
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused_and_left_alone(open_store: Open, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"# notes\n" * 1000)
    with pytest.raises(StoreCorrupt, match="damaged"):
        open_store()
    assert path.read_bytes() == b"# notes\n" * 1000


def test_damage_in_the_middle_is_told_where_it_is_met(open_store: Open, path: Path) -> None:
    store = open_store()
    with store.writing() as run:
        run("CREATE TABLE big (x TEXT)")
        for _ in range(200):
            run("INSERT INTO big VALUES (?)", ("x" * 500,))
    store.close()
    data = bytearray(path.read_bytes())
    data[4096 * 6 : 4096 * 14] = b"\xff" * (4096 * 8)
    path.write_bytes(data)
    store = open_store()
    assert rows(store, "SELECT x FROM one") == [(1,)]
    with pytest.raises(StoreCorrupt):
        rows(store, "SELECT sum(length(x)) FROM big")


def test_an_unfinished_tail_of_the_log_is_dropped(open_store: Open, path: Path, tmp_path: Path) -> None:
    store = open_store()
    put(store, 2)
    put(store, 3)
    log = path.with_name("store.db-wal")
    torn = tmp_path / "torn" / "store.db"
    torn.parent.mkdir()
    torn.write_bytes(path.read_bytes())
    torn.with_name("store.db-wal").write_bytes(log.read_bytes()[:-100])
    other = SqliteStore(torn, (ONE,), application_id=ID)
    assert rows(other, "SELECT x FROM one") == [(1,), (2,)]
    other.close()


@contextmanager
def nobody() -> Iterator[None]:
    """Root may write everywhere; so it is somebody who may not, for as long as the block runs."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def _open_up(folder: Path, mode: int) -> None:
    """Lets everybody come to `folder`, and write in it or not."""
    for parent in folder.parents:
        if parent.owner() == folder.owner() and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    folder.chmod(mode)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
@pytest.mark.parametrize("there", [True, False], ids=["written before", "fresh"])
def test_a_folder_that_cannot_be_written_is_told(open_store: Open, path: Path, there: bool) -> None:
    if there:
        open_store().close()
        path.chmod(0o444)
    else:
        path.parent.mkdir()
    _open_up(path.parent, 0o555)
    with nobody(), pytest.raises(StoreReadOnly) as raised:
        open_store()
    assert "--store" in raised.value.hint
    path.parent.chmod(0o755)


def test_a_folder_where_the_file_should_be_is_told(open_store: Open, path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="can't be used"):
        open_store()


def test_a_file_where_the_folder_should_be_is_told(open_store: Open, path: Path) -> None:
    path.parent.write_text("")
    with pytest.raises(StoreError, match="can't be used"):
        open_store()


@pytest.mark.parametrize("value", ["\ud800", 2**64])
def test_a_value_that_sqlite_cannot_hold_is_told_and_undone(open_store: Open, value: object) -> None:
    store = open_store()
    with pytest.raises(UsageError):
        put(store, value)
    assert rows(store, "SELECT x FROM one") == [(1,)]


EXPECTED: dict[str, type[LabError]] = {
    "SQLITE_BUSY": StoreLocked,
    "SQLITE_LOCKED": StoreLocked,
    "SQLITE_PROTOCOL": StoreLocked,
    "SQLITE_READONLY": StoreReadOnly,
    "SQLITE_PERM": StoreReadOnly,
    "SQLITE_CORRUPT": StoreCorrupt,
    "SQLITE_NOTADB": StoreCorrupt,
    "SQLITE_FORMAT": StoreCorrupt,
    "SQLITE_TOOBIG": TooLarge,
}
CODES = (
    "ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL CANTOPEN PROTOCOL "
    "EMPTY SCHEMA TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB"
)
"""SQLite's primary result codes for failures, https://sqlite.org/rescode.html; its constants name other things, too."""


def _exceptions() -> list[type[Exception]]:
    return [value for value in vars(sqlite3).values() if isinstance(value, type) and issubclass(value, sqlite3.Error)]


def test_every_exception_of_sqlite_has_a_counterpart(tmp_path: Path) -> None:
    kinds = _exceptions()
    assert len(kinds) >= 9
    for kind in kinds:
        error = mapped(kind("it happened"), tmp_path / "x.db")
        assert type(error) is StoreError
        assert "it happened" in error.what
        assert error.hint


def test_every_code_of_sqlite_has_its_counterpart(tmp_path: Path) -> None:
    primary = {getattr(sqlite3, f"SQLITE_{name}"): f"SQLITE_{name}" for name in CODES.split()}
    assert EXPECTED.keys() <= set(primary.values())
    extended = {
        code for code in vars(sqlite3).values() if isinstance(code, int) and code > 0xFF and code & 0xFF in primary
    }
    assert len(extended) > 40
    for code in sorted(primary.keys() | extended):
        error = sqlite3.OperationalError("it happened")
        error.sqlite_errorcode = code
        expected = EXPECTED.get(primary[code & 0xFF], StoreError)
        assert type(mapped(error, tmp_path / "x.db")) is expected, code


@pytest.mark.parametrize("kind", _exceptions())
def test_no_exception_of_sqlite_gets_out(
    open_store: Open, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()

    def fail(sql: str, parameters: object = ()) -> None:
        raise kind("it happened")

    monkeypatch.setattr(store, "_execute", fail)
    for transaction in (store.reading, store.writing):
        with pytest.raises(StoreError, match="it happened"), transaction():
            pass


@pytest.mark.parametrize("kind", _exceptions())
def test_no_exception_of_sqlite_gets_out_of_opening(
    path: Path, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 0

    def fail(self: SqliteStore, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        nonlocal left
        left -= 1
        if left == 0:
            raise kind("it happened")
        assert self._connection is not None
        return self._connection.execute(sql, parameters)

    def statements_left(statement: int) -> int:
        nonlocal left
        left = statement
        SqliteStore(path.with_name(f"{statement}.db"), (ONE,), application_id=ID).close()
        return left

    monkeypatch.setattr(SqliteStore, "_execute", fail)
    needed = 100 - statements_left(100)
    assert needed > 10
    for statement in range(1, needed + 1):
        with pytest.raises(StoreError, match="it happened"):
            statements_left(statement)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert "no room" in mapped(error, tmp_path / "x.db").what
