"""The topic view of a real lab in a real JupyterLab: live and obeyed while a cell is busy, in both themes."""

import ipykernel
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

START = """
%load_ext nbagora
import tempfile
from nbagora import Lab
for lab in Lab.running_labs():
    lab.stop()
store = tempfile.mkdtemp(dir='.')
%lab start --store {store}
broker = Lab.current().broker
broker.create_topic("chat")
for number in range(300):
    broker.send("chat/s", f"record {number}")
broker.create_group("workers", topic="chat", lease="1h")
consumer = broker.consumer("workers", client_id="c1", subscribe=["*"])
held = consumer.receive(max=4, wait=5)
"""
VIEW = "%topic view chat/s"
BUSY = """
import pathlib, threading
def stream():
    for number in range(300, 2300):
        broker.send("chat/s", f"record {number}")
thread = threading.Thread(target=stream)
thread.start()
while not pathlib.Path("release").exists():
    sum(range(1000))
thread.join()
"""
STOP = "%lab stop"
CELLS = (START, VIEW, BUSY, STOP)
VIEWED = ".nbagora-topics"


@pytest.fixture(scope="module")
def opened(jupyter_lab, jupyter_tab):
    jupyter_lab.tab = jupyter_tab
    yield jupyter_lab.open(jupyter_lab.write("topics.ipynb", *CELLS))
    jupyter_lab.close_all()


@pytest.fixture
def notebook(opened, jupyter_lab):
    """The notebook, with a new lab and its view."""
    release = jupyter_lab.root / "release"
    release.unlink(missing_ok=True)
    opened.run_cell(CELLS.index(START))
    opened.run_cell(CELLS.index(VIEW))
    yield opened
    release.touch()
    opened.wait_idle()


@pytest.fixture
def view(notebook):
    view = notebook.output(CELLS.index(VIEW)).locator(VIEWED)
    expect(view.locator(".lab")).to_have_attribute("data-link", "live")
    return view


def test_it_follows_two_thousand_records_while_a_cell_is_busy_and_jumps_anywhere(notebook, jupyter_lab, view, shoot):
    expect(view.locator(".record").last).to_contain_text("record 299")
    notebook.tab.evaluate(
        """() => {
            window.gaps = [];
            const rows = document.querySelector(".nbagora-topics .shown");
            const check = () => {
                const keys = [...rows.children].map((row) => Number(row.dataset.key));
                if (keys.some((key, at) => key !== keys[0] + at)) gaps.push(keys);
            };
            new MutationObserver(check).observe(rows, { childList: true });
        }"""
    )
    notebook.run_cell(CELLS.index(BUSY), wait=False)
    expect(view.locator(".record").last).to_contain_text("record 2299", timeout=60_000)  # the cell has the interpreter
    assert notebook.is_running(CELLS.index(BUSY))
    assert notebook.tab.evaluate("gaps") == []
    if ipykernel.version_info >= (7,):  # 6 answers no click while a cell runs; the view says so
        view.get_by_label("Go to offset").fill("1234")
        view.get_by_label("Go to offset").press("Enter")
        expect(view.locator(".payload pre")).to_have_text("record 1234")
        expect(view.locator('.record[data-key="1234"]')).to_contain_text("record 1234")
        shoot(notebook.tab, "busy")
        terms = view.locator("dl div").evaluate_all(
            "(rows) => rows.map(({ children: [dt, dd] }) => [dt.offsetLeft + dt.offsetWidth, dd.offsetLeft])"
        )
        assert all(end <= start for end, start in terms)  # JupyterLab has a style of its own for these
    (jupyter_lab.root / "release").touch()
    notebook.wait_cell(CELLS.index(BUSY))


def test_a_group_s_lock_names_its_holder(view):
    row = view.locator(".groups tbody tr")
    expect(row.locator("strong")).to_have_text("workers")
    expect(row.locator(".state-of")).to_have_text("leased")
    expect(row.locator(".lag")).to_have_text("300")
    expect(row.locator(".locked-by")).to_contain_text("c1, #0 and 3 more until ")


def test_a_fork_and_a_record_that_is_sent_are_there(notebook, view):
    view.get_by_label("Go to offset").fill("41")
    view.get_by_label("Go to offset").press("Enter")
    expect(view.locator(".payload pre")).to_have_text("record 41")
    view.get_by_role("button", name="Fork…").click()
    view.get_by_label("as", exact=True).press("Enter")
    expect(view.locator(".detail > header code")).to_have_text("chat/s-41")
    expect(view.locator(".detail > header .count")).to_have_text("42 records, #0–41")
    view.get_by_role("button", name="Send…").click()
    view.get_by_label("New record").press_sequentially("去北京, dd")
    view.get_by_label("New record").press("Enter")
    expect(view.locator(".record").last).to_contain_text("去北京, dd")
    assert notebook.tab.locator(".jp-Notebook .jp-Cell").count() == len(CELLS)


def test_both_themes_are_accessible_and_a_switch_repaints(notebook, view, shoot):
    view.get_by_label("Go to offset").fill("41")
    view.get_by_label("Go to offset").press("Enter")
    expect(view.locator(".payload pre")).to_have_text("record 41")
    papers = []
    for theme in ("dark", "light"):
        notebook.theme(theme)
        papers.append(view.evaluate("(view) => getComputedStyle(view).backgroundColor"))
        shoot(notebook.tab, theme)
        assert notebook.violations(VIEWED) == []
    assert len(set(papers)) == 2


def test_a_lab_that_stopped_leaves_what_is_shown(notebook, view):
    notebook.run_cell(CELLS.index(STOP))
    expect(view.locator(".lab")).to_have_text("the lab is not running")
    expect(view.locator(".record").last).to_contain_text("record 299")
