"""Reading a topic by offset, from a queue that is played."""

from __future__ import annotations

from typing import Any

import pytest

from logs import record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.cluster import PAGE, Page
from nbagora_lab.broker.rocketmq.feed import LITE_OFFSET
from nbagora_lab.broker.rocketmq.life import Life
from nbagora_lab.broker.rocketmq.packing import ID, packed
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.reader import Reader
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.core.events import decode


class Queue:
    """A lite topic's queue, as a cluster shows it; `told` says what was asked of it and what became of that."""

    def __init__(self, senders: list[str], *, first: int = 0, bodies: int = PAGE) -> None:
        self._messages = []
        for at, sender in enumerate(senders):
            body, properties = packed(record(f"{at}"))
            self._messages.append(Message(at, 0.0, body, properties | {ID: sender, LITE_OFFSET: str(at)}))
        self._first = first
        self._bodies = bodies
        self.told: list[tuple[str, int]] = []

    def pulling(self, _: str, offset: int, *, limit: int) -> Any:
        queue = self

        class Pull:
            def page(self) -> Page:
                queue.told.append(("took", offset))
                if offset < queue._first:
                    return Page([], queue._first, queue._first, len(queue._messages))
                found = queue._messages[offset : offset + min(limit, queue._bodies)]
                return Page(found, offset + len(found), queue._first, len(queue._messages))

            def drop(self) -> None:
                queue.told.append(("dropped", offset))

        self.told.append(("asked", offset))
        return Pull()

    def pull(self, name: str, offset: int, *, limit: int) -> Page:
        page: Page = self.pulling(name, offset, limit=limit).page()
        return page


def scanned(queue: Queue, *, after: int = -1, limit: int = 1000, max_bytes: int = 4 << 20) -> list[int]:
    """Offsets of a scan; each record is the one that stands there."""
    parent = Parent("chat", "lab-chat", TopicSpec(), Life("chat", lambda _: []))
    found = Reader(queue).scan(parent, "a", after=after, limit=limit, max_bytes=max_bytes)  # type: ignore[arg-type]
    assert [decode(stored, "", offset).body.decode() for offset, stored in found] == [
        str(offset) for offset, _ in found
    ]
    return [offset for offset, _ in found]


def one_writer(count: int) -> list[str]:
    return [f"w-{number}" for number in range(count)]


def test_while_a_full_page_is_looked_at_the_next_one_is_on_its_way() -> None:
    queue = Queue(one_writer(2 * PAGE + 5))
    assert scanned(queue) == list(range(2 * PAGE + 5))
    assert queue.told == [
        ("asked", 0), ("took", 0), ("asked", PAGE), ("took", PAGE), ("asked", 2 * PAGE), ("took", 2 * PAGE),
    ]  # fmt: skip


def test_what_is_under_way_for_nobody_is_dropped() -> None:
    queue = Queue(one_writer(3 * PAGE))
    assert len(scanned(queue, max_bytes=100)) < PAGE
    assert queue.told == [("asked", 0), ("took", 0), ("asked", PAGE), ("dropped", PAGE)]


@pytest.mark.parametrize("limit", [1, 2, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
@pytest.mark.parametrize("after", [-1, 0, 7, 3 * PAGE])
def test_as_many_as_are_wanted_from_where_they_are_wanted(after: int, limit: int) -> None:
    queue = Queue(one_writer(3 * PAGE))
    assert scanned(queue, after=after, limit=limit) == list(range(3 * PAGE))[after + 1 :][:limit]
    assert [what for what, _ in queue.told].count("asked") <= 1 + (limit + 1) // PAGE


def test_large_records_come_in_small_pages_and_none_ahead_of_its_time() -> None:
    queue = Queue(one_writer(6), bodies=2)
    assert scanned(queue, max_bytes=1) == [0]
    assert queue.told == [("asked", 0), ("took", 0)]
    assert scanned(queue) == list(range(6))


def test_a_second_copy_is_left_out_however_many_there_are() -> None:
    queue = Queue(["w-0", *["w-1"] * (2 * PAGE), "w-2", "v-0", "w-2"])
    assert scanned(queue) == [0, 1, 2 * PAGE + 1, 2 * PAGE + 2]
    assert scanned(queue, after=1, limit=1) == [2 * PAGE + 1]


def test_what_is_gone_with_the_servers_oldest_is_no_end() -> None:
    queue = Queue(one_writer(2 * PAGE), first=PAGE + 1)
    assert scanned(queue) == list(range(PAGE + 1, 2 * PAGE))
