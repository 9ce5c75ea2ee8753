"""The suite that every engine of the registry passes: it knows `registry.api.Catalog` and nothing of an engine.

An engine enters by one line in `ENGINES`. Where a real engine can't do what the protocol says, the test stays as it is
and `DEVIATIONS` names it, with the reason and the place upstream that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from joined import join_engines
from nacos_labs import open_nacos
from nbagora_lab.core.clock import Clock, VirtualClock
from nbagora_lab.core.ids import Ids, RandomIds
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.embedded import EmbeddedCatalog

Open = Callable[[Path, Clock, Ids, Any], Catalog]
"""Opens an engine's catalog whose state lives at, or is named by, a folder of the test's own; on its server, if any."""

ENGINES: dict[str, Open] = {
    "embedded": lambda folder, clock, ids, _: EmbeddedCatalog(folder / "registry.db", clock=clock, ids=ids),
    "joined": lambda folder, clock, ids, _: (
        join_engines(None, None, EmbeddedCatalog(folder / "registry.db", clock=clock, ids=ids)).catalog
    ),
    "nacos": lambda folder, clock, ids, server: open_nacos(server, folder, clock, ids),
}
_ACCESS = "no policies, owners' rights and refusals there (capability access); AgentCardDetailInfo has no such field"
_OWN_REVISIONS = "changes are counted by each mirror; Nacos has no log of them (research: 3.1 has no audit of cards)"
_GUEST = "the endpoints of a guest go with it: nobody else answers there"
DEVIATIONS: dict[tuple[str, str], str] = {
    ("joined", "test_a_lease_outlives_who_opened_the_store"): _GUEST,
    ("joined", "test_everything_is_there_when_it_is_opened_again"): _GUEST,
    ("nacos", "test_every_change_says_who_and_why_and_the_seals_hold"): _ACCESS,
    ("nacos", "test_a_thing_belongs_to_whom_published_it_first"): _ACCESS,
    ("nacos", "test_two_openings_of_one_store_publish_side_by_side"): (
        "what another wrote is read before a write, and followed otherwise: a read may be a second old (nacos_follow)"
    ),
    ("nacos", "test_everything_is_there_when_it_is_opened_again"): _OWN_REVISIONS,
    ("nacos", "test_a_lease_outlives_who_opened_the_store"): (
        "whoever reads a lease knows that it lives now, not when it was renewed (EphemeralIpPortClientManager)"
    ),
}
"""(engine, name of the test) and why it can't hold there, with the upstream reference."""


LONG = {"joined", "nacos"}
"""Engines whose run takes longer than a newcomer waits."""


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.thorough] * (name in LONG)) for name in ENGINES])
def engine(request: pytest.FixtureRequest) -> str:
    if reason := DEVIATIONS.get((request.param, request.node.originalname)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return str(request.param)


@pytest.fixture
def server(engine: str, request: pytest.FixtureRequest) -> Any:
    """The engine's server, None where it has none."""
    return request.getfixturevalue(engine) if engine == "nacos" else None


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000)


@pytest.fixture
def reopen(engine: str, server: Any, clock: VirtualClock, tmp_path: Path) -> Iterator[Callable[[], Catalog]]:
    """Opens the test's catalog once more, on the state that it has."""
    opened: list[Catalog] = []

    def open_again() -> Catalog:
        opened.append(ENGINES[engine](tmp_path, clock, RandomIds(), server))
        return opened[-1]

    yield open_again
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(reopen: Callable[[], Catalog]) -> Catalog:
    return reopen()
