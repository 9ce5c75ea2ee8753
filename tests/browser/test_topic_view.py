"""The topic view mounted in Chromium, with the view of Python and a real log behind it, but no Jupyter between."""

import json
import struct
import time
import zlib

import pytest
from playwright.sync_api import expect

from accessibility import violations
from nbagora_lab.broker.stats import LeaseInfo
from nbagora_lab.inspect.model import STOPPED
from topic_views import T0, FakeGroups, TopicViews, open_log, put
from view_server import THEMES

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.hit = 1"><script>window.hit = 2</script>"><b>x</b>'
MANY = 100_000
ROWS = 20  # in the DOM: ten in sight, four beyond each edge, and what is cut by them


def picture():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(v for x in range(160) for v in (x, y * 2, 160)) for y in range(90))
    header = struct.pack(">IIBBBBB", 160, 90, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


class Page:
    """Views on a page; the newest one is the one that is asked for."""

    def __init__(self, tab, server, broker, groups=None):
        self.tab, self.server, self.broker = tab, server, broker
        self.views = tab.views = TopicViews(broker, groups)
        tab.set_viewport_size({"width": 1100, "height": 900})

    def open(self, theme="light"):
        self.tab.goto(f"{self.server.url}/topics/{theme}.html")
        self.tab.wait_for_function("window.ready")
        return self

    def leave(self):
        self.tab.goto("about:blank")  # first, or a view on the page would ask for what is closed
        self.views.close()

    def mount(self, name="v", **more):
        view = self.views.add(name, **more)
        state = {"snapshot": view.snapshot, "payload": view.payload}
        self.tab.evaluate("([name, state]) => mountKernel(name, state)", [name, state])
        expect(self.tab.locator(".lab").last).to_have_attribute("data-link", "live")
        return self

    def tick(self, name="v", seconds=0.1):
        """The service thread's next turn, painted."""
        self.tab.evaluate(
            """([name, messages]) => (models[name].take(messages),
                new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))))""",
            [name, self.views.tick(name, seconds)],
        )

    def sent(self, do):
        return [command for command in self.tab.evaluate("model.sent") if command["do"] == do]

    def offsets(self):
        """Of the rows in the DOM, and whether each has its record."""
        return self.tab.evaluate(
            """[...document.querySelectorAll(".record")].map((row) =>
                [Number(row.dataset.key), row.querySelector(".text").textContent])"""
        )

    def in_sight(self):
        """Offsets of the rows that a person sees whole."""
        return self.tab.evaluate(
            """(() => {
                const box = document.querySelector(".lines").getBoundingClientRect();
                return [...document.querySelectorAll(".record")].filter((row) => {
                    const { top, bottom } = row.getBoundingClientRect();
                    return top >= box.top - 1 && bottom <= box.bottom + 1;
                }).map((row) => Number(row.dataset.key));
            })()"""
        )

    def wait_first(self, offset):
        self.tab.wait_for_function(
            """(offset) => [...document.querySelectorAll(".record")].some((row) =>
                Number(row.dataset.key) === offset && !row.textContent.includes("…"))""",
            arg=offset,
        )

    def record(self, offset):
        return self.tab.locator(f'.record[data-key="{offset}"]')

    def topic(self, name):
        return self.tab.locator(f'.topics tbody tr[data-key="chat/{name}"] .open')

    def box(self):
        return self.tab.locator(".lines")

    def pane(self):
        return self.tab.locator(".payload")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    with open_log(tmp_path_factory.mktemp("large")) as broker:
        broker.create_topic("chat")
        put(broker, "chat/big", MANY, "order {} of 北京")
        put(broker, "chat/small", 100, "order {} of 北京")
        yield broker


@pytest.fixture(scope="module")
def tab(new_tab):
    """One page for all, since each loads its view anew."""
    with new_tab() as tab:

        def kernel(name, command):
            return tab.views.receive(name, command)  # of the test that runs

        tab.expose_function("kernel", kernel)
        yield tab


@pytest.fixture
def broker(tmp_path):
    with open_log(tmp_path) as broker:
        broker.create_topic("chat", ttl="1h")
        yield broker


@pytest.fixture
def groups():
    return FakeGroups()


@pytest.fixture
def page(tab, view_server, broker, groups):
    page = Page(tab, view_server, broker, groups)
    yield page.open()
    page.leave()


@pytest.fixture
def large_page(tab, view_server, large):
    page = Page(tab, view_server, large)
    yield page.open()
    page.leave()


@pytest.mark.thorough
def test_a_hundred_thousand_records_open_like_a_hundred(large_page, record_property):
    took, read = {}, {}
    for name in ("small", "big", "small", "big", "small", "big"):
        large_page.open()
        large_page.broker.log.reset()
        started = time.perf_counter()
        large_page.mount(name, topic=f"chat/{name}")
        large_page.wait_first(99 if name == "small" else MANY - 1)
        took.setdefault(name, []).append(time.perf_counter() - started)
        read[name] = large_page.broker.log.scanned
        assert large_page.tab.locator(".record").count() <= ROWS
    ratio = min(took["big"]) / min(took["small"])
    print(f"\nopened in {min(took['big']):.3f} s with {MANY:,} records, ×{ratio:.2f} of 100 records")
    record_property("open_ratio", ratio)
    assert read["small"] <= 100 + 1
    assert read["big"] <= 120 + 1


@pytest.mark.thorough
def test_anywhere_is_one_jump_away_and_reads_one_window(large_page):
    large_page.mount(topic="chat/big")
    for offset in (50_000, 7, 99_000, 31_337):
        large_page.broker.log.reset()
        large_page.tab.get_by_label("Place in the topic").fill(str(offset))
        large_page.wait_first(offset)
        assert large_page.in_sight()[0] == offset
        assert [text for _, text in large_page.offsets()] == [f"order {n} of 北京" for n, _ in large_page.offsets()]
        assert large_page.broker.log.scanned <= 250
        assert large_page.tab.locator(".record").count() <= ROWS


@pytest.mark.thorough
def test_the_wheel_leads_through_all_rows_without_a_gap(large_page):
    large_page.mount(topic="chat/big")
    large_page.tab.get_by_label("Place in the topic").fill("60000")
    large_page.wait_first(60_000)
    large_page.box().hover()
    seen = set(large_page.in_sight())
    while max(seen) < 60_150:  # past the end of the window
        last = max(seen)
        large_page.tab.mouse.wheel(0, 9 * 24)
        large_page.wait_first(last + 9)
        seen |= set(large_page.in_sight())
    assert seen >= set(range(60_000, 60_150))


@pytest.mark.thorough
def test_the_slider_goes_over_time_too(large_page):
    large_page.mount(topic="chat/big")
    large_page.tab.get_by_label("Slider over").select_option("time")
    large_page.tab.get_by_label("Place in the topic").fill("250")
    large_page.wait_first(25_000)
    assert large_page.in_sight()[0] == 25_000
    expect(large_page.tab.get_by_label("Place in the topic")).to_have_attribute(
        "aria-valuetext", "#25000 of #0–#99999, 17:41:40"
    )
    large_page.tab.get_by_label("Slider over").select_option("offset")
    expect(large_page.tab.get_by_label("Place in the topic")).to_have_value("25000")


@pytest.mark.thorough
def test_every_record_that_streams_in_is_there_while_four_views_look_on(page, tab, broker):
    put(broker, "chat/s", 10)
    names = ("v0", "v1", "v2", "v3")
    for name in names:
        page.mount(name, topic="chat/s")
    tab.get_by_label("Go to offset").last.fill("3")
    tab.get_by_label("Go to offset").last.press("Enter")  # the last one looks back, three follow
    expect(tab.locator("section.nbagora-topics").last.locator('.record[data-key="3"]')).to_have_attribute(
        "aria-selected", "true"
    )
    tab.evaluate(
        """() => {
            window.seen = Object.fromEntries(Object.keys(models).map((name) => [name, new Set()]));
            for (const [name, model] of Object.entries(models)) {
                model.on("change:snapshot", () => {
                    for (const { offset } of model.get("snapshot").selected.records) seen[name].add(offset);
                });
            }
            window.steps = [];
        }"""
    )
    there = 10
    for _ in range(20):
        put(broker, "chat/s", 100, start=there)
        there += 100
        shown = tab.evaluate(
            """async (ticks) => {
                for (const [name, messages] of Object.entries(ticks)) models[name].take(messages);
                for (let i = 0; i < 2; i++) await new Promise((done) => requestAnimationFrame(() => done()));
                return [...document.querySelectorAll("section.nbagora-topics")].map((view) =>
                    [...view.querySelectorAll(".record")].map((row) => [Number(row.dataset.key), row.textContent]));
            }""",
            {name: page.views.tick(name) for name in names},
        )
        for view, rows in enumerate(shown):
            offsets = [offset for offset, _ in rows]
            assert len(rows) <= ROWS
            assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))  # none is left out
            assert all(f"record {offset}" in text for offset, text in rows)
            assert offsets[-1] == there - 1 if view < 3 else offsets[0] == 0
    seen = tab.evaluate("Object.values(seen).map((each) => [...each])")
    for offsets in seen[:3]:
        assert set(offsets) >= set(range(10, 2010))
    expect(tab.locator(".detail > header .count").first).to_have_text("2,010 records, #0–2009")


