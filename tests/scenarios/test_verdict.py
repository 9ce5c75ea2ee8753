from __future__ import annotations

import io
from pathlib import Path

import pytest

from nbagora_lab.core.errors import CellFailed, CellsPending, ServicesLeaked
from nbagora_lab.scenarios.engine import Failure, Session
from nbagora_lab.scenarios.model import CellResult
from nbagora_lab.scenarios.verdict import verdict

PASSED = [CellResult(1, "1", "passed"), CellResult(2, "2", "passed")]
STOPPED = [CellResult(1, "1", "passed"), CellResult(2, "2", "failed"), CellResult(3, "3", "pending")]


def ended(
    cells: list[CellResult], failure: Failure | None = None, log: bytes = b"", **leaks: list[str]
) -> list[str] | None:
    """The two lines of the error of a session that ended so."""
    kinds: dict[str, list[str]] = {"lab": [], "thread": [], "process": []}
    session = Session("trip", Path(), {}, io.BytesIO(log), 30.0, cells=cells, failure=failure, leaks=kinds | leaks)
    error = verdict(session)
    return None if error is None else error._render_traceback_()


def test_nothing_wrong_is_no_error() -> None:
    assert ended(PASSED) is None
    assert ended([*PASSED, CellResult(3, "3", "skipped")]) is None


@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (
            Failure("raised", "AgentNotFound", "no x\nnone yet", ("AgentNotFound: no x", "hint: none yet")),
            ["CellFailed: cell 2 of trip: AgentNotFound: no x", "hint: none yet"],
        ),
        (
            Failure("raised", "ValueError", "seven\nis no number", ("---", "ValueError: seven", "is no number")),
            ["CellFailed: cell 2 of trip raised ValueError: seven", "hint: its traceback is in the executed notebook"],
        ),
        (
            Failure("raised", "UsageError"),
            ["CellFailed: cell 2 of trip raised UsageError", "hint: its traceback is in the executed notebook"],
        ),
        (
            Failure("timeout"),
            [
                "CellFailed: cell 2 of trip was still running when the notebook's 30 s were over",
                "hint: the executed notebook shows where it hung; give it more time, or mend the cell",
            ],
        ),
    ],
)
def test_a_failed_cell_is_told_by_how_it_failed(failure: Failure, lines: list[str]) -> None:
    assert ended(STOPPED, failure) == lines


@pytest.mark.parametrize(
    ("log", "hint"),
    [
        (b"", "hint: it crashed, was killed, or ended itself"),
        (b"[IPKernelApp] WARNING | no encryption\n\n", "hint: it crashed, was killed, or ended itself"),
        (b"Killed by \xff\n[IPKernelApp] WARNING | x\n", "hint: its process last wrote: Killed by \ufffd"),
    ],
)
def test_a_dead_kernel_is_told_by_its_last_words(log: bytes, hint: str) -> None:
    assert ended(STOPPED, Failure("died", value="-11"), log) == [
        "CellFailed: the kernel died with status -11 in cell 2 of trip",
        hint,
    ]


def test_a_failed_cell_goes_before_what_it_left_running() -> None:
    assert ended(STOPPED, Failure("timeout"), lab=["http://x"])[0].startswith(CellFailed.__name__)  # type: ignore[index]


def test_cells_that_did_not_run_go_before_what_they_would_have_stopped() -> None:
    cells = [*PASSED, CellResult(3, "3", "pending")]
    assert ended(cells, Failure("exit"), lab=["http://x"])[0] == (  # type: ignore[index]
        f"{CellsPending.__name__}: 1 of 3 cells of trip did not run: cell 2 ended the notebook"
    )


def test_a_lab_goes_before_the_threads_that_are_its_own() -> None:
    assert ended(PASSED, lab=["http://x"], thread=["nbagora-service"])[0] == (  # type: ignore[index]
        f"{ServicesLeaked.__name__}: trip left running: 1 lab (http://x)"
    )


def test_all_that_was_left_running_is_named() -> None:
    assert ended(PASSED, thread=["a", "b"], process=["sleep 9 (pid 7)"])[0] == (  # type: ignore[index]
        f"{ServicesLeaked.__name__}: trip left running: thread a, thread b, process sleep 9 (pid 7)"
    )
