from __future__ import annotations

import _thread
import asyncio
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from nbagora_lab.core.errors import (
    CellFailed,
    CellsPending,
    NotFound,
    ScenarioError,
    ServicesLeaked,
    UnknownParameter,
    UsageError,
)
from nbagora_lab.scenarios import ScenarioResult, engine, read_trace, run_notebook, run_notebooks
from nbagora_lab.scenarios.normalise import SCRATCH

Run = Callable[[str], ScenarioResult]


def executed(result: ScenarioResult) -> Any:
    assert result.notebook is not None
    return nbformat.read(result.notebook, as_version=4)


def states(result: ScenarioResult) -> list[str]:
    """Papermill's state of each code cell of the executed notebook."""
    return [cell.metadata.papermill.status for cell in executed(result).cells if cell.cell_type == "code"]


def printed(result: ScenarioResult) -> list[str]:
    outputs = (output for cell in executed(result).cells if cell.cell_type == "code" for output in cell.outputs)
    return "".join(output.text for output in outputs if output.output_type == "stream").splitlines()


# -- a run that passes ---------------------------------------------------------------------------------------------


def test_a_run_has_a_store_a_seed_and_a_clock_of_its_own(
    notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBAGORA_PORT", "1")
    monkeypatch.setenv("NBAGORA_STORE", "/nowhere")
    before = dict(os.environ)
    parameters = {"seed": 11, "city": 'O"slo\\', "days": [{"a": None}]}
    result = run_notebook(notebooks / "passes.ipynb", parameters=parameters, out=tmp_path / "deep" / "out")
    result.check()
    first, second, third, fourth = printed(result)
    assert first == "11 O\"slo\\ [{'a': None}]"
    store, seed, clock = second.split()
    assert (Path(store).name, seed, clock) == ("store", "11", "virtual")
    assert Path(store).parent.name.startswith(SCRATCH)
    assert not Path(store).parent.exists()
    assert third == f"['NBAGORA_CLOCK', 'NBAGORA_SEED', 'NBAGORA_STORE'] {notebooks}"
    assert fourth == "['a', 'b', 'c', 'd']"
    assert dict(os.environ) == before
    assert [cell.status for cell in result.cells] == ["passed"] * 5
    assert all(cell.seconds > 0 for cell in result.cells)
    assert result.notebook == tmp_path / "deep" / "out" / "passes.ipynb"
    assert result.trace == tmp_path / "deep" / "out" / "passes.trace.jsonl"
    header = read_trace(result.trace).header
    assert (header.seed, header.parameters, header.engines) == (11, parameters, {})
    assert states(result) == ["completed"] * 5
    assert executed(result).metadata.papermill.output_path == "passes.ipynb"


def test_the_seed_is_the_notebooks_own_unless_told(ran: Run, notebooks: Path, tmp_path: Path) -> None:
    assert ran("passes").seed == 7
    result = run_notebook(notebooks / "passes.ipynb", out=tmp_path, seed=5, clock="system")
    assert (result.seed, printed(result)[1].split()[1:]) == (5, ["5", "system"])
    assert result.reproduce == f"nbagora run {notebooks / 'passes.ipynb'} --seed 5 --clock system"


def test_the_command_that_repeats_a_run_quotes_its_parameters(notebooks: Path, tmp_path: Path) -> None:
    result = run_notebook(
        notebooks / "has_no_parameters_cell.ipynb", parameters=[("city", "New York"), ("n", '"7"')], out=tmp_path
    )
    assert result.reproduce.endswith("""has_no_parameters_cell.ipynb -p city 'New York' -p n '"7"'""")


def test_the_state_of_widgets_is_kept(ran: Run) -> None:
    ran("shows_a_widget").check()
    state = executed(ran("shows_a_widget")).metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    [slider] = [model for model in state.values() if model["model_name"] == "IntSliderModel"]
    assert slider["state"]["value"] == 8


def test_a_cell_may_raise_where_its_tag_says_so(ran: Run) -> None:
    result = ran("raises_as_its_tag_says")
    result.check()
    assert [cell.status for cell in result.cells] == ["passed", "skipped", "passed"]
    assert states(result) == ["completed", "skipped", "completed"]
    assert [cell.cell_type for cell in executed(result).cells] == ["code"] * 3  # no marker of papermill's


def test_a_notebook_that_exits_in_its_last_cell_has_run_to_its_end(ran: Run) -> None:
    ran("exits_in_its_last_cell").check()


# -- cells that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("raises_lab_error", ["AgentNotFound: no agent 'wether'", "hint: did you mean 'weather'?"]),
        ("raises_lab_error_in_a_magic", ["TopicNotFound: no topic 'ctx-1'", "hint: there are none yet"]),
    ],
)
def test_an_error_of_ours_keeps_its_two_lines(ran: Run, name: str, lines: list[str]) -> None:
    result = ran(name)
    assert isinstance(result.error, CellFailed)
    assert result.error._render_traceback_() == [f"CellFailed: cell 2 of {name}: {lines[0]}", lines[1]]
    assert result.failed_cell is not None
    assert list(result.failed_cell.traceback) == lines
    assert [cell.status for cell in result.cells] == ["passed", "failed", "pending"]


