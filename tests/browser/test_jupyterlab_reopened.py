"""A notebook with a task view that is opened again: who ran it, and whether it is trusted, decides what shows."""

import copy
from pathlib import Path

import nbclient
import nbformat
import pytest
from playwright.sync_api import expect

import fake_lab

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

LAB = Path(fake_lab.__file__).read_text(encoding="utf-8")
VIEW = """
from nbagora_widgets import TaskView, flush_all
get_ipython().events.register("post_run_cell", lambda *_: flush_all())
lab = FakeLab()
lab.add("t1", agent="weather")
lab.add("t2", agent="trip", state="INPUT_REQUIRED", question="Which day? 周五还是周六？")
TaskView(lab)
"""
LATER = "lab.change('t1', state='COMPLETED')"
STOP = "lab.stop()"
CELLS = (LAB, VIEW, LATER, STOP)
VIEWED = ".nbagora-tasks"


@pytest.fixture(scope="module")
def executed():
    """The notebook as nbclient leaves it: a later cell than the view's changed a task."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120, shutdown_kernel="immediate").execute()
    return notebook


def test_one_that_is_trusted_shows_the_last_state(jupyter, executed):
    path = jupyter.write("trusted.ipynb")
    nbformat.write(executed, path)
    jupyter.trust(path)
    view = _reopened(jupyter, path)
    expect(view.locator('tr[data-key="t1"]')).to_contain_text("completed")
    expect(view.locator(".lab")).to_have_text("the lab is not running")


def _reopened(jupyter, path):
    """The view of a notebook. JupyterLab on a busy machine may render it before it has restored the notebook's models
    ("model not found"); opened once more it shows them."""
    for _ in range(3):
        output = jupyter.open(path).output(1)
        view = output.locator(VIEWED)
        expect(view.or_(output.get_by_text("Error displaying widget")).first).to_be_visible()
        if view.count():
            break
        jupyter.close_all()
    return view


def test_one_that_is_not_trusted_shows_the_plain_table(jupyter, executed, shoot):
    path = jupyter.write("untrusted.ipynb")
    stranger = copy.deepcopy(executed)
    stranger.cells.append(nbformat.v4.new_markdown_cell("from a stranger"))  # trust is in the contents
    nbformat.write(stranger, path)
    page = jupyter.open(path)
    expect(page.output(1).locator("table tbody tr")).to_have_count(2)
    expect(page.output(1)).to_contain_text("Which day? 周五还是周六？")
    expect(page.output(1).locator(VIEWED)).to_have_count(0)
    shoot(page.output(1), "fallback")


def test_one_that_jupyterlab_saved_with_widgets_shows_its_last_state(jupyter):
    path = jupyter.write("saved.ipynb", *CELLS)
    page = jupyter.open(path)
    for cell in range(3):
        page.run_cell(cell)
    expect(page.output(1).locator('tr[data-key="t1"]')).to_contain_text("completed")
    page.save()
    jupyter.close_all()
    view = _reopened(jupyter, path)
    expect(view.locator('tr[data-key="t1"]')).to_contain_text("completed")
    expect(view.locator(".lab")).to_have_text("the lab is not running")