@pytest.mark.thorough
def test_whoever_scrolls_back_stays_there_and_the_end_follows_again(page):
    put(page.broker, "chat/s", 500)
    page.mount(topic="chat/s")
    follow = page.tab.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.box().hover()
    page.tab.mouse.wheel(0, -2400)
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.wait_first(391)
    before = page.in_sight()
    put(page.broker, "chat/s", 300, start=500)
    page.tick()
    assert page.in_sight() == before
    expect(page.tab.locator(".detail > header .count")).to_have_text("800 records, #0–799")
    page.box().press("End")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.wait_first(799)
    follow.click()
    expect(follow).to_have_attribute("aria-pressed", "false")
    follow.click()
    put(page.broker, "chat/s", 1, start=800)
    page.tick()
    page.wait_first(800)


@pytest.mark.thorough
def test_more_rows_than_a_browser_is_high_are_reached_by_wheel_keys_and_slider(page):
    """Ten million records would be 240 million pixels; the log here says that it has them, and makes them up."""
    put(page.broker, "chat/s", 1)
    log, count = page.broker.log, 10_000_000
    info, scan = log._log.info, log._log.scan
    [(_, stored)] = scan("chat/s")
    page.broker.log.info = lambda topic: info(topic).model_copy(update={"next": count if topic == "chat/s" else 1})
    page.broker.log.scan = lambda topic, after=-1, limit=1000, max_bytes=0: (
        [(n, stored) for n in range(after + 1, min(count, after + 1 + limit))] if topic == "chat/s" else []
    )
    page.mount(topic="chat/s")
    page.wait_first(count - 1)
    page.tab.get_by_label("Place in the topic").fill("5000000")
    page.wait_first(5_000_000)
    assert page.in_sight()[0] == 5_000_000
    page.box().hover()
    page.tab.mouse.wheel(0, 240)
    page.wait_first(5_000_019)
    assert page.in_sight()[0] == 5_000_010
    page.record(5_000_012).click()
    for _ in range(30):
        page.box().press("ArrowDown")
    expect(page.record(5_000_042)).to_have_attribute("aria-selected", "true")
    assert page.in_sight()[-1] == 5_000_042
    page.box().press("Home")
    page.wait_first(0)
    assert page.in_sight()[0] == 0
    page.box().press("End")
    page.wait_first(count - 1)