def test_the_executed_notebook_says_why_it_failed_above_the_cell(ran: Run) -> None:
    result = ran("raises_lab_error")
    kinds = [cell.cell_type for cell in executed(result).cells]
    assert kinds == ["code", "markdown", "code", "code"]
    note = executed(result).cells[1].source
    assert "AgentNotFound: no agent 'wether'" in note
    assert result.reproduce in note
    assert states(result) == ["completed", "failed", "pending"]
    assert executed(result).metadata.papermill.exception is True


def test_another_exception_has_its_traceback_in_the_report(ran: Run) -> None:
    result = ran("raises_value_error")
    assert isinstance(result.error, CellFailed)
    assert result.error.what.startswith("cell 2 of raises_value_error raised ValueError: invalid literal for int()")
    assert "return int(text)" in result.report()
    assert "\x1b" not in result.report()


def test_a_line_that_is_only_printed_as_an_error_fails_too(ran: Run) -> None:
    result = ran("prints_a_usage_error")
    assert isinstance(result.error, CellFailed)
    assert "UsageError" in result.error.what


def test_cells_behind_an_early_exit_are_pending(ran: Run) -> None:
    result = ran("exits_early")
    assert isinstance(result.error, CellsPending)
    assert result.error.what == "2 of 4 cells of exits_early did not run: cell 2 ended the notebook"
    assert states(result) == ["completed", "completed", "pending", "pending"]


def test_a_cell_that_hangs_is_interrupted_and_shows_where(notebooks: Path, tmp_path: Path) -> None:
    result = run_notebook(notebooks / "hangs.ipynb", out=tmp_path, timeout=3)
    assert isinstance(result.error, CellFailed)
    assert result.error.what == "cell 2 of hangs was still running when the notebook's 3 s were over"
    assert result.failed_cell is not None
    assert any("KeyboardInterrupt" in line for line in result.failed_cell.traceback)
    assert states(result) == ["completed", "failed", "pending"]
    assert printed(result) == ["before"]


@pytest.mark.thorough
def test_a_kernel_that_does_not_heed_the_interrupt_is_killed(
    notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE", 1)
    monkeypatch.setattr(engine, "PROBE", 0.5)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    result = run_notebook(notebooks / "hangs_and_ignores_the_interrupt.ipynb", out=tmp_path, timeout=3)
    assert isinstance(result.error, CellFailed)
    assert "was still running" in result.error.what
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


@pytest.mark.thorough
def test_a_kernel_that_dies_fails_the_cell_that_it_died_in(ran: Run) -> None:
    result = ran("kills_its_kernel")
    assert isinstance(result.error, CellFailed)
    assert result.error.what == "the kernel died with status -9 in cell 2 of kills_its_kernel"
    assert result.error.hint == "its process last wrote: out of luck"
    assert states(result) == ["completed", "failed", "pending"]
    assert result.trace is not None


# -- what is left running ------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_what_is_left_running_fails_the_run_and_is_ended(ran: Run) -> None:
    result = ran("leaves_things_running")
    assert isinstance(result.error, ServicesLeaked)
    assert "thread poller" in result.error.what
    assert "listening socket 127.0.0.1:" in result.error.what
    assert "time.sleep(600)" in result.error.what
    assert [cell.status for cell in result.cells] == ["passed"] * 3
    [child] = printed(result)
    assert not psutil.pid_exists(int(child))


def test_a_lab_left_running_fails_the_run_and_is_stopped(notebooks: Path, tmp_path: Path) -> None:
    mark = tmp_path / "stopped"
    result = run_notebook(notebooks / "leaves_labs_running.ipynb", parameters={"mark": str(mark)}, out=tmp_path / "out")
    assert isinstance(result.error, ServicesLeaked)
    assert result.error._render_traceback_() == [
        "ServicesLeaked: leaves_labs_running left running: 2 labs (http://127.0.0.1/first, http://127.0.0.1/second)",
        "hint: end it in the last cell with %lab stop, or use `with Lab() as lab:`",
    ]
    assert mark.read_text().splitlines() == ["http://127.0.0.1/second", "http://127.0.0.1/first"]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "timeout"), [("fails_while_labs_run", 600), ("hangs_while_labs_run", 5)])
