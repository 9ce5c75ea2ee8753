"""Sends go one after the other on a topic, side by side over topics, and again where that may help."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from logs import record
from nbagora_lab.broker.rocketmq import sender
from nbagora_lab.broker.rocketmq.official import client
from nbagora_lab.broker.rocketmq.packing import ID, ON
from nbagora_lab.broker.rocketmq.sender import Send, Sender
from nbagora_lab.core.errors import Forbidden, LabError, QuotaExceeded, ServerGone, StoreClosed, TooLarge

client()  # imported by itself it makes a folder at home
refusals: Any = importlib.import_module("rocketmq.v5.exception")


class Server:
    """Stands in for the client's producer and the servers behind it: takes messages, or refuses as a test says."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.taken: list[tuple[str, str]] = []
        self.meant: list[str] = []
        self.flying: Counter[str] = Counter()
        self.most = 0
        self.refuse: Callable[[str], Exception | None] = lambda _lite: None
        self.alive = True

    async def deliver(self, message: Any) -> None:
        lite = message.lite_topic
        self.flying[lite] += 1
        assert self.flying[lite] == 1, "one in flight a topic"
        self.most = max(self.most, self.flying.total())
        await asyncio.sleep(0)
        self.flying[lite] -= 1
        if (error := self.refuse(lite)) is not None:
            raise error
        self.taken.append((lite, message.properties[ID]))
        self.meant += [message.properties[ON]] if ON in message.properties else []

    def shutdown(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(sender, "producer", lambda _configuration: server)
    monkeypatch.setattr(sender, "_PAUSES", (0.0,))
    yield server
    if server.thread.is_alive():
        server.shutdown()


def opened(server: Server, patience: float = 60.0) -> Sender:
    return Sender("there:8081", access_key="", secret_key="", patience=patience, alive=lambda: server.alive)


def chains(topics: int, each: int, seen: Callable[[], bool] = lambda: False) -> list[list[Send]]:
    stored = record("x")
    return [[Send("p", f"s-{topic}", stored, f"w-{topic}-{n}", seen) for n in range(each)] for topic in range(topics)]


def test_topics_go_side_by_side_and_a_topics_records_in_order(server: Server) -> None:
    opened(server).send(chains(500, 3))
    assert len(server.taken) == 1500
    for topic in range(500):
        assert [number for lite, number in server.taken if lite == f"s-{topic}"] == [f"w-{topic}-{n}" for n in range(3)]
    assert 1 < server.most <= 128


@pytest.mark.parametrize(
    "kind", [refusals.TooManyRequestsException, refusals.NotFoundException, refusals.InternalErrorException, OSError]
)
def test_what_passes_by_itself_is_sent_again_for_as_long_as_it_takes(server: Server, kind: type[Exception]) -> None:
    left = iter([kind("busy", 42900) if kind is not OSError else OSError("away")] * 20)
    server.refuse = lambda _lite: next(left, None)
    server.alive = kind in {refusals.TooManyRequestsException, refusals.NotFoundException}
    opened(server).send(chains(1, 2))
    assert [number for _, number in server.taken] == ["w-0-0", "w-0-1"]


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (refusals.PayloadTooLargeException("4194304", 41300), TooLarge, "maxMessageSize"),
        (refusals.LiteTopicQuotaExceededException("20000", 42901), QuotaExceeded, "maxLmqConsumeQueueNum"),
        (refusals.UnauthorizedException("bob", 40100), Forbidden, "NBAGORA_ROCKETMQ_ACCESS_KEY"),
        (refusals.InternalErrorException("no", 50000), ServerGone, "scripts/engines status"),
    ],
)
def test_what_is_refused_for_good_names_server_setting_and_what_to_do(
    server: Server, error: Exception, kind: type[LabError], word: str
) -> None:
    server.refuse = lambda lite: error if lite == "s-1" else None
    with pytest.raises(kind) as caught:
        opened(server).send(chains(3, 2))
    told = caught.value._render_traceback_()
    assert len(told) == 2
    assert "there:8081" in told[0]
    assert word in told[1]
    assert not [number for lite, number in server.taken if lite == "s-1"], "what is behind it was not sent"


def test_a_proxy_that_is_away_refuses_nothing_however_well_the_brokers_are(server: Server) -> None:
    left = iter([OSError("connection refused")] * 20)
    server.refuse = lambda _lite: next(left, None)
    opened(server).send(chains(1, 2))
    assert [number for _, number in server.taken] == ["w-0-0", "w-0-1"]


def meant_for_b(send: Send, came: Callable[[], bool]) -> Send:
    async def home() -> str:
        return "broker-b"

    async def arrived() -> bool:
        return came()

    return send._replace(home=home, arrived=arrived)


def test_what_came_to_another_broker_is_sent_again_once_all_are_there_and_before_what_is_behind_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_ASTRAY", 0.0)
    arrived, alive = iter([False, False, True, True]), iter([False, True, True])
    one = Sender("there:8081", access_key="", secret_key="", patience=60, alive=lambda: next(alive))
    [chain] = chains(1, 2)
    one.send([[meant_for_b(send, lambda: next(arrived)) for send in chain]])
    assert [number for _, number in server.taken] == ["w-0-0", "w-0-0", "w-0-0", "w-0-1"]
    assert server.meant == ["broker-b"] * 4
    assert next(alive, None) is None, "with one of them away it is not sent"


def test_where_it_never_comes_to_its_broker_that_one_is_named(server: Server) -> None:
    [[send]] = chains(1, 1)
    with pytest.raises(ServerGone) as caught:
        opened(server, patience=0).send([[meant_for_b(send, lambda: False)]])
    told = caught.value._render_traceback_()
    assert len(told) == 2
    assert "puts messages of p/s-0 elsewhere than on broker-b" in told[0]


def test_who_has_no_patience_left_is_told(server: Server) -> None:
    server.refuse, server.alive = lambda _lite: OSError("away"), False
    with pytest.raises(ServerGone, match="does not take messages: OSError: away"):
        opened(server, patience=0).send(chains(1, 1))


def test_what_was_seen_to_be_stored_is_not_sent_again(server: Server) -> None:
    server.refuse = lambda _lite: OSError("nobody knows")
    opened(server).send(chains(1, 1, seen=lambda: True))
    assert server.taken == []


def test_a_sender_that_was_closed_gives_up(server: Server) -> None:
    one = opened(server)
    server.refuse = lambda _lite: OSError("away")
    one._closed = True
    with pytest.raises(StoreClosed):
        one.send(chains(1, 1))
