"""The task view mounted in Chromium over a mock model: what it shows, what it sends, and what it leaves behind."""

import pytest
from playwright.sync_api import expect

from accessibility import violations
from mounted import HOSTILE, Mounted
from nbagora_lab.inspect.model import STATES, STOPPED, Answer, Bye, Cancel, Filter, Hello, Select
from view_server import THEMES

pytestmark = pytest.mark.browser


@pytest.fixture
def view(tab, view_server):
    return Mounted(tab, view_server)


def keys(view):
    return view.tab.evaluate("[...document.querySelectorAll('tbody tr')].map((row) => row.dataset.key)")


def focused(view):
    return view.tab.evaluate("document.activeElement.closest('tr')?.dataset.key ?? document.activeElement.className")


def test_rows_show_the_tasks_newest_first(view):
    view.source.add("t1", agent="weather", text="Sunny in 北京")
    view.source.add("t2", agent="trip", state="INPUT_REQUIRED", question="周五还是周六？")
    view.mount()
    assert keys(view) == ["t2", "t1"]
    expect(view.row("t2")).to_contain_text("input required")
    expect(view.row("t2")).to_contain_text("周五还是周六？")
    expect(view.row("t1").locator(".last-words")).to_have_text("Sunny in 北京")
    expect(view.tab.locator(".nbagora-tasks > header > .count")).to_have_text("2 tasks, 1 working, 1 input required")
    expect(view.status()).to_have_text("http://127.0.0.1:1")


@pytest.mark.thorough
def test_a_change_patches_its_row_and_leaves_the_others_alone(view):
    view.source.add("t1")
    view.source.add("t2")
    view.mount()
    view.tab.evaluate(
        """() => {
            for (const row of document.querySelectorAll("tbody tr")) row.mark = row.dataset.key;
            window.touched = new Set();
            const keyOf = (node) => (node.parentElement ?? node).closest("tr")?.dataset.key;
            new MutationObserver((changes) => {
                for (const { target } of changes) touched.add(keyOf(target));
            }).observe(document.querySelector("tbody"), { subtree: true, childList: true, characterData: true });
        }"""
    )
    view.source.change("t1", state="COMPLETED", text="done")
    view.show()
    expect(view.row("t1")).to_contain_text("completed")
    assert view.tab.evaluate("[...touched]") == ["t1"]
    assert view.tab.evaluate("[...document.querySelectorAll('tbody tr')].map((row) => row.mark)") == ["t2", "t1"]


@pytest.mark.thorough
def test_focus_stays_while_rows_come_go_and_change(view):
    for number in range(5):
        view.source.add(f"t{number}")
    view.mount()
    view.opener("t2").focus()
    view.source.add("t9")
    view.show()
    assert focused(view) == "t2"
    del view.source.rows["t4"], view.source.rows["t0"]
    view.source.change("t2", state="COMPLETED")
    view.show()
    assert focused(view) == "t2"
    view.source.rows["t2"] = view.source.rows["t2"].model_copy(update={"created": 0})  # to the other end
    view.show()
    assert keys(view) == ["t9", "t3", "t1", "t2"]
    assert focused(view) == "t2"
    view.source.rows["t2"] = view.source.rows["t2"].model_copy(update={"created": 9e9})  # and back, past all others
    view.show()
    assert keys(view) == ["t2", "t9", "t3", "t1"]
    assert focused(view) == "t2"


@pytest.mark.thorough
def test_arrows_move_through_rows_enter_opens_escape_closes(view):
    for number in range(3):
        view.source.add(f"t{number}")
    view.mount()
    view.tab.locator("select").focus()
    view.tab.keyboard.press("Tab")
    assert focused(view) == "t2"
    view.tab.keyboard.press("ArrowDown")
    assert focused(view) == "t1"
    view.tab.keyboard.press("End")
    assert focused(view) == "t0"
    view.tab.keyboard.press("Home")
    view.tab.keyboard.press("ArrowUp")
    assert focused(view) == "t2"
    view.tab.keyboard.press("Enter")
    assert view.sent(Select)[-1].task_id == "t2"
    view.select("t2")
    expect(view.opener("t2")).to_have_attribute("aria-expanded", "true")
    expect(view.tab.locator(".detail")).to_be_visible()
    view.tab.locator(".feed").focus()
    view.tab.keyboard.press("Escape")
    assert view.sent(Select)[-1].task_id is None
    expect(view.tab.locator(".detail")).to_be_hidden()
    assert focused(view) == "t2"


