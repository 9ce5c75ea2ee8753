"""Notices: told to whoever waits for that topic, from any thread, without the engine's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from faults import FaultyLog
from logs import Bell, record
from nbagora_lab.broker.watches import Watches


@pytest.fixture
def watches() -> Watches:
    return Watches()


def test_each_topic_has_its_own(watches: Watches) -> None:
    a, b = Bell(), Bell()
    watches.add("a", a)
    watches.add("a", a)
    watches.add("b", b)
    watches.tell(["a", "c"])
    assert (a.rung, b.rung, len(watches)) == (2, 0, 3)
    watches.tell_all()
    assert (a.rung, b.rung) == (4, 1)


def test_one_who_waits_for_two_of_the_topics_hears_twice(watches: Watches) -> None:
    bell = Bell()
    watches.add("a", bell)
    watches.add("b", bell)
    watches.tell(["a", "b"])
    assert bell.rung == 2


def test_what_has_ended_leaves_nothing(watches: Watches) -> None:
    ends = [watches.add("a", Bell()), watches.add("a", Bell())]
    for end in ends:
        end()
        end()
    assert len(watches) == 0
    assert watches._wakes == {}


def test_watches_come_and_go_while_others_are_told(watches: Watches) -> None:
    ended, bell = threading.Event(), Bell()

    def tell() -> None:
        while not ended.is_set():
            watches.tell(["a", "b"])
            watches.tell_all()

    teller = threading.Thread(target=tell)
    teller.start()
    for _ in range(2000):
        watches.add("a", bell)()
    ended.set()
    teller.join()
    assert len(watches) == 0


@pytest.mark.parametrize("durability", ["fsync"], indirect=True)
def test_a_watch_begins_and_ends_while_a_write_waits_for_the_disk(
    open_log: Callable[..., FaultyLog], durability: str
) -> None:
    log = open_log(durability=durability)
    with log._lock:  # as a write holds it
        done = threading.Event()
        thread = threading.Thread(target=lambda: (log.watch("chat/a", Bell())(), done.set()))
        thread.start()
        assert done.wait(20)
    thread.join()


def test_records_are_read_while_a_write_waits_for_the_disk(log: FaultyLog) -> None:
    log.append([("chat/a", record())])
    seen: list[object] = []
    reads: list[Callable[[], object]] = [
        lambda: len(log.scan("chat/a")),
        lambda: log.info("chat/a").next,
        lambda: log.seek("chat/a", 0),
        lambda: log.lites("chat"),
        lambda: list(log.parents()),
        lambda: log.revision() > 0,
    ]
    with log._lock:
        thread = threading.Thread(target=lambda: seen.extend([read() for read in reads]))
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
    assert seen == [1, 1, 0, ["_events", "a"], ["chat"], True]