def test_keys_lead_through_topics_records_and_the_pane_and_back(page):
    put(page.broker, "chat/a", 50)
    put(page.broker, "chat/b", 3)
    page.mount(parent="chat")
    page.topic("_events").focus()
    page.tab.keyboard.press("ArrowDown")
    expect(page.topic("a")).to_be_focused()
    page.tab.keyboard.press("Enter")
    expect(page.topic("a")).to_have_attribute("aria-expanded", "true")
    page.wait_first(49)
    page.box().focus()
    page.tab.keyboard.press("ArrowUp")
    expect(page.record(49)).to_have_attribute("aria-selected", "true")
    for key, at in (("ArrowUp", 48), ("PageUp", 39), ("PageUp", 30), ("Home", 0), ("ArrowUp", 0), ("ArrowDown", 1)):
        page.tab.keyboard.press(key)
        expect(page.record(at)).to_have_attribute("aria-selected", "true")
    active = page.box().get_attribute("aria-activedescendant")
    assert page.tab.locator(f"#{active}").get_attribute("aria-posinset") == "2"
    assert page.tab.locator(f"#{active}").get_attribute("aria-setsize") == "50"
    expect(page.pane().locator("pre")).to_have_text("record 1")
    page.tab.keyboard.press("Enter")
    expect(page.pane()).to_be_focused()
    page.tab.keyboard.press("Escape")
    expect(page.pane()).to_be_hidden()
    expect(page.box()).to_be_focused()
    page.tab.keyboard.press("Escape")
    expect(page.tab.locator(".detail")).to_be_hidden()
    expect(page.topic("a")).to_be_focused()


