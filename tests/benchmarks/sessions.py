"""Many sessions: 1,000 records appended to and read back from each, and what a cold one costs.

Every append is one record and durable against the death of the process when it returns. Beside the broker's engine run
its limit, RocksDB alone with the same options and keys, and a peer, SQLite in WAL mode with a commit a record; they
take turns, the two others with one session in ten. All records that are read back are compared with what was written.
Cold: the store is opened by a fresh process, once empty and once with all sessions; the difference is what they cost,
first as opened, then after each was read once. Reads come from the operating system's page cache as far as it reaches.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from _process import Program
from _report import conditions, goal, spread, table
from _sessions import ENGINES, Broker, Engine, records

TURN = 50  # sessions that the broker's engine has in a turn
SHARE = 10  # the others have one in so many
ROOM = 700  # bytes of disk that a record may take, at the worst, in all three stores and while they are compacted


class Rates:
    """Records a second and CPU time a record, turn by turn."""

    def __init__(self) -> None:
        self.rate: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)

    def take(self, name: str, number: int, wall: float, cpu: float) -> None:
        """Books a turn."""
        self.rate[name].append(number / wall)
        self.cpu[name].append(cpu / number * 1e6)


def turns(sessions: int) -> list[tuple[str, range]]:
    """Who has which sessions, in order."""
    order = []
    for first in range(0, sessions, TURN):
        ours = range(first, min(first + TURN, sessions))
        order.append(("nbagora", ours))
        order += [(name, range(first, first + max(len(ours) // SHARE, 1))) for name in ENGINES if name != "nbagora"]
    return order


def write(engines: dict[str, Engine], sessions: int, count: int) -> Rates:
    """Appends all sessions."""
    rates = Rates()
    for name, mine in turns(sessions):
        append = engines[name].append
        wall = cpu = 0.0
        for session in mine:
            stored = list(enumerate(records(session, count)))
            wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
            for number, record in stored:
                append(session, number, record)
            wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
        rates.take(name, len(mine) * count, wall, cpu)
    return rates


def read(engines: dict[str, Engine], sessions: int, count: int) -> Rates:
    """Reads all sessions back and compares."""
    rates = Rates()
    for name, mine in turns(sessions):
        wall = cpu = 0.0
        for session in mine:
            wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
            found = engines[name].read(session)
            wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
            assert found == records(session, count), f"{name}: session {session} is not what was written"
        rates.take(name, len(mine) * count, wall, cpu)
    return rates


def told(what: str, rates: Rates) -> list[list[str]]:
    """Rows of the table."""
    rows = []
    for name in ENGINES:
        ratio = median(rates.rate["nbagora"]) / median(rates.rate[name])
        cpu = f"{median(rates.cpu[name]):.1f}"
        rows.append([f"{what}, {name}", len(rates.rate[name]), spread(rates.rate[name]), cpu, f"{ratio:.2f}"])
    return rows


def opened(folder: Path, sessions: int, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a fresh process says of a store: as opened, and after each session was read once."""
    with Program("_opener", str(folder), "cold", str(sessions), str(count)) as program:
        return program.said, program.finish()


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench sessions", description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=1000, help="how many sessions (default 1000)")
    parser.add_argument("--records", type=int, default=1000, help="records of each (default 1000)")
    parser.add_argument("--quick", action="store_true", help="100 sessions")
    parser.add_argument("--full", action="store_true", help="10,000 sessions: some 6 GB of disk and ten minutes")
    options = parser.parse_args()
    sessions = 100 if options.quick else 10_000 if options.full else options.sessions
    count: int = options.records
    conditions("rocksdict")
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as top:
        fits = shutil.disk_usage(top).free // (ROOM * count)
        if fits < sessions:
            print(f"{sessions} sessions don't fit on the disk of {top}: {fits} do, and are taken")
            sessions = fits
        sizes = [len(record) for record in records(0, count)]
        print(f"{sessions} sessions of {count} records of {min(sizes)} to {max(sizes)} bytes", flush=True)
        measure(Path(top), sessions, count)
    return 0


def measure(top: Path, sessions: int, count: int) -> None:
    """Runs everything in a folder, and prints."""
    folders = {name: top / name.replace(" ", "-") for name in ENGINES}
    Broker(top / "empty").close()
    opened(top / "empty", 0, 0)  # warms the program's own files
    empty, empty_read = opened(top / "empty", 0, 0)

    engines: dict[str, Engine] = {name: make(folders[name]) for name, make in ENGINES.items()}
    rows = told("append", write(engines, sessions, count))
    for engine in engines.values():
        engine.close()
    cold, cold_read = opened(folders["nbagora"], sessions, count)
    engines = {name: make(folders[name]) for name, make in ENGINES.items()}
    rows += told("read back", read(engines, sessions, count))
    for engine in engines.values():
        engine.close()
    size = sum(path.stat().st_size for path in folders["nbagora"].rglob("*") if path.is_file())
    print(f"all read back as written; the broker's store has {size / sessions / count:.0f} bytes a record")
    table(["records", "turns", "records/s (least..largest)", "CPU µs each", "nbagora ÷ it"], rows)

    with Program("_opener", str(folders["nbagora"]), "write", "50", str(count)) as program:
        written = program.said["written"]
        program.kill()
    killed, _ = opened(folders["nbagora"], 0, 0)
    table(
        ["opening a store", "ms"],
        [
            ["new, closed", f"{1e3 * empty['seconds']:.0f}"],
            [f"{sessions} sessions, closed", f"{1e3 * cold['seconds']:.0f}"],
            [f"the same, killed -9 after {written} more records", f"{1e3 * killed['seconds']:.0f}"],
        ],
    )
    cost = [
        [when, *(f"{(with_all[key] - without[key]) / sessions:.3g}" for key in ("tracked", "blocks", "rss"))]
        for when, with_all, without in (("as opened", cold, empty), ("after each was read once", cold_read, empty_read))
    ]
    table(["a cold session", "gc-tracked objects", "Python blocks", "resident bytes"], cost)
    print()
    grown = max(cold["tracked"] - empty["tracked"], cold_read["tracked"] - empty_read["tracked"])
    goal("gc-tracked objects a cold session", round(grown / sessions, 2), at_most=0)


if __name__ == "__main__":
    sys.exit(main())
