"""The notebooks on lite topics and scheduling as a learner meets them: opened in JupyterLab, cell by cell."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.thorough]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PLOTS = {"01_lite_topics": 0, "02_scheduling": 3}


@pytest.mark.parametrize("name", PLOTS)
def test_it_runs_cell_by_cell_and_what_it_shows_can_be_read_in_either_theme(jupyter, shoot, name):
    page, code = jupyter.open_copy(NOTEBOOKS / f"{name}.ipynb")
    for cell, source in code.items():
        page.run_cell(cell)
        if "%topic view" in source:
            view = page.output(cell).locator(".nbagora-topics")
            expect(view.locator(".lab")).to_have_attribute("data-link", "live")
            for theme in ("light", "dark"):
                page.theme(theme)
                assert page.violations(f".jp-Notebook .jp-Cell:nth-child({cell + 1}) .nbagora-topics") == []
    assert sum(page.cell(cell).locator(".jp-RenderedImage img").count() for cell in code) == PLOTS[name]
    for theme in ("light", "dark"):
        page.theme(theme)
        expect(page.tab.locator("#jupyterlab-splash")).to_have_count(0)  # it lies over what a picture shows
        for cell in code:
            page.cell(cell).scroll_into_view_if_needed()
            shoot(page.tab, f"cell-{cell:02}-{theme}")
    for cell in code:
        errors = page.cell(cell).locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
        assert errors.count() == 0, f"cell {cell} wrote to stderr: {errors.all_inner_texts()}"
