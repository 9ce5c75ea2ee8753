"""The suite that every engine of the broker passes: it knows `broker.api.Log` and `Groups` and nothing of an engine.

An engine enters by one line in `ENGINES`. Where a real engine can't do what the protocol says, the test stays as it is
and `DEVIATIONS` names it, with the reason and the place upstream that says so. A module that is about a capability
names it in `NEEDS`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from joined import join_engines
from logs import scratch
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.broker.hosted_groups import HostedGroups
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import Clock, VirtualClock
from servers import server_options


class Engine(NamedTuple):
    """An open engine."""

    log: Log
    groups: Groups


Open = Callable[[Path, Clock], Engine]
"""Opens an engine whose state lives at, or is named by, a folder of the test's own; records of 1 MiB at most."""

LIMIT = 1 << 20


def embedded(**options: Any) -> Open:
    """The embedded engine."""

    def open_it(folder: Path, clock: Clock) -> Engine:
        log = EmbeddedLog(folder / "store", clock=clock, record_limit=LIMIT, **options)
        return Engine(log, EmbeddedGroups(log))

    return open_it


def joined(folder: Path, clock: Clock) -> Engine:
    """The engine of a lab that was joined: the embedded one, over a line."""
    log = EmbeddedLog(folder / "store", clock=clock, record_limit=LIMIT)
    engines = join_engines(log, EmbeddedGroups(log), None)
    return Engine(engines.log, engines.groups)


def rocketmq(folder: Path, clock: Clock) -> Engine:
    """The RocketMQ engine, on a server that runs, below a lab's name of the folder's own."""
    from nbagora_lab.broker.rocketmq.log import RocketLog

    name = folder / "lab"
    if not name.exists():
        name.write_text(f"lab{secrets.token_hex(6)}")
    shared = RocketLog(**server_options("rocketmq"), lab=name.read_text(), clock=clock, record_limit=LIMIT)
    log = HostedLog(shared, EmbeddedLog(folder / "hosted", clock=clock))
    return Engine(log, HostedGroups(log))


ENGINES: dict[str, Open] = {
    "embedded-os": embedded(),
    "embedded-fsync": embedded(durability="fsync"),
    "joined": joined,
    "rocketmq": rocketmq,
}
SERVERS = {"rocketmq"}
"""Engines that need a server of their name."""
DEVIATIONS: dict[tuple[str, str], str] = {
    ("joined", "test_a_list_is_cut_by_prefix_place_and_number"): (
        "a prefix that UTF-8 can't hold is refused before it goes over the line"
    ),
    ("rocketmq", "test_without_the_lease_nothing_is_sent_and_without_the_send_nothing_is_acked"): (
        "an ack and sends are two steps: RocketMQ's transactions take no lite topic (client 5.1.2, __send_message_type)"
    ),
    ("rocketmq", "test_it_rings_once_the_record_can_be_read_in_the_appenders_thread"): (
        "it rings in the feed's thread, as for the writes of other processes"
    ),
    ("rocketmq", "test_the_telling_itself_can_expire"): (
        "no call of a 5.5.0 broker deletes a light queue, so what is removed is said in _events, which has to stay"
    ),
}
"""(engine, name of the test) and why it can't hold there, with the upstream reference."""


SLOW = {"embedded-fsync", "joined", "rocketmq"}
"""Engines whose turn comes under ``--strict`` alone, as a newcomer does not wait that long."""
LONG = {
    ("rocketmq", "test_ten_thousand_subscriptions_by_one_client"),
}
"""(engine, name of the test) that takes minutes there: ten thousand topics, a send and a look for each."""
PARAMETERS = [
    pytest.param(name, marks=[pytest.mark.thorough] * (name in SLOW) + [pytest.mark.server(name)] * (name in SERVERS))
    for name in ENGINES
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
        if (engine, getattr(item, "originalname", "")) in LONG:
            item.add_marker(pytest.mark.campaign)


@pytest.fixture(params=PARAMETERS)
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
def open_engine(engine: str, clock: VirtualClock, folder: Path) -> Iterator[Callable[[], Engine]]:
    """Opens the test's engine once more, on the state that it has; the former one must be closed."""
    opened: list[Engine] = []

    def open_again() -> Engine:
        opened.append(ENGINES[engine](folder, clock))
        return opened[-1]

    yield open_again
    for one in opened:
        one.log.close()


@pytest.fixture
def reopen(open_engine: Callable[[], Engine]) -> Callable[[], Log]:
    """The same, for tests of the log alone."""
    return lambda: open_engine().log


@pytest.fixture
def both(request: pytest.FixtureRequest, open_engine: Callable[[], Engine]) -> Engine:
    """An engine with the parent ``chat``."""
    one = open_engine()
    if missing := getattr(request.module, "NEEDS", set()) - one.groups.capabilities:
        one.log.close()
        pytest.skip(f"{one.log.engine} lacks {', '.join(sorted(missing))}")
    one.log.create_topic("chat", TopicSpec())
    return one


@pytest.fixture
def log(both: Engine) -> Log:
    """Its log."""
    return both.log


@pytest.fixture
def groups(both: Engine) -> Groups:
    """Its groups, with the parent ``jobs``, which is of type PRIORITY, beside."""
    both.log.create_topic("jobs", TopicSpec(type="PRIORITY"))
    return both.groups
