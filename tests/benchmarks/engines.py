"""A lab on RocketMQ against the bare official client, bare pulls and the embedded engine, on the server that runs here.

``scripts/engines up rocketmq nacos`` first; one that does not run is left out. The registry at Nacos stands against the
embedded one. On RocketMQ both sides do the same work on the same server in turns, with one send in flight
for each lite topic, since more of them are stored out of order; ratios are medians over the turns. Before each row both
sides do that work unmeasured, one as often as the other: a JVM that has just started compiles meanwhile what they run
through.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _engines_registry

import _engines
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.broker.hosted_groups import HostedGroups
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.log import RocketLog
from nbagora_lab.broker.rocketmq.official import client, lite_consumer
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.events import encode
from nbagora_lab.lab import Lab

__all__ = ["main"]

BODY = b"x" * 200
BUSY = "TooManyRequestsException"
WARM = 5.0  # seconds that both sides of a row work unmeasured
UNCOUNTED = 10  # sends of a tail that are not measured


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def warm_up(*sides: Callable[[], object]) -> None:
    """Has the sides work in turns, each as often as the others, until that took `WARM` seconds."""
    until = time.perf_counter() + WARM
    while True:
        for side in sides:
            side()
        if time.perf_counter() > until:
            return


def ratio(ours: list[float], theirs: list[float]) -> float:
    """How many times as fast ours is, turn by turn."""
    return statistics.median(their / our for our, their in zip(ours, theirs, strict=True))


def row(what: str, measured: str, compared: str) -> None:
    """Prints a line of the table."""
    print(f"{what:<44} {measured:>16}   {compared}", flush=True)


@contextlib.contextmanager
def opened(options: dict[str, str]) -> Iterator[RocketLog]:
    """A log of its own, removed afterwards."""
    log = RocketLog(**options, lab=f"lab{secrets.token_hex(6)}", clock=SystemClock())
    try:
        log.create_topic("chat", TopicSpec())
        yield log
        log.remove()
    finally:
        log.close()


def bare_sends(log: RocketLog, names: list[str], count: int, parent: str = "chat") -> None:
    """The official client alone: rounds of one message a topic, all in flight, each round awaited.

    What a broker that is behind refuses is sent again, as it has to be.
    """
    for _ in range(count):
        left = names
        while left:
            futures = {}
            for name in left:
                message = client().Message()
                message.topic, message.lite_topic, message.body = f"{log.lab}-{parent}", name, BODY
                futures[name] = log.sender._producer.send_async(message)
            failures = {name: future.exception() for name, future in futures.items()}
            left = [name for name, error in failures.items() if type(error).__name__ == BUSY]
            assert not [error for name, error in failures.items() if error and name not in left]


def publish(log: RocketLog, topics: int, each: int, turns: int) -> None:
    """Sends over many topics."""
    entries = [(f"chat/s-{number}", encode("m", BODY)) for number in range(topics)]
    others = [f"b-{number}" for number in range(topics)]
    log.append(entries)  # opens them
    bare_sends(log, others, 1)

    def send() -> None:
        log.append(entries * each)

    def send_bare() -> None:
        bare_sends(log, others, each)

    warm_up(send, send_bare)
    ours, bare, took, bare_took = [], [], [], []  # seconds, and those of this process's CPU
    for _ in range(turns):
        began = time.process_time()
        ours.append(timed(send))
        middle = time.process_time()
        bare.append(timed(send_bare))
        took.append(middle - began)
        bare_took.append(time.process_time() - middle)
    rate = topics * each / statistics.median(ours)
    compared = f"{ratio(ours, bare):.2f} x the bare client, by this process's CPU {ratio(took, bare_took):.2f} x"
    row(f"publish over {topics} topics", f"{rate:.0f}/s", compared)


def bare_pulls(log: RocketLog, name: str) -> int:
    """A loop of pulls, whose messages are parsed and no more."""
    queue, at, found = log.topics.get("chat").queue(name), 0, 0
    while messages := log.cluster.pull(queue, at).messages:
        found += len(messages)
        at += len(messages)
    return found


def scans(log: RocketLog, topic: str) -> int:
    """The same by the log."""
    after, found = -1, 0
    while batch := log.scan(topic, after=after):
        found += len(batch)
        after = batch[-1][0]
    return found


def catch_up(log: RocketLog, count: int, turns: int) -> None:
    """Reads a topic again by offset."""
    log.append([("chat/long", encode("m", BODY))] * count)
    assert scans(log, "chat/long") == bare_pulls(log, "long") == count
    warm_up(lambda: scans(log, "chat/long"), lambda: bare_pulls(log, "long"))
    read, pulled = [], []
    for _ in range(turns):
        read.append(timed(lambda: scans(log, "chat/long")))
        pulled.append(timed(lambda: bare_pulls(log, "long")))
    rate = count / statistics.median(read)
    row(f"read {count} records again", f"{rate:.0f}/s", f"{ratio(read, pulled):.2f} x bare pulls")


@contextlib.contextmanager
def bare_consumer(log: RocketLog, parent: str, names: list[str], wait: int = 5) -> Iterator[Any]:
    """The official client's consumer, subscribed."""
    group = f"{log.lab}-bare-{parent}"
    log.cluster.create_group(group, parent=f"{log.lab}-{parent}")
    consumer = lite_consumer(f"{log.lab}-{parent}", log.sender.configuration, group, wait=wait)
    try:
        for name in names:
            consumer.subscribe_lite(name)
        yield consumer
    finally:
        consumer.shutdown()


