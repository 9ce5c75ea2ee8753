"""The pytest plugin: `pytest notebooks/` runs notebooks as scenarios, and the test kit comes as fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nbagora_lab.core.clock import VirtualClock

__all__ = ["virtual_clock"]


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that stands at 2026-01-01T00:00:00Z until the test moves it."""
    from nbagora_lab.core.clock import VirtualClock

    return VirtualClock()
