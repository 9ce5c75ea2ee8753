from __future__ import annotations

from pathlib import Path

import pytest

from nbagora_lab.core.errors import CellFailed, ServicesLeaked
from nbagora_lab.scenarios.model import CellResult, ScenarioResult

AGAIN = "nbagora run a.ipynb -p seed 7"


def test_a_passed_run_has_nothing_to_raise() -> None:
    result = ScenarioResult(Path("notebooks/a.ipynb"), reproduce=AGAIN)
    result.check()
    assert result.passed
    assert result.name == "a"
    assert result.failed_cell is None
    assert result.report() == f"a passed\n{AGAIN}"


def test_a_failed_run_raises_its_own_error() -> None:
    error = ServicesLeaked("a left running: 1 lab", "stop it")
    with pytest.raises(ServicesLeaked) as caught:
        ScenarioResult(Path("a.ipynb"), error=error).check()
    assert caught.value is error


def test_a_report_of_one_of_our_errors_has_its_two_lines_once() -> None:
    cells = (
        CellResult(1, "1", "passed"),
        CellResult(2, "ask()\nmore()", "failed", 0.1, ("AgentNotFound: no agent", "hint: there are none yet")),
        CellResult(3, "3", "pending"),
    )
    error = CellFailed("cell 2 of a: AgentNotFound: no agent", "there are none yet")
    result = ScenarioResult(Path("a.ipynb"), error=error, cells=cells, reproduce=AGAIN)
    assert result.report().splitlines() == [
        "CellFailed: cell 2 of a: AgentNotFound: no agent",
        "hint: there are none yet",
        "",
        "cell 2:",
        "    ask()",
        "    more()",
        "",
        f"again: {AGAIN}",
    ]


def test_a_report_of_another_error_has_its_traceback() -> None:
    traceback = ("-----", "----> 1 parse()", "ValueError: seven")
    cells = (CellResult(1, "parse()", "failed", 0.1, traceback),)
    result = ScenarioResult(Path("a.ipynb"), error=CellFailed("cell 1 of a raised ValueError", "see it"), cells=cells)
    assert "\n".join(traceback) in result.report()


def test_a_long_traceback_is_cut_in_the_middle() -> None:
    traceback = tuple(f"line {number}" for number in range(200))
    cells = (CellResult(1, "parse()", "failed", 0.1, traceback),)
    report = ScenarioResult(Path("a.ipynb"), error=CellFailed("cell 1 of a raised", "see it"), cells=cells).report()
    assert "line 11\n... 176 more lines in the executed notebook ...\nline 188" in report
    assert "line 199" in report


def test_a_title_is_the_first_line_cut() -> None:
    assert CellResult(3, "\n%agent ls\nmore", "passed").title == "cell 3: %agent ls"
    assert CellResult(3, "x" * 100, "passed").title == f"cell 3: {'x' * 57}..."
