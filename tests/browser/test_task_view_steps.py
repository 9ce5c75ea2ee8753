"""The steps of the selected task in the task view: lanes, replay, and a run that goes on from a step."""

import pytest
from playwright.sync_api import expect
from pydantic import TypeAdapter

from accessibility import violations
from lanes_shots import trip
from mounted import Mounted
from nbagora_lab.inspect.lanesview import LanesCommand, Rerun, ShowStep, StepDetail
from view_server import THEMES

pytestmark = pytest.mark.browser

STEP = "trip/parallel/酒店"


class WithSteps(Mounted):
    def steps(self, shot):
        self.tab.evaluate(
            "(shot) => (model.set('lanes', shot), new Promise((done) => requestAnimationFrame(() => done())))",
            {} if shot is None else shot.model_dump(mode="json"),
        )

    def commands(self, kind):
        sent = [one for one in self.tab.evaluate("model.sent") if one["do"] in {"step", "rerun"}]
        return [one for one in map(TypeAdapter(LanesCommand).validate_python, sent) if isinstance(one, kind)]

    @property
    def pane(self):
        return self.tab.locator(".lanes")


@pytest.fixture
def view(tab, view_server):
    view = WithSteps(tab, view_server)
    for task in ("t-1", "t-2"):
        view.source.add(task, agent="trip", state="COMPLETED", text="by train")
    return view


def test_the_selected_task_shows_its_steps_and_no_other_s(view):
    view.mount()
    expect(view.pane).to_be_hidden()
    view.select("t-1")
    expect(view.pane).to_be_hidden()
    view.steps(trip(task="t-1"))
    expect(view.pane.locator(".count")).to_have_text("trip · 5 steps · 3 lanes · 1,234 tokens · $0.0125")
    assert view.pane.locator(".bar").count() == 5
    view.select("t-2")
    expect(view.pane).to_be_hidden()


def test_a_replay_of_one_task_is_not_kept_for_the_next(view):
    view.mount()
    view.select("t-1")
    view.steps(trip(task="t-1"))
    view.pane.locator("input[type=range]").evaluate(
        "(node) => { node.value = 4; node.dispatchEvent(new Event('input', { bubbles: true })) }"
    )
    expect(view.pane.locator(".reached")).to_have_text("4 of 12 records")
    view.select("t-2")
    view.steps(trip(task="t-2"))
    expect(view.pane.locator(".reached")).to_have_text("12 of 12 records")


def test_a_run_goes_on_from_a_step_with_another_output(view):
    view.mount()
    view.select("t-1")
    view.steps(trip(task="t-1"))
    view.pane.locator(f'tr[data-key="{STEP}"] .open').click()
    assert view.commands(ShowStep)[-1].id == STEP
    view.steps(trip(StepDetail(id=STEP, input="北京", output="The Jade", can_rerun=True), task="t-1"))
    view.pane.locator("textarea").fill("The Ruby")
    view.pane.locator(".again").click()
    [asked] = view.commands(Rerun)
    assert (asked.id, asked.output) == (STEP, "The Ruby")
    view.pane.locator("textarea").press("Escape")  # shuts the step, and not the task
    expect(view.pane.locator(".whole")).to_be_hidden()
    expect(view.pane).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
def test_every_theme_passes_axe(view, theme, shoot):
    view.mount(theme)
    view.select("t-1")
    view.steps(trip(StepDetail(id=STEP, input="北京", output="The Jade", can_rerun=True), task="t-1"))
    expect(view.pane.locator(".whole")).to_be_visible()
    shoot(view.tab, f"tasks-steps-{theme}")
    assert violations(view.tab, "#view") == []
