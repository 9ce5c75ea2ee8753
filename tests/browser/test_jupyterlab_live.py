"""The task view in a real JupyterLab: live and obeyed while a cell is busy, in both themes, by keyboard.

The lab is a fake one, defined in the notebook's first cell: a thread that changes tasks. One notebook serves all
tests; each starts with a new lab and a new view.
"""

from pathlib import Path

import ipykernel.comm.comm
import pytest
from playwright.sync_api import expect

import fake_lab

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

LAB = Path(fake_lab.__file__).read_text(encoding="utf-8")
FLUSH = """
from nbagora_widgets import TaskView, flush_all, living
get_ipython().events.register("post_run_cell", lambda *_: flush_all())
workaround = TaskView._leave_subshells_to_the_browser
lab = FakeLab()
"""
VIEW = """
lab.stop()
lab = FakeLab()
lab.add("t1", agent="weather")
lab.add("t2", agent="trip", state="INPUT_REQUIRED", question="Which day? 周五还是周六？")
TaskView(lab)
"""
BUSY = """
import pathlib
stop = lab.work("t1")
while not pathlib.Path("release").exists():
    sum(range(1000))
"""
TICKING = """
import time
patience = time.monotonic() + 30
while (ticking := sum(view._halt is not None for view in living())) > 1 and time.monotonic() < patience:
    time.sleep(0.02)
ticking
"""
WITHOUT = "TaskView._leave_subshells_to_the_browser = lambda self: None"
WITH = "TaskView._leave_subshells_to_the_browser = workaround"
STOP = "lab.stop()"
CELLS = (LAB, FLUSH, VIEW, BUSY, TICKING, WITHOUT, WITH, STOP)
VIEWED = ".nbagora-tasks"
SUBSHELLS = ipykernel.version_info >= (7,)


class Lively:
    """The notebook, with a new fake lab and its view."""

    def __init__(self, page, release):
        self.page, self.release = page, release
        self.run(VIEW)
        self.view = page.output(CELLS.index(VIEW)).locator(VIEWED)
        expect(self.view.locator(".lab")).to_have_attribute("data-link", "live")

    def run(self, cell, **how):
        self.page.run_cell(CELLS.index(cell), **how)

    def row(self, task):
        return self.view.locator(f'tr[data-key="{task}"]')

    def wait_for_events(self, number):
        script = "(n) => Number(document.querySelector('tr[data-key=t1] .events').innerText) >= n"
        self.page.tab.wait_for_function(script, arg=number)

    def start_busy_cell(self):
        """Starts the cell that stays busy, and returns once it works: its task has news."""
        self.run(BUSY, wait=False)
        self.wait_for_events(2)

    @property
    def busy(self):
        return self.page.is_running(CELLS.index(BUSY))

    def end_busy_cell(self):
        self.release.touch()
        self.page.wait_cell(CELLS.index(BUSY))


@pytest.fixture(scope="module")
def notebook(jupyter_lab, jupyter_tab):
    jupyter_lab.tab = jupyter_tab
    page = jupyter_lab.open(jupyter_lab.write("live.ipynb", *CELLS))
    page.run_cell(CELLS.index(LAB))
    page.run_cell(CELLS.index(FLUSH))
    yield page
    jupyter_lab.close_all()


@pytest.fixture
def lively(notebook, jupyter_lab):
    release = jupyter_lab.root / "release"
    release.unlink(missing_ok=True)
    lively = Lively(notebook, release)
    yield lively
    release.touch()
    notebook.wait_idle()


def test_updates_arrive_while_a_cell_is_busy(lively, shoot):
    lively.start_busy_cell()
    lively.wait_for_events(12)
    assert lively.busy
    expect(lively.row("t1").locator(".last-words")).to_contain_text("Sunny in 北京")
    shoot(lively.page.tab, "busy")
    lively.end_busy_cell()