def test_labs_are_stopped_after_a_failure_too(notebooks: Path, tmp_path: Path, name: str, timeout: float) -> None:
    mark = tmp_path / "stopped"
    result = run_notebook(
        notebooks / f"{name}.ipynb", parameters={"mark": str(mark)}, out=tmp_path / "out", timeout=timeout
    )
    assert isinstance(result.error, CellFailed)
    assert mark.read_text().splitlines() == ["http://127.0.0.1/second", "http://127.0.0.1/first"]


# -- what can't be run ---------------------------------------------------------------------------------------------


def test_an_unknown_parameter_fails_before_any_cell_runs(notebooks: Path, tmp_path: Path) -> None:
    result = run_notebook(notebooks / "passes.ipynb", parameters={"sede": 1}, out=tmp_path)
    assert isinstance(result.error, UnknownParameter)
    assert (result.error.what, result.error.hint) == ("passes.ipynb has no parameter 'sede'", "did you mean 'seed'?")
    assert (result.cells, result.notebook, result.trace) == ((), None, None)
    assert list(tmp_path.iterdir()) == []


def test_parameters_for_a_notebook_without_a_cell_for_them_fail(notebooks: Path, tmp_path: Path) -> None:
    result = run_notebook(notebooks / "has_no_parameters_cell.ipynb", parameters={"seed": 1}, out=tmp_path)
    assert isinstance(result.error, UnknownParameter)


def test_a_kernel_that_is_not_installed_fails_in_two_lines(ran: Run) -> None:
    result = ran("asks_for_another_kernel")
    assert type(result.error) is ScenarioError
    assert "asks for the kernel 'no-such-kernel'" in str(result.error)
    assert states(result) == ["pending"]


@pytest.mark.parametrize("text", ["not even JSON", "[]", "{}", '{"cells": [{}]}', '{"cells": 3}', "\udcff"])
def test_a_file_that_is_no_notebook_fails_in_two_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.ipynb").write_text(text, errors="surrogateescape")
    result = run_notebook(tmp_path / "x.ipynb", out=tmp_path / "out")
    assert type(result.error) is ScenarioError
    assert "is no notebook" in str(result.error)


