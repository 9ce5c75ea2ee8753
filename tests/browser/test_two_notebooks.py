"""Two notebooks on one lab in a real JupyterLab: what either asks or hosts, both see; a lab that is away is told."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

START = "%load_ext nbagora\n%lab start --store agora"
NEAR = "%%agent near\nasync def near(message):\n    return message.text.upper()"
FAR = "%%agent far\nasync def far(message, task):\n    return (await task.call('near', message.text)).text"
VIEW = "%task view"
ASK_NEAR = "%agent ask near hello from b"
ASK_FAR = "%agent ask far 北京"
STOP = "%lab stop"
AGAIN = "%lab start --store agora"
OWNER = (START, NEAR, VIEW, ASK_FAR, STOP, AGAIN)
GUEST = (START, FAR, VIEW, ASK_NEAR)


@pytest.fixture
def notebooks(jupyter_lab, jupyter_tab):
    opened = []
    for name, cells in (("owner.ipynb", OWNER), ("guest.ipynb", GUEST)):
        jupyter_lab.tab = jupyter_tab if not opened else jupyter_tab.context.new_page()
        opened.append(jupyter_lab.open(jupyter_lab.write(name, *cells)))
    yield opened
    jupyter_lab.tab.close()
    jupyter_lab.tab = jupyter_tab
    jupyter_lab.close_all()


def test_two_notebooks_see_one_lab_and_hear_when_it_is_away(notebooks, shoot):
    owner, guest = notebooks
    for cell in (START, NEAR, VIEW):
        owner.run_cell(OWNER.index(cell))
    for cell in (START, FAR, VIEW):
        guest.run_cell(GUEST.index(cell))
    expect(guest.output(GUEST.index(START))).to_contain_text("joined the lab at http://127.0.0.1")
    views = [
        page.output(cells.index(VIEW)).locator(".nbagora-tasks") for page, cells in ((owner, OWNER), (guest, GUEST))
    ]
    guest.run_cell(GUEST.index(ASK_NEAR))
    expect(guest.output(GUEST.index(ASK_NEAR))).to_contain_text("HELLO FROM B")
    owner.run_cell(OWNER.index(ASK_FAR))
    expect(owner.output(OWNER.index(ASK_FAR))).to_contain_text("北京")
    for view in views:
        expect(view.locator("tbody tr")).to_have_count(3)
        expect(view.locator("tbody tr").nth(0)).to_contain_text("near")
        expect(view.locator("tbody tr").nth(1)).to_contain_text("far")
        expect(view.locator("tbody tr").nth(2)).to_contain_text("near")
        expect(view.locator(".lab")).to_have_attribute("data-link", "live")
    shoot(guest.tab, "guest")
    owner.run_cell(OWNER.index(STOP))
    expect(views[1]).to_contain_text("the lab that was joined does not answer")
    shoot(guest.tab, "away")
    owner.run_cell(OWNER.index(AGAIN))
    expect(views[1].locator(".lab")).to_have_attribute("data-link", "live")
    expect(views[1].locator("tbody tr")).to_have_count(3)
