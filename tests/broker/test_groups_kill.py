"""Kill -9 while records are published, received and acked: nothing acknowledged is lost, handed out again, or late.

``NBAGORA_KILL_ROUNDS`` is the number of rounds of each kind under ``--campaign``.
"""

from __future__ import annotations

import os
import random  # noqa: TID251 -- seeded: a round that failed can be run again
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from faults import FaultyLog
from logs import bodies, scratch
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.core.clock import SystemClock
from store_child import Process

TOPICS = 5
PER_STORE = 25  # kills of a store in a campaign; then it is drained and looked at as a whole
ROUNDS = int(os.environ.get("NBAGORA_KILL_ROUNDS", "1000"))


@dataclass
class Told:
    """What the killed processes said of one topic."""

    sent: dict[int, str] = field(default_factory=dict)
    acked: set[int] = field(default_factory=set)
    got: dict[int, int] = field(default_factory=dict)  # the highest attempt that was seen


def kill_a_reader(process: Process, store: Path, durability: str, kind: str, chance: random.Random) -> list[str]:
    """One round; gives the lines that were said, the very last one too.

    It is whole, as each was written at once and is shorter than a pipe takes apart. Leaving it out would miss what a
    reader was handed, acked durably, and could not tell of any more.
    """
    seed = chance.randrange(10**9)
    process.start("consume", store=str(store), durability=durability, type=kind, topics=TOPICS, seed=seed)
    lines = [process.line() for _ in range(chance.choice([1, 30, 300]))]
    time.sleep(chance.random() * 0.01)  # not only when a line has just been written
    return lines + process.kill()


def rounds(process: Process, many: int, seed: int, durability: str, kind: str) -> int:
    """Kills a store's reader so often; gives the number of acks that were told before, none where it came too early."""
    chance = random.Random(seed)
    told: dict[str, Told] = defaultdict(Told)
    with scratch() as folder:
        for _ in range(many):
            lines = kill_a_reader(process, folder / "store", durability, kind, chance)
            take_in(told, [line.split(" ") for line in lines])
            check(folder / "store", durability, told)
        drain(folder / "store", durability, told, ordered=kind == "LITE")
    return sum(len(one.acked) for one in told.values())


def take_in(told: dict[str, Told], lines: list[list[str]]) -> None:
    """Adds a round, which may not contradict the former ones."""
    acked, got = ({topic: type(had)(had) for topic, had in of.items()} for of in (_of(told, "acked"), _of(told, "got")))
    for said, topic, offset, *rest in lines:
        one, at = told[topic], int(offset)
        if said == "sent":
            assert at not in one.sent, "an offset was given twice"
            one.sent[at] = rest[0]
        elif said == "got":
            assert at not in acked.get(topic, ()), "it was acked before the kill, and handed out after it"
            assert int(rest[0]) > got.get(topic, {}).get(at, 0), "an attempt was lost"
            one.got[at] = max(one.got.get(at, 0), int(rest[0]))
        elif said == "acked":
            one.acked.add(at)


def _of(told: dict[str, Told], name: str) -> dict[str, Any]:
    return {topic: getattr(one, name) for topic, one in told.items()}


def check(store: Path, durability: str, told: dict[str, Told]) -> None:
    """Whatever was acknowledged is there."""
    log = FaultyLog(store, clock=SystemClock(), durability=durability)
    for topic, one in told.items():
        stored = bodies(log, topic)
        assert {offset: stored[offset] for offset in one.sent} == one.sent
    log.close()


def drain(store: Path, durability: str, told: dict[str, Told], *, ordered: bool) -> None:
    """Reads the rest in one go: what was acked does not come, all else does, in order."""
    log = FaultyLog(store, clock=SystemClock(), durability=durability)
    groups = EmbeddedGroups(log)
    groups.subscribe("workers", "last", "*")
    came: dict[str, list[int]] = defaultdict(list)
    while batch := groups.receive("workers", "last", lease=1000):
        for one in batch:
            came[one.topic].append(one.offset)
        groups.ack("workers", [one.handle for one in batch])
    for topic, one in told.items():
        assert not one.acked & set(came[topic]), "it was acked, and handed out again"
        if ordered:
            assert came[topic] == sorted(came[topic]), "it overtook another"
        assert len(came[topic]) == len(set(came[topic]))
        missing = one.sent.keys() - one.acked - set(came[topic])
        assert missing <= one.got.keys(), "it was never handed out"  # the others' acks were durable, if not told
        assert groups.progress("workers", topic).lag == 0
    log.close()


@pytest.mark.parametrize(
    ("durability", "kind", "many"),
    [
        ("os", "LITE", 20),
        pytest.param("fsync", "LITE", 15, marks=pytest.mark.thorough),
        pytest.param("os", "PRIORITY", 15, marks=pytest.mark.thorough),
    ],
)
def test_nothing_acknowledged_is_lost_over_50_kills(process: Process, durability: str, kind: str, many: int) -> None:
    assert rounds(process, many, 1, durability, kind)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["LITE", "PRIORITY"])
@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_nothing_acknowledged_is_lost_over_many_kills(process: Process, durability: str, kind: str) -> None:
    acked = 0
    for left in range(-(-ROUNDS // 4), 0, -PER_STORE):
        seed = random.randrange(10**9)
        print(f"seed {seed}")
        acked += rounds(process, min(left, PER_STORE), seed, durability, kind)
    assert acked
