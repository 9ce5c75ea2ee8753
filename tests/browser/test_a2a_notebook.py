"""The notebook about A2A as a learner meets it: opened in JupyterLab, run cell by cell, its task view used."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_a2a.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS]
CODE = [index for index, cell in enumerate(CELLS) if cell["cell_type"] == "code"]


def cell_with(text):
    [found] = [index for index in CODE if text in SOURCES[index]]
    return found


def test_it_runs_cell_by_cell_and_ends_in_a_view_that_can_be_used(jupyter, shoot):
    path = jupyter.root / NOTEBOOK.name
    path.write_text(NOTEBOOK.read_text(encoding="utf-8"), encoding="utf-8")
    page = jupyter.open(path)
    stop = cell_with("%lab stop")
    for cell in CODE:
        if cell != stop:
            page.run_cell(cell)
    assert "小明 has 2 coins" in page.text(cell_with("def ask(url, name"))
    assert "an API key in the header X-Teller-Key" in page.text(cell_with("TELLER_KEY"))
    assert "wants the scope coins.move" in page.text(cell_with("def token_of"))
    view_cell = cell_with("%task view")
    view = page.output(view_cell).locator(".nbagora-tasks")
    expect(view.locator("tbody tr").first).to_be_visible()
    view.scroll_into_view_if_needed()
    view.locator("tbody tr").first.click()
    expect(view.get_by_role("log")).to_contain_text("form 19")  # the newest, which was withdrawn
    for theme in ("light", "dark"):
        page.theme(theme)
        shoot(view, f"view-{theme}")
        assert page.violations(f".jp-Notebook .jp-Cell:nth-child({view_cell + 1}) .nbagora-tasks") == []
    page.cell(cell_with("TELLER_KEY")).scroll_into_view_if_needed()
    shoot(page.tab, "auth")
    page.run_cell(stop)
    for cell in CODE:
        errors = page.cell(cell).locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
        assert errors.count() == 0, f"cell {cell} wrote to stderr: {errors.all_inner_texts()}"
