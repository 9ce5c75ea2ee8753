"""The edge to RocksDB: its errors become ours, the folder is held by one, and closing gives it back."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rocksdict import Options, Rdict

from faults import FULL, FaultyLog
from logs import bodies, offsets, record
from nbagora_lab.broker import keys, rocks
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocks import Rocks
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import (
    LabError,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    TopicNotFound,
)
from nbagora_lab.core.log import RingLog
from store_child import Process

PATIENCE = 20.0


@pytest.fixture
def bare(folder: Path) -> Iterator[Rocks]:
    bare = Rocks(folder / "bare", ("one", "two"))
    yield bare
    bare.close()


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "cls", "says"),
    [
        (FULL, StoreError, "no space left"),
        (Exception("IO error: Disk quota exceeded"), StoreError, "no space left"),
        (Exception("IO error: While appending to file: x.log: File too large"), StoreError, "no space left"),
        (Exception("IO error: While fdatasync: x.log: Input/output error"), StoreError, "the disk of the store"),
        (Exception("Corruption: block checksum mismatch\nmore"), StoreCorrupt, "is damaged: Corruption: block"),
        (Exception("IO error: No such file or directory: MANIFEST-000001"), StoreCorrupt, "is damaged"),
        (Exception("IO error: While lock file: /x/LOCK: Resource temporarily unavailable"), StoreLocked, "is held by"),
        (Exception("IO error: lock hold by current process, acquire time 1: /x/LOCK"), StoreLocked, "is held by"),
        (
            Exception("IO error: While open a file for lock: /x/LOCK: Permission denied"),
            StoreReadOnly,
            "can't be written",
        ),
        (Exception("IO error: While mkdir: /x: Read-only file system"), StoreReadOnly, "can't be written"),
        (PermissionError(13, "Permission denied"), StoreReadOnly, "can't be written"),
        (FileExistsError(17, "File exists"), StoreError, "is no folder"),
        (NotADirectoryError(20, "Not a directory"), StoreError, "is no folder"),
        (Exception("Invalid argument: Column families not opened: groups, leases"), StoreTooNew, "groups, leases"),
        (Exception("IO error: No space left on device: /BLOCKS/lock file/000004.sst"), StoreError, ""),
        (ValueError(""), StoreError, "can't serve: ValueError"),
        (TopicNotFound("no topic 'a'", "there are none yet"), TopicNotFound, "no topic 'a'"),
    ],
)
def test_each_error_of_the_layer_below_has_a_counterpart(
    bare: Rocks, error: Exception, cls: type[LabError], says: str
) -> None:
    with pytest.raises(cls) as caught, bare.edge:
        raise error
    assert type(caught.value) is cls
    assert says in caught.value.what
    assert caught.value.hint
    assert len(caught.value._render_traceback_()) == 2


def test_what_interrupts_is_no_error_of_the_store(bare: Rocks) -> None:
    with pytest.raises(KeyboardInterrupt), bare.edge:
        raise KeyboardInterrupt


def test_after_the_close_every_error_is_that_it_is_closed(bare: Rocks) -> None:
    bare.close()
    with pytest.raises(StoreClosed), bare.edge:
        raise AssertionError("nobody gets here")


# -- who holds it --------------------------------------------------------------------------------------------------


def test_another_process_that_holds_the_store_is_named(folder: Path, process: Process) -> None:
    process.start("hold", store=str(folder / "store"))
    assert process.line() == "held"
    with pytest.raises(StoreLocked) as caught:
        FaultyLog(folder / "store", clock=VirtualClock())
    assert caught.value._render_traceback_() == [
        f"StoreLocked: the store {folder / 'store'} is held by process {process.pid}",
        "hint: stop that one, or use another --store",
    ]
    process.tell()
    assert list(process.lines()) == []
    FaultyLog(folder / "store", clock=VirtualClock()).close()


def test_this_process_is_told_that_it_holds_the_store_itself(log: FaultyLog) -> None:
    with pytest.raises(StoreLocked, match="held by this very process"):
        FaultyLog(log.path, clock=VirtualClock())
    assert log.append([("chat/a", record())]) == [0]


def test_a_killed_holder_holds_nothing(folder: Path, process: Process) -> None:
    process.start("hold", store=str(folder / "store"))
    assert process.line() == "held"
    process.kill()
    FaultyLog(folder / "store", clock=VirtualClock()).close()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": null}', "nothing"])
def test_a_holder_that_left_no_name_is_another_process(
    folder: Path, log: FaultyLog, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (log.path / "holder.json").write_text(content)
    with pytest.raises(StoreLocked, match=r"is held by (another process|process None)"):
        FaultyLog(log.path, clock=VirtualClock())


def test_the_holder_is_written_down(log: FaultyLog, clock: VirtualClock) -> None:
    assert json.loads((log.path / "holder.json").read_text()) == {"pid": os.getpid(), "since": clock.now()}


# -- folders that won't do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_is_no_folder(folder: Path, inside: bool) -> None:
    (folder / "file").write_text("mine")
    with pytest.raises(StoreError, match="is no folder"):
        FaultyLog(folder / "file" / ("store" if inside else ""), clock=VirtualClock())
    assert (folder / "file").read_text() == "mine"


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_can_not_be_written_is_said_to_be_so(folder: Path, process: Process, there: bool) -> None:
    if there:
        FaultyLog(folder / "store", clock=VirtualClock()).close()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        name, what, hint = process.run("look", store=str(folder / "store"), nobody=os.getuid() == 0)
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR)
    assert name == "StoreReadOnly"
    assert what == f"StoreReadOnly: the store {folder / 'store'} can't be written"
    assert hint == "hint: make the folder writable, or use --store"


def newer(path: Path, *, families: tuple[str, ...] = (), form: int = keys.FORMAT) -> None:
    """Makes of a closed store what a later version might leave."""
    named = {name: Options(raw_mode=True) for name in Rdict.list_cf(str(path)) if name != "default"}
    db: Any = Rdict(str(path), Options(raw_mode=True), named)
    db[keys.FORMAT_KEY] = keys.u64(form)
    for family in families:
        db.create_column_family(family, Options(raw_mode=True)).close()
    db.close()


@pytest.mark.parametrize(
    ("families", "form"), [((), keys.FORMAT + 1), (("tides",), keys.FORMAT + 1), (("tides",), keys.FORMAT)]
)
def test_a_store_of_a_later_version_is_refused_and_left_alone(
    log: FaultyLog, open_log: Callable[..., FaultyLog], families: tuple[str, ...], form: int
) -> None:
    log.append([("chat/a", record())])
    log.close()
    newer(log.path, families=families, form=form)
    before = {(path.name, path.read_bytes()) for path in log.path.glob("*.sst")}
    for _ in range(2):
        with pytest.raises(StoreTooNew) as caught:  # which keeps no handle open while it is looked at
            open_log()
        assert len(caught.value._render_traceback_()) == 2
        assert "upgrade nbagora" in caught.value.hint
    assert {(path.name, path.read_bytes()) for path in log.path.glob("*.sst")} >= before
    if not families:
        newer(log.path)
        assert offsets(open_log(), "chat/a") == [0]


@pytest.mark.parametrize("what", ["CURRENT", "MANIFEST-*", "*.sst"])
@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_file_that_is_damaged_or_gone_is_never_passed_over(
    log: FaultyLog, open_log: Callable[..., FaultyLog], what: str, how: str
) -> None:
    log.append([("chat/a", record(b"x" * 1000)) for _ in range(100)])
    log.close()
    for path in log.path.glob(what):
        if how == "gone":
            path.unlink()
        else:
            content = bytearray(path.read_bytes())
            for at in range(0, len(content), 50):
                content[at] ^= 0xFF
            path.write_bytes(content)
    with pytest.raises(StoreCorrupt) as caught:
        open_log().scan("chat/a")
    assert len(caught.value._render_traceback_()) == 2


def test_a_store_that_is_no_longer_there_starts_anew(log: FaultyLog, open_log: Callable[..., FaultyLog]) -> None:
    log.close()
    shutil.rmtree(log.path)
    assert open_log().parents() == {}


# -- a disk that is really full ------------------------------------------------------------------------------------


def test_a_full_disk_stops_the_writing_and_a_reopened_store_goes_on(
    open_log: Callable[..., FaultyLog], durability: str
) -> None:
    """No seam: the operating system refuses to let files grow, as a full disk does."""
    log = open_log(durability=durability)
    log.create_topic("chat", TopicSpec())
    written = 0

    def write() -> None:
        nonlocal written
        while True:
            log.append([("chat/a", record(f"{written}".ljust(300))), ("chat/b", record(str(written)))])
            written += 1

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    longest = max(path.stat().st_size for path in log.path.glob("*.log"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest + 20_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="no space left") as caught:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "free some; then stop the lab and start it again" in caught.value.hint
    assert written > 5
    assert bodies(log, "chat/b") == [str(number) for number in range(written)]
    with pytest.raises(StoreError, match="no space left"):  # RocksDB goes on only once it is opened again
        log.append([("chat/b", record())])
    ring = RingLog()
    ring.install()
    try:
        log.close()
    finally:
        ring.uninstall()
    assert ["was closed as after a crash" in line.message for line in ring.lines()] == [True]
    again = open_log(durability=durability)
    assert bodies(again, "chat/b") == [str(number) for number in range(written)]
    assert again.append([("chat/a", record()), ("chat/b", record())]) == [written, written]


def test_a_store_that_is_killed_has_no_more_than_so_much_to_read(
    open_log: Callable[..., FaultyLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small families would keep the log of the large one alive for half a gigabyte."""
    monkeypatch.setattr(rocks, "_LONGEST_LOG", 1 << 20)
    log = open_log()
    log.create_topic("chat", TopicSpec())
    log.append([("chat/a", record(b"x" * 100_000)) for _ in range(100)])
    turns = 0

    def size(path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:  # tidied up just now
            return 0

    while sum(map(size, log.path.glob("*.log"))) > 4 << 20:  # it is tidied up beside the writing
        log.append([("chat/a", record())])
        turns += 1
        assert turns < 100_000


# -- closing -------------------------------------------------------------------------------------------------------


def test_closing_waits_for_who_is_inside_and_lets_nobody_in(bare: Rocks) -> None:
    inside, leave, closed = threading.Event(), threading.Event(), threading.Event()
    seen: list[object] = []

    def stay() -> None:
        with bare.edge:
            inside.set()
            leave.wait(PATIENCE)
            seen.extend((bare.revision(), closed.is_set()))  # it is open for as long as somebody is inside

    def close() -> None:
        bare.close()
        closed.set()

    threads = [threading.Thread(target=stay), threading.Thread(target=close)]
    threads[0].start()
    assert inside.wait(PATIENCE)
    threads[1].start()
    while not bare.closed:
        pass
    with pytest.raises(StoreClosed), bare.edge:
        raise AssertionError("nobody gets here")
    threads[1].join(0.05)
    leave.set()
    assert closed.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert seen == [0, False]


def test_patience_with_who_never_leaves_has_an_end(bare: Rocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rocks, "_PATIENCE", 0.01)
    inside, leave, left = threading.Event(), threading.Event(), threading.Event()

    def stay() -> None:
        with bare.edge:
            inside.set()
            leave.wait(PATIENCE)
        left.set()

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(PATIENCE)
    bare.close()
    assert not left.is_set()
    leave.set()
    thread.join(PATIENCE)


def test_a_store_that_is_closed_under_readers_can_be_opened_at_once(
    log: FaultyLog, open_log: Callable[..., FaultyLog]
) -> None:
    log.append([("chat/a", record(b"x" * 100)) for _ in range(5000)])
    reading = threading.Barrier(5)
    heard: list[type[BaseException]] = []

    def read(call: Callable[[], object]) -> None:
        try:
            call()
            reading.wait(PATIENCE)
            while True:
                call()
        except BaseException as error:
            heard.append(type(error))

    broker = Broker(log, VirtualClock())
    calls: list[Callable[[], object]] = [
        lambda: log.scan("chat/a", limit=5000),
        lambda: broker.read("chat/a"),
        lambda: log.seek("chat/a", 0),
        lambda: (log.info("chat/a"), log.lites("chat"), log.parents(), log.revision()),
    ]
    threads = [threading.Thread(target=read, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    reading.wait(PATIENCE)
    log.close()
    again = open_log()
    for thread in threads:
        thread.join(PATIENCE)
    assert heard == [StoreClosed] * 4
    assert len(again.scan("chat/a", limit=5000)) == 5000


def test_a_store_that_is_closed_under_writers_keeps_what_it_acknowledged(
    open_log: Callable[..., FaultyLog], durability: str
) -> None:
    log = open_log(durability=durability)
    log.create_topic("chat", TopicSpec())
    writing = threading.Barrier(4)
    kept: dict[int, int] = {}

    def write(number: int) -> None:
        kept[number] = 0
        writing.wait(PATIENCE)
        try:
            while True:
                log.append([(f"chat/{number}", record()), ("chat/all", record())])
                kept[number] += 1
        except StoreClosed:
            return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    writing.wait(PATIENCE)
    while sum(kept.values()) < 50:
        pass
    log.close()
    for thread in threads:
        thread.join(PATIENCE)
    again = open_log()
    assert {number: len(offsets(again, f"chat/{number}", limit=10**6)) for number in kept} == kept
    assert len(again.scan("chat/all", limit=10**6)) == sum(kept.values())
