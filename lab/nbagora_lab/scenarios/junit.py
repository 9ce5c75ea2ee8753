"""JUnit XML of scenarios, for CI systems: a suite for each notebook, a test case for each of its code cells.

A notebook's last case, ``end``, stands for what is no single cell's: its parameters, its kernel, the cells that did not
run and what was left running.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from nbagora_lab.scenarios.model import CellResult, ScenarioResult, error_lines
from nbagora_lab.scenarios.parameters import format_value

__all__ = ["write_junit"]

_UNPRINTABLE = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 has no form for these


def write_junit(path: Path | str, results: Sequence[ScenarioResult]) -> None:
    """Writes the results of a run.

    Args:
        path: The file; its folder is made if absent.
        results: One for each notebook.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suites = [_suite(result) for result in results]
    seconds = sum(result.seconds for result in results)
    root = ET.Element("testsuites", {"name": "nbagora"} | _totals(suites, seconds))
    root.extend(suites)
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _suite(result: ScenarioResult) -> ET.Element:
    cases = [_case(result, cell) for cell in result.cells]
    end = ET.Element("testcase", classname=result.name, name="end", time="0.000")
    if result.error is not None and result.failed_cell is None:
        end.append(_failure(result))
    cases.append(end)
    suite = ET.Element("testsuite", {"name": result.name} | _totals([_counted(cases)], result.seconds))
    properties = ET.SubElement(suite, "properties")
    values = {"seed": str(result.seed), "clock": result.clock, "reproduce": result.reproduce}
    values |= {f"parameter.{name}": format_value(value) for name, value in result.parameters.items()}
    values |= {"notebook": str(result.notebook or ""), "trace": str(result.trace or "")}
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=_printable(value))
    suite.extend(cases)
    return suite


def _case(result: ScenarioResult, cell: CellResult) -> ET.Element:
    case = ET.Element("testcase", classname=result.name, name=_printable(cell.title), time=f"{cell.seconds:.3f}")
    if cell.status == "failed":
        case.append(_failure(result))
    elif cell.status in {"pending", "skipped"}:
        why = "never ran" if cell.status == "pending" else "tagged skip-execution"
        ET.SubElement(case, "skipped", message=why)
    return case


def _failure(result: ScenarioResult) -> ET.Element:
    assert result.error is not None
    failure = ET.Element("failure", type=type(result.error).__name__, message=_printable(error_lines(result.error)[0]))
    failure.text = _printable(result.report())
    return failure


def _counted(cases: list[ET.Element]) -> ET.Element:
    counted = ET.Element("counted")
    counted.set("tests", str(len(cases)))
    counted.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    counted.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    return counted


def _totals(suites: list[ET.Element], seconds: float) -> dict[str, str]:
    counts = {
        name: str(sum(int(suite.get(name, "0")) for suite in suites)) for name in ("tests", "failures", "skipped")
    }
    return counts | {"errors": "0", "time": f"{seconds:.3f}"}


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)
