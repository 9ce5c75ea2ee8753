"""axe-core on a part of a page."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

__all__ = ["violations"]


def violations(page: Page, selector: str) -> list[str]:
    """What axe-core finds wrong below `selector`: all its rules, contrast of colours among them.

    Raises:
        AssertionError: The contrast of nothing could be measured, so that none found wrong would mean nothing.
    """
    results = Axe().run(page, context=selector)
    measured = [node for rule in results.response["passes"] if rule["id"] == "color-contrast" for node in rule["nodes"]]
    assert measured, f"axe-core measured no contrast below {selector}"
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]} ({node.get('failureSummary', '')})"
        for rule in results.response["violations"]
        for node in rule["nodes"]
    ]
