"""A notebook run without a browser keeps the view's last state, and a plain table for every other reader."""

from pathlib import Path

import nbclient
import nbconvert
import nbformat
import pytest

import fake_lab

LAB = Path(fake_lab.__file__).read_text(encoding="utf-8")
VIEW = """
from nbagora_widgets import TaskView, flush_all
get_ipython().events.register("post_run_cell", lambda *_: flush_all())
lab = FakeLab()
lab.add("t1", text="Sunny in 北京 <img src=x onerror=alert(1)>")
view = TaskView(lab)
view
"""
LATER = """
for number in range(1000):
    lab.change("t1", text=f"word {number}")
view.ref
"""
IDLE = "lab.changes"


@pytest.fixture(scope="module")
def executed():
    cells = [nbformat.v4.new_code_cell(cell) for cell in (LAB, VIEW, LATER, IDLE)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120, shutdown_kernel="immediate").execute()
    return notebook


def test_the_stored_state_is_that_of_the_last_change(executed):
    later, idle = (cell.outputs[0].data["text/plain"] for cell in executed.cells[2:])
    states = executed.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    snapshot = states[later.strip("'")]["state"]["snapshot"]
    assert snapshot["seq"] == int(idle) == 1001
    assert snapshot["rows"][0]["text"] == "word 999"


def test_a_markdown_reader_gets_the_table(executed):
    whole, _ = nbconvert.MarkdownExporter().from_notebook_node(executed)
    text = whole[whole.index("<table>") :]
    assert "<caption>1 task (http://127.0.0.1:1)</caption>" in text
    assert "Sunny in 北京 &lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img" not in text


def test_a_reader_of_plain_text_gets_columns(executed):
    [output] = executed.cells[1].outputs
    title, heads, row = output.data["text/plain"].splitlines()
    assert title == "1 task (http://127.0.0.1:1)"
    assert heads.split()[:3] == ["State", "Agent", "Task"]
    assert row.split()[:3] == ["working", "weather", "t1"]
