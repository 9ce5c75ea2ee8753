"""Servers killed in the middle of traffic: what was acknowledged stays, and the lab goes on when they are back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import _engines
import _rocketmq
from _server import Server
from logs import bodies, record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.log import RocketLog
from nbagora_lab.broker.rocketmq.owners import bucket, is_stray
from nbagora_lab.broker.tail import tail
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import ServerGone
from nbagora_lab.lab import Lab

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.leaves("servers that were killed and started again stay until the module ends"),
]
PATIENCE = 240.0  # seconds; a broker takes 10 to start again on an idle machine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two brokers of this module's own, each message on the disk before it is acknowledged."""
    folder = tmp_path_factory.mktemp("cluster")
    yield _engines.up("rocketmq", folder, brokers=2, fsync=True)
    _engines.down(folder, grace=0, forget=True)


def opened(cluster: Server, lab: str) -> RocketLog:
    known = cluster.endpoints
    return RocketLog(
        endpoints=known["endpoints"], namesrv=known["namesrv"], lab=lab, clock=SystemClock(), patience=PATIENCE
    )


@pytest.fixture
def log(cluster: Server) -> Iterator[RocketLog]:
    log = opened(cluster, f"lab{os.urandom(6).hex()}")
    log.create_topic("chat", TopicSpec())
    yield log
    log.close()


def killed_for_now(server: Server, name: str) -> None:
    """Kills a process with -9 and leaves it so."""
    part = server.part(name)
    os.kill(part.pid, signal.SIGKILL)
    while server.running(part):
        threading.Event().wait(0.05)


def killed(server: Server, name: str) -> None:
    """The same, and has it start again, as a supervisor would."""
    killed_for_now(server, name)
    _rocketmq.bring_up(server)


@pytest.mark.parametrize(
    "name", [pytest.param("broker-a", marks=pytest.mark.campaign), pytest.param("proxy", marks=pytest.mark.thorough)]
)
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


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["broker-a", "proxy"])
def test_a_task_under_way_goes_on_and_its_stream_has_every_word_once(
    cluster: Server, tmp_path: Path, name: str
) -> None:
    with Lab(store=tmp_path, broker="rocketmq", patience=PATIENCE, merge_chunks=False, **cluster.settings) as lab:
        spoken = threading.Event()

        @lab.agent(name="say")
        async def say(message: Any, task: Any) -> Any:
            for number in range(200):
                if number == 20:
                    spoken.set()  # most of it is said while a server is away, or afterwards
                yield f"{message.text}{number} "

        heard: list[str] = []
        listening = threading.Thread(target=lambda: heard.extend(event.text for event in lab.stream("say", "词")))
        listening.start()
        assert spoken.wait(PATIENCE)
        killed(cluster, name)
        listening.join(PATIENCE)
        assert not listening.is_alive()
        said = "".join(f"词{number} " for number in range(200))
        assert "".join(heard) == said
        [task] = lab.tasks()
        done = lab.task(task.id)
        assert (done.state, done.text) == ("COMPLETED", said)
        lab.broker.log.shared.remove()  # type: ignore[attr-defined]


@pytest.mark.campaign
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


def held(log: RocketLog, names: list[str]) -> dict[str, list[str]]:
    """Which brokers have messages of lite topics below ``chat``, strays left out."""
    parent, brokers = log.topics.get("chat"), log.cluster.brokers
    pages = {
        (name, broker): log.cluster.pull(parent.queue(name), 0, limit=1, broker=broker).messages
        for name in names
        for broker in brokers
    }
    return {
        name: [broker for broker in brokers if any(not is_stray(one, broker) for one in pages[name, broker])]
        for name in names
    }


def strays(log: RocketLog, broker: str) -> int:
    """How many messages below ``chat`` a broker has that were meant for another one."""
    count, at, parent = 0, 0, log.topics.get("chat").spelt
    while messages := log.cluster.pull(parent, at, broker=broker).messages:
        count += sum(is_stray(message, broker) for message in messages)
        at = messages[-1].offset + 1
    return count


@pytest.mark.thorough
def test_each_topic_is_on_one_broker_and_the_others_are_read_while_one_is_away(cluster: Server, log: RocketLog) -> None:
    names = [f"s-{number}" for number in range(24)]
    log.append([(f"chat/{name}", record(f"{name}:{count}")) for name in names for count in range(3)])
    on = held(log, names)
    assert on == {name: [["broker-a", "broker-b"][bucket(name, 2)]] for name in names}
    assert {broker for [broker] in on.values()} == {"broker-a", "broker-b"}
    killed_for_now(cluster, "broker-b")
    try:
        for name, [broker] in on.items():
            if broker == "broker-a":
                assert bodies(log, f"chat/{name}") == [f"{name}:{count}" for count in range(3)]
                assert log.append([(f"chat/{name}", record("meanwhile"))]) == [3]
            else:
                with pytest.raises(ServerGone) as caught:
                    log.scan(f"chat/{name}")
                assert len(caught.value._render_traceback_()) == 2
    finally:
        _rocketmq.bring_up(cluster)
    for name, [broker] in on.items():
        wanted = [f"{name}:{count}" for count in range(3)] + ["meanwhile"] * (broker == "broker-a")
        assert bodies(log, f"chat/{name}") == wanted


@pytest.mark.campaign
def test_a_topic_stays_on_its_broker_however_long_that_is_away(cluster: Server, log: RocketLog) -> None:
    """Proxies forget a broker after some 20 s, and put its topics' messages on another one."""
    [known] = [name for name in ("s-0", "s-1", "s-2", "s-3") if bucket(name, 2)][:1]
    [fresh] = [name for name in ("new-0", "new-1", "new-2", "new-3") if bucket(name, 2)][:1]
    log.append([(f"chat/{known}", record("0"))])
    killed_for_now(cluster, "broker-b")
    writers = [
        threading.Thread(target=log.append, args=([(f"chat/{name}", record(str(number))) for number in (1, 2, 3)],))
        for name in (known, fresh)
    ]
    try:
        for writer in writers:
            writer.start()
        while not strays(log, "broker-a"):
            threading.Event().wait(0.5)
        with pytest.raises(ServerGone, match="broker-b, which has topics of this lab, is away"):
            opened(cluster, log.lab)
    finally:
        _rocketmq.bring_up(cluster)
    for writer in writers:
        writer.join()
    assert bodies(log, f"chat/{known}") == ["0", "1", "2", "3"]
    assert bodies(log, f"chat/{fresh}") == ["1", "2", "3"]
    assert held(log, [known, fresh]) == {known: ["broker-b"], fresh: ["broker-b"]}
    again = opened(cluster, log.lab)
    assert bodies(again, f"chat/{known}") == ["0", "1", "2", "3"]
    again.close()
