"""Attempts are stored with their lease first, and counted with the others later, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deliveries import attempts, join, places, publish
from faults import FaultyLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.model import TopicSpec


def handed(log: FaultyLog) -> int:
    """Number of leases whose attempts are not counted yet."""
    return len(list(log._rocks.families["handed"].keys()))


@pytest.fixture(params=["LITE", "PRIORITY"])
def log(open_log: Callable[..., FaultyLog], request: pytest.FixtureRequest) -> FaultyLog:
    log = open_log()
    log.create_topic("chat", TopicSpec(type=request.param))
    publish(log, "chat/a", "x", "x")
    publish(log, "chat/b", "x")
    return log


def test_a_lease_of_which_all_is_acked_leaves_nothing_after_some_more(
    log: FaultyLog, open_log: Callable[..., FaultyLog]
) -> None:
    groups = EmbeddedGroups(log)
    join(groups)
    writes = log.writes
    batch = groups.receive("workers", "c")
    assert (len(batch), log.writes - writes, handed(log)) == (3, 1, 1)
    groups.ack("workers", batch[:1])
    groups.ack("workers", batch[1:])
    assert handed(log) == 1  # it goes with a later batch
    publish(log, "chat/a", *["x"] * 100)
    most = 0
    for _ in range(99):
        groups.ack("workers", groups.receive("workers", "c", limit=1))
        most = max(most, handed(log))
    assert most == (1 if groups._groups["workers"].single else 32)  # there each ack is a batch
    log.close()
    log = open_log()
    groups = EmbeddedGroups(log)
    assert handed(log) == 0
    groups.subscribe("workers", "c", ["*"])
    assert attempts(groups.receive("workers", "c")) == [1]


def test_a_restart_counts_what_was_out_once(log: FaultyLog, open_log: Callable[..., FaultyLog]) -> None:
    groups = EmbeddedGroups(log)
    join(groups)
    batch = groups.receive("workers", "c")
    groups.fail("workers", [one for one in batch if one.topic == "chat/b"], pause=0.0)  # counted with that
    again = groups.receive("workers", "c")
    assert (places(again), attempts(again)) == ([("b", 0)], [2])
    for opening in range(1, 3):
        log.close()
        log = open_log()
        groups = EmbeddedGroups(log)
        assert handed(log) == 0
        groups.subscribe("workers", "c", ["*"])
        batch = groups.receive("workers", "c")
        seen = dict(zip(places(batch), attempts(batch), strict=True))
        assert seen == {("a", 0): 1 + opening, ("a", 1): 1 + opening, ("b", 0): 2 + opening}
        assert handed(log) == 1


def test_a_topic_that_is_no_more_has_no_attempts(log: FaultyLog, open_log: Callable[..., FaultyLog]) -> None:
    groups = EmbeddedGroups(log)
    join(groups)
    groups.receive("workers", "c")
    log.expire("chat/a")
    log.close()
    log = open_log()
    groups = EmbeddedGroups(log)
    assert handed(log) == 0
    publish(log, "chat/a", "y")
    groups.subscribe("workers", "c", ["*"])
    batch = groups.receive("workers", "c")
    assert sorted(zip(places(batch), attempts(batch), strict=True)) == [(("a", 0), 1), (("b", 0), 2)]
