"""A lab without a token, and a site that hands out cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from card_site import Site
from nbagora_lab.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(store=tmp_path / "agora", token="", probe=0) as running:
        yield running


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()
