"""The task view as an inspector, mounted in Chromium: messages, artifacts, calls, the specification's verdict."""

import base64

import pytest
from playwright.sync_api import expect

from accessibility import violations
from fake_lab import T0
from mounted import HOSTILE, Mounted
from nbagora_lab.inspect.model import ArtifactRow, CallRow, EventRow, Inspect, PartRow, Say, Select
from view_server import THEMES

pytestmark = pytest.mark.browser

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c636060f8cf00000301010018dd8db00000000049454e44ae426082"
    )
).decode()
ARTIFACTS = (
    ArtifactRow(id="a", parts=(PartRow(kind="text", text=f"Sunny in 北京 {HOSTILE}", media="text/plain"),)),
    ArtifactRow(
        id="b",
        name="forecast",
        parts=(
            PartRow(kind="json", text='{\n  "city": "北京"\n}', media="application/json"),
            PartRow(kind="image", text=PIXEL, media="image/png", name="sky.png"),
            PartRow(kind="link", text="https://example.org/f", media="text/plain", name="f"),
            PartRow(kind="link", text="javascript:window.hit=1", name="bad"),
        ),
    ),
)
CALLS = (
    CallRow(id="ctx.aaaaaaaa", agent="trip", state="WORKING"),
    CallRow(id="ctx2.bbbbbbbb", agent="trains", state="COMPLETED", depth=1),
    CallRow(id="ctx3.cccccccc", agent="hotels", state="FAILED", depth=1),
)


@pytest.fixture
def view(tab, view_server):
    view = Mounted(tab, view_server)
    view.source.add("ctx.aaaaaaaa", agent="trip")
    view.source.events["ctx.aaaaaaaa"] += [
        EventRow(offset=4, generation=2, kind="artifact", text="Sunny ", time=T0, checked=True),
        EventRow(offset=6, generation=3, kind="artifact", text="北京", time=T0, checked=True),
        EventRow(
            offset=7, generation=4, kind="status", state="WORKING", time=T0, checked=True, problems=("no contextId",)
        ),
    ]
    view.filters["selected"] = "ctx.aaaaaaaa"
    return view


def snapshot(view):
    shot = view.snapshot()
    shot["selected"] |= {
        "artifacts": [one.model_dump() for one in ARTIFACTS],
        "calls": [one.model_dump() for one in CALLS],
    }
    return shot


def mounted(view, theme="light"):
    view.tab.goto(f"{view.server.url}/{theme}.html")
    view.tab.wait_for_function("window.ready")
    view.tab.evaluate("(snapshot) => mount(snapshot)", snapshot(view))
    return view.tab


def test_artifacts_are_rendered_and_nothing_of_them_runs(view):
    tab = mounted(view)
    assert tab.locator(".pane summary").first.inner_text() == "2 artifacts"
    assert tab.locator(".artifacts pre:visible").all_inner_texts() == [
        f"Sunny in 北京 {HOSTILE}",
        '{\n  "city": "北京"\n}',
        "javascript:window.hit=1",
    ]
    image = tab.locator(".artifacts img:visible")
    assert (image.get_attribute("alt"), image.evaluate("(node) => node.naturalWidth")) == ("sky.png", 1)
    link = tab.locator(".artifacts a:visible")
    assert (link.count(), link.get_attribute("href"), link.inner_text()) == (1, "https://example.org/f", "f")
    assert tab.evaluate("window.hit") is None


@pytest.mark.thorough
def test_events_tell_their_generation_and_whether_they_fit(view):
    tab = mounted(view)
    lines = tab.locator(".feed li")
    assert lines.locator(".generation").all_inner_texts() == ["1", "2–3", "4"]
    assert lines.locator(".fit").all_inner_texts() == ["", "✓", "⚠"]
    assert "no contextId" in lines.nth(2).locator(".fit").get_attribute("aria-label")


def test_a_message_is_shown_as_the_protocol_has_it(view):
    tab = mounted(view)
    tab.locator(".feed .at").nth(1).focus()
    tab.keyboard.press("Enter")
    [asked] = view.sent(Inspect)
    assert (asked.task_id, asked.offset) == ("ctx.aaaaaaaa", 4)
    message = view.source.message("ctx.aaaaaaaa", 4).model_dump(mode="json")
    tab.evaluate("(message) => { model.state.message = message; model.emit('change:message') }", message)
    pane = tab.get_by_role("region", name="Message")
    expect(pane.locator("pre")).to_have_text('{\n  "task": {}\n}')
    expect(pane.get_by_role("button", name="Copy reference")).to_have_count(0)
    pane.locator(".close").click()
    expect(pane).to_be_hidden()
    assert view.sent(Inspect)[-1].offset is None


@pytest.mark.thorough
def test_calls_lead_from_task_to_task(view):
    tab = mounted(view)
    assert tab.locator(".calls button").all_inner_texts() == ["trip aaaaaaaa", "trains bbbbbbbb", "hotels cccccccc"]
    assert tab.locator('.calls [aria-current="true"]').inner_text() == "trip aaaaaaaa"
    left = [tab.locator(".calls li").nth(at).bounding_box()["x"] for at in range(3)]
    assert left[0] < left[1] == left[2]
    tab.locator(".calls button").nth(1).click()
    assert view.sent(Select)[-1].task_id == "ctx2.bbbbbbbb"


@pytest.mark.thorough
def test_a_message_is_sent_in_a_new_context_and_in_the_one_that_is_shown(view):
    tab = mounted(view)
    form = tab.get_by_role("form", name="Send a message")
    form.get_by_label("Agent to send to").fill("天气")
    form.get_by_label("Message to send").fill("北京?")
    form.get_by_label("Message to send").press("Enter")
    expect(form.get_by_label("Message to send")).to_have_value("")
    form.get_by_label("go on in its context").check()
    form.get_by_label("Message to send").fill("and tomorrow?")
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_label("Message to send")).to_have_value("")
    assert [(one.agent, one.text, one.context_id) for one in view.sent(Say)] == [
        ("天气", "北京?", ""),
        ("天气", "and tomorrow?", "c-ctx.aaaaaaaa"),
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [1000, 480])
def test_nothing_hinders_anybody(view, theme, width, tmp_path):
    view.tab.set_viewport_size({"width": width, "height": 1200})
    tab = mounted(view, theme)
    message = view.source.message("ctx.aaaaaaaa", 4).model_dump(mode="json")
    tab.locator(".feed .at").nth(1).click()
    tab.evaluate("(message) => { model.state.message = message; model.emit('change:message') }", message)
    expect(tab.get_by_role("region", name="Message").locator("pre")).to_be_visible()
    picture = tab.screenshot(full_page=True)  # by a path, a thread of its own would stay
    (tmp_path / f"inspect-{theme}-{width}.png").write_bytes(picture)
    assert violations(tab, "#view") == []
