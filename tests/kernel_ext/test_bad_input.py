"""What a broker is given that it can't take, on each face: two lines, the same words, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest

from nbagora_lab.broker import Handle
from nbagora_lab.core.errors import LabError
from nbagora_lab.core.problem import PROBLEM
from nbagora_lab.lab import Lab

LONG = "x" * 10_000
CHAT, GROUPS = "/broker/topics/chat", "/broker/groups"


class Case(NamedTuple):
    """One thing that does not fit.

    Attributes:
        says: A part of what is said of it.
        python: Does it in Python.
        http: Method, path and body of the same over HTTP.
        status: The answer's status.
        magic: The same in a notebook, where a command can say it.
    """

    says: str
    python: Callable[[Any], object]
    http: tuple[str, str, Any]
    status: int
    magic: str = ""


CASES = {
    "unknown group": Case(
        "no group 'wrokers'",
        lambda broker: broker.stats("wrokers"),
        ("GET", f"{GROUPS}/wrokers/stats", None),
        404,
        "%broker stats wrokers",
    ),
    "wrong type": Case(
        "type is LITE, not PRIORITY",
        lambda broker: broker.create_topic("chat", type="PRIORITY"),
        ("POST", "/broker/topics", {"name": "chat", "type": "PRIORITY"}),
        409,
    ),
    "no such type": Case(
        "type",
        lambda broker: broker.create_topic("other", type="FIFO"),
        ("POST", "/broker/topics", {"name": "other", "type": "FIFO"}),
        400,
    ),
    "ack of a lease that never was": Case(
        "not leased",
        lambda broker: broker.group_engine.ack("workers", [Handle("chat/s", 0, 99)]),
        ("POST", f"{GROUPS}/workers/ack", {"handles": ["63.0.chat/s"]}),
        409,
    ),
    "negative offset": Case(
        "-1",
        lambda broker: broker.read("chat/s", after=-1),
        ("GET", f"{CHAT}/s/records?after=-1", None),
        400,
        "%topic read chat/s --after -1",
    ),
    "negative start": Case(
        "no start",
        lambda broker: broker.create_group("other", topic="chat", start="-3"),
        ("POST", GROUPS, {"name": "other", "topic": "chat", "start": "-3"}),
        400,
        "%broker group create other --topic chat --start=-3",
    ),
    "weight of 0": Case(
        "the weight of tenant 'acme' is 0",
        lambda broker: broker.create_group("other", topic="chat", weights={"acme": 0}),
        ("POST", GROUPS, {"name": "other", "topic": "chat", "weights": {"acme": 0}}),
        400,
        "%broker group create other --topic chat --weight acme 0",
    ),
    "quota of 0": Case(
        "lets nothing through",
        lambda broker: broker.create_group("other", topic="chat", quota="0/s"),
        ("POST", GROUPS, {"name": "other", "topic": "chat", "quota": "0/s"}),
        400,
        "%broker group create other --topic chat --quota 0/s",
    ),
    "name of 10,000 letters": Case(
        "10000 bytes",
        lambda broker: broker.send(f"chat/{LONG}", "x"),
        ("POST", f"{CHAT}/{LONG}/records", {}),
        400,
        f"%topic send chat/{LONG} x",
    ),
    "no parent": Case(
        "no topic 'chut'",
        lambda broker: broker.send("chut/s", "x"),
        ("POST", "/broker/topics/chut/s/records", {}),
        404,
        "%topic send chut/s x",
    ),
    "a glob that is none": Case(
        "has a '[' without its ']'",
        lambda broker: broker.consumer("workers", subscribe=["[a"]),
        ("PUT", f"{GROUPS}/workers/subscriptions/c", {"patterns": ["[a"]}),
        400,
    ),
}


@pytest.fixture
def chat(lab: Lab) -> Lab:
    lab.broker.create_topic("chat")
    lab.broker.create_group("workers", topic="chat")
    lab.broker.send("chat/s", "kept")
    return lab


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_fit_is_two_lines_on_every_face(chat: Lab, run: Callable[[str], Any], name: str) -> None:
    case = CASES[name]
    before = chat.broker.topics(), chat.broker.groups()
    with pytest.raises(LabError, match="(?s)" + case.says.replace("[", r"\[")) as told:
        case.python(chat.broker)
    lines = told.value._render_traceback_()
    assert len(lines) == 2
    assert not lines[1].endswith("see %lab status")  # it says what to do
    method, path, body = case.http
    answer = httpx.request(
        method, f"{chat.url}{path}", json=body, headers={"Authorization": f"Bearer {chat.token}"}, timeout=30
    )
    assert (answer.status_code, answer.headers["content-type"]) == (case.status, PROBLEM), answer.text
    assert case.says in answer.json()["detail"]
    assert answer.json()["hint"]
    if case.magic:
        with pytest.raises(LabError, match="(?s)" + case.says) as typed:
            run(case.magic)
        assert len(typed.value._render_traceback_()) == 2
    assert (chat.broker.topics(), chat.broker.groups()) == before
    assert [record.body for record in chat.broker.read("chat/s")] == [b"kept"]


def test_a_glob_that_matches_all_is_what_most_groups_have(chat: Lab) -> None:
    for number in range(300):
        chat.broker.send(f"chat/t-{number}", "x")
    with chat.broker.consumer("workers", "c", subscribe="*") as consumer:
        assert len(consumer.receive(max=1000)) == 301


def test_a_lease_that_is_over_is_refused_and_its_records_are_another_s(chat: Lab) -> None:
    with chat.broker.consumer("workers", "old") as old, chat.broker.consumer("workers", "new") as new:
        [held] = old.receive(lease=5)
        chat.clock.advance(6)  # type: ignore[attr-defined]  # the lab's clock is a virtual one
        [again] = new.receive()
        with pytest.raises(LabError, match="not leased"):
            old.ack(held)
        new.ack(again)
        new.ack(again)  # twice does no harm
    assert chat.broker.progress("workers", "chat/s").lag == 0


def test_one_client_may_have_ten_thousand_subscriptions_and_not_one_more_than_allowed(chat: Lab) -> None:
    chat.broker.create_group("few", topic="chat", max_subscriptions=10_000)
    with chat.broker.consumer("few", "c", subscribe=[f"t-{number}" for number in range(10_000)]) as consumer:
        chat.broker.send("chat/t-9999", "x")
        assert [one.topic for one in consumer.receive()] == ["chat/t-9999"]
        with pytest.raises(LabError, match="over 10000 subscriptions"):
            chat.broker.consumer("few", "c", subscribe=["one-more"])
