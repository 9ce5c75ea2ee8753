"""The registry view mounted in Chromium, with the view of Python and a real registry behind it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from accessibility import violations
from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.inspect.model import STOPPED
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog
from registry_views import RegistryViews
from view_server import THEMES

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.hit = 1"><script>window.hit = 2</script>"><b>x</b>'


class Page:
    """A view on a page, and the registry behind it."""

    def __init__(self, tab: Any, server: Any, registry: Registry) -> None:
        self.tab, self.server, self.registry = tab, server, registry
        self.views = tab.views = RegistryViews(registry)
        tab.set_viewport_size({"width": 1100, "height": 1000})

    def mount(self, theme: str = "light", **more: Any) -> Page:
        self.tab.goto(f"{self.server.url}/registry/{theme}.html")
        self.tab.wait_for_function("window.ready")
        view = self.views.add("v", **more)
        self.tab.evaluate("([name, state]) => mountKernel(name, state)", ["v", {"snapshot": view.snapshot}])
        expect(self.tab.locator(".lab")).to_have_attribute("data-link", "live")
        return self

    def tick(self) -> None:
        """The service thread's next turn, painted."""
        self.tab.evaluate(
            """([name, messages]) => (models[name].take(messages),
                new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))))""",
            ["v", self.views.tick("v")],
        )

    def row(self, name: str) -> Any:
        return self.tab.locator(f'.rows tbody tr[data-key="{name}"]')

    def names(self) -> list[str]:
        return self.tab.locator(".rows tbody .open span:first-child").all_inner_texts()


@pytest.fixture(scope="module")
def tab(new_tab: Any) -> Any:
    with new_tab() as tab:

        def kernel(name: str, command: dict[str, Any]) -> Any:
            return tab.views.receive(name, command)  # of the test that runs

        tab.expose_function("kernel", kernel)
        yield tab


@pytest.fixture
def page(tab: Any, view_server: Any, tmp_path: Any) -> Any:
    catalog = EmbeddedCatalog(tmp_path / "registry.db", clock=VirtualClock(1_790_000_000), ids=SeededIds(1))
    registry = Registry(catalog, clock=VirtualClock(1_790_000_000))
    registry.publish(card(skills=[skill("forecast", tags=["travel"])]), version="1.0")
    registry.publish(card(description="Tells more.", skills=[skill("forecast", tags=["travel", "sky"])]), version="1.1")
    registry.publish(card("酒店", description="帮你预订酒店房间", skills=[skill("book", tags=["travel", "hotel"])]))
    registry.publish(card("painter", description=HOSTILE, skills=[skill("image", tags=["art"])]))
    registry.label("weather", "stable", "1.0")
    registry.register_endpoint("weather", "1.0", "http://127.0.0.1:8000/agents/weather@1.0", lease=600)
    broken = registry.register_endpoint("weather", "1.1", "http://127.0.0.1:8000/agents/weather", lease=600, zone="hz")
    registry.probed(broken, ok=False, reason="its card answers 503")
    page = Page(tab, view_server, registry)
    yield page
    tab.goto("about:blank")
    page.views.close()
    catalog.close()


@pytest.mark.parametrize("theme", THEMES)
def test_it_reads_well_in_every_theme_and_for_everybody(page: Page, theme: str, shoot: Any) -> None:
    page.registry.canary("weather", "1.1", 25, rest="stable", errors=0.1)
    page.mount(theme, name="weather")
    page.tab.get_by_role("button", name="Compare").click()
    expect(page.tab.locator(".lines li").first).to_contain_text("/")
    shoot(page.tab, theme)
    assert violations(page.tab, ".nbagora-registry") == []
    expect(page.tab.locator(".count")).to_have_text("3 agents")
    expect(page.tab.locator(".rule")).to_contain_text("25 % → canary, 75 % → stable")
    shares = page.tab.locator(".thing td.share").all_inner_texts()
    assert shares == ["25 %", "75 %"]
    assert page.tab.locator(".thing .state-of .state").evaluate_all("all => all.map(one => one.dataset.state)") == [
        "down",
        "up",
    ]


def test_words_and_facets_narrow_the_search(page: Page) -> None:
    page.mount()
    assert page.names() == ["painter", "weather", "酒店"]
    page.tab.get_by_label("Search for").fill("酒店")
    expect(page.tab.locator(".count")).to_have_text("1 agent")
    assert page.names() == ["酒店"]
    expect(page.row("酒店").locator(".description")).to_contain_text("description:")
    page.tab.get_by_label("Search for").fill("")
    expect(page.tab.locator(".count")).to_have_text("3 agents")
    travel = page.tab.get_by_role("group", name="tag").get_by_label("travel")
    travel.check()
    expect(page.tab.locator(".count")).to_have_text("2 agents")
    assert page.names() == ["weather", "酒店"]
    page.tab.get_by_role("group", name="tag").get_by_label("hotel").check()
    expect(page.tab.locator(".count")).to_have_text("1 agent")
    travel.uncheck()
    page.tab.get_by_role("group", name="tag").get_by_label("hotel").uncheck()
    expect(page.tab.locator(".count")).to_have_text("3 agents")
    page.tab.get_by_label("Kind").select_option("prompt")
    expect(page.tab.locator(".empty").first).to_have_text("Nothing is published yet.")


