"""The broker's benchmark, in small and without its peers, so that it runs on the day when somebody needs it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import _bench
from sources import ROOT

ROWS = (
    "all, topics that are new",
    "single synchronous send",
    "single receive + ack",
    "idle, nbagora, across threads",
    "beside a full backlog, nbagora, on one loop",
    "nbagora, fsync",
    "a file, with fsync",
    "LITE",
    "PRIORITY",
)


@pytest.mark.thorough
def test_it_prints_a_row_for_each_thing_it_measures() -> None:
    command = [sys.executable, "-c", _bench.RUN, _bench.FOLDER, ROOT / "scripts", "broker", "--quick", "--alone"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for row in ROWS:
        assert re.search(rf"^{re.escape(row)} +\d", done.stdout, re.MULTILINE), f"no figures for {row}:\n{done.stdout}"
    assert "LITE, quota error, %: " in done.stdout
