"""What is past its TTL ends, at no cost for what is not; what is told of it; and what stops it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import FaultyLog
from logs import record
from nbagora_lab.broker import keys
from nbagora_lab.broker.broker import Broker
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.keeper import keep
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.events import decode


@pytest.fixture
def log(open_log: Callable[..., FaultyLog]) -> FaultyLog:
    return open_log()


@pytest.fixture
def broker(log: FaultyLog, clock: VirtualClock) -> Broker:
    return Broker(log, clock, EmbeddedGroups(log))


def told(log: FaultyLog, parent: str) -> list[tuple[str, str]]:
    """The life-cycle records of a parent: type and topic."""
    found = [decode(stored, "", offset) for offset, stored in log.scan(f"{parent}/_events")]
    return [(one.type.removeprefix("topic."), json.loads(one.body)["topic"].partition("/")[2]) for one in found]


def test_a_topic_ends_one_ttl_after_its_last_write(broker: Broker, log: FaultyLog, clock: VirtualClock) -> None:
    broker.create_topic("chat", ttl=100)
    broker.send("chat/a", b"1")
    broker.send("chat/b", b"1")
    clock.advance(60)
    broker.send("chat/b", b"2")
    assert log.expire_due() == pytest.approx(40)
    clock.advance(40)
    assert log.expire_due() == pytest.approx(60)
    assert broker.ls("chat") == ["_events", "b"]
    clock.advance(60)
    assert log.expire_due() is None
    assert broker.ls("chat") == ["_events"]
    assert told(log, "chat") == [("opened", "a"), ("opened", "b"), ("expired", "a"), ("expired", "b")]
    assert broker.send("chat/a", b"anew").offset == 0
    assert log.expire_due() == pytest.approx(100)


def test_what_is_told_before_counts_as_no_write(broker: Broker, log: FaultyLog, clock: VirtualClock) -> None:
    broker.create_topic("chat", ttl=100, expiring=10)
    broker.send("chat/a", b"1")
    clock.advance(90)
    assert log.expire_due() == pytest.approx(10)
    assert told(log, "chat")[-1] == ("expiring", "a")
    broker.send("chat/a", b"saved")
    clock.advance(10)
    assert log.expire_due() == pytest.approx(80)  # it will be told again
    clock.advance(80)
    log.expire_due()
    assert told(log, "chat")[-1] == ("expiring", "a")
    clock.advance(10)
    log.expire_due()
    assert [kind for kind, _ in told(log, "chat")] == ["opened", "expiring", "expiring", "expired"]


def test_one_look_is_paid_for_by_each_write_and_none_by_those_that_rest(
    broker: Broker, log: FaultyLog, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.create_topic("chat", ttl=1000)
    broker.create_topic("brief", ttl=10)
    broker.send_many([(f"chat/{number}", b"") for number in range(500)])
    broker.send_many([(f"brief/{number}", b"") for number in range(5)])
    looks: list[int] = []
    look = log._expiry._look
    monkeypatch.setattr(log._expiry, "_look", lambda *args: looks.append(args[0]) or look(*args))  # type: ignore[func-returns-value]
    for _ in range(20):
        clock.advance(1)
        log.expire_due()
    assert len(looks) == 5
    assert broker.ls("brief") == ["_events"]


def test_what_groups_have_not_read_is_kept_where_that_is_asked_for(
    broker: Broker, log: FaultyLog, clock: VirtualClock
) -> None:
    broker.create_topic("chat", ttl=100, drained=True)
    broker.create_group("workers", topic="chat")
    broker.send("chat/a", b"1")
    clock.advance(500)
    log.expire_due()
    with broker.consumer("workers") as consumer:
        [delivery] = consumer.receive()
        clock.advance(20)
        log.expire_due()
        assert broker.ls("chat") == ["_events", "a"]
        consumer.ack(delivery)
    clock.advance(20)
    log.expire_due()
    assert broker.ls("chat") == ["_events"]


def test_progress_leases_and_subscriptions_go_with_the_topic(
    broker: Broker, log: FaultyLog, clock: VirtualClock
) -> None:
    broker.create_topic("chat", ttl=10)
    broker.create_group("workers", topic="chat", lease=1000)
    with broker.consumer("workers", subscribe=["a", "b*"]) as consumer:
        broker.send("chat/a", b"old")
        broker.send("chat/b1", b"old")
        batch = consumer.receive()
        consumer.ack(batch[0])
        clock.advance(20)
        log.expire_due()
        assert broker.stats("workers").leases == ()
        assert broker.group_engine.subscriptions("workers") == {consumer.client: ["b*"]}
        broker.send("chat/a", b"new")
        broker.send("chat/b1", b"new")
        assert [(one.topic, one.offset, one.attempt) for one in consumer.receive()] == [("chat/b1", 0, 1)]
    assert broker.progress("workers", "chat/a").committed == 0


def test_an_archive_holds_all_that_the_topic_held(
    broker: Broker, log: FaultyLog, clock: VirtualClock, folder: Path
) -> None:
    archive = folder / "archive"
    broker.create_topic("聊天", ttl=10, archive=str(archive))
    for number in range(3):
        broker.send("聊天/a?", f"第{number}", subject="s")
    clock.advance(11)
    log.expire_due()
    [path] = archive.rglob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(one["offset"], one["topic"], one["subject"]) for one in lines] == [(n, "聊天/a?", "s") for n in range(3)]
    assert broker.ls("聊天") == ["_events"]


def test_what_can_not_be_archived_is_kept_and_tried_again(
    broker: Broker, log: FaultyLog, clock: VirtualClock, folder: Path
) -> None:
    archive = folder / "archive"
    archive.write_text("in the way", encoding="utf-8")
    broker.create_topic("chat", ttl=10, archive=str(archive))
    broker.send("chat/a", b"1")
    clock.advance(11)
    assert log.expire_due() == pytest.approx(60)
    assert broker.ls("chat") == ["_events", "a"]
    archive.unlink()
    clock.advance(60)
    log.expire_due()
    assert broker.ls("chat") == ["_events"]


def test_a_fork_lives_a_ttl_from_when_it_was_made(broker: Broker, log: FaultyLog, clock: VirtualClock) -> None:
    broker.create_topic("chat", ttl=100)
    broker.send("chat/a", b"1")
    clock.advance(60)
    broker.fork("chat/a", "chat/b")
    clock.advance(60)
    log.expire_due()
    assert broker.ls("chat") == ["_events", "b"]


def test_the_index_survives_a_restart_and_holds_nothing_of_what_is_gone(
    broker: Broker, log: FaultyLog, clock: VirtualClock, open_log: Callable[..., FaultyLog]
) -> None:
    broker.create_topic("chat", ttl=100)
    broker.send("chat/a", b"1")
    broker.send("chat/b", b"1")
    broker.rm("chat/b")
    log.close()
    clock.advance(100)
    again = open_log()
    assert again.expire_due() is None
    assert again.lites("chat") == ["_events"]
    assert list(again._rocks.families["due"].keys()) == []


def test_a_clock_that_is_set_back_ends_nothing_early_and_forgets_nothing(
    broker: Broker, log: FaultyLog, clock: VirtualClock
) -> None:
    broker.create_topic("chat", ttl=100)
    broker.send("chat/a", b"1")
    clock.advance(-500)
    broker.send("chat/b", b"1")
    assert log.expire_due() == pytest.approx(100)
    clock.advance(100)
    log.expire_due()
    assert broker.ls("chat") == ["_events", "a"]
    clock.advance(500)
    log.expire_due()
    assert broker.ls("chat") == ["_events"]


@pytest.mark.parametrize("written", [False, True])
def test_a_failing_disk_loses_no_entry(
    broker: Broker, log: FaultyLog, clock: VirtualClock, open_log: Callable[..., FaultyLog], written: bool
) -> None:
    broker.create_topic("chat", ttl=100)
    broker.send("chat/a", b"1")
    clock.advance(100)
    for write in (1, 2):
        log.fail(write, KeyboardInterrupt(), written=written)
        with contextlib.suppress(KeyboardInterrupt):
            log.expire_due()
        log.before.clear()
        log.after.clear()
    log.expire_due()
    assert log.lites("chat") == ["_events"]
    log.close()
    assert list(open_log()._rocks.families["due"].keys()) == []


def test_the_keeper_sleeps_until_something_is_due_and_hears_of_what_comes_sooner(
    broker: Broker, log: FaultyLog, clock: VirtualClock
) -> None:
    gone = asyncio.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        keeping = asyncio.create_task(keep(log, clock))
        unwatch = log.watch("chat/_events", lambda: loop.call_soon_threadsafe(look))

        def look() -> None:
            if ("expired", "a") in told(log, "chat"):
                gone.set()

        await asyncio.sleep(0)
        broker.send("chat/a", b"1")
        await asyncio.to_thread(clock.advance, 100)
        await asyncio.wait_for(gone.wait(), 20)
        unwatch()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    broker.create_topic("chat", ttl=100)
    asyncio.run(main())


def test_topics_and_bytes_have_quotas_and_what_is_refused_is_not_stored(broker: Broker, log: FaultyLog) -> None:
    from nbagora_lab.core.errors import QuotaExceeded

    broker.create_topic("few", max_topics=2)
    broker.send_many([("few/a", b""), ("few/b", b"")])
    with pytest.raises(QuotaExceeded) as caught:
        broker.send("few/c", b"")
    assert len(caught.value._render_traceback_()) == 2
    with pytest.raises(QuotaExceeded):
        broker.fork("few/a", "few/c")
    broker.send("few/a", b"more of what is there")
    broker.rm("few/a")
    assert broker.send("few/c", b"").offset == 0
    size = len(record(b"x" * 100))
    broker.create_topic("small", max_bytes=3 * size)
    log.append([("small/a", record(b"x" * 100)), ("small/b", record(b"x" * 100))])
    with pytest.raises(QuotaExceeded):
        log.append([("small/a", record(b"x" * 100)), ("small/c", record(b"x" * 100))])
    assert [log.info(topic).next for topic in ("small/a", "small/b")] == [1, 1]
    assert "c" not in broker.ls("small")
    broker.rm("small/b")
    log.append([("small/a", record(b"x" * 100)), ("small/a", record(b"x" * 100))])


def test_counts_survive_a_restart(broker: Broker, log: FaultyLog, open_log: Callable[..., FaultyLog]) -> None:
    broker.create_topic("few", max_topics=3, max_bytes=10_000)
    broker.send_many([("few/a", b"1"), ("few/b", b"22")])
    broker.rm("few/b")
    parent = log.store.parents["few"]
    before = parent.topics, parent.size, parent.scheduled
    assert before[0] == 1
    log.close()
    again = open_log().store.parents["few"]
    assert (again.topics, again.size, again.scheduled) == before
    assert TopicSpec.model_validate_json(again.spec.model_dump_json()) == again.spec
    assert keys.COUNTS.size == 17