def test_a_label_is_moved_and_rolled_back_by_its_handle(page: Page) -> None:
    page.mount()
    page.row("weather").get_by_role("button").click()
    handle = page.tab.locator('.handle[data-key="latest"]')
    expect(handle.locator("select")).to_have_value("1.1")
    handle.locator("select").select_option("1.0")
    expect(page.tab.locator('.thing tbody tr[data-key="1.0"] .chip')).to_have_text(["latest", "stable"])
    assert page.registry.labels("weather")["latest"] == "1.0"
    assert page.registry.audit("weather")[-1].why == "the registry view"
    handle.get_by_role("button", name="Roll back latest").click()
    expect(handle.locator("select")).to_have_value("1.1")
    stable = page.tab.locator('.handle[data-key="stable"]')
    stable.get_by_role("button").click()
    expect(page.tab.locator(".notice")).to_contain_text("never pointed at another version")
    expect(stable.locator("select")).to_have_value("1.0")


def test_what_changes_comes_by_itself_and_stays_at_its_place(page: Page) -> None:
    page.mount(name="weather")
    before = page.tab.locator(".feed li").count()
    page.row("painter").get_by_role("button").focus()
    page.registry.publish(card("weather", description="Tells most."), version="2.0")
    page.registry.because("ticket 7").label("weather", "stable", "1.1")
    page.tick()
    assert page.tab.locator(".feed li").count() == before + 3
    newest = page.tab.locator(".feed li").first
    expect(newest.locator(".text")).to_have_text("stable: 1.0 → 1.1 (ticket 7)")
    expect(page.row("weather").locator(".version")).to_have_text("2.0")
    expect(page.row("painter").get_by_role("button")).to_be_focused()
    expect(page.tab.locator(".thing tbody").first.locator("tr").first.locator("th")).to_have_text("2.0")


def test_two_versions_are_compared(page: Page) -> None:
    page.mount(name="weather")
    page.tab.get_by_label("From version").select_option("1.1")
    page.tab.get_by_label("to version").select_option("1.0")
    page.tab.get_by_role("button", name="Compare").click()
    expect(page.tab.locator(".lines li")).to_have_text(
        ['/description: "Tells more." became "Is weather."', '/skills/0/tags/1: "sky" was taken away']
    )
    page.tab.get_by_label("From version").select_option("1.0")
    page.tab.get_by_role("button", name="Compare").click()
    expect(page.tab.locator(".difference .empty")).to_have_text("They are equal.")


def test_it_is_worked_by_keys_alone(page: Page) -> None:
    page.mount()
    page.row("painter").get_by_role("button").focus()
    page.tab.keyboard.press("ArrowDown")
    expect(page.row("weather").get_by_role("button")).to_be_focused()
    page.tab.keyboard.press("Enter")
    expect(page.tab.locator(".thing")).to_be_visible()
    expect(page.row("weather").get_by_role("button")).to_have_attribute("aria-expanded", "true")
    page.tab.keyboard.press("Escape")
    expect(page.tab.locator(".thing")).to_be_hidden()
    expect(page.row("weather").get_by_role("button")).to_be_focused()
    page.tab.get_by_label("Search for").focus()
    page.tab.keyboard.type("rain")
    page.tab.keyboard.press("Enter")
    expect(page.tab.locator(".empty").first).to_have_text("Nothing fits.")


def test_what_a_card_says_is_text(page: Page) -> None:
    page.mount(name="painter")
    expect(page.tab.locator(".about")).to_have_text(HOSTILE)
    assert page.tab.evaluate("window.hit") is None
    assert page.tab.locator(".nbagora-registry img, .nbagora-registry b").count() == 0


def test_one_that_stopped_says_so_and_asks_for_nothing(page: Page) -> None:
    page.mount(name="weather")
    page.views.views["v"].stop()
    page.tick()
    expect(page.tab.locator(".lab")).to_have_text("the lab is not running")
    assert page.views.views["v"].snapshot["lab"] == STOPPED
    assert (
        page.tab.locator("select:enabled, .words:enabled").count() == 2
    )  # those that compare need no kernel to look at
    sent = page.tab.evaluate("model.sent.length")
    page.row("painter").get_by_role("button").click()
    assert page.tab.evaluate("model.sent.length") == sent
    page.tab.evaluate("unmount()")
    assert page.tab.locator(".nbagora-registry").count() == 0
    assert page.tab.evaluate("model.handlers.length") == 0
