"""What tests of the embedded engine stand on: a folder in memory, a log, one whose disk fails, and another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults import FaultyLog
from logs import scratch
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock
from store_child import Process


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as folder:
        yield folder


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000)


@pytest.fixture
def open_log(folder: Path, clock: VirtualClock) -> Iterator[Callable[..., FaultyLog]]:
    """Opens a store of the test's folder, as it is; keyword arguments go to the engine."""
    opened: list[FaultyLog] = []

    def open_again(path: str = "store", **options: Any) -> FaultyLog:
        opened.append(FaultyLog(folder / path, **{"clock": clock, **options}))
        return opened[-1]

    yield open_again
    for log in opened:
        log.close()


@pytest.fixture(params=["os", "fsync"])
def durability(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(open_log: Callable[..., FaultyLog]) -> FaultyLog:
    """A log with the parent ``chat``, in `os` durability."""
    log = open_log()
    log.create_topic("chat", TopicSpec())
    return log


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    """Another process, for stores that are held, killed or out of reach."""
    process = Process()
    yield process
    process.close()


@pytest.fixture(params=["LITE", "PRIORITY"])
def either_log(open_log: Callable[..., FaultyLog], request: pytest.FixtureRequest) -> FaultyLog:
    """A store with the parent `chat`, which is of either type."""
    log = open_log()
    log.create_topic("chat", TopicSpec(type=request.param))
    return log
