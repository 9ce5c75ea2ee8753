"""Where a group begins on a topic: each kind of start, within what the topic has, on parents of both types."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rocksdict import WriteBatch

from deliveries import attempts, publish
from faults import FaultyLog
from nbagora_lab.broker import starts as starts_module
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.starts import Starts


@pytest.fixture(params=["LITE", "PRIORITY"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def log(open_log: Callable[..., FaultyLog], kind: str) -> FaultyLog:
    log = open_log()
    log.create_topic("chat", TopicSpec(type=kind))
    for number in range(4):
        publish(log, "chat/a", "x", time=1000.0 + number)
    return log


@pytest.mark.parametrize(
    ("start", "offset"),
    [
        (Start("first"), 0),
        (Start("last"), 4),
        (Start("offset", 3), 3),
        (Start("offset", 99), 4),
        (Start("tail", 1), 3),
        (Start("tail", 4), 0),
        (Start("tail", 99), 0),
        (Start("time", 1001.5), 2),
        (Start("time", 2000), 4),
    ],
)
def test_each_kind_of_start_puts_what_waits_from_there_on(log: FaultyLog, start: Start, offset: int) -> None:
    groups = EmbeddedGroups(log)
    groups.create_group("workers", GroupSpec(topic="chat", start=start))
    groups.subscribe("workers", "c", "*")
    assert [one.offset for one in groups.receive("workers", "c")] == list(range(offset, 4))
    found = groups.progress("workers", "chat/a")
    assert (found.committed, found.lag) == (offset, 4 - offset)


def test_a_start_takes_the_place_of_what_was_stored_before(log: FaultyLog) -> None:
    groups = EmbeddedGroups(log)
    groups.create_group("workers", GroupSpec(topic="chat"))
    known = groups._groups["workers"]
    for start, left in ((Start("offset", 3), [3]), (Start("last"), []), (Start("first"), [0, 1, 2, 3])):
        batch = WriteBatch(raw_mode=True)
        Starts(log).put(batch, known.number, "chat/a", start, single=known.single)
        log._write(batch)
        turns = known.stored.of("chat/a")
        if not known.single:
            known.stored.load(turns)
        assert [offset for turn in turns for offset in turn.waiting(9)] == left


def test_a_start_counts_for_an_attempt_of_before(log: FaultyLog, open_log: Callable[..., FaultyLog]) -> None:
    groups = EmbeddedGroups(log)
    groups.create_group("workers", GroupSpec(topic="chat"))
    groups.subscribe("workers", "c", "*", durable=True)
    groups.receive("workers", "c")
    groups.seek("workers", "chat/a", Start("first"))
    log.close()
    groups = EmbeddedGroups(open_log())
    assert attempts(groups.receive("workers", "c")) == [1, 1, 1, 1]


def test_a_new_group_stands_on_every_topic_that_there_is_page_by_page(
    log: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts_module, "_PAGE", 2)
    for lite in "bcdef":
        publish(log, f"chat/{lite}", "x", "x")
    groups = EmbeddedGroups(log)
    writes = log.writes
    groups.create_group("workers", GroupSpec(topic="chat", start="tail-1"))
    assert log.writes - writes > 4  # a batch a page, beside the dead letters' parent, the number and the name
    groups.subscribe("workers", "c", "*")
    found = [(one.topic, one.offset) for one in groups.receive("workers", "c")]
    assert found == [("chat/a", 3), *((f"chat/{lite}", 1) for lite in "bcdef")]  # and not of `_events`
