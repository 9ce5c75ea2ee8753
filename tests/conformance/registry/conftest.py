"""The suite that every engine of the registry passes: it knows `registry.api.Catalog` and nothing of an engine.

An engine enters by one line in `ENGINES`. Where a real engine can't do what the protocol says, the test stays as it is
and `DEVIATIONS` names it, with the reason and the place upstream that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from joined import join_engines
from nbagora_lab.core.clock import Clock, VirtualClock
from nbagora_lab.core.ids import Ids, RandomIds
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.embedded import EmbeddedCatalog

Open = Callable[[Path, Clock, Ids], Catalog]
"""Opens an engine's catalog whose state lives at, or is named by, a folder of the test's own."""

ENGINES: dict[str, Open] = {
    "embedded": lambda folder, clock, ids: EmbeddedCatalog(folder / "registry.db", clock=clock, ids=ids),
    "joined": lambda folder, clock, ids: (
        join_engines(None, None, EmbeddedCatalog(folder / "registry.db", clock=clock, ids=ids)).catalog
    ),
}
DEVIATIONS: dict[tuple[str, str], str] = {}
"""(engine, name of the test) and why it can't hold there, with the upstream reference."""


LONG = {"joined"}
"""Engines whose run takes longer than a newcomer waits."""


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.thorough] * (name in LONG)) for name in ENGINES])
def engine(request: pytest.FixtureRequest) -> str:
    if reason := DEVIATIONS.get((request.param, request.node.originalname)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return str(request.param)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000)


@pytest.fixture
def reopen(engine: str, clock: VirtualClock, tmp_path: Path) -> Iterator[Callable[[], Catalog]]:
    """Opens the test's catalog once more, on the state that it has."""
    opened: list[Catalog] = []

    def open_again() -> Catalog:
        opened.append(ENGINES[engine](tmp_path, clock, RandomIds()))
        return opened[-1]

    yield open_again
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(reopen: Callable[[], Catalog]) -> Catalog:
    return reopen()
