"""A lab's log on RocketMQ against the bare official client, and bare pulls, on the server that runs here.

``scripts/engines up rocketmq`` first. Both sides do the same work on the same parent in turns, with one send in flight
for each lite topic, since more of them are stored out of order; ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import threading
import time
from collections.abc import Callable

import _engines
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.log import RocketLog
from nbagora_lab.broker.rocketmq.official import client
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.events import encode

__all__ = ["main"]

BODY = b"x" * 200


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare_sends(log: RocketLog, names: list[str], count: int) -> None:
    """The official client alone: rounds of one message a topic, all in flight, each round awaited."""
    for _ in range(count):
        futures = []
        for name in names:
            message = client().Message()
            message.topic, message.lite_topic, message.body = f"{log.lab}-chat", name, BODY
            futures.append(log.sender._producer.send_async(message))
        for future in futures:
            future.result()


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


def latencies(log: RocketLog, count: int) -> list[float]:
    """Seconds from before an append until a watcher that only watches has read the record."""
    found = []
    for number in range(count):
        arrived = threading.Event()
        unwatch = log.watch("chat/tail", arrived.set)
        began = time.perf_counter()
        log.append([("chat/tail", encode("m", BODY))])
        arrived.wait()
        assert log.scan("chat/tail", after=number - 1)[0][0] == number
        found.append(time.perf_counter() - began)
        unwatch()
    return found


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench engines")
    parser.add_argument("--topics", type=int, default=100)
    parser.add_argument("--each", type=int, default=10, help="messages a topic and turn")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    server = _engines.running(_engines.FOLDER / "rocketmq")
    if server is None:
        print("no RocketMQ runs here: scripts/engines up rocketmq")
        return 1
    lab = f"lab{secrets.token_hex(6)}"
    log = RocketLog(
        endpoints=server.endpoints["endpoints"], namesrv=server.endpoints["namesrv"], lab=lab, clock=SystemClock()
    )
    try:
        log.create_topic("chat", TopicSpec())
        names = [f"s-{number}" for number in range(given.topics)]
        entries = [(f"chat/{name}", encode("m", BODY)) for name in names]
        log.append(entries)  # opens them
        others = [f"b-{number}" for number in range(given.topics)]
        bare_sends(log, others, 1)
        ours, bare = [], []
        for _ in range(given.turns):
            ours.append(timed(lambda: [log.append(entries) for _ in range(given.each)]))
            bare.append(timed(lambda: bare_sends(log, others, given.each)))
        total = given.topics * given.each
        ratio = statistics.median(b / o for o, b in zip(ours, bare, strict=True))
        each = total / statistics.median(ours)
        print(f"publish over {given.topics} topics   {each:8.0f}/s   {ratio:5.2f} x bare client")
        log.append([("chat/long", encode("m", BODY))] * 500)
        read, pulled = [], []
        for _ in range(given.turns):
            read.append(timed(lambda: scans(log, "chat/long")))
            pulled.append(timed(lambda: bare_pulls(log, "long")))
        assert scans(log, "chat/long") == bare_pulls(log, "long") == 500
        ratio = statistics.median(p / r for r, p in zip(read, pulled, strict=True))
        print(f"read 500 records again     {500 / statistics.median(read):8.0f}/s   {ratio:5.2f} x bare pulls")
        single = [timed(lambda: bare_sends(log, ["b-0"], 1)) for _ in range(50)]
        woken = latencies(log, 50)
        p50, base = statistics.median(woken), statistics.median(single)
        print(f"append until a tail has it {p50 * 1e3:8.1f} ms  {p50 / base:5.2f} x a bare send alone")
    finally:
        log.remove()
        log.close()
    return 0