@pytest.mark.thorough
def test_plain_keys_stay_inside(page):
    put(page.broker, "chat/a", 5)
    page.mount(topic="chat/a")
    page.tab.evaluate("() => { window.keys = []; addEventListener('keydown', (event) => window.keys.push(event.key)) }")
    page.box().focus()
    for key in ("d", "ArrowDown", "Control+s"):
        page.tab.keyboard.press(key)
    assert page.tab.evaluate("window.keys") == ["Control", "s"]


def test_keys_held_down_ask_for_the_last_record_alone(page):
    put(page.broker, "chat/a", 100)
    page.mount(topic="chat/a")
    page.box().evaluate(
        """(box) => {
            const held = { key: "ArrowUp", bubbles: true };
            for (let i = 0; i < 30; i++) box.dispatchEvent(new KeyboardEvent("keydown", held));
        }"""
    )
    expect(page.pane().locator("pre")).to_have_text("record 70")
    assert [command["offset"] for command in page.sent("pick")] == [70]


def test_a_late_answer_for_one_record_does_not_undo_the_choice_of_the_next(page):
    put(page.broker, "chat/a", 20)
    page.mount(topic="chat/a")
    page.tab.evaluate(
        """() => {
            window.late = [];
            const kernel = window.kernel;
            window.kernel = (name, command) => kernel(name, command).then((messages) =>
                command.do === "pick" ? new Promise((done) => late.push(() => done(messages))) : messages);
        }"""
    )
    page.record(12).click()
    page.tab.wait_for_function("late.length === 1")
    page.record(15).click()
    page.tab.evaluate("() => { late[0](); return new Promise((done) => requestAnimationFrame(() => done())); }")
    expect(page.record(15)).to_have_attribute("aria-selected", "true")
    expect(page.pane().locator("strong")).to_have_text("#15")
    page.tab.wait_for_function("late.length === 2")
    page.tab.evaluate("() => late[1]()")
    expect(page.pane().locator("pre")).to_have_text("record 15")