def bare_drain(consumer: Any, count: int) -> None:
    """Receives and acks that many."""
    acks: list[Any] = []
    while len(acks) < count:
        acks += [consumer.ack_async(message) for message in consumer.receive(32, 60)]
    for ack in acks:
        ack.result()


def drain(groups: HostedGroups, parent: str, count: int) -> None:
    """The same by a group of the lab, which copies all of it first."""
    groups.create_group(parent, GroupSpec(topic=parent))
    groups.subscribe(parent, "c", "*")
    found = 0
    while found < count:
        batch = groups.receive(parent, "c", limit=1000)
        groups.ack(parent, batch)
        found += len(batch)


def receive(log: RocketLog, topics: int, each: int, turns: int) -> None:
    """Receives and acks what waits on many topics, written by the bare client."""
    names = [f"s-{number}" for number in range(topics)]
    with tempfile.TemporaryDirectory() as folder:
        own = EmbeddedLog(Path(folder), clock=SystemClock())
        hosted = HostedLog(log, own)
        groups = HostedGroups(hosted)
        parents = (f"jobs{number}" for number in itertools.count())

        def turn() -> tuple[float, float]:
            parent = next(parents)
            hosted.create_topic(parent, TopicSpec())
            with bare_consumer(log, parent, names) as consumer:
                bare_sends(log, names, each, parent)
                bare = timed(lambda: bare_drain(consumer, topics * each))
            return timed(lambda: drain(groups, parent, topics * each)), bare

        warm_up(turn)
        ours, bare = map(list, zip(*(turn() for _ in range(turns)), strict=True))
        own.close()
    rate = topics * each / statistics.median(ours)
    row(f"receive + ack over {topics} topics", f"{rate:.0f}/s", f"{ratio(ours, bare):.2f} x the bare client")


def tails(log: RocketLog, count: int) -> None:
    """From before a send until somebody who waits has the record: our own writes, another client's, and a bare pop."""
    own, foreign, popped = [], [], []
    for number in range(UNCOUNTED + count):
        for topic, times, send in (
            ("chat/tail", own, lambda: log.append([("chat/tail", encode("m", BODY))])),
            ("chat/other", foreign, lambda: bare_sends(log, ["other"], 1)),
        ):
            arrived = threading.Event()
            unwatch = log.watch(topic, arrived.set)
            began = time.perf_counter()
            send()
            arrived.wait()
            while not (found := log.scan(topic, after=number - 1)):
                pass
            assert found[0][0] == number
            times.append(time.perf_counter() - began)
            unwatch()
    with bare_consumer(log, "chat", ["popped"], wait=20) as consumer:
        bare_sends(log, ["popped"], 1)
        bare_drain(consumer, 1)
        for _ in range(UNCOUNTED + count):
            got: list[float] = []
            waiting = threading.Thread(
                target=lambda got=got: (bare_drain(consumer, 1), got.append(time.perf_counter()))
            )
            waiting.start()
            time.sleep(0.05)  # it waits at the server by then
            began = time.perf_counter()
            bare_sends(log, ["popped"], 1)
            waiting.join()
            popped.append(time.perf_counter() - began)
    base = statistics.median(popped[UNCOUNTED:])
    for what, times in (("our own write", own), ("another client's write", foreign)):
        p50 = statistics.median(times[UNCOUNTED:])
        row(f"{what} until a tail has it, p50", f"{p50 * 1e3:.1f} ms", f"{p50 / base:.2f} x a bare pop and ack")


