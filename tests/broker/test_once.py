"""An effect in a database happens once, wherever its consumer is interrupted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from faults import FaultyLog
from logs import scratch
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.once import Once
from nbagora_lab.core.clock import VirtualClock


@pytest.fixture
def broker(open_log: Callable[..., FaultyLog], clock: VirtualClock) -> Broker:
    log = open_log()
    broker = Broker(log, clock, EmbeddedGroups(log))
    broker.create_topic("chat", ttl=10_000)
    broker.create_group("workers", topic="chat", lease=10, max_attempts=1000)
    return broker


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE effects (body TEXT)")
    yield connection
    connection.close()


def effects(database: sqlite3.Connection) -> list[str]:
    return [body for (body,) in database.execute("SELECT body FROM effects ORDER BY rowid")]


def work(broker: Broker, database: sqlite3.Connection, die: str) -> None:
    """Receives one record, and dies ``before``, ``within`` or ``after`` its effect, or not at all."""
    once = Once(database, "workers")
    with broker.consumer("workers") as consumer:
        for delivery in consumer.receive(max=1):
            if die == "before":
                return
            try:
                with once.apply(delivery) as new:
                    if new:
                        database.execute("INSERT INTO effects VALUES (?)", (delivery.body.decode(),))
                    if die == "within":
                        raise RuntimeError  # noqa: TRY301 -- as the effect would
            except RuntimeError:
                return
            if die != "after":
                consumer.ack(delivery)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["before", "within", "after", ""]), max_size=30))
def test_each_effect_happens_once_in_order_however_often_a_consumer_dies(deaths: list[str]) -> None:
    clock = VirtualClock(0)
    with scratch() as folder:
        log, database = FaultyLog(folder / "store", clock=clock), sqlite3.connect(":memory:")
        broker = Broker(log, clock, EmbeddedGroups(log))
        broker.create_topic("chat")
        broker.create_group("workers", topic="chat", lease=10, max_attempts=1000)
        database.execute("CREATE TABLE effects (body TEXT)")
        broker.send_many([("chat/a", str(number)) for number in range(5)])
        for death in [*deaths, "", "", "", "", ""]:
            work(broker, database, death)
            clock.advance(11)
        assert effects(database) == list("01234")
        database.close()
        log.close()


def test_a_topic_that_began_anew_is_another(broker: Broker, database: sqlite3.Connection, clock: VirtualClock) -> None:
    broker.send("chat/a", "old")
    work(broker, database, "")
    broker.rm("chat/a")
    clock.advance(1)
    broker.send("chat/a", "new")
    work(broker, database, "")
    assert effects(database) == ["old", "new"]


def test_groups_apply_the_same_record_each_for_itself(broker: Broker, database: sqlite3.Connection) -> None:
    broker.send("chat/a", "x")
    with broker.consumer("workers") as consumer:
        [delivery] = consumer.receive()
        for group in ("workers", "others", "workers"):
            with Once(database, group).apply(delivery) as new:
                if new:
                    database.execute("INSERT INTO effects VALUES (?)", (group,))
    assert effects(database) == ["workers", "others"]


def test_what_is_past_can_be_forgotten(broker: Broker, database: sqlite3.Connection) -> None:
    broker.send_many([("chat/a", "x")] * 3)
    for _ in range(3):
        work(broker, database, "")
    committed = broker.progress("workers", "chat/a").committed
    assert Once(database, "workers").forget("chat/a", committed) == 3
    assert database.execute("SELECT count(*) FROM nbagora_applied").fetchone() == (0,)
