"""Runs of notebooks with real labs in them."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbagora_lab.core.errors import CellFailed, ServicesLeaked
from nbagora_lab.scenarios import ScenarioResult, diff_traces, read_trace, run_notebook

Run = Callable[[str], ScenarioResult]


def ports(result: ScenarioResult) -> list[int]:
    """Ports of the labs whose URLs the notebook printed."""
    assert result.notebook is not None
    book: Any = nbformat.read(result.notebook, as_version=4)
    text = "".join(output.get("text", "") for cell in book.cells if cell.cell_type == "code" for output in cell.outputs)
    return [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", text)]


@pytest.mark.thorough
def test_a_lab_left_running_fails_the_run_and_is_gone_after_it(ran: Run) -> None:
    result = ran("leaves_a_lab_running")
    assert isinstance(result.error, ServicesLeaked)
    [port] = ports(result)
    assert result.error.what == f"leaves_a_lab_running left running: 1 lab (http://127.0.0.1:{port})"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert result.trace is not None
    assert {"a2a.task", "task.call"} <= {line.type for line in read_trace(result.trace).lines}


@pytest.mark.thorough
def test_a_lab_that_runs_when_a_cell_fails_is_gone_and_that_is_no_second_error(ran: Run) -> None:
    result = ran("fails_while_a_lab_runs")
    assert isinstance(result.error, CellFailed)
    assert result.error.what == "cell 2 of fails_while_a_lab_runs: AgentNotFound: no agent 'wether'"
    [port] = ports(result)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_two_runs_of_a_lab_leave_one_trace_whatever_ran_before(notebooks: Path, ran: Run, tmp_path: Path) -> None:
    """Three tasks at once, each with a call to another agent; a restart of the lab; a fork."""
    assert not ran("leaves_a_lab_running").passed
    results = [run_notebook(notebooks / "runs_a_lab.ipynb", out=tmp_path / str(number)) for number in range(2)]
    for result in results:
        result.check()
    first, second = (result.trace for result in results)
    assert first is not None
    assert second is not None
    assert str(diff_traces(read_trace(first), read_trace(second))) == "no difference"
    assert first.read_bytes() == second.read_bytes()
    header, *lines = map(json.loads, first.read_text(encoding="utf-8").splitlines())
    assert header["engines"] == {"broker": "embedded", "registry": "embedded"}
    assert {line["topic"].partition("/")[0].partition(".")[0] for line in lines} == {"inbox", "lab", "sessions"}
    assert sum(line["topic"] == "sessions/fork" for line in lines) == 4


@pytest.mark.thorough
def test_another_seed_is_another_trace(notebooks: Path, ran: Run, tmp_path: Path) -> None:
    other = run_notebook(notebooks / "leaves_a_lab_running.ipynb", out=tmp_path, seed=2)
    same = ran("leaves_a_lab_running")
    assert other.trace is not None
    assert same.trace is not None
    diff = diff_traces(read_trace(same.trace), read_trace(other.trace))
    assert diff.first is not None
    assert diff.first.what == "seed was 1, is 2"
    assert len(read_trace(same.trace).lines) == len(read_trace(other.trace).lines)