def test_a_task_is_chosen_answered_and_cancelled_by_keyboard(lively):
    keyboard = lively.page.tab.keyboard
    lively.row("t2").locator(".open").focus()
    keyboard.press("ArrowDown")
    expect(lively.row("t1").locator(".open")).to_be_focused()
    keyboard.press("ArrowUp")
    keyboard.press("Enter")
    lively.view.get_by_label("Which day? 周五还是周六？").focus()
    keyboard.type("Friday, dd")
    keyboard.press("Enter")
    expect(lively.row("t2")).to_contain_text("working")
    expect(lively.view.locator(".feed li").last).to_contain_text("Friday, dd")
    lively.view.locator(".detail .cancel").focus()
    keyboard.press("Enter")
    expect(lively.row("t2")).to_contain_text("canceled")
    lively.view.locator(".feed").focus()
    keyboard.press("Escape")
    expect(lively.view.locator(".detail")).to_be_hidden()
    expect(lively.row("t2").locator(".open")).to_be_focused()
    for key in ("d", "d", "a", "b"):  # in a notebook's command mode: delete the cell, insert two
        keyboard.press(key)
    assert lively.page.tab.locator(".jp-Notebook .jp-Cell").count() == len(CELLS)


@pytest.mark.skipif(not SUBSHELLS, reason="ipykernel 6 answers no click while a cell runs; the view says so")
def test_clicks_are_obeyed_while_a_cell_is_busy(lively):
    lively.start_busy_cell()
    lively.row("t1").locator(".open").click()
    expect(lively.view.locator(".feed li").first).to_be_visible()
    for task in ("t1", "t2"):
        lively.row(task).locator(".cancel").click()
        expect(lively.row(task)).to_contain_text("canceled")
    assert lively.busy
    lively.end_busy_cell()


@pytest.mark.skipif(
    SUBSHELLS and not hasattr(ipykernel.comm.comm.BaseComm, "_reply_subshell_for"),
    reason="this ipykernel obeys every click at once; the workaround is for 7.4.0",
)
def test_without_the_workaround_for_ipykernel_a_click_waits_for_the_cell(lively, notebook, jupyter_lab, shoot):
    """ipykernel 7.4.0 pulls clicks behind the running cell after each update that a thread sends; 6 always does.

    Then the button says so and is obeyed when the cell ends. This fails once ipykernel no longer does it: then the
    workaround in `LiveView` can go, and this test with it.
    """
    lively.run(WITHOUT)
    lively = Lively(notebook, lively.release)
    lively.run(WITH)
    lively.start_busy_cell()
    lively.row("t2").locator(".cancel").click()
    expect(lively.row("t2").locator(".cancel")).to_contain_text("queued until the cell ends")
    shoot(lively.view, "queued")
    assert lively.busy
    lively.end_busy_cell()
    expect(lively.row("t2")).to_contain_text("canceled")


def test_both_themes_are_accessible_and_a_switch_repaints(lively, shoot):
    lively.row("t2").locator(".open").click()
    expect(lively.view.locator(".feed li")).to_have_count(1)
    papers = []
    for theme in ("dark", "light"):
        lively.page.theme(theme)
        papers.append(lively.view.evaluate("(view) => getComputedStyle(view).backgroundColor"))
        shoot(lively.page.tab, theme)
        assert lively.page.violations(VIEWED) == []
    assert len(set(papers)) == 2


def test_a_view_that_was_replaced_ticks_no_more(lively):
    lively.run(VIEW)
    lively.run(TICKING)
    assert lively.page.text(CELLS.index(TICKING)) == "1"


def test_a_lab_that_stopped_is_said(lively):
    lively.run(STOP)
    expect(lively.view.locator(".lab")).to_have_text("the lab is not running")
    expect(lively.row("t1")).to_be_visible()


def test_a_kernel_that_restarts_leaves_the_table_and_says_so(lively):
    lively.page.tab.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(lively.view.locator(".lab")).to_have_text("the lab is not running")
    expect(lively.row("t1")).to_be_visible()
    lively.page.wait_idle()
    lively.run(LAB)
    lively.run(FLUSH)
