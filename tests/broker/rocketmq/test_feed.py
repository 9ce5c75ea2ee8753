"""What a lab hears of a parent: every message once, whatever one of them brings about and whoever is away meanwhile."""

from __future__ import annotations

import queue
import threading
from typing import Any, Self

import pytest

from nbagora_lab.broker.rocketmq import feed as module
from nbagora_lab.broker.rocketmq.cluster import PAGE, Page
from nbagora_lab.broker.rocketmq.feed import Feed
from nbagora_lab.broker.rocketmq.life import Life
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.core.errors import ServerGone
from nbagora_lab.core.events import encode
from waiting import until


class Broker:
    """Stands in for the cluster: answers a waiting pull with what a test gives it, and notes what was asked for."""

    closed = False

    def __init__(self) -> None:
        self.answers: queue.Queue[Page | Exception | None] = queue.Queue()
        self.asked: list[int] = []

    def end_on(self, _broker: str, _queue: str) -> int:
        return 5

    def pull(self, _topic: str, offset: int, **_: Any) -> Page:
        self.asked.append(offset)
        answer = self.answers.get()
        if answer is None:  # the connection was closed
            raise ServerGone("closed", "")
        if isinstance(answer, Exception):
            raise answer
        return answer


def page(*offsets: int) -> Page:
    return Page([Message(offset, 0.0, b"", {}) for offset in offsets], offsets[-1] + 1, 0, 100)


class Hearing:
    """A feed on a `Broker`, and what it told."""

    def __init__(self, broker: Broker, crowded: bool = False, waiting: bool = False) -> None:
        self.broker = broker
        self.heard: queue.Queue[int] = queue.Queue()
        self.missed = threading.Event()
        self.crowd = crowded
        self.waiting = waiting
        self.looks = 0
        asked: Any = (self.hear, self.missed.set, lambda: self.crowd, self.awaited)
        self.feed = Feed(broker, "broker-a", "lab-chat", *asked)  # type: ignore[arg-type]

    def awaited(self) -> bool:
        self.looks += 1
        return self.waiting

    def hear(self, message: Message) -> None:
        self.heard.put(message.offset)
        if message.offset == 6:
            raise KeyError("a fault of ours")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.stop()
        self.broker.answers.put(None)
        self.feed.join()


@pytest.mark.parametrize("crowded", [False, True])
def test_each_is_told_once_and_a_fault_stops_none(crowded: bool) -> None:
    with Hearing(Broker(), crowded) as hearing:
        hearing.broker.answers.put(page(5, 6, 7))
        hearing.broker.answers.put(page(8))
        assert [hearing.heard.get(timeout=20) for _ in range(4)] == [5, 6, 7, 8]
        assert hearing.broker.asked[:2] == [5, 8]
        assert not hearing.missed.is_set()


def test_behind_a_full_page_it_does_not_wait_for_more_to_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GATHER", 3600.0)
    with Hearing(Broker()) as hearing:
        hearing.crowd = True
        hearing.broker.answers.put(page(*range(5, 5 + PAGE)))
        hearing.broker.answers.put(page(5 + PAGE))
        assert [hearing.heard.get(timeout=20) for _ in range(PAGE + 1)] == list(range(5, 6 + PAGE))


@pytest.mark.parametrize(("waiting", "times"), [(True, 1), (False, 5)])
def test_more_is_gathered_while_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch, waiting: bool, times: int) -> None:
    monkeypatch.setattr(module, "_GATHER", 0.0)
    with Hearing(Broker(), crowded=True, waiting=waiting) as hearing:
        hearing.broker.answers.put(page(5))
        until(lambda: len(hearing.broker.asked) == 2)
        assert hearing.looks == 2 * times


def test_a_broker_that_was_away_is_asked_where_it_stopped_and_all_are_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PAUSES", (0.0,))
    with Hearing(Broker()) as hearing:
        for answer in (page(5), ServerGone("away", ""), ServerGone("away", ""), page(6)):
            hearing.broker.answers.put(answer)
        assert [hearing.heard.get(timeout=20) for _ in range(2)] == [5, 6]
        assert hearing.missed.is_set()
        assert hearing.broker.asked[:4] == [5, 6, 6, 6]


@pytest.mark.parametrize("following", [3, 40])
def test_a_tail_that_was_lost_and_a_head_that_was_removed_are_no_dead_end(following: int) -> None:
    with Hearing(Broker()) as hearing:
        hearing.broker.answers.put(Page([], following, 0, following))
        assert hearing.missed.wait(20)
        hearing.broker.answers.put(page(following))
        assert hearing.heard.get(timeout=20) == following


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"topic": 7}', b'{"topic": "chat/x", "base": "y"}'])
def test_what_another_client_wrote_about_topics_is_left_out(body: bytes) -> None:
    records = [(0, encode("topic.opened", body)), (1, encode("topic.opened", b'{"topic": "chat/a"}'))]
    life = Life("chat", lambda after: [one for one in records if one[0] > after])
    life.refresh()
    assert life.lites() == ["a"]
