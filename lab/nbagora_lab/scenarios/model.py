"""What a run was: its cells, its error, its files, and the command that repeats it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any, Literal

from nbagora_lab.core.errors import LabError

__all__ = ["DEFAULT_CLOCK", "DEFAULT_SEED", "CellResult", "ClockKind", "ScenarioResult", "error_lines"]

ClockKind = Literal["virtual", "system"]

DEFAULT_CLOCK: ClockKind = "virtual"
DEFAULT_SEED = 1
"""The seed where neither the run, a parameter nor the notebook's own default says another."""

_ENDS = 12  # lines of a traceback that a report shows at either end


@dataclass(frozen=True, slots=True)
class CellResult:
    """One code cell of a run.

    Attributes:
        number: Its place among the code cells that have a source, from 1: the ``In [n]`` of the executed notebook.
        source: Its source.
        status: ``passed``, ``failed``, ``pending`` (never ran) or ``skipped`` (tagged so).
        seconds: How long it ran.
        traceback: What it showed when it failed, without colours.
    """

    number: int
    source: str
    status: Literal["passed", "failed", "pending", "skipped"]
    seconds: float = 0.0
    traceback: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The cell's number and first line, for lists."""
        first = self.source.strip().partition("\n")[0]
        return f"cell {self.number}: {first if len(first) <= 60 else f'{first[:57]}...'}"


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """One run of a notebook as a scenario.

    Attributes:
        source: The notebook, as it was named.
        parameters: The values that it was given.
        seed: Where its ids came from.
        clock: ``virtual`` or ``system``.
        error: Why it failed; None if it passed.
        cells: Its code cells in order, those that papermill injected included.
        seconds: How long all of it took, the kernel's start and end included.
        notebook: The executed notebook; None where it could not be begun.
        trace: The trace of its events; None where there is none.
        reproduce: The command that runs it again in the same way.
    """

    source: Path
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = DEFAULT_SEED
    clock: ClockKind = DEFAULT_CLOCK
    error: LabError | None = None
    cells: tuple[CellResult, ...] = ()
    seconds: float = 0.0
    notebook: Path | None = None
    trace: Path | None = None
    reproduce: str = ""

    @property
    def name(self) -> str:
        """The notebook's name without its suffix."""
        return self.source.stem

    @property
    def passed(self) -> bool:
        """Whether all cells ran, none raised, and nothing was left running."""
        return self.error is None

    @property
    def failed_cell(self) -> CellResult | None:
        """The cell that failed, if it was a cell."""
        return next((cell for cell in self.cells if cell.status == "failed"), None)

    def check(self) -> None:
        """Raises the run's error if it failed.

        Raises:
            ScenarioError: Or one of its kinds.
        """
        if self.error is not None:
            raise self.error

    def report(self) -> str:
        """Why it failed: two lines, the cell's source, a traceback where the cell showed one, the line to repeat it."""
        if self.error is None:
            return f"{self.name} passed\n{self.reproduce}"
        lines = error_lines(self.error)
        if (cell := self.failed_cell) is not None:
            lines += ["", f"cell {cell.number}:", indent(cell.source, "    ")]
            if len(cell.traceback) > 2:  # our own errors are two lines, and these stand above already
                lines += ["", *_shortened(cell.traceback)]
        return "\n".join([*lines, "", f"again: {self.reproduce}"])


def error_lines(error: LabError) -> list[str]:
    """The two lines of an error, as every front end shows them."""
    return error._render_traceback_()


def _shortened(traceback: tuple[str, ...]) -> list[str]:
    """The cell's own frame and the error itself; what lies between stands in the executed notebook."""
    left_out = len(traceback) - 2 * _ENDS
    if left_out <= 1:
        return list(traceback)
    return [*traceback[:_ENDS], f"... {left_out} more lines in the executed notebook ...", *traceback[-_ENDS:]]
