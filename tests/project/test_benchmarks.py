"""The benchmarks, in small and without their peers where they can be left out: they run on the day they are needed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import _bench
from sources import ROOT

SMALL = {
    "agents": (("--rounds", "1", "--no-search"), ("bare", "journaled", "replayed", "from a tape")),
    "broker": (
        ("--quick", "--alone"),
        (
            "all, topics that are new",
            "single synchronous send",
            "single receive + ack",
            "idle, nbagora, across threads",
            "beside a full backlog, nbagora, on one loop",
            "nbagora, fsync",
            "a file, with fsync",
            "LITE",
            "PRIORITY",
        ),
    ),
    "calls": (("--calls", "3", "--turns", "1"), ("direct", "loopback HTTP")),
    "floors": (("--turns", "1"), ("a put of each record", "one at a time: a bare put")),
    "flows": (("--steps", "20", "--rounds", "1"), ("first run, to its last step", "going on, to the end")),
    "long_tasks": (("--events", "2000"), ("statuses", "artifacts")),
    "readers": (("--readers", "5", "--rounds", "1"), ("alone",)),
    "sessions": (
        ("--sessions", "5", "--records", "20"),
        ("append, nbagora", "append, RocksDB alone", "append, SQLite"),
    ),
}
"""By name: arguments that make it small, and the rows that it prints."""


@pytest.mark.thorough
@pytest.mark.parametrize("name", SMALL)
def test_it_prints_a_row_for_each_thing_it_measures(name: str) -> None:
    options, rows = SMALL[name]
    command = [sys.executable, "-c", _bench.RUN, _bench.FOLDER, ROOT / "scripts", name, *options]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for row in rows:
        assert re.search(rf"^{re.escape(row)}.* \d", done.stdout, re.MULTILINE), f"no {row}:\n{done.stdout}"