def test_bodies_are_shown_as_what_they_are(page):
    body = {"task": "7f", "message": {"text": "去北京的火车"}}
    page.broker.send("chat/a", json.dumps(body), datacontenttype="application/json", subject="7f")
    page.broker.send("chat/a", picture(), datacontenttype="image/png")
    page.broker.send("chat/a", bytes(range(256)))
    page.broker.send("chat/a", "plain 文字")
    page.mount(topic="chat/a")
    page.record(0).click()
    expect(page.pane().locator("pre")).to_contain_text('"text": "去北京的火车"')
    assert json.loads(page.pane().locator("pre").inner_text()) == body
    page.record(1).click()
    expect(page.pane().get_by_role("img", name="the body of record 1, image/png")).to_be_visible()
    assert page.pane().locator("img").evaluate(
        "(img) => img.decode().then(() => [img.naturalWidth, img.naturalHeight])"
    ) == [
        160,
        90,
    ]
    expect(page.pane().locator("pre")).to_be_hidden()
    page.record(2).click()
    expect(page.pane().locator("pre")).to_contain_text("00000000  00 01 02 03")
    expect(page.pane().locator("img")).to_be_hidden()
    page.record(3).click()
    expect(page.pane().locator("pre")).to_have_text("plain 文字")
    page.pane().get_by_role("button", name="Close").click()
    expect(page.pane()).to_be_hidden()


def test_hostile_topics_records_and_groups_are_texts(page, tab, broker, groups):
    broker.create_topic("<b>x<script>")
    topic = "<b>x<script>/<img src=x onerror=hit=1>"
    broker.send(topic, HOSTILE, subject=HOSTILE, type="<b>x</b>", source=HOSTILE, datacontenttype="image/svg+xml")
    broker.send(topic, f"<svg onload=hit=1>{HOSTILE}</svg>", datacontenttype="text/html")
    groups.add(HOSTILE, "<b>x<script>", leases=(LeaseInfo(topic, HOSTILE, 0, 1, T0, 1),))
    groups.stand(HOSTILE, topic, 0, 2, HOSTILE)
    page.mount(topic=topic, group=HOSTILE)
    for offset in (0, 1):
        page.record(offset).click()
        expect(page.pane().locator("pre")).to_contain_text(HOSTILE)
    expect(tab.locator(".groups tbody strong")).to_have_text(HOSTILE)
    expect(tab.locator(".locked-by").last).to_contain_text(HOSTILE)
    assert tab.locator("#view script, #view b, #view img[src], #view svg[onload]").count() == 0
    assert tab.evaluate("window.hit") is None


def test_pages_and_prefixes_lead_to_any_topic(page):
    for number in range(100):
        put(page.broker, f"chat/s-{number:03}", 1)
    page.mount(parent="chat")
    names = page.tab.locator(".topics .open")
    expect(names).to_have_count(40)
    page.tab.get_by_role("button", name="Next").click()
    expect(names.first).to_have_text("s-039")
    page.tab.get_by_role("button", name="Next").click()
    expect(names.first).to_have_text("s-079")
    expect(names).to_have_count(21)
    expect(page.tab.get_by_role("button", name="Next")).to_have_attribute("aria-disabled", "true")
    page.tab.get_by_role("button", name="Previous").click()
    expect(names.first).to_have_text("s-039")
    page.tab.get_by_label("Prefix").press_sequentially("s-07")
    expect(names).to_have_count(10)
    page.tab.get_by_label("Prefix").fill("none")
    expect(page.tab.locator(".topics .empty")).to_have_text("No topic passes the filters.")


def test_a_fork_begins_at_the_record_that_is_looked_at_and_is_shown(page):
    put(page.broker, "chat/a", 20)
    page.mount(topic="chat/a")
    page.record(12).click()
    expect(page.pane().locator("pre")).to_have_text("record 12")
    page.tab.get_by_role("button", name="Fork…").click()
    name = page.tab.get_by_label("as", exact=True)
    expect(name).to_be_focused()
    expect(name).to_have_value("chat/a-12")
    name.fill("b")
    name.press("Enter")
    expect(page.tab.locator(".detail > header code")).to_have_text("chat/b")
    expect(page.tab.locator(".detail > header .count")).to_have_text("13 records, #0–12")
    assert page.broker.info("chat/b").forked_from == "chat/a@12"
    expect(page.pane()).to_be_hidden()


