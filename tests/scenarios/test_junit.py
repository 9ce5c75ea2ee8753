from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from nbagora_lab.core.errors import CellFailed, LabError, ServicesLeaked
from nbagora_lab.scenarios.junit import write_junit
from nbagora_lab.scenarios.model import CellResult, ScenarioResult

CELLS = (
    CellResult(1, "%load_ext nbagora", "passed", 0.25),
    CellResult(2, "%agent ask 'wether'\x1b[0m", "failed", 1.5, ("AgentNotFound: no", "hint: x")),
    CellResult(3, "later", "pending"),
    CellResult(4, "slow", "skipped"),
)


def run(error: LabError | None, cells: tuple[CellResult, ...]) -> ScenarioResult:
    return ScenarioResult(
        Path("notebooks/trip.ipynb"),
        parameters={"city": "北京", "n": "7"},
        seed=7,
        error=error,
        cells=cells,
        seconds=2.0,
        notebook=Path("out/trip.ipynb"),
        reproduce="nbagora run notebooks/trip.ipynb",
    )


def written(folder: Path, *results: ScenarioResult) -> ET.Element:
    write_junit(folder / "deep" / "j.xml", results)
    return ET.parse(folder / "deep" / "j.xml").getroot()


def test_a_failed_cell_is_a_failed_case(tmp_path: Path) -> None:
    root = written(tmp_path, run(CellFailed("cell 2 of trip: AgentNotFound: no", "x"), CELLS))
    assert root.tag == "testsuites"
    assert {name: root[0].get(name) for name in ("name", "tests", "failures", "skipped", "errors", "time")} == {
        "name": "trip",
        "tests": "5",
        "failures": "1",
        "skipped": "2",
        "errors": "0",
        "time": "2.000",
    }
    cases = root[0].findall("testcase")
    assert {case.get("classname") for case in cases} == {"trip"}
    assert [case.get("name") for case in cases] == [
        "cell 1: %load_ext nbagora",
        "cell 2: %agent ask 'wether'\ufffd[0m",
        "cell 3: later",
        "cell 4: slow",
        "end",
    ]
    assert [case.get("time") for case in cases] == ["0.250", "1.500", "0.000", "0.000", "0.000"]
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["skipped"], ["skipped"], []]
    failure = cases[1][0]
    assert (failure.get("type"), failure.get("message")) == (
        "CellFailed",
        "CellFailed: cell 2 of trip: AgentNotFound: no",
    )
    assert (failure.text or "").endswith("again: nbagora run notebooks/trip.ipynb")
    assert [skipped.get("message") for skipped in root.iter("skipped")] == ["never ran", "tagged skip-execution"]


def test_what_is_no_cells_fault_fails_the_end(tmp_path: Path) -> None:
    root = written(tmp_path, run(ServicesLeaked("trip left running: 1 lab", "stop it"), CELLS[:1]))
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == ["end"]
    assert root.get("failures") == "1"


def test_the_run_is_told_in_properties(tmp_path: Path) -> None:
    root = written(tmp_path, run(None, CELLS[:1]))
    assert {one.get("name"): one.get("value") for one in root.iter("property")} == {
        "seed": "7",
        "clock": "virtual",
        "reproduce": "nbagora run notebooks/trip.ipynb",
        "parameter.city": "北京",
        "parameter.n": '"7"',
        "notebook": str(Path("out/trip.ipynb")),
        "trace": "",
    }


def test_the_suites_are_summed(tmp_path: Path) -> None:
    root = written(tmp_path, run(None, CELLS[:1]), run(CellFailed("x", "y"), CELLS))
    assert [root.get(name) for name in ("tests", "failures", "skipped", "time")] == ["7", "1", "2", "4.000"]


@pytest.mark.parametrize("letter", ["\x00", "\x01", "\x1b", "\ufffe", "\ud800"])
def test_letters_that_xml_lacks_do_not_break_the_file(tmp_path: Path, letter: str) -> None:
    root = written(tmp_path, run(CellFailed(f"a{letter}b", "y"), ()))
    assert next(root.iter("failure")).get("message") == "CellFailed: a\ufffdb"
