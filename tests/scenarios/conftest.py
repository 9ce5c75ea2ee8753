"""The fixture notebooks, one for each behaviour and named for it."""

from __future__ import annotations

from pathlib import Path

import pytest

collect_ignore = ["notebooks"]  # most of them fail, and are meant to


@pytest.fixture(scope="session")
def notebooks() -> Path:
    """The folder of the fixture notebooks."""
    return Path(__file__).parent / "notebooks"
