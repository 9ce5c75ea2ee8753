"""A fault at any write of any call on a group, or a Ctrl-C between any two lines of it, strands and loses nothing."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from deliveries import message
from faults import FULL, FaultyLog
from nbagora_lab import broker
from nbagora_lab.broker.delivery import Batch
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import StoreError

TOPICS = ("a", "b", "c", "d")
EACH = 3  # records
SPEC = GroupSpec(topic="chat", lease=10, max_attempts=9, backoff=(5,), client_ttl=1e9)
BROKER = Path(broker.__file__).parent
OURS = {str(path) for path in BROKER.glob("*.py")} - {str(BROKER / "rocks.py")}

Call = Callable[["Stage"], Any]


class Stage:
    """A store with four topics of three records; all of `a` and the first of `b` are out, `c` and `d` are ready."""

    def __init__(self, log: FaultyLog, clock: VirtualClock, kind: str, mode: str) -> None:
        self.log = log
        self.clock = clock
        self.spec = SPEC.model_copy(update={"mode": mode})
        log.create_topic("chat", TopicSpec(type=kind))
        self.groups = EmbeddedGroups(log)
        self.groups.create_group("g", self.spec)
        log.append([(f"chat/{lite}", message()) for lite in TOPICS for _ in range(EACH)])
        self.groups.subscribe("g", "one", ["*"], durable=True)
        self.batch: Batch = self.groups.receive("g", "one", limit=EACH + 1)
        self.ready = {("chat/c", offset) for offset in range(EACH)} | {("chat/d", offset) for offset in range(EACH)}
        self.maybe_acked: set[tuple[str, int]] = set()

    def take(self) -> list[tuple[str, int]]:
        """Receives what is ready, and acks it."""
        came = []
        while batch := self.groups.receive("g", "one", limit=100):
            came += [(one.topic, one.offset) for one in batch]
            self.groups.ack("g", batch)
        return came

    def check(self) -> None:
        """What was ready comes at once; everything comes in the end, in order, unless the call may have acked it."""
        if not self.groups.subscriptions("g").get("one"):
            self.groups.subscribe("g", "one", ["*"])
        came = self.take()
        assert self.ready <= set(came), "something that was ready did not come at once"
        self.clock.advance(10_000)
        came += self.take()
        assert len(came) == len(set(came)), "it came again though it was acked"
        missing = {(f"chat/{lite}", offset) for lite in TOPICS for offset in range(EACH)} - set(came)
        assert missing <= self.maybe_acked
        order = defaultdict(list)
        for topic, offset in came:
            order[topic].append(offset)
        if self.log.parents()["chat"].type == "LITE":
            assert all(offsets == sorted(offsets) for offsets in order.values())
        assert [self.groups.progress("g", f"chat/{lite}").lag for lite in TOPICS] == [0] * len(TOPICS)
        assert not self.groups.stats("g").leases
        self.log.append([("chat/a", message()), ("chat/new", message())])
        assert {topic for topic, _ in self.take()} == {"chat/a", "chat/new"}


def ack(stage: Stage) -> None:
    stage.maybe_acked = {(one.topic, one.offset) for one in stage.batch}
    stage.groups.ack("g", stage.batch)


def ack_and_send(stage: Stage) -> None:
    stage.maybe_acked = {(one.topic, one.offset) for one in stage.batch}
    stage.groups.ack("g", stage.batch, send=[("chat/a", message()), ("chat/sent", message())])


def ack_some(stage: Stage) -> None:
    stage.maybe_acked = {("chat/a", 1)}
    stage.groups.ack("g", stage.batch[1:2])


def fail(stage: Stage) -> None:
    stage.groups.fail("g", stage.batch[1:])


def bury(stage: Stage) -> None:
    stage.maybe_acked = {(one.topic, one.offset) for one in stage.batch}  # or dead
    stage.spec = stage.spec.model_copy(update={"max_attempts": 1})
    stage.groups.alter_group("g", stage.spec)
    stage.groups.fail("g", stage.batch)


def lease_over(stage: Stage) -> None:
    stage.clock.advance(11)
    stage.groups.stats("g")


def evict(stage: Stage) -> None:
    stage.groups.subscribe("g", "two", ["*"], durable=True)
    stage.groups.unsubscribe("g", "two")
    stage.groups.subscribe("g", "one", ["*"], durable=True)


def leave(stage: Stage) -> None:
    stage.groups.unsubscribe("g", "one")


CALLS: dict[str, Call] = {
    "append": lambda stage: stage.log.append([("chat/a", message())] * 2 + [("chat/e", message())]),
    "append one": lambda stage: stage.log.append([("chat/e", message())]),
    "receive": lambda stage: stage.groups.receive("g", "one", limit=4),
    "ack": ack,
    "ack some": ack_some,
    "ack and send": ack_and_send,
    "fail": fail,
    "release": lambda stage: stage.groups.release("g", stage.batch[1:]),
    "bury": bury,
    "lease over": lease_over,
    "subscribe": lambda stage: stage.groups.subscribe("g", "two", ["a", "[cd]"], durable=True),
    "evict": evict,
    "leave": leave,
    "seek": lambda stage: stage.groups.seek("g", "chat/a", Start.parse("1")),
    "suspend": lambda stage: stage.groups.suspend("g", "chat/a", 3),
    "alter": lambda stage: stage.groups.alter_group("g", stage.spec.model_copy(update={"weights": {"": 2.0}})),
    "expire": lambda stage: stage.log.expire("chat/b"),
}


@pytest.fixture(params=["LITE", "PRIORITY"])
def new_stage(request: pytest.FixtureRequest, open_log: Callable[..., FaultyLog], clock: VirtualClock) -> Any:
    """Makes a stage for a call."""
    made: list[FaultyLog] = []

    def new(name: str) -> Stage:
        if made:
            made.pop().close()
        made.append(open_log(f"store-{new.count}"))
        new.count += 1
        stage = Stage(made[-1], clock, request.param, "exclusive" if name == "evict" else "shared")
        if name == "seek":
            stage.maybe_acked = {("chat/a", 0)}
        if name == "expire":
            stage.maybe_acked = {("chat/b", offset) for offset in range(EACH)}
        return stage

    new.count = 0  # type: ignore[attr-defined]
    return new


def settle(stage: Stage, name: str) -> None:
    """Sets right what a call that may have happened or not leaves open, then looks."""
    if name == "subscribe":
        stage.groups.unsubscribe("g", "two")
    if name == "evict":
        stage.groups.unsubscribe("g", "two")
        stage.groups.subscribe("g", "one", ["*"], durable=True)
    if name == "expire" and "b" not in stage.log.lites("chat"):
        stage.log.append([("chat/b", message())] * EACH)
    stage.check()


@pytest.mark.parametrize("kind", ["full disk", "interrupted before", "interrupted after"])
@pytest.mark.parametrize("name", CALLS)
def test_a_fault_at_any_write_strands_and_loses_nothing(new_stage: Any, name: str, kind: str) -> None:
    for nth in range(1, 9):
        stage = new_stage(name)
        error = FULL if kind == "full disk" else KeyboardInterrupt()
        stage.log.fail(nth, error, written=kind == "interrupted after")
        writes = stage.log.writes
        try:
            CALLS[name](stage)
        except (StoreError, KeyboardInterrupt):
            settle(stage, name)
            continue
        stage.log.before.clear()
        stage.log.after.clear()
        assert nth > 1, "it writes nothing"
        assert stage.log.writes - writes == nth - 1
        if name == "receive":
            stage.ready.clear()
        settle(stage, name)
        return
    raise AssertionError("it never comes to an end")


class Interrupt:
    """Raises `KeyboardInterrupt` before the n-th line of the broker's that a call runs."""

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.lines = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in OURS:
            return None
        if event == "line":
            self.lines += 1
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def interrupted(stage: Stage, name: str, nth: int) -> int:
    """Runs a call, interrupted at a line; returns how many lines it ran."""
    former, trace = sys.gettrace(), Interrupt(nth)
    sys.settrace(trace)
    try:
        CALLS[name](stage)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(former)
    return trace.lines


def interrupt_everywhere(new_stage: Any, name: str, step: int) -> None:
    lines = interrupted(new_stage(name), name, 10**9)
    assert lines > 20
    for nth in range(1 + lines % step, lines + 1, step):
        stage = new_stage(name)
        assert interrupted(stage, name, nth) == nth
        if name == "receive":
            stage.ready.clear()  # perhaps they are leased, and only nobody was told
        settle(stage, name)


@pytest.mark.thorough
@pytest.mark.parametrize("name", CALLS)
def test_a_ctrl_c_between_some_lines_strands_and_loses_nothing(new_stage: Any, name: str) -> None:
    interrupt_everywhere(new_stage, name, step=37)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CALLS)
def test_a_ctrl_c_between_any_two_lines_strands_and_loses_nothing(new_stage: Any, name: str) -> None:
    interrupt_everywhere(new_stage, name, step=1)
