"""Groups of a lab on shared servers, whose topics may lack an offset: stored twice there, or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from logs import record
from nbagora_lab.broker.delivery import Batch
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.broker.hosted_groups import HostedGroups
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock

Host = Callable[..., HostedGroups]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Groups on servers that have five records of ``chat/a``, but for some."""
    clock = VirtualClock(1000)
    shared, own = EmbeddedLog(tmp_path / "shared", clock=clock), EmbeddedLog(tmp_path / "own", clock=clock)
    scan, info = shared.scan, shared.info

    def made(*, twice: tuple[int, ...] = (), first: int = 0) -> HostedGroups:
        def kept(topic: str, *, after: int = -1, limit: int = 1000, **more: Any) -> Any:
            there = scan(topic, after=after, **more)
            gone = (lambda offset: offset < first or offset in twice) if topic == "chat/a" else (lambda _: False)
            return [(offset, stored) for offset, stored in there if not gone(offset)][:limit]

        def known(topic: str) -> Any:
            there = info(topic)
            return there.model_copy(update={"first": first}) if topic == "chat/a" else there

        shared.create_topic("chat", TopicSpec())
        shared.append([("chat/a", record(str(number))) for number in range(5)])
        monkeypatch.setattr(shared, "scan", kept)
        monkeypatch.setattr(shared, "info", known)
        groups = HostedGroups(HostedLog(shared, own))
        groups.create_group("g", GroupSpec(topic="chat"))
        groups.subscribe("g", "c", "*")
        return groups

    yield made
    shared.close()
    own.close()


def read(batch: Batch) -> list[tuple[int, str, str]]:
    return [(one.offset, one.record.type, one.body.decode()) for one in batch]


@pytest.mark.parametrize("limit", [1, 2, 32])
def test_what_was_stored_twice_is_handed_out_once_under_its_offset(host: Host, limit: int) -> None:
    groups = host(twice=(1, 2, 4))
    found = []
    while batch := groups.receive("g", "c", limit=limit):
        found += read(batch)
        groups.ack("g", batch)
    assert found == [(0, "test", "0"), (3, "test", "3")]
    assert groups.progress("g", "chat/a").lag == 0


def test_a_receive_that_is_asked_for_once_more_gives_the_same(host: Host) -> None:
    groups = host(twice=(1,))
    assert [read(groups.receive("g", "c", attempt_id="x")) for _ in range(2)] == [
        [(0, "test", "0"), (2, "test", "2"), (3, "test", "3"), (4, "test", "4")]
    ] * 2


def test_what_is_a_second_copy_is_left_alone_where_the_first_one_fails(host: Host) -> None:
    groups = host(twice=(1,))
    groups.fail("g", groups.receive("g", "c", limit=2), pause=0)
    assert [(one.offset, one.attempt) for one in groups.receive("g", "c")] == [(0, 2), (2, 1), (3, 1), (4, 1)]


def test_what_the_servers_had_removed_before_is_told(host: Host) -> None:
    groups = host(twice=(3,), first=2)
    assert read(groups.receive("g", "c")) == [
        (0, "topic.gap", ""), (1, "topic.gap", ""), (2, "test", "2"), (4, "test", "4")
    ]  # fmt: skip


def test_without_such_the_engine_is_asked_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = host()
    asked, receive = [], EmbeddedGroups.receive

    def counted(self: EmbeddedGroups, *args: Any, **more: Any) -> Batch:
        asked.append(args)
        return receive(self, *args, **more)

    monkeypatch.setattr(EmbeddedGroups, "receive", counted)
    assert len(groups.receive("g", "c")) == 5
    assert len(asked) == 1
