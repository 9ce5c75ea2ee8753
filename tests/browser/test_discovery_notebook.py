"""The chapter on discovery as a learner meets it: opened in JupyterLab and run cell by cell, the registry in view."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

CHAPTER = Path(__file__).parents[2] / "notebooks" / "04_discovery.ipynb"
CELLS = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
CODE = [index for index, cell in enumerate(CELLS) if cell["cell_type"] == "code"]


def cell_with(text):
    [found] = [index for index in CODE if text in "".join(CELLS[index]["source"])]
    return found


def test_a_bad_release_is_seen_to_be_taken_back_live(jupyter, shoot):
    path = jupyter.root / "discovery" / CHAPTER.name
    path.parent.mkdir()
    # The busy cell stays busy after its calls until this test has looked, however slow the machine is.
    text = CHAPTER.read_text(encoding="utf-8")
    last = '"print(\\"\\".join(states))"'
    assert text.count(last) == 1
    waits = "while not __import__('pathlib').Path('seen').exists(): __import__('time').sleep(0.05)"
    path.write_text(text.replace(last, f'{last[:-1]}\\n",\n    "{waits}"'), encoding="utf-8")
    page = jupyter.open(path)
    view_cell, calls = cell_with("%registry view weather"), cell_with("states = []")
    view = page.output(view_cell).locator(".nbagora-registry")
    for cell in CODE:
        if cell != calls:
            page.run_cell(cell)
            continue
        page.theme("light")
        expect(view.locator(".rule")).to_contain_text("30 % → canary, 70 % → latest")
        shoot(view, "before")
        page.run_cell(cell, wait=False)
        expect(view.locator(".rule")).not_to_contain_text("canary", timeout=60_000)
        assert page.is_running(cell), "the view must have moved while the cell was busy"
        view.scroll_into_view_if_needed()
        shoot(view, "taken-back")
        place = f".jp-Notebook .jp-Cell:nth-child({view_cell + 1}) .nbagora-registry"
        assert page.violations(place) == []
        page.theme("dark")
        shoot(view, "dark")
        assert page.violations(place) == []
        (path.parent / "seen").touch()
        page.wait_cell(cell)
    assert "x" in page.text(calls)
    assert "calls failed" in page.text(cell_with("taken_back.why"))
    assert "欢迎来到 Lima" in page.text(cell_with("lab.answer(task"))
    for cell in CODE:
        errors = page.cell(cell).locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
        assert errors.count() == 0, f"cell {cell} wrote to stderr: {errors.all_inner_texts()}"