def test_a_missing_notebook_is_told_before_any_runs(notebooks: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no notebook .*pases") as caught:
        run_notebooks([notebooks / "passes.ipynb", notebooks / "pases.ipynb"], out=tmp_path / "out")
    assert caught.value.hint == "did you mean 'passes.ipynb'?"
    assert not (tmp_path / "out").exists()


def test_a_folder_without_notebooks_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no notebooks"):
        run_notebooks([tmp_path], out=tmp_path / "out")


def test_a_run_never_writes_over_its_notebook(notebooks: Path) -> None:
    with pytest.raises(UsageError, match="would write over it"):
        run_notebook(notebooks / "passes.ipynb", out=notebooks)


def test_two_notebooks_of_one_name_are_refused(notebooks: Path, tmp_path: Path) -> None:
    (tmp_path / "passes.ipynb").write_text("{}")
    with pytest.raises(UsageError, match=r"would both leave passes\.ipynb"):
        run_notebooks([notebooks / "passes.ipynb", tmp_path / "passes.ipynb"], out=tmp_path / "out")


def test_a_file_in_place_of_the_folder_and_a_time_that_is_over_are_refused(notebooks: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        run_notebook(notebooks / "passes.ipynb", out=tmp_path / "out")
    with pytest.raises(UsageError, match="leaves no time"):
        run_notebook(notebooks / "passes.ipynb", out=tmp_path, timeout=0)


# -- from where it is run ------------------------------------------------------------------------------------------


def write(path: Path, *sources: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    book: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])  # type: ignore[no-untyped-call]
    nbformat.write(book, path)  # type: ignore[no-untyped-call]
    return path


def test_a_notebook_without_metadata_and_with_braces_in_its_path_runs(tmp_path: Path) -> None:
    path = write(tmp_path / "{seed} of {0}" / "a {b} c.ipynb", "print('here')")
    result = run_notebook(path, out=tmp_path / "{out}")
    result.check()
    assert printed(result) == ["here"]
    assert result.notebook == tmp_path / "{out}" / "a {b} c.ipynb"
    assert sorted(one.name for one in (tmp_path / "{out}").iterdir()) == ["a {b} c.ipynb", "a {b} c.trace.jsonl"]


@pytest.mark.thorough
def test_runs_go_side_by_side_from_threads_under_a_running_loop(notebooks: Path, tmp_path: Path) -> None:
    async def both() -> list[ScenarioResult]:
        inline = run_notebook(notebooks / "raises_lab_error.ipynb", out=tmp_path / "inline")
        name = "has_no_parameters_cell"
        beside = await asyncio.gather(
            *(asyncio.to_thread(run_notebook, notebooks / f"{name}.ipynb", out=tmp_path / str(n)) for n in range(2))
        )
        return [inline, *beside]

    inline, *beside = asyncio.run(both())
    assert isinstance(inline.error, CellFailed)
    for result in beside:
        result.check()


@pytest.mark.thorough
def test_ctrl_c_ends_the_run_and_its_kernel(notebooks: Path, tmp_path: Path) -> None:
    def interrupt(name: str, number: int, total: int) -> None:
        if number == 2:
            threading.Timer(0.2, _thread.interrupt_main).start()

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt):
        run_notebook(notebooks / "hangs.ipynb", out=tmp_path, progress=interrupt)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert not any(thread.name.startswith("nbagora") for thread in threading.enumerate())


@pytest.mark.thorough
def test_progress_and_results_come_as_they_happen(notebooks: Path, tmp_path: Path) -> None:
    told: list[object] = []
    results = run_notebooks(
        [notebooks / "raises_lab_error.ipynb", notebooks / "has_no_parameters_cell.ipynb"],
        out=tmp_path,
        progress=lambda *where: told.append(where),
        done=lambda result: told.append(result.name),
    )
    assert [result.passed for result in results] == [False, True]
    assert told == [
        ("raises_lab_error", 1, 3),
        ("raises_lab_error", 2, 3),
        "raises_lab_error",
        ("has_no_parameters_cell", 1, 1),
        "has_no_parameters_cell",
    ]


# -- traces --------------------------------------------------------------------------------------------------------


def test_two_runs_of_a_notebook_leave_one_trace(notebooks: Path, tmp_path: Path) -> None:
    """Threads race to write, under the machine's clock, and a set says its words in its own order."""
    traces = []
    cities = {"cities": ["Oslo", "北京", "Rom"]}
    for number in range(2):
        result = run_notebook(notebooks / "writes_records.ipynb", parameters=cities, out=tmp_path / str(number))
        result.check()
        assert result.trace is not None
        traces.append(result.trace.read_bytes())
    assert traces[0] == traces[1]
    lines = [json.loads(line) for line in traces[0].decode().splitlines()]
    assert lines[0]["parameters"] == cities
    assert [(line["topic"], line["offset"]) for line in lines[1:]] == [
        (f"sessions/{name}", offset)
        for name, count in (("Oslo", 3), ("Rom", 3), ("words", 6), ("北京", 3))
        for offset in range(count)
    ]
