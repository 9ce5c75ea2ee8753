"""Servers killed in the middle of traffic: what was acknowledged stays, and the lab goes on when they are back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

import _engines
import _rocketmq
from _server import Server
from logs import bodies, record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.log import RocketLog
from nbagora_lab.broker.tail import tail
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import ServerGone

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1500)]
PATIENCE = 240.0  # seconds; a broker takes 10 to start again on an idle machine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two brokers of this module's own, each message on the disk before it is acknowledged."""
    folder = tmp_path_factory.mktemp("cluster")
    yield _engines.up("rocketmq", folder, brokers=2, fsync=True)
    _engines.down(folder, grace=0, forget=True)


@pytest.fixture
def log(cluster: Server) -> Iterator[RocketLog]:
    endpoints = cluster.endpoints
    log = RocketLog(
        endpoints=endpoints["endpoints"],
        namesrv=endpoints["namesrv"],
        lab=f"lab{os.urandom(6).hex()}",
        clock=SystemClock(),
        patience=PATIENCE,
    )
    log.create_topic("chat", TopicSpec())
    yield log
    log.close()


def killed(server: Server, name: str) -> None:
    """Kills a process with -9 and has it start again, as a supervisor would."""
    part = server.part(name)
    os.kill(part.pid, signal.SIGKILL)
    while server.running(part):
        threading.Event().wait(0.05)
    _rocketmq.bring_up(server)


@pytest.mark.parametrize("name", ["broker-a", "proxy"])
def test_nothing_acknowledged_is_lost_or_there_twice(cluster: Server, log: RocketLog, name: str) -> None:
    topics = [f"chat/s-{number}" for number in range(8)]
    acknowledged: dict[str, list[str]] = {topic: [] for topic in topics}
    enough, stop = threading.Event(), threading.Event()

    def write(topic: str) -> None:
        count = 0
        while not stop.is_set():
            text = f"{topic}:{count}"
            [offset] = log.append([(topic, record(text))])
            assert offset >= count
            acknowledged[topic].append(text)
            count += 1
            if count == 5:
                enough.set()

    threads = [threading.Thread(target=write, args=(topic,)) for topic in topics]
    for thread in threads:
        thread.start()
    assert enough.wait(PATIENCE)
    before = {topic: len(acknowledged[topic]) for topic in topics}
    killed(cluster, name)
    for topic in topics:  # each goes on afterwards
        while len(acknowledged[topic]) < before[topic] + 3:
            threading.Event().wait(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    for topic in topics:
        assert bodies(log, topic) == acknowledged[topic]


def test_a_tail_goes_on_behind_a_broker_that_was_away(cluster: Server, log: RocketLog) -> None:
    log.append([("chat/a", record("before"))])
    records = tail(log, "chat/a", timeout=PATIENCE)
    assert next(records).body == b"before"
    for part in ("broker-a", "broker-b"):
        killed(cluster, part)
    other = threading.Thread(target=lambda: log.append([("chat/a", record("after"))]))
    other.start()
    assert next(records).body == b"after"
    other.join()
    records.close()  # type: ignore[attr-defined]


def test_each_topic_is_on_one_broker_and_the_others_are_read_while_one_is_away(cluster: Server, log: RocketLog) -> None:
    names = [f"s-{number}" for number in range(24)]
    log.append([(f"chat/{name}", record(f"{name}:{count}")) for name in names for count in range(3)])
    parent = log.topics.get("chat")
    held = {
        name: [broker for broker in log.cluster.brokers if log.cluster.end_on(broker, parent.queue(name))]
        for name in names
    }
    assert all(len(brokers) == 1 for brokers in held.values())
    assert {brokers[0] for brokers in held.values()} == {"broker-a", "broker-b"}
    part = cluster.part("broker-b")
    os.kill(part.pid, signal.SIGKILL)
    while cluster.running(part):
        threading.Event().wait(0.05)
    late = [threading.Thread(target=log.append, args=([(f"chat/late-{n}", record("late"))],)) for n in range(4)]
    for thread in late:  # new topics, whichever broker they will be on
        thread.start()
    try:
        for name, [broker] in held.items():
            if broker == "broker-a":
                assert bodies(log, f"chat/{name}") == [f"{name}:{count}" for count in range(3)]
            else:
                with pytest.raises(ServerGone) as caught:
                    log.scan(f"chat/{name}")
                assert len(caught.value._render_traceback_()) == 2
    finally:
        _rocketmq.bring_up(cluster)
    for number, thread in enumerate(late):
        thread.join()
        assert bodies(log, f"chat/late-{number}") == ["late"]
    for name in names:
        assert bodies(log, f"chat/{name}") == [f"{name}:{count}" for count in range(3)]