def test_a_fork_that_can_not_be_is_told(page):
    put(page.broker, "chat/a", 2)
    put(page.broker, "chat/b", 2)
    page.mount(topic="chat/a")
    page.tab.get_by_role("button", name="Fork…").click()
    page.tab.get_by_label("as", exact=True).fill("b")
    page.tab.get_by_role("button", name="Fork", exact=True).click()
    expect(page.tab.get_by_role("alert")).to_contain_text("TopicExists: the topic chat/b exists")
    expect(page.tab.get_by_role("button", name="Fork", exact=True)).to_have_attribute("aria-disabled", "false")


def test_a_record_is_written_and_sent_by_enter(page):
    put(page.broker, "chat/a", 2)
    page.mount(topic="chat/a")
    page.tab.get_by_role("button", name="Send…").click()
    box = page.tab.get_by_label("New record")
    box.press_sequentially("去北京, dd")
    box.evaluate("(box) => box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true }))")
    assert page.sent("send") == []  # Enter ended a Chinese word
    box.press("Enter")
    expect(box).to_have_value("")
    page.tick()
    expect(page.record(2)).to_contain_text("去北京, dd")
    box.fill("{nothing}")
    page.tab.get_by_label("format").select_option("JSON")
    box.press("Enter")
    expect(page.tab.get_by_role("alert")).to_contain_text("UsageError: the text is no JSON")
    expect(box).to_have_value("{nothing}")
    box.press("Escape")
    expect(box).to_be_hidden()
    expect(page.tab.locator(".detail")).to_be_visible()


def test_references_are_copied_as_commands_write_them(page):
    page.tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    put(page.broker, "chat/a@b", 3)
    page.mount(topic="chat/a@b")
    page.tab.get_by_role("button", name="Copy name").click()
    assert page.tab.evaluate("navigator.clipboard.readText()") == "chat/a\\@b"
    page.record(1).click()
    page.tab.get_by_role("button", name="Copy reference").click()
    expect(page.tab.get_by_role("button", name="Copied")).to_be_visible()
    assert page.tab.evaluate("navigator.clipboard.readText()") == "chat/a\\@b@1"
    page.tab.get_by_role("button", name="Copy body").click()
    page.tab.wait_for_function("navigator.clipboard.readText().then((text) => text === 'record 1')")


def test_groups_tell_lag_state_and_who_holds_the_lock(page, tab, broker, groups):
    populate(broker, groups)
    page.mount(topic="chat/s-001", group="workers")
    row = tab.locator(".groups tbody tr", has_text="workers")
    expect(row).to_contain_text("shared, 3 clients · 12 ready · held: 2 by quota · 5 leased")
    expect(row.locator(".state-of")).to_have_text("leased")
    expect(row.locator(".next")).to_have_text("#1")
    expect(row.locator(".lag")).to_have_text("1")
    expect(row.locator(".locked-by")).to_contain_text("worker-1, #1 until ")
    expect(tab.locator('.topics tr[data-key="chat/s-001"] .state-of')).to_have_text("leased")
    tab.get_by_label("State").select_option("drained")
    expect(tab.locator(".topics .open")).to_have_count(10)
    tab.get_by_text("5 leases of workers").click()
    tab.locator(".leases").get_by_role("button", name="chat/s-025").click()
    expect(tab.locator(".detail > header code")).to_have_text("chat/s-025")
    groups.add("workers", "chat", clients=2)
    page.tick(seconds=2)
    expect(row).to_contain_text("shared, 2 clients")
    expect(row.locator(".locked-by")).to_have_text("")


def populate(broker, groups):
    leases = tuple(LeaseInfo(f"chat/s-{n:03}", f"worker-{n % 3}", 1, 1, T0 + 60 + n, n) for n in range(1, 30, 6))
    told = {"ready": 12, "held": {"quota": 2}, "received": 1200, "acked": 1190, "redelivered": 4, "dead": 1}
    groups.add("workers", "chat", clients=3, leases=leases, **told)
    groups.add("auditors", "chat")
    states = ("ready", "leased", "suspended", "back-off", "drained", "idle")
    for number in range(60):
        topic = f"chat/s-{number:03}"
        put(broker, topic, 2, "order {} of 北京 is on its way")
        groups.stand("workers", topic, 1, 2, states[number % 6], attempts=2)
        groups.stand("auditors", topic, 2, 2, "drained")


