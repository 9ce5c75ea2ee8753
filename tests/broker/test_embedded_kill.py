"""Kill -9 at any moment: what was acknowledged is there, dense and in order; a fork is whole or was never made."""

from __future__ import annotations

import itertools
import random  # noqa: TID251 -- seeded: a round that failed can be run again
import time
from collections import defaultdict
from pathlib import Path

import pytest

from faults import FaultyLog
from logs import bodies, events, scratch
from nbagora_lab.core.clock import SystemClock
from store_child import Process

THREADS = 3
Acknowledged = dict[str, dict[int, str]]


def append_and_kill(process: Process, store: Path, durability: str, chance: random.Random) -> Acknowledged:
    """One round; gives what was acknowledged on each topic, by offset."""
    size, many = chance.choice([(0, 100), (0, 1), (100, 20), (5000, 5), (40_000, 1)])
    process.start("append", store=str(store), durability=durability, threads=THREADS, size=size)
    lines = [process.line() for _ in range(many)]
    if chance.random() < 0.5:
        time.sleep(chance.random() * 0.01)  # not only when a line has just been written
    lines += process.kill()
    acknowledged: Acknowledged = defaultdict(dict)
    for line in lines:
        topic, offset, body = line.split(" ")
        acknowledged[topic][int(offset)] = body
    return acknowledged


def check(log: FaultyLog, acknowledged: Acknowledged) -> None:
    """Every record that was acknowledged is at its place, and what else is there makes sense."""
    for topic, placed in acknowledged.items():
        stored = [body.rstrip() for body in bodies(log, topic)]
        assert log.info(topic).next == len(stored)
        assert {offset: stored[offset] for offset in placed} == placed
    for number in range(THREADS):  # each batch has one record for the left and one for the right
        left = [body.rstrip() for body in bodies(log, f"chat/left-{number}")]
        assert left == [body.rstrip() for body in bodies(log, f"chat/right-{number}")]
        assert len(left) == len(set(left))
        numbers = [tuple(map(int, body.split("."))) for body in left]
        assert numbers == sorted(numbers)
        assert all(one[:2] != other[:2] or other[2] == one[2] + 1 for one, other in itertools.pairwise(numbers))
    shared = [tuple(map(int, body.split("."))) for body in map(str.rstrip, bodies(log, "chat/shared"))]
    for number in range(THREADS):
        mine = [one for one in shared if one[1] == number]
        assert mine == sorted(mine)
    opened = [topic for told, topic in events(log, "chat") if told == "topic.opened"]
    assert sorted(opened) == [f"chat/{name}" for name in log.lites("chat", limit=10**6) if name != "_events"]


def rounds_of_appends(process: Process, many: int, seed: int) -> None:
    chance = random.Random(seed)
    with scratch() as folder:
        acknowledged: Acknowledged = defaultdict(dict)
        for number in range(many):
            durability = ("os", "fsync")[number % 2]
            for topic, placed in append_and_kill(process, folder / "store", durability, chance).items():
                assert not placed.keys() & acknowledged[topic].keys(), "an offset was given twice"
                acknowledged[topic] |= placed
            log = FaultyLog(folder / "store", clock=SystemClock(), durability=durability)
            check(log, acknowledged)
            log.close()
        assert sum(map(len, acknowledged.values())) >= many


def rounds_of_forks(process: Process, many: int, seed: int) -> None:
    chance = random.Random(seed)
    made: dict[str, int] = {}
    with scratch() as folder:
        for number in range(many):
            durability = ("os", "fsync")[number % 2]
            process.start("fork", store=str(folder / "store"), durability=durability, records=chance.choice([10, 1500]))
            lines = [process.line() for _ in range(chance.choice([1, 2, 9]))]
            time.sleep(chance.random() * 0.02)
            lines += process.kill()
            begun = [line.split() for line in lines if line.startswith("chat/")]
            done = lines.count("forked")
            assert len(begun) - done in {0, 1}
            log = FaultyLog(folder / "store", clock=SystemClock(), durability=durability)
            source = bodies(log, "chat/source")
            there = {f"chat/{name}" for name in log.lites("chat", limit=10**6)}
            made |= {name: int(at) for name, at in begun if name in there}
            assert {name for name, _ in begun[:done]} <= made.keys()
            for name, at in made.items():
                assert bodies(log, name) == source[: at + 1]
                assert log.info(name).forked_from == f"chat/source@{at}"
            assert there == made.keys() | {"chat/source", "chat/_events"}
            assert [topic for told, topic in events(log, "chat") if told == "topic.forked"] == list(made)
            log.close()
    assert made


@pytest.mark.thorough
def test_acknowledged_records_survive_20_kills(process: Process) -> None:
    rounds_of_appends(process, 20, seed=1)


@pytest.mark.thorough
def test_forks_survive_whole_or_not_at_all_10_kills(process: Process) -> None:
    rounds_of_forks(process, 10, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_acknowledged_records_survive_200_kills(process: Process, seed: int) -> None:
    rounds_of_appends(process, 200, seed)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 6))
def test_forks_survive_whole_or_not_at_all_100_kills(process: Process, seed: int) -> None:
    rounds_of_forks(process, 100, seed)