def streams(options: dict[str, str], chunks: int, turns: int) -> None:
    """An agent's chunks until their stream has ended, and a short question, on both engines."""
    engines: dict[str, dict[str, Any]] = {
        "embedded": {},
        "RocketMQ, each chunk an event": {"merge_chunks": False},
        "RocketMQ, merged": {"merge_chunks": True},
    }
    for name, settings in engines.items():
        if name != "embedded":
            where = {"rocketmq": options["endpoints"], "rocketmq_namesrv": options["namesrv"]}
            settings |= {"broker": "rocketmq", **where}
        with tempfile.TemporaryDirectory() as folder, Lab(store=folder, **settings) as lab:

            @lab.agent(name="say")
            async def say(message: Any, task: Any) -> Any:
                for number in range(int(message.text)):
                    yield f"{number} "

            def say_all() -> int:
                return len(list(lab.stream("say", str(chunks))))

            warm_up(say_all, lambda: lab.ask("say", "1"))
            took, events = [], 0
            for _ in range(turns):
                began = time.perf_counter()
                events = say_all()
                took.append(time.perf_counter() - began)
            asked = [timed(lambda: lab.ask("say", "1")) for _ in range(10)]
            rate, p50 = chunks / statistics.median(took), statistics.median(asked) * 1e3
            row(f"A2A, {name}", f"{rate:.0f} chunks/s", f"in {events} events; a short ask p50 {p50:.0f} ms")
            if name != "embedded":
                lab.broker.log.shared.remove()  # type: ignore[attr-defined]


def kernel(options: dict[str, str], topics: int, each: int, go: Any, done: Any) -> None:
    """A kernel of its own: opens a lab, says so, and sends when told."""
    with opened(options) as log:
        entries = [(f"chat/s-{number}", encode("m", BODY)) for number in range(topics)]
        log.append(entries)
        warm_up(lambda: log.append(entries * each))
        done.put(None)
        go.wait()
        log.append(entries * each)
        done.put(None)


def kernels(options: dict[str, str], topics: int, each: int) -> None:
    """Kernels beside each other on one cluster."""
    context, rates = multiprocessing.get_context("spawn"), {}
    for count in (1, 3):
        go, done = context.Event(), context.Queue()
        children = [context.Process(target=kernel, args=(options, topics, each, go, done)) for _ in range(count)]
        for child in children:
            child.start()
        for _ in children:
            done.get(timeout=120)
        began = time.perf_counter()
        go.set()
        for _ in children:
            done.get(timeout=120)
        rates[count] = count * topics * each / (time.perf_counter() - began)
        for child in children:
            child.join()
    row("publish, three kernels on one cluster", f"{rates[3]:.0f}/s", f"{rates[3] / rates[1]:.2f} x one kernel")


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench engines")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["publish", "receive", "read", "tail", "stream", "kernels", "registry"])
    given = parser.parse_args()
    nacos = _engines.running(_engines.FOLDER / "nacos")
    if nacos is not None and given.only in {None, "registry"}:
        _engines_registry.measure(nacos)
    server = _engines.running(_engines.FOLDER / "rocketmq")
    if server is None:
        print("no RocketMQ runs here: scripts/engines up rocketmq")
        return 1 if nacos is None else 0
    options = {"endpoints": server.endpoints["endpoints"], "namesrv": server.endpoints["namesrv"]}
    turns = given.turns
    with opened(options) as log:
        parts: dict[str, Callable[[], object]] = {
            "publish": lambda: [publish(log, 100, 10, turns), publish(log, 1000, 2, turns)],
            "receive": lambda: receive(log, 100, 10, turns),
            "read": lambda: catch_up(log, 500, turns),
            "tail": lambda: tails(log, 30),
            "stream": lambda: streams(options, 200, turns),
            "kernels": lambda: kernels(options, 100, 10),
        }
        for name, part in parts.items():
            if given.only in {None, name}:
                part()
    return 0