@pytest.mark.thorough
def test_tab_leads_to_one_row_alone(view):
    for number in range(20):
        view.source.add(f"t{number}")
    view.mount()
    assert view.tab.locator('tbody [tabindex="0"]').count() == 2  # its opener and its cancel button
    view.opener("t7").focus()
    expect(view.opener("t7")).to_have_attribute("tabindex", "0")
    assert view.tab.locator('tbody [tabindex="0"]').count() == 2


@pytest.mark.thorough
def test_plain_keys_stay_inside_and_shortcuts_pass(view):
    view.source.add("t1")
    view.mount()
    view.tab.evaluate("() => { window.keys = []; addEventListener('keydown', (event) => window.keys.push(event.key)) }")
    view.opener("t1").focus()
    for key in ("d", "ArrowDown", "Control+s", "Shift+Enter"):
        view.tab.keyboard.press(key)
    assert view.tab.evaluate("window.keys") == ["Control", "s", "Enter"]


@pytest.mark.thorough
def test_a_click_on_a_row_opens_it_and_another_closes(view):
    view.source.add("t1")
    view.mount()
    view.row("t1").locator(".last-words").click()
    assert [command.task_id for command in view.sent(Select)] == ["t1"]
    view.select("t1")
    view.row("t1").locator(".events").click()
    assert [command.task_id for command in view.sent(Select)] == ["t1", None]


@pytest.mark.thorough
def test_events_of_the_selected_task_are_a_feed(view):
    view.source.add("t1")
    view.source.change("t1", state="WORKING", text="looking")
    for chunk in ("Sunny", " in ", "北京"):
        view.source.change("t1", "artifact", event_text=chunk)
    view.filters["selected"] = "t1"
    view.mount()
    expect(view.events()).to_have_count(3)
    expect(view.events().last).to_contain_text("Sunny in 北京")
    expect(view.events().last).to_contain_text("#3–5")
    expect(view.tab.get_by_role("log")).to_have_attribute("aria-live", "polite")


@pytest.mark.thorough
def test_the_feed_changes_once_a_second_at_most(view):
    view.source.add("t1")
    view.filters["selected"] = "t1"
    view.mount()
    view.tab.evaluate(
        """() => {
            window.changes = 0;
            new MutationObserver(() => (window.changes += 1)).observe(document.querySelector(".feed"),
                { subtree: true, childList: true, characterData: true });
        }"""
    )
    for number in range(20):
        view.source.change("t1", state="WORKING", text=f"step {number}")
        view.show()
        assert view.tab.evaluate("window.changes") <= view.tab.evaluate("performance.now() / 1000 + 1")
    expect(view.events().last).to_contain_text("step 19")
    expect(view.events()).to_have_count(21)


@pytest.mark.thorough
def test_earlier_events_that_are_left_out_are_counted(view):
    view.source.add("t1")
    for number in range(300):
        view.source.change("t1", state="WORKING", text=f"step {number}")
    view.filters["selected"] = "t1"
    view.mount()
    expect(view.events()).to_have_count(200)
    expect(view.tab.locator(".skips")).to_have_text("101 earlier events")


@pytest.mark.thorough
def test_cancel_sends_once_and_shows_that_it_is_under_way(view):
    view.source.add("t1")
    view.mount()
    button = view.row("t1").locator(".cancel")
    button.click()
    button.press("Enter")
    assert [command.task_id for command in view.sent(Cancel)] == ["t1"]
    expect(button).to_contain_text("canceling…")
    assert focused(view) == "t1"
    view.source.change("t1", state="CANCELED")
    view.show()
    expect(button).to_be_hidden()
    expect(view.row("t1")).to_contain_text("canceled")


