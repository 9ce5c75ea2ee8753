"""Chromium, a page for a mounted view, and a real JupyterLab: what the browser tests stand on.

    def test_something(jupyter):
        page = jupyter.open(jupyter.write("first.ipynb", "x = 1", "x + 1"))
        page.run_cell(0)
        page.run_cell(1)
        assert page.output(1).inner_text() == "2"

Everything listens on loopback alone and ends with the tests. Screenshots go to the folder that ``NBAGORA_ARTIFACTS``
names, or to ``artifacts/``, under the test's name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from jupyter_lab import JupyterLab
from view_server import ViewServer

ROOT = Path(__file__).parents[2]
ARTIFACTS = Path(os.environ.get("NBAGORA_ARTIFACTS", ROOT / "artifacts")) / "browser"
QUIET = (
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOPBACK = re.compile(r"^(http|ws)://127\.0\.0\.1:\d+/|^(data|blob|about):")

expect.set_options(timeout=40_000)  # milliseconds: a machine that does other things, too


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, one for each module: Playwright keeps an event loop in the thread that started it."""
    import _system

    path = _system.find("chromium")
    if path is None:
        pytest.skip(f"needs chromium: {_system.hint('chromium')}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def new_tab(chromium: Browser) -> Callable[[], AbstractContextManager[Page]]:
    """``with new_tab() as page`` is a fresh page of its own profile.

    At its end it fails on an error in the page, and on a request that would have left the machine.
    """

    @contextmanager
    def new_tab() -> Iterator[Page]:
        context = chromium.new_context(viewport={"width": 1100, "height": 900})
        page = context.new_page()
        page.set_default_timeout(40_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        context.on(
            "request", lambda request: LOOPBACK.match(request.url) or problems.append(f"asked for {request.url}")
        )
        yield page
        context.close()
        assert problems == []

    return new_tab


@pytest.fixture
def tab(new_tab: Callable[[], AbstractContextManager[Page]]) -> Iterator[Page]:
    """A fresh page; see `new_tab`."""
    with new_tab() as page:
        yield page


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[[Page | Locator, str], Path]:
    """``shoot(page_or_locator, "dark")`` keeps a screenshot among the artifacts and returns its path."""

    def shoot(what: Page | Locator, name: str) -> Path:
        path = ARTIFACTS / f"{request.node.name.replace('/', '-')}-{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(what.screenshot())  # Playwright itself would write it on threads that stay
        return path

    return shoot


@pytest.fixture(scope="session")
def view_server() -> Iterator[ViewServer]:
    """Serves pages with a view mounted over a mock model."""
    with ViewServer() as server:
        yield server


@pytest.fixture(scope="session")
def jupyter_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab server, one for all tests, in a temporary folder."""
    with JupyterLab(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="module")
def jupyter_tab(new_tab: Callable[[], AbstractContextManager[Page]]) -> Iterator[Page]:
    """A page for JupyterLab, one for each module, since it takes seconds to load."""
    with new_tab() as page:
        yield page


@pytest.fixture
def jupyter(jupyter_lab: JupyterLab, jupyter_tab: Page) -> Iterator[JupyterLab]:
    """JupyterLab with a page to open notebooks in; those that are open end with the test, and so do their kernels."""
    jupyter_lab.tab = jupyter_tab
    yield jupyter_lab
    jupyter_lab.close_all()
