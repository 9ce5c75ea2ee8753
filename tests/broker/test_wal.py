"""What a kill leaves is forgiven; what only looks like it is refused, byte by byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import FaultyLog
from logs import bodies, record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.wal import Damage, _masked_crc, find_damage
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import LabError, StoreCorrupt
from store_child import Process

RECORDS = 12


class Killed:
    """A store as a killed process left it: `RECORDS` records of ``chat/a``, each a write of its own, in one log."""

    def __init__(self, folder: Path) -> None:
        log = FaultyLog(folder / "open", clock=VirtualClock())
        log.create_topic("chat", TopicSpec())
        self.ends = []
        for number in range(RECORDS):
            log.append([("chat/a", record(f"record {number}"))])
            [self.wal] = [path.name for path in log.path.glob("*.log")]
            self.ends.append((log.path / self.wal).stat().st_size)  # what a write is as long as
        self.store = folder / "store"
        shutil.copytree(log.path, self.store)
        log.close()
        self.whole = (self.store / self.wal).read_bytes()

    def open(self, wal: bytes) -> list[str] | LabError:
        """What is there, or is said, where the log holds these bytes."""
        copy = self.store.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.store, copy)
        (copy / self.wal).write_bytes(wal)
        try:
            log = FaultyLog(copy, clock=VirtualClock())
        except LabError as error:
            return error
        try:
            return bodies(log, "chat/a")
        finally:
            log.close()


@pytest.fixture
def killed(folder: Path) -> Killed:
    return Killed(folder)


def first(many: int) -> list[str]:
    return [f"record {number}" for number in range(many)]


def test_a_whole_log_is_all_there(killed: Killed) -> None:
    assert len(killed.whole) == killed.ends[-1]
    assert killed.open(killed.whole) == first(RECORDS)


def test_a_torn_last_write_costs_itself_alone(killed: Killed) -> None:
    begin, end = killed.ends[-2:]
    for at in {begin, begin + 1, begin + 6, begin + 7, begin + 8, end - 20, end - 2, end - 1}:
        assert killed.open(killed.whole[:at]) == first(RECORDS - 1), at


def test_a_log_that_ends_early_keeps_every_whole_record(killed: Killed) -> None:
    for many, end in list(enumerate(killed.ends, 1))[::3]:
        for at in (end, end + 5, end + 20):
            assert killed.open(killed.whole[:at]) == first(many if at < len(killed.whole) else RECORDS), at


@pytest.mark.parametrize("tail", [bytes(4096), b"\xff" * 100, bytes(7), b"\x01"], ids=["zeros", "ones", "head", "byte"])
def test_what_is_no_record_behind_the_last_is_passed_over(killed: Killed, tail: bytes) -> None:
    assert killed.open(killed.whole + tail) == first(RECORDS)


def refused(answer: list[str] | LabError) -> bool:
    return isinstance(answer, StoreCorrupt) and len(answer._render_traceback_()) == 2


def test_damage_to_any_byte_before_the_last_write_is_refused(killed: Killed) -> None:
    """Three bytes of each record's head and some of its payload; the campaign takes every byte."""
    for begin in killed.ends[2:-2:3]:
        for at in (begin, begin + 4, begin + 5, begin + 6, begin + 7, begin + 30):
            damaged = bytearray(killed.whole)
            damaged[at] ^= 0xFF
            answer = killed.open(bytes(damaged))
            assert refused(answer), (at - begin, answer)


@pytest.mark.campaign
def test_damage_to_every_byte_loses_no_more_than_the_last_record(killed: Killed) -> None:
    for at in range(len(killed.whole)):
        for bits in (0xFF, 0x01, 0x80):
            damaged = bytearray(killed.whole)
            damaged[at] ^= bits
            answer = killed.open(bytes(damaged))
            assert refused(answer) or (at >= killed.ends[-2] and answer == first(RECORDS - 1)), (at, bits, answer)


def test_zeros_in_the_middle_are_refused_and_the_place_is_named(killed: Killed) -> None:
    begin, end = killed.ends[3], killed.ends[5]
    damaged = killed.whole[:begin] + bytes(end - begin) + killed.whole[end:]
    answer = killed.open(damaged)
    assert isinstance(answer, StoreCorrupt)
    assert f"{killed.wal} makes no sense after byte {begin}, and holds records after that" in answer.what
    assert "cut that file off at that byte" in answer.hint


def test_what_the_hint_says_opens_the_store_with_what_came_before(killed: Killed) -> None:
    begin, end = killed.ends[3], killed.ends[5]
    damaged = killed.whole[:begin] + bytes(end - begin) + killed.whole[end:]
    assert refused(killed.open(damaged))
    assert killed.open(damaged[:begin]) == first(4)


def test_a_missing_block_is_refused(folder: Path, process: Process) -> None:
    """Records larger than a block, and zeros where a whole block was."""
    process.start("append", store=str(folder / "store"), threads=1, size=40_000)
    while int(process.line().split()[1]) < 5:
        pass
    process.kill()
    [wal] = [path for path in (folder / "store").glob("*.log") if path.stat().st_size > 200_000]
    assert find_damage(folder / "store") is None
    whole = wal.read_bytes()
    for block in (1, 2, 3):
        wal.write_bytes(whole[: block * 32768] + bytes(32768) + whole[(block + 1) * 32768 :])
        assert find_damage(folder / "store") == Damage(wal, block * 32768)
    wal.write_bytes(whole[:40_000] + bytes(10) + whole[40_010:])
    assert find_damage(folder / "store") is None  # in a payload: its checksum says so, and RocksDB


def test_a_store_that_was_closed_has_little_to_look_at(open_log: Callable[..., FaultyLog], folder: Path) -> None:
    log = open_log()
    log.create_topic("chat", TopicSpec())
    log.append([("chat/a", record(b"x" * 1000)) for _ in range(1000)])
    assert sum(path.stat().st_size for path in log.path.glob("*.log")) > 1_000_000
    log.close()
    open_log().close()
    assert sum(path.stat().st_size for path in log.path.glob("*.log")) < 1000
    assert find_damage(folder / "store") is None
    assert find_damage(folder / "nothing") is None


def test_a_log_of_zeros_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "000004.log").write_bytes(bytes(1 << 20))
    assert find_damage(tmp_path) is None


def test_the_checksum_is_castagnolis_masked() -> None:
    crc = _masked_crc(b"123456789") - 0xA282EAD8 & 0xFFFFFFFF
    assert (crc << 15 | crc >> 17) & 0xFFFFFFFF == 0xE3069283  # the published check value of CRC-32C