@pytest.mark.thorough
def test_a_button_without_a_reply_says_that_it_waits(view):
    view.source.add("t1")
    view.mount()
    view.obeys(False)
    button = view.row("t1").locator(".cancel")
    button.click()
    expect(button).to_contain_text("queued until the cell ends")
    view.reply(view.sent(Cancel)[0])
    expect(button).to_contain_text("canceling…")


@pytest.mark.thorough
def test_a_selection_without_a_reply_says_that_it_waits(view):
    view.source.add("t1")
    view.mount()
    view.obeys(False)
    view.opener("t1").click()
    expect(view.tab.get_by_role("alert")).to_have_text("queued until the cell ends")
    view.reply(view.sent(Select)[0])
    expect(view.tab.locator(".notice")).to_be_hidden()


@pytest.mark.thorough
def test_a_refusal_shows_both_lines_and_gives_the_button_back(view):
    view.source.add("t1")
    view.mount()
    view.obeys(False)
    button = view.row("t1").locator(".cancel")
    button.click()
    problem = {"name": "TaskNotFound", "what": "no task 't1'", "hint": "see %task ls"}
    view.reply(view.sent(Cancel)[0], problem)
    assert view.tab.get_by_role("alert").inner_text() == "TaskNotFound: no task 't1'\nsee %task ls"
    expect(button).to_have_text("Cancel task t1")
    button.click()
    assert len(view.sent(Cancel)) == 2


def test_a_question_is_answered_by_enter(view):
    view.source.add("t1", state="INPUT_REQUIRED", question="Which day?")
    view.filters["selected"] = "t1"
    view.mount()
    box = view.tab.get_by_label("Which day?")
    box.fill("Friday")
    box.press("Shift+Enter")
    box.press_sequentially("evening, 周五")
    view.obeys(False)
    box.press("Enter")
    box.press("Enter")
    [answer] = view.sent(Answer)
    assert (answer.task_id, answer.text) == ("t1", "Friday\nevening, 周五")
    expect(view.tab.get_by_role("button", name="queued until the cell ends")).to_be_visible()
    view.reply(answer)
    expect(box).to_have_value("")
    view.source.change("t1", state="WORKING", question="")
    view.show()
    expect(box).to_be_hidden()


def test_answers_that_a_question_names_are_buttons(view):
    view.source.add("t1", state="INPUT_REQUIRED", question="May I call book?", choices=("yes", "不"))
    view.source.add("t2", state="INPUT_REQUIRED", question="Which day?")
    view.filters["selected"] = "t1"
    view.mount()
    answers = view.tab.get_by_role("group", name="Answers")
    assert answers.get_by_role("button").all_text_contents() == ["yes", "不"]
    answers.get_by_role("button", name="不").click()
    [answer] = view.sent(Answer)
    assert (answer.task_id, answer.text) == ("t1", "不")
    view.select("t2")
    expect(answers).to_be_hidden()


@pytest.mark.thorough
def test_enter_that_ends_a_chinese_word_does_not_send(view):
    view.source.add("t1", state="INPUT_REQUIRED", question="Which day?")
    view.filters["selected"] = "t1"
    view.mount()
    box = view.tab.get_by_label("Which day?")
    box.fill("周五")
    box.evaluate("(box) => box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true }))")
    assert view.sent(Answer) == []
    view.tab.get_by_role("button", name="Answer").click()
    assert len(view.sent(Answer)) == 1


@pytest.mark.thorough
def test_an_answer_that_is_refused_is_kept_and_so_is_one_begun(view):
    for task in ("t1", "t2"):
        view.source.add(task, state="INPUT_REQUIRED", question=f"{task}?")
    view.filters["selected"] = "t1"
    view.mount()
    view.tab.get_by_label("t1?").fill("Friday")
    view.show()
    expect(view.tab.get_by_label("t1?")).to_have_value("Friday")
    view.select("t2")
    expect(view.tab.get_by_label("t2?")).to_have_value("")
    view.select("t1")
    box = view.tab.get_by_label("t1?")
    expect(box).to_have_value("Friday")
    view.obeys(False)
    box.press("Enter")
    view.reply(view.sent(Answer)[0], {"name": "TaskEnded", "what": "ended", "hint": "ask again"})
    expect(box).to_have_value("Friday")