def test_a_topic_that_is_removed_is_said_and_comes_back(page):
    put(page.broker, "chat/a", 30)
    page.mount(topic="chat/a")
    page.record(25).click()
    expect(page.pane().locator("pre")).to_have_text("record 25")
    page.broker.rm("chat/a")
    page.tick()
    expect(page.tab.locator(".detail > .empty")).to_have_text("There is no such topic, or not yet.")
    expect(page.pane()).to_be_hidden()
    put(page.broker, "chat/a", 2, "new {}")
    page.tick()
    expect(page.record(1)).to_contain_text("new 1")
    assert page.tab.locator(".record").count() == 2


def test_a_stopped_lab_leaves_what_is_shown_and_nothing_to_press(page):
    put(page.broker, "chat/a", 300)
    page.mount(topic="chat/a")
    page.record(299).click()
    expect(page.pane().locator("pre")).to_have_text("record 299")
    page.tab.evaluate("(lab) => model.take([{ state: { snapshot: { ...model.get('snapshot'), lab } } }])", STOPPED)
    expect(page.tab.locator(".lab")).to_have_text("the lab is not running")
    expect(page.pane().locator("pre")).to_have_text("record 299")
    expect(page.tab.get_by_role("button", name="Fork…")).to_be_hidden()
    expect(page.tab.get_by_label("Prefix")).to_be_disabled()
    sent = len(page.tab.evaluate("model.sent"))
    page.box().press("Home")
    expect(page.record(180)).to_contain_text("record 180")  # the first that was sent
    page.topic("_events").click()
    assert len(page.tab.evaluate("model.sent")) == sent


@pytest.mark.thorough
def test_unmounting_leaves_nothing(page):
    put(page.broker, "chat/a", 30)
    page.mount(topic="chat/a")
    page.record(25).click()
    expect(page.pane().locator("pre")).to_have_text("record 25")
    [hello] = page.sent("hello")
    page.tab.evaluate("() => { window.kept = document.querySelector('.nbagora-topics'); unmount(); }")
    assert [bye["view"] for bye in page.sent("bye")] == [hello["view"]]
    assert page.tab.evaluate("model.handlers.length") == 0
    assert page.tab.locator("#view .nbagora-topics").count() == 0
    sent = len(page.tab.evaluate("model.sent"))
    page.tab.evaluate(
        """() => {
            document.querySelector("#view").append(kept);
            for (const button of kept.querySelectorAll("button")) button.click();
            for (const node of kept.querySelectorAll("input, select")) node.dispatchEvent(new Event("change"));
            kept.querySelector(".lines").dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
        }"""
    )
    assert len(page.tab.evaluate("model.sent")) == sent


@pytest.mark.parametrize(
    ("theme", "width"),
    [
        pytest.param(theme, width, marks=[pytest.mark.thorough] * (theme != "light"))
        for theme, width in zip(THEMES, (1000, 640, 420), strict=True)
    ],
)
def test_every_part_is_accessible_in_every_theme(page, tab, broker, groups, shoot, theme, width):
    tab.set_viewport_size({"width": width, "height": 1150})
    populate(broker, groups)
    broker.send("chat/s-001", '{"task":"7f","message":{"text":"去北京的火车","seats":[1, 2]}}', subject="7f")
    page.open(theme)
    page.mount(topic="chat/s-001", group="workers")
    page.record(2).click()
    expect(page.pane().locator("pre")).to_contain_text("去北京的火车")
    tab.get_by_text("5 leases of workers").click()
    tab.get_by_role("button", name="Send…").click()
    tab.get_by_label("New record").fill("one more")
    shoot(tab, "whole")
    assert violations(tab, "#view") == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.get_by_role("button", name="Fork…").click()
    expect(tab.get_by_label("New record")).to_be_hidden()
    expect(tab.get_by_label("as", exact=True)).to_have_value("chat/s-001-2")
    assert theme != "light" or violations(tab, ".fork") == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
