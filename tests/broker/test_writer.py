"""A commit is one write: records, new topics, counts, and for each group that something waits; or nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deliveries import message
from faults import FULL, FaultyLog
from nbagora_lab.broker import keys
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.errors import QuotaExceeded, StoreError, TopicNotFound


def family(log: FaultyLog, name: str) -> dict[bytes, bytes]:
    """All of a column family."""
    return dict(log.store.rocks.families[name].items())


def counts(log: FaultyLog, parent: str) -> tuple[int, ...]:
    """What is stored of a parent: lite topics, bytes, flags."""
    return tuple(keys.COUNTS.unpack(log.store.rocks.db.get(keys.count_key(parent))))


@pytest.mark.parametrize("kind", ["LITE", "PRIORITY"])
@pytest.mark.parametrize("how", ["one", "many"])
def test_an_append_is_one_write_whatever_it_brings_about(log: FaultyLog, kind: str, how: str) -> None:
    log.create_topic("jobs", TopicSpec(type=kind))
    groups = EmbeddedGroups(log)
    for name in ("g", "h"):
        groups.create_group(name, GroupSpec(topic="jobs"))
    for turn in range(3):
        before = log.writes
        log.append([("jobs/a", message())] * (1 if how == "one" else 3))
        assert log.writes == before + 1
        waiting = (turn + 1) * (1 if how == "one" else 3) if kind == "PRIORITY" else 1
        assert len(family(log, "waiting")) == 2 * waiting


def test_what_a_group_is_known_to_have_waiting_is_not_put_again_until_it_is_drained(log: FaultyLog) -> None:
    groups = EmbeddedGroups(log)
    groups.create_group("g", GroupSpec(topic="chat"))
    groups.subscribe("g", "c", "*")
    log.append([("chat/a", message())])
    hot = log.store.hot.load("chat/a")
    assert hot is not None
    assert hot.listed
    log.append([("chat/a", message())])
    groups.ack("g", groups.receive("g", "c"))
    assert (hot.listed, family(log, "waiting")) == (0, {})
    log.append([("chat/a", message())])
    assert len(family(log, "waiting")) == 1


def test_a_failed_append_leaves_nothing_and_the_next_one_takes_its_place(log: FaultyLog) -> None:
    groups = EmbeddedGroups(log)
    groups.create_group("g", GroupSpec(topic="chat"))
    log.append([("chat/a", message("1"))])
    before = {name: family(log, name) for name in ("records", "topics", "waiting")}
    for entries in ([("chat/a", message("x"))], [("chat/a", message("x")), ("chat/new", message("x"))]):
        log.fail(1, FULL)
        with pytest.raises(StoreError):
            log.append(entries)
        assert {name: family(log, name) for name in before} == before
    assert log.append([("chat/a", message("2")), ("chat/new", message("3"))]) == [1, 0]
    assert counts(log, "chat")[0] == 2


def test_counts_follow_topics_and_bytes_and_survive_a_restart(open_log: Callable[..., FaultyLog]) -> None:
    log = open_log()
    record = message("x" * 100)
    log.create_topic("small", TopicSpec(max_topics=2, max_bytes=3 * len(record)))
    log.append([("small/a", record), ("small/b", record)])
    with pytest.raises(QuotaExceeded):
        log.append([("small/c", record)])
    with pytest.raises(QuotaExceeded):
        log.append([("small/a", record), ("small/a", record)])
    assert counts(log, "small") == (2, 2 * len(record), 0)
    log.close()
    log = open_log()
    log.append([("small/a", record)])
    with pytest.raises(QuotaExceeded):
        log.append([("small/a", record)])
    log.expire("small/a")
    assert counts(log, "small") == (1, len(record), 0)


def test_an_interrupted_count_is_read_again_from_the_disk(log: FaultyLog) -> None:
    log.create_topic("few", TopicSpec(max_topics=2))
    log.append([("few/a", message())])
    for written in (False, True):
        log.fail(1, KeyboardInterrupt(), written=written)
        with pytest.raises(KeyboardInterrupt):
            log.append([("few/b", message())])
        assert log.store.writer.unsure
        assert ("b" in log.lites("few")) is written
    with pytest.raises(QuotaExceeded):
        log.append([("few/c", message())])
    assert not log.store.writer.unsure


def test_scheduling_is_looked_for_only_where_it_ever_was(log: FaultyLog) -> None:
    parent = log.store.parent("chat")
    log.append([("chat/a", message())])
    assert not parent.scheduled
    log.append([("chat/a", message(priority=1))])
    assert parent.scheduled
    assert counts(log, "chat")[2] == 1


def test_the_records_of_an_unknown_parent_or_beside_one_are_not_written(log: FaultyLog) -> None:
    before = log.writes
    with pytest.raises(TopicNotFound):
        log.append([("chat/a", message()), ("none/a", message())])
    assert (log.writes, log.lites("chat")) == (before, [])


def test_numbers_of_topics_are_never_given_twice(log: FaultyLog, open_log: Callable[..., FaultyLog]) -> None:
    seen: list[int] = []
    for turn in range(3):
        log.append([(f"chat/{turn}", message())])
        hot = log.store.hot.load(f"chat/{turn}")
        assert hot is not None
        seen.append(hot.number)
        log.expire(f"chat/{turn}")
        log.close()
        log = open_log()
    assert sorted(set(seen)) == seen