@pytest.mark.thorough
def test_an_empty_answer_is_not_sent(view):
    view.source.add("t1", state="INPUT_REQUIRED", question="Which day?")
    view.filters["selected"] = "t1"
    view.mount()
    view.tab.get_by_label("Which day?").press("Enter")
    assert view.sent(Answer) == []


@pytest.mark.thorough
def test_filters_are_asked_of_the_kernel(view):
    view.source.add("t1", agent="weather")
    view.source.add("t2", agent="trip")
    view.mount()
    view.tab.get_by_label("Agent", exact=True).fill("trip")
    view.tab.get_by_label("Agent", exact=True).press("Enter")
    view.tab.get_by_label("State").select_option("FAILED")
    assert [(command.agent, command.state) for command in view.sent(Filter)] == [("trip", None), ("trip", "FAILED")]
    view.filters |= {"agent": "trip", "state": "FAILED"}
    view.show()
    expect(view.tab.locator(".empty").first).to_have_text("No task passes the filters.")
    view.tab.get_by_label("State").select_option("")
    assert view.sent(Filter)[-1].state is None


@pytest.mark.thorough
def test_no_tasks_yet_is_said(view):
    view.mount()
    expect(view.tab.locator(".empty").first).to_have_text("No tasks yet.")


@pytest.mark.thorough
def test_two_hundred_rows_are_shown_of_more(view):
    for number in range(1000):
        view.source.add(f"t{number}")
    view.mount()
    assert view.tab.locator("tbody tr").count() == 200
    expect(view.tab.locator(".nbagora-tasks > header > .count")).to_contain_text("200 newest of 1,000 tasks")


def test_hostile_texts_are_texts(view):
    view.source.add(HOSTILE, agent=HOSTILE, state=HOSTILE, text=HOSTILE)
    view.source.add("t2", agent=HOSTILE, state="INPUT_REQUIRED", question=HOSTILE)
    view.source.change("t2", kind=HOSTILE, event_text=HOSTILE, event_state=HOSTILE)
    view.filters["selected"] = "t2"
    view.mount()
    view.obeys(False)
    view.row("t2").locator(".cancel").click()
    view.reply(view.sent(Cancel)[0], {"name": HOSTILE, "what": HOSTILE, "hint": HOSTILE})
    expect(view.tab.get_by_role("alert")).to_contain_text(HOSTILE)
    expect(view.tab.locator(".detail label").first).to_have_text(HOSTILE)
    expect(view.events().last).to_contain_text(HOSTILE)
    expect(view.opener("t2")).to_contain_text(HOSTILE)
    view.filters["selected"] = HOSTILE
    view.show(lab=HOSTILE)
    expect(view.status()).to_have_text(HOSTILE)
    assert view.tab.locator("#view img[src], #view script, #view b").count() == 0  # the panes have an empty one
    assert view.tab.evaluate("window.hit") is None


@pytest.mark.thorough
def test_a_stopped_lab_leaves_the_table_and_nothing_to_press(view):
    view.source.add("t1", state="INPUT_REQUIRED", question="Which day?")
    view.filters["selected"] = "t1"
    view.mount()
    expect(view.row("t1").locator(".cancel")).to_be_visible()
    view.show(lab=STOPPED)
    expect(view.status()).to_have_text("the lab is not running")
    expect(view.row("t1")).to_be_visible()
    expect(view.tab.locator(".cancel:visible, form:visible")).to_have_count(0)
    expect(view.tab.get_by_label("Agent", exact=True)).to_be_disabled()
    view.opener("t1").click()
    assert [command.do for command in view.sent(Select)] == []


