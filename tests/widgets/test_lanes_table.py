"""The lanes where no live view can be: a picture, a table and text, and what an executed notebook keeps of them."""

import xml.etree.ElementTree as ET

import nbformat
import pytest

from lanes_shots import HOSTILE, row, trip
from nbagora_lab.inspect.lanesview import LaneRow, LanesSnapshot
from nbagora_lab.scenarios import run_notebook
from nbagora_widgets.lanestable import lanes_html, lanes_text

SVG = "{http://www.w3.org/2000/svg}"


def picture(html):
    """The bars of the picture, by the name of their step, and the names of the lanes from above."""
    drawn = ET.fromstring(html.partition("\n")[0])
    bars = {bar.find("title").text.partition(": ")[0]: bar.attrib for bar in drawn.iter("rect")}
    return drawn, bars, [text.text for text in drawn.iter("text")]


def test_each_step_is_a_bar_in_its_lane_from_its_first_record_to_its_last():
    drawn, bars, lanes = picture(lanes_html(trip()))
    assert lanes == ["trip", "酒店", "trains"]
    assert list(bars) == ["trip", "parallel", "酒店", "trains", "chain"]
    left = {name: float(bar["x"]) for name, bar in bars.items()}
    right = {name: left[name] + float(bar["width"]) for name, bar in bars.items()}
    assert left["trip"] < left["parallel"] < left["酒店"] < left["trains"] < right["trains"] < right["酒店"]
    assert right["parallel"] <= left["chain"] < right["chain"] < right["trip"]
    assert float(bars["trip"]["y"]) < float(bars["酒店"]["y"]) < float(bars["trains"]["y"])
    assert bars["trains"]["fill"] != bars["酒店"]["fill"]  # it failed
    assert drawn.attrib["aria-label"] == "task trip of trip, completed, 5 steps, 3 lanes, 1,234 tokens, $0.0125"


def test_a_step_that_runs_reaches_the_newest_record():
    shot = LanesSnapshot(
        seq=1, lab="", task="t", agent="a", state="WORKING", length=10, lanes=(LaneRow(name="trip", kind="agent"),),
        steps=(row("trip", 0, kind="task"), row("slow", 4, parent="trip")),
    )  # fmt: skip
    _, bars, _ = picture(lanes_html(shot))
    ends = {float(bar["x"]) + float(bar["width"]) for bar in bars.values()}
    assert len({round(end) for end in ends}) == 1


def test_every_text_is_escaped_and_all_of_it_is_there():
    html = lanes_html(trip())
    assert "<img" not in html
    assert "<script" not in html
    for text in ("酒店", "北京", "The Jade", "1,234", "250 ms", "sessions/ctx-1@2–7", "trip (scripted)"):
        assert text in html
    told = lanes_text(trip())
    assert "no trains" in told
    assert HOSTILE not in told  # too long for a line


CELLS = (
    "%load_ext nbagora\nlab = %lab start",
    """%%agent trip --skill "plan: a trip"
from nbagora.flows import chain, repeatable


@repeatable
def by_train(asked):
    return f"{asked} by train"


async def trip(message, task):
    return await chain(message, by_train)""",
    "task = lab.ask('trip', '北京')\n%task lanes last",
    "%lab stop",
)


@pytest.mark.thorough
def test_an_executed_notebook_keeps_them_for_who_has_no_kernel(tmp_path):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(book, tmp_path / "flow.ipynb")
    result = run_notebook(tmp_path / "flow.ipynb", out=tmp_path / "runs")
    result.check()
    [output] = nbformat.read(result.notebook, as_version=4).cells[2].outputs
    html = output.data["text/html"]
    _, bars, lanes = picture(html)
    assert lanes == ["trip", "by_train"]
    assert "by_train" in bars
    assert "北京 by train" in html
