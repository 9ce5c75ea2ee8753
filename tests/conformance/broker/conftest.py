"""The suite that every engine of the broker passes: it knows `broker.api.Log` and nothing of an engine.

An engine enters by one line in `ENGINES`. Where a real engine can't do what the protocol says, the test stays as it is
and `DEVIATIONS` names it, with the reason and the place upstream that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logs import scratch
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import Clock, VirtualClock

Open = Callable[[Path, Clock], Log]
"""Opens an engine's log whose state lives at, or is named by, a folder of the test's own; records of 1 MiB at most."""

LIMIT = 1 << 20

ENGINES: dict[str, Open] = {
    "embedded-os": lambda folder, clock: EmbeddedLog(folder / "store", clock=clock, record_limit=LIMIT),
    "embedded-fsync": lambda folder, clock: EmbeddedLog(
        folder / "store", clock=clock, durability="fsync", record_limit=LIMIT
    ),
}
DEVIATIONS: dict[tuple[str, str], str] = {}
"""(engine, name of the test) and why it can't hold there, with the upstream reference."""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if reason := DEVIATIONS.get((request.param, request.node.originalname)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return str(request.param)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000)


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as folder:
        yield folder


@pytest.fixture
def reopen(engine: str, clock: VirtualClock, folder: Path) -> Iterator[Callable[[], Log]]:
    """Opens the test's log once more, on the state that it has; the former one must be closed."""
    opened: list[Log] = []

    def open_again() -> Log:
        opened.append(ENGINES[engine](folder, clock))
        return opened[-1]

    yield open_again
    for log in opened:
        log.close()


@pytest.fixture
def log(reopen: Callable[[], Log]) -> Log:
    """A log with the parent ``chat``."""
    log = reopen()
    log.create_topic("chat", TopicSpec())
    return log
