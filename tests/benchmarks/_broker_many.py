"""Keeps a store with many topics in a process of its own, and does as it is told, line by line.

Arguments: the store's folder, the number of topics. Lines: ``make`` (a message to each topic, all of them waiting at
once, then received and acked), ``flow N`` and ``single N`` (messages to topics in no order), ``leave N`` (messages
left waiting); each is answered by seconds and resident bytes. First it says how long opening took, and, where something
waits, how long until it was received.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from _broker_sides import BATCH, BODY, scattered

from nbagora_lab.broker import Broker
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import SystemClock


def _say(**said: Any) -> None:
    print(json.dumps({**said, "rss": psutil.Process().memory_info().rss}), flush=True)


def main() -> None:
    """Opens the store, and does what the lines say."""
    folder, topics = Path(sys.argv[1]), int(sys.argv[2])
    began = time.perf_counter()
    clock = SystemClock()
    log = EmbeddedLog(folder, clock=clock)
    broker = Broker(log, clock, EmbeddedGroups(log))
    broker.create_topic("many")
    broker.create_group("many", topic="many")
    consumer = broker.consumer("many", "worker", subscribe="s-*")
    opened = time.perf_counter() - began
    first = consumer.receive(BATCH)
    _say(opened=opened, received=time.perf_counter() - began, first=len(first))
    turn = 0

    def send(count: int) -> None:
        nonlocal turn
        for at in range(0, count, BATCH):
            numbers = scattered(min(BATCH, count - at), topics, after=turn + at)  # goes on where the last turn stopped
            broker.send_many([(f"many/s-{number}", BODY) for number in numbers])
        turn = (turn + count) % topics

    def drain(count: int) -> None:
        while count:
            batch = consumer.receive(BATCH)
            assert batch, f"{count} did not come"
            consumer.ack(batch)
            count -= len(batch)

    for line in sys.stdin:
        word, count = line.split()
        number = int(count)
        began = time.perf_counter()
        full = 0
        if word in {"make", "leave"}:
            send(number)
            full = psutil.Process().memory_info().rss
            if word == "make":
                drain(number)
        elif word == "flow":
            for at in range(0, number, 10 * BATCH):
                part = min(10 * BATCH, number - at)
                send(part)
                drain(part)
        else:
            for one in scattered(number, topics):
                topic = f"many/s-{one}"
                broker.send(topic, BODY)
                [delivery] = consumer.receive(1)
                assert delivery.topic == topic
                consumer.ack(delivery)
        _say(seconds=time.perf_counter() - began, full=full)
    log.close()
    _say(closed=True)


if __name__ == "__main__":
    main()
