"""The notebooks on agents, workflows and several agents as a learner meets them: opened in JupyterLab, cell by cell."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = [
    pytest.param("05_agents", marks=pytest.mark.campaign),
    pytest.param("06_workflows", marks=pytest.mark.campaign),
    pytest.param("07_multi_agent", marks=pytest.mark.thorough),
]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_cell_by_cell_and_its_lanes_can_be_used(jupyter, shoot, name):
    page, code = jupyter.open_copy(NOTEBOOKS / f"{name}.ipynb")
    for cell, source in code.items():
        if "%lab stop" in source:
            break
        page.run_cell(cell)
        page.cell(cell).scroll_into_view_if_needed()
        shoot(page.tab, f"cell-{cell:02}")
    for cell in (at for at, source in code.items() if "%task lanes" in source):
        view = page.output(cell).locator(".nbagora-lanes")
        view.scroll_into_view_if_needed()
        expect(view.locator("tbody tr").first).to_be_visible()
        view.locator("tbody .open").last.click()
        expect(view.locator(".whole")).to_be_visible()
        for theme in ("light", "dark"):
            page.theme(theme)
            shoot(view, f"lanes-{cell:02}-{theme}")
            assert page.violations(f".jp-Notebook .jp-Cell:nth-child({cell + 1}) .nbagora-lanes") == []
    for cell in code:
        errors = page.cell(cell).locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
        assert errors.count() == 0, f"cell {cell} wrote to stderr: {errors.all_inner_texts()}"
