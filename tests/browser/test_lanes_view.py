"""The lanes view mounted in Chromium over a mock model: lanes, steps, replay, one step whole, keyboard and themes."""

import pytest
from playwright.sync_api import expect
from pydantic import TypeAdapter

from accessibility import violations
from lanes_shots import HOSTILE, trip
from nbagora_lab.inspect.lanesview import LanesCommand, Rerun, ShowStep, StepDetail
from view_server import THEMES

pytestmark = pytest.mark.browser

COMMAND = TypeAdapter(LanesCommand)


class Mounted:
    """The view on a page, and what it sent."""

    def __init__(self, tab, server):
        self.tab, self.server = tab, server

    def mount(self, snapshot=None, theme="light"):
        self.tab.goto(f"{self.server.url}/flow/{theme}.html")
        self.tab.wait_for_function("window.ready")
        self.tab.evaluate("(snapshot) => mount(snapshot)", (snapshot or trip()).model_dump(mode="json"))
        return self

    def show(self, snapshot):
        self.tab.evaluate(
            "(snapshot) => (model.show(snapshot), new Promise((done) => requestAnimationFrame(() => done())))",
            snapshot.model_dump(mode="json"),
        )

    def sent(self, kind):
        commands = [COMMAND.validate_python(command) for command in self.tab.evaluate("model.sent")]
        return [command for command in commands if isinstance(command, kind)]

    def names(self):
        return self.tab.locator("tbody .open").evaluate_all(
            "(nodes) => nodes.map((node) => node.children[1].textContent)"
        )

    def row(self, key):
        return self.tab.locator(f'tbody tr[data-key="{key}"]')

    def replay(self, position):
        self.tab.locator("input[type=range]").evaluate(
            "(node, at) => { node.value = at; node.dispatchEvent(new Event('input', { bubbles: true })) }", position
        )


@pytest.fixture
def view(tab, view_server):
    return Mounted(tab, view_server)


def test_steps_are_a_tree_and_each_who_did_something_has_a_lane(view):
    view.mount()
    assert view.names() == ["trip", "parallel", "酒店", "trains", "chain"]
    expect(view.tab.locator(".count")).to_have_text("trip · 5 steps · 3 lanes · 1,234 tokens · $0.0125")
    assert view.tab.locator(".lane b").all_text_contents() == ["trip", "酒店", "trains"]
    assert view.tab.locator(".lane .bar").count() == 5
    expect(view.row("trip/parallel/酒店")).to_contain_text("The Jade")
    expect(view.row("trip/parallel/酒店").locator(".time")).to_have_text("250 ms")
    expect(view.row("trip/parallel/trains").locator(".unseen")).to_have_text(", flow, failed")


def test_bars_stand_where_their_records_do(view):
    view.mount()
    track = view.tab.locator(".track").nth(1).bounding_box()
    bar = view.tab.locator('.bar[data-key="trip/parallel/酒店"]').bounding_box()
    assert (bar["x"] - track["x"]) / track["width"] == pytest.approx(2 / 12, abs=0.02)
    assert bar["width"] / track["width"] == pytest.approx(6 / 12, abs=0.02)


def test_the_slider_replays_and_asks_nobody(view):
    view.mount()
    before = len(view.tab.evaluate("model.sent"))
    view.replay(4)
    assert view.names() == ["trip", "parallel", "酒店", "trains"]
    expect(view.tab.locator(".reached")).to_have_text("4 of 12 records")
    expect(view.row("trip/parallel/酒店").locator(".came-of-it")).to_have_text("…")
    view.replay(8)
    expect(view.row("trip/parallel/酒店")).to_contain_text("The Jade")
    assert "chain" not in view.names()
    view.replay(0)
    assert view.names() == []
    view.tab.locator(".play").click()
    expect(view.tab.locator(".reached")).to_have_text("2 of 12 records")
    view.tab.locator(".play").click()
    view.replay(12)
    assert len(view.names()) == 5
    assert len(view.tab.evaluate("model.sent")) == before


def test_a_replay_stays_where_it_is_while_more_comes(view):
    view.mount()
    view.replay(2)
    view.show(trip().model_copy(update={"seq": 2, "length": 14}))
    expect(view.tab.locator(".reached")).to_have_text("2 of 14 records")


def test_a_step_is_shown_whole_by_row_and_by_bar(view):
    view.mount()
    view.row("trip/chain").locator(".open").click()
    assert view.sent(ShowStep)[-1].id == "trip/chain"
    view.show(trip(StepDetail(id="trip/chain", input='{\n "a": 1\n}', output=HOSTILE)))
    expect(view.tab.locator(".whole pre")).to_have_text('{\n "a": 1\n}')
    assert view.tab.locator(".whole textarea").input_value() == HOSTILE
    assert view.tab.evaluate("window.hit") is None
    expect(view.tab.locator(".again")).to_be_hidden()
    view.tab.locator(".whole .close").click()
    assert view.sent(ShowStep)[-1].id is None
    expect(view.tab.locator(".whole")).to_be_hidden()
    view.tab.locator('.bar[data-key="trip/parallel/酒店"]').click()
    assert view.sent(ShowStep)[-1].id == "trip/parallel/酒店"


def test_a_run_goes_on_from_a_step_with_another_output(view):
    view.mount()
    view.row("trip/parallel/酒店").locator(".open").click()
    detail = StepDetail(id="trip/parallel/酒店", input="北京", output="The Jade", can_rerun=True)
    view.show(trip(detail))
    view.tab.locator(".whole textarea").fill("The Ruby")
    view.show(trip(detail).model_copy(update={"seq": 3}))
    assert view.tab.locator(".whole textarea").input_value() == "The Ruby"
    view.tab.locator(".again").click()
    [asked] = view.sent(Rerun)
    assert (asked.id, asked.output) == ("trip/parallel/酒店", "The Ruby")


def test_the_keyboard_leads_through_the_steps(view):
    view.mount()
    view.row("trip").locator(".open").focus()
    for key in ("ArrowDown", "ArrowDown"):
        view.tab.keyboard.press(key)
    assert view.tab.evaluate("document.activeElement.closest('tr').dataset.key") == "trip/parallel/酒店"
    view.tab.keyboard.press("Enter")
    assert view.sent(ShowStep)[-1].id == "trip/parallel/酒店"
    view.tab.keyboard.press("Escape")
    expect(view.tab.locator(".whole")).to_be_hidden()
    assert view.tab.evaluate("document.activeElement.closest('tr').dataset.key") == "trip/parallel/酒店"
    view.tab.keyboard.press("End")
    assert view.tab.evaluate("document.activeElement.closest('tr').dataset.key") == "trip/chain"


def test_a_view_leaves_nothing_behind(view):
    view.mount()
    view.tab.evaluate("unmount()")
    assert view.tab.evaluate("document.getElementById('view').children.length") == 0


@pytest.mark.parametrize("theme", THEMES)
def test_every_theme_passes_axe(view, theme, shoot):
    view.mount(trip(StepDetail(id="trip/parallel/酒店", input="北京", output="The Jade", can_rerun=True)), theme)
    expect(view.tab.locator(".whole")).to_be_visible()
    shoot(view.tab, f"lanes-{theme}")
    assert violations(view.tab, "#view") == []
