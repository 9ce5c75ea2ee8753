"""The task view on a real lab in JupyterLab: what fits the specification, who called whom, answers, messages."""

import json

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.thorough, pytest.mark.timeout(600)]

HOTELS = """%%agent hotels
def hotels(message, task):
    'Finds rooms.'
    return f"a room in {message.text}"
"""
TRIP = """%%agent trip
async def trip(message, task):
    'Plans a weekend.'
    found = await task.call("hotels", message.text)
    day = await task.ask("Which day? 周五还是周六？")
    yield {"room": found.text, "day": day.text}
"""
ASKED = "asked = %agent send trip 北京\nlab.wait(asked).state"
WAIT, VIEW, STOP = 3, 4, 5


def test_a_task_is_read_answered_and_followed_to_what_it_called(jupyter, shoot, tmp_path):
    start = f"%load_ext nbagora\nlab = %lab start --store {tmp_path / 'store'} --seed 7"
    path = jupyter.write("inspector.ipynb", start, HOTELS, TRIP, ASKED, "%task view", "%lab stop")
    page = jupyter.open(path)
    for cell in range(STOP):
        page.run_cell(cell)
    assert "INPUT_REQUIRED" in page.text(WAIT)
    view = page.output(VIEW).locator(".nbagora-tasks")
    rows = view.locator("tr:has(td.events)")
    row = rows.filter(has_text="trip")
    row.click()
    feed = view.get_by_role("log")
    expect(feed.locator(".fit").first).to_have_text("✓")
    generations, fits = (feed.locator(kind).all_inner_texts() for kind in (".generation", ".fit"))
    assert [fit for generation, fit in zip(generations, fits, strict=True) if generation] == ["✓"] * 3
    assert set(fits) <= {"✓", ""}  # steps and calls are no messages of the protocol
    called = view.locator(".calls button")
    assert [name.split()[0] for name in called.all_inner_texts()] == ["trip", "hotels"]

    feed.locator(".at").first.click()
    raw = view.get_by_role("region", name="Message").locator("pre")
    expect(raw).to_be_visible()
    assert json.loads(raw.inner_text())["message"]["parts"] == [{"text": "北京"}]
    view.get_by_role("region", name="Message").locator(".close").click()

    view.get_by_label("Which day? 周五还是周六？").fill("周五")
    view.get_by_label("Which day? 周五还是周六？").press("Enter")
    expect(row).to_contain_text("completed")
    expect(view.locator(".artifacts pre").first).to_contain_text("a room in 北京")
    expect(view.locator(".artifacts pre").first).to_contain_text("周五")

    called.nth(1).click()
    expect(view.locator('.calls [aria-current="true"]')).to_contain_text("hotels")
    form = view.get_by_role("form", name="Send a message")
    form.get_by_label("Agent to send to").fill("hotels")
    form.get_by_label("Message to send").fill("上海")
    form.get_by_label("Message to send").press("Enter")
    expect(rows).to_have_count(3)
    rows.first.click()
    expect(view.locator(".artifacts pre").first).to_contain_text("a room in 上海")
    for theme in ("light", "dark"):
        page.theme(theme)
        shoot(view, f"inspector-{theme}")
        assert page.violations(f".jp-Notebook .jp-Cell:nth-child({VIEW + 1}) .nbagora-tasks") == []
    page.run_cell(STOP)
