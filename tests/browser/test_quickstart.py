"""The quickstart as a newcomer meets it: opened in JupyterLab and run cell by cell."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "00_quickstart.ipynb"
SOURCES = ["".join(cell["source"]) for cell in json.loads(QUICKSTART.read_text(encoding="utf-8"))["cells"]]
CODE = [
    index
    for index, cell in enumerate(json.loads(QUICKSTART.read_text(encoding="utf-8"))["cells"])
    if cell["cell_type"] == "code"
]


def cell_with(text):
    [found] = [index for index in CODE if text in SOURCES[index]]
    return found


def test_it_runs_cell_by_cell_and_the_task_view_is_live_while_a_cell_is_busy(jupyter, shoot):
    path = jupyter.root / "quickstart" / QUICKSTART.name
    path.parent.mkdir()
    # The busy cell stays busy until this test has looked, however slow the machine is.
    until_seen = "while not __import__('pathlib').Path('seen').exists(): time.sleep(0.05)"
    text = QUICKSTART.read_text(encoding="utf-8")
    assert text.count("time.sleep(1.5)") == 1
    path.write_text(text.replace("time.sleep(1.5)", until_seen), encoding="utf-8")
    page = jupyter.open(path)
    view_cell, busy_cell = cell_with("%task view"), cell_with("time.sleep")
    view = page.output(view_cell).locator(".nbagora-tasks")
    for cell in CODE:
        if cell != busy_cell:
            page.run_cell(cell)
            continue
        expect(view.locator("tbody tr")).to_have_count(4)
        page.cell(cell_with("ask guide 北京")).scroll_into_view_if_needed()
        page.run_cell(cell, wait=False)
        expect(view.locator("tbody tr")).to_have_count(7)
        shoot(page.tab, "page")
        expect(view.locator("tbody tr").first).to_contain_text("Kyoto")
        assert page.is_running(cell), "the view must have moved while the cell was busy"
        view.locator("tbody tr").first.click()
        expect(view.get_by_role("log")).to_contain_text("looking at the sky")
        view.scroll_into_view_if_needed()
        shoot(view, "task-view")
        (path.parent / "seen").touch()
        page.wait_cell(cell)
    page.theme("light")
    assert "北京" in page.text(cell_with("ask guide 北京"))
    assert "ids 2, 3, 4" in page.text(cell_with("def events"))
    assert "still has 16" in page.text(cell_with("fork, original"))
    for cell in CODE:
        errors = page.cell(cell).locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
        assert errors.count() == 0, f"cell {cell} wrote to stderr: {errors.all_inner_texts()}"
    assert page.violations(f".jp-Notebook .jp-Cell:nth-child({view_cell + 1}) .nbagora-tasks") == []
    page.theme("dark")
    shoot(view, "task-view-dark")
    assert page.violations(f".jp-Notebook .jp-Cell:nth-child({view_cell + 1}) .nbagora-tasks") == []
