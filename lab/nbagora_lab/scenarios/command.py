"""What `nbagora run` does: notebooks in, a line for each, an exit code out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

from nbagora_lab.scenarios.junit import write_junit
from nbagora_lab.scenarios.model import DEFAULT_CLOCK, ClockKind, ScenarioResult
from nbagora_lab.scenarios.runner import run_notebooks

__all__ = ["DEFAULT_OUT", "run"]

DEFAULT_OUT = Path("artifacts") / "scenarios"
"""Where a run leaves its files unless told."""


def run(
    notebooks: Iterable[Path | str],
    parameters: Mapping[str, Any] | Iterable[tuple[str, str]] = (),
    out: Path | str | None = None,
    junit: Path | str | None = None,
    echo: Callable[[str], None] | None = None,
    *,
    seed: int | None = None,
    clock: ClockKind = DEFAULT_CLOCK,
    timeout: float = 600.0,
) -> int:
    """Runs notebooks as scenarios and tells of it.

    On a terminal a line shows the cell that runs; elsewhere only the final line of each notebook is written.

    Args:
        notebooks: Notebooks, or folders for all notebooks in them.
        parameters: As words, or as a mapping of values; see `run_notebook`.
        out: Folder for executed notebooks and traces; `DEFAULT_OUT` unless given.
        junit: File for a JUnit report; None for none.
        echo: Takes each line; standard output unless given.
        seed: See `run_notebook`.
        clock: See `run_notebook`.
        timeout: Seconds for each notebook.

    Returns:
        0 if all passed, else 1.

    Raises:
        NotFound: A notebook that is not there; nothing has run then.
        UsageError: An argument that does not fit; nothing has run then.
    """
    live = _LiveLine(sys.stderr.isatty())
    write = echo or _write_line

    def done(result: ScenarioResult) -> None:
        live.clear()
        for line in _told(result):
            write(line)

    try:
        results = run_notebooks(
            notebooks,
            parameters=parameters,
            out=DEFAULT_OUT if out is None else out,
            seed=seed,
            clock=clock,
            timeout=timeout,
            progress=live.show,
            done=done,
        )
    finally:
        live.clear()
    if junit is not None:
        write_junit(junit, results)
    failed = sum(not result.passed for result in results)
    if len(results) > 1:
        write(f"{len(results) - failed} passed, {failed} failed in {sum(one.seconds for one in results):.1f} s")
    return 1 if failed else 0


def _told(result: ScenarioResult) -> list[str]:
    ran = sum(cell.status in {"passed", "failed"} for cell in result.cells)
    count = len(result.cells)
    cells = f"{f'{ran} of ' if ran < count else ''}{count} cell{'' if count == 1 else 's'}"
    where = f"  {result.notebook}" if result.notebook else ""
    told = [f"{'passed' if result.passed else 'FAILED'}  {result.name}  {cells}  {result.seconds:.1f} s{where}"]
    if not result.passed:
        told += indent(result.report(), "    ").splitlines()
    return told


class _LiveLine:
    """The one line on a terminal that says where a run is; written from the run's own thread."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._shown = False

    def show(self, name: str, number: int, total: int) -> None:
        """Says that a cell begins."""
        if self._on:
            line = f"{name}  cell {number} of {total}"
            sys.stderr.write(f"\r\x1b[2K{line[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        """Takes the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = False


def _write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