@pytest.mark.thorough
def test_a_model_without_a_kernel_says_so(view):
    view.source.add("t1")
    view.mount()
    expect(view.status()).to_have_text("http://127.0.0.1:1")
    view.tab.evaluate("() => { model.comm_live = false; model.emit('comm_live_update') }")
    expect(view.status()).to_have_text("the lab is not running")
    expect(view.row("t1").locator(".cancel")).to_be_hidden()


@pytest.mark.thorough
def test_a_kernel_that_does_not_answer_is_said_until_it_is_heard(view):
    view.source.add("t1")
    view.tab.goto(f"{view.server.url}/light.html")
    view.tab.wait_for_function("window.ready")
    view.tab.evaluate("(shot) => { mount(shot); model.obeys = false }", view.snapshot())
    expect(view.status()).to_have_text("no answer yet: a cell is running, or the kernel is gone")
    view.show()
    expect(view.status()).to_have_text("http://127.0.0.1:1")


@pytest.mark.thorough
def test_unmounting_leaves_nothing(view):
    view.source.add("t1")
    view.filters["selected"] = "t1"
    view.mount()
    expect(view.events()).to_have_count(1)
    [hello] = view.sent(Hello)
    view.tab.evaluate(
        """() => {
            window.calls = 0;
            for (const name of ["setTimeout", "requestAnimationFrame"]) {
                const before = window[name].bind(window);
                window[name] = (...args) => { window.calls += 1; return before(...args); };
            }
            window.kept = document.querySelector(".nbagora-tasks");
            unmount();
        }"""
    )
    assert [bye.view for bye in view.sent(Bye)] == [hello.view]
    assert view.tab.evaluate("model.handlers.length") == 0
    assert view.tab.locator("#view *").count() == 0
    view.show()
    sent = len(view.tab.evaluate("model.sent"))
    view.tab.evaluate(
        """() => {
            calls = 0;
            document.querySelector("#view").append(kept);
            for (const button of kept.querySelectorAll("button[type=button]")) button.click();
            for (const filter of kept.querySelectorAll("input, select")) filter.dispatchEvent(new Event("change"));
            kept.querySelector(".open").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
            model.show(model.state.snapshot);
        }"""
    )
    assert len(view.tab.evaluate("model.sent")) == sent
    assert view.tab.evaluate("window.calls") == 0


@pytest.mark.thorough
@pytest.mark.parametrize(("theme", "width"), [*((theme, 1000) for theme in THEMES), ("light", 560), ("dark", 380)])
def test_every_state_is_accessible_in_every_theme(view, shoot, theme, width):
    view.tab.set_viewport_size({"width": width, "height": 900})
    for number, state in enumerate(STATES):
        question = "Which day would you like to travel? 周五还是周六？" if state == "INPUT_REQUIRED" else ""
        text = "Sunny in 北京 with a light wind from the north, and clear skies through the evening"
        view.source.add(f"{number}f3a7c2e9b1d", agent=f"agent-{number}", state=state, text=text, question=question)
    task = f"{STATES.index('INPUT_REQUIRED')}f3a7c2e9b1d"
    view.source.change(task, state="WORKING", event_text="looking for trains")
    for chunk in ("There are ", "two trains, ", "一早一晚"):
        view.source.change(task, "artifact", event_text=chunk)
    view.source.change(task, state="INPUT_REQUIRED", event_text="Which day?")
    view.filters["selected"] = task
    view.mount(theme)
    expect(view.status()).to_have_attribute("data-link", "live")
    shoot(view.tab, "calm")
    view.obeys(False)
    view.row(task).locator(".cancel").click()
    expect(view.row(task).locator(".cancel")).to_contain_text("queued")
    view.opener(task).focus()
    shoot(view.tab, "waiting")
    assert violations(view.tab, "#view") == []
    assert view.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.thorough
def test_a_person_who_wants_less_motion_gets_none(view):
    view.source.add("t1")
    view.mount()
    icon = view.row("t1").locator("svg")
    assert icon.evaluate("(svg) => getComputedStyle(svg).animationName") != "none"
    view.tab.emulate_media(reduced_motion="reduce")
    assert icon.evaluate("(svg) => getComputedStyle(svg).animationName") == "none"
