"""Which broker a lite topic is on, whatever a proxy put elsewhere while that broker was away."""

from __future__ import annotations

from typing import Any

import pytest

from nbagora_lab.broker.rocketmq.cluster import Page
from nbagora_lab.broker.rocketmq.names import lmq
from nbagora_lab.broker.rocketmq.owners import Owners, bucket, is_stray
from nbagora_lab.broker.rocketmq.packing import ON
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.core.errors import ServerGone

QUEUE = lmq("lab-chat", "s-1")  # which is the first of two brokers' and of three


class Brokers:
    """Stands in for the cluster: by broker, which brokers the messages of the one queue were meant for."""

    def __init__(self, **held: list[str]) -> None:
        self.held = held
        self.away: set[str] = set()
        self.asked = 0

    @property
    def brokers(self) -> dict[str, Any]:
        return dict.fromkeys(self.held)

    def end_on(self, broker: str, _queue: str) -> int:
        self.asked += 1
        if broker in self.away:
            raise ServerGone(f"{broker} is away", "")
        return len(self.held[broker])

    def pull(self, _queue: str, offset: int, *, limit: int, broker: str) -> Page:
        found = [message(on, number) for number, on in enumerate(self.held[broker])][offset : offset + limit]
        return Page(found, offset + len(found), 0, len(self.held[broker]))


def message(on: str, offset: int = 0) -> Message:
    return Message(offset, 0.0, b"", {ON: on} if on else {})


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("s-1", [0, 0, 0, 0]),
        ("ctx-1", [1, 1, 3, 9]),
        ("_5aSp5rCU", [1, 1, 1, 5]),
        ("late-3", [1, 1, 3, 3]),
        ("zzzzzzzzzzzzzzzzzzzzz", [1, 2, 3, 3]),
    ],
)
def test_a_name_has_the_place_that_guavas_consistent_hash_gives_it(name: str, places: list[int]) -> None:
    assert [bucket(name, count) for count in (2, 3, 5, 17)] == places


@pytest.mark.parametrize(
    ("held", "owner"),
    [
        ({"a": [], "b": []}, "a"),  # nobody has written yet
        ({"a": ["a", "a"], "b": []}, "a"),
        ({"a": [], "b": ["a"]}, "a"),  # strays alone
        ({"a": ["a"], "b": ["a", "a", "a"]}, "a"),
        ({"a": [], "b": ["b"], "c": []}, "b"),  # it began when there were fewer brokers, or by another rule
        ({"a": ["b"], "b": ["b"], "c": []}, "b"),  # a broker came, and a message went there
        ({"a": [""], "b": []}, "a"),  # another client's
        ({"a": [], "b": ["", ""]}, "b"),
        ({"a": [""], "b": ["", ""]}, "a"),  # it knows of no strays: the rule decides
    ],
)
def test_it_is_where_its_messages_were_meant_to_be(held: dict[str, list[str]], owner: str) -> None:
    assert Owners(Brokers(**held)).of(QUEUE) == owner  # type: ignore[arg-type]


def test_it_is_asked_for_once_and_corrected_by_what_is_seen() -> None:
    brokers = Brokers(a=[], b=[])
    owners = Owners(brokers)  # type: ignore[arg-type]
    assert [owners.of(QUEUE), owners.of(QUEUE), brokers.asked] == ["a", "a", 2]
    owners.see(QUEUE, "b")
    assert (owners.of(QUEUE), brokers.asked) == ("b", 2)


def test_with_a_broker_away_only_what_is_known_is_told() -> None:
    brokers = Brokers(a=["a"], b=[])
    owners = Owners(brokers)  # type: ignore[arg-type]
    brokers.away = {"b"}
    with pytest.raises(ServerGone):
        owners.of(QUEUE)
    brokers.away = set()
    assert owners.of(QUEUE) == "a"
    brokers.away = {"b"}
    assert owners.of(QUEUE) == "a"


def test_one_broker_has_everything_and_is_not_asked() -> None:
    brokers = Brokers(a=[])
    assert (Owners(brokers).of(QUEUE), brokers.asked) == ("a", 0)  # type: ignore[arg-type]


def test_a_message_is_a_stray_where_it_was_meant_for_another() -> None:
    assert [is_stray(message(on), "a") for on in ("a", "b", "")] == [False, True, False]
