"""Any sequence of calls, with failing disks, interrupted writes and stores that close, against a few lists."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from faults import FULL, FaultyLog
from logs import events, record, scratch
from nbagora_lab.broker import Broker
from nbagora_lab.broker.model import EVENTS, TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import StoreError, TopicExists, TopicNotFound
from nbagora_lab.core.events import decode

PARENTS = ("chat", "天气")
TOPICS = tuple(f"{parent}/{lite}" for parent in PARENTS for lite in ("a", "b", "天"))

parents = st.sampled_from(PARENTS)
topics = st.sampled_from(TOPICS)
batches = st.lists(st.tuples(topics, st.binary(max_size=8)), min_size=1, max_size=5)
offsets = st.integers(-1, 12)


@dataclass
class Topic:
    """What the model knows of a lite topic."""

    created: float
    forked_from: str | None = None
    records: list[tuple[float, bytes]] = field(default_factory=list)


@dataclass
class Model:
    """A broker in a few lists."""

    parents: dict[str, TopicSpec] = field(default_factory=dict)
    topics: dict[str, Topic] = field(default_factory=dict)
    told: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def open(self, topic: str, now: float, forked_from: str | None = None) -> Topic:
        if topic not in self.topics:
            self.topics[topic] = Topic(now, forked_from)
            self.tell(f"topic.{'forked' if forked_from else 'opened'}", topic)
        return self.topics[topic]

    def tell(self, what: str, topic: str) -> None:
        self.told.setdefault(topic.partition("/")[0], []).append((what, topic))

    def append(self, batch: list[tuple[str, bytes]], now: float) -> list[int]:
        for topic, body in batch:
            self.open(topic, now).records.append((now, body))
        counts = {topic: len(self.topics[topic].records) for topic, _ in batch}
        given = []
        for topic, _ in reversed(batch):
            counts[topic] -= 1
            given.append(counts[topic])
        return given[::-1]


class LogMachine(RuleBasedStateMachine):
    """The engine, and beside it what it ought to be."""

    durability = "os"

    @initialize()
    def start(self) -> None:
        self.stack = contextlib.ExitStack()
        self.folder = self.stack.enter_context(scratch())
        self.clock = VirtualClock(1000)
        self.model = Model()
        self.open()

    def open(self) -> None:
        self.log = FaultyLog(self.folder / "store", clock=self.clock, durability=self.durability)
        self.broker = Broker(self.log, self.clock)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            self.stack.close()

    @rule()
    def reopen(self) -> None:
        epoch = self.log.epoch
        self.log.close()
        self.open()
        assert self.log.epoch == epoch + 1

    @rule(seconds=st.sampled_from([0.5, 10, -30]))
    def move_the_clock(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(parent=parents, ttl=st.sampled_from([None, 60.0]))
    def create(self, parent: str, ttl: float | None) -> None:
        spec = TopicSpec(ttl=ttl)
        if self.model.parents.setdefault(parent, spec) == spec:
            self.log.create_topic(parent, spec)
        else:
            with pytest.raises(TopicExists):
                self.log.create_topic(parent, spec)

    def known(self, batch: list[tuple[str, bytes]]) -> bool:
        return all(topic.partition("/")[0] in self.model.parents for topic, _ in batch)

    def encoded(self, batch: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return [(topic, record(body, time=self.clock.now())) for topic, body in batch]

    @rule(batch=batches)
    def append(self, batch: list[tuple[str, bytes]]) -> None:
        if self.known(batch):
            assert self.log.append(self.encoded(batch)) == self.model.append(batch, self.clock.now())
        else:
            with pytest.raises(TopicNotFound):
                self.log.append(self.encoded(batch))

    @rule(batch=batches)
    def append_to_a_full_disk(self, batch: list[tuple[str, bytes]]) -> None:
        if self.known(batch):
            self.log.fail(1, FULL)
            with pytest.raises(StoreError):
                self.log.append(self.encoded(batch))

    @rule(batch=batches, written=st.booleans())
    def append_and_be_interrupted(self, batch: list[tuple[str, bytes]], written: bool) -> None:
        if self.known(batch):
            self.log.fail(1, KeyboardInterrupt(), written=written)
            with pytest.raises(KeyboardInterrupt):
                self.log.append(self.encoded(batch))
            if written:
                self.model.append(batch, self.clock.now())

    @rule(source=topics, to=topics, at=offsets, nth=st.sampled_from([None, None, 1, 2, 3]))
    def fork(self, source: str, to: str, at: int, nth: int | None) -> None:
        topic = self.model.topics.get(source)
        if topic is None or not 0 <= at < len(topic.records) or to.partition("/")[0] not in self.model.parents:
            with pytest.raises((TopicNotFound, TopicExists)):
                self.log.fork(source, to, at=at)
        elif to in self.model.topics:
            with pytest.raises(TopicExists):
                self.log.fork(source, to, at=at)
        elif nth is not None:
            self.log.fail(nth, FULL)
            with pytest.raises(StoreError):
                self.log.fork(source, to, at=at)
        else:
            info = self.log.fork(source, to, at=at)
            self.model.open(to, self.clock.now(), f"{source}@{at}").records = topic.records[: at + 1]
            assert info.next == at + 1

    @rule(topic=topics, fails=st.booleans())
    def expire(self, topic: str, fails: bool) -> None:
        if topic not in self.model.topics:
            with pytest.raises(TopicNotFound):
                self.log.expire(topic)
        elif fails:
            self.log.fail(1, FULL)
            with pytest.raises(StoreError):
                self.log.expire(topic)
        else:
            self.log.expire(topic)
            del self.model.topics[topic]
            self.model.tell("topic.expired", topic)

    @rule(topic=topics, after=offsets, before=st.none() | offsets, limit=st.none() | st.integers(0, 5))
    def read(self, topic: str, after: int, before: int | None, limit: int | None) -> None:
        if topic not in self.model.topics or (before is not None and before < 0) or after < 0:
            return
        expected = list(enumerate(body for _, body in self.model.topics[topic].records))
        expected = [(n, body) for n, body in expected if n > after and (before is None or n < before)]
        found = self.broker.read(topic, after=after, before=before, limit=limit)
        assert [(one.offset, one.body) for one in found] == expected[:limit]

    @rule(topic=topics, time=st.floats(950, 1100))
    def seek(self, topic: str, time: float) -> None:
        if topic in self.model.topics:
            times = [round(one * 1e6) for one, _ in self.model.topics[topic].records]
            found = self.log.seek(topic, time)
            assert 0 <= found <= len(times)
            if times == sorted(times):
                assert found == sum(one < time * 1e6 for one in times)

    @invariant()
    def everything_is_as_it_ought_to_be(self) -> None:
        assert self.log.parents() == self.model.parents
        for parent in self.model.parents:
            names = [topic.partition("/")[2] for topic in self.model.topics if topic.startswith(f"{parent}/")]
            told = self.model.told.get(parent, [])
            assert self.log.lites(parent) == sorted(names + [EVENTS] * bool(told), key=str.encode)
            assert events(self.log, parent) == told
        for name, topic in self.model.topics.items():
            stored = [decode(stored, name, offset) for offset, stored in self.log.scan(name)]
            assert [one.offset for one in stored] == list(range(len(topic.records)))
            assert [(one.time, one.body) for one in stored] == topic.records
            info = self.log.info(name)
            assert (info.first, info.next) == (0, len(topic.records))
            assert (info.created, info.forked_from) == (topic.created, topic.forked_from)
            assert info.last_write == topic.records[-1][0]


class FsyncLogMachine(LogMachine):
    """The same where each write waits for the disk, and writers that meet share one."""

    durability = "fsync"


MACHINES = [LogMachine, FsyncLogMachine]


@pytest.mark.parametrize("machine", [LogMachine, pytest.param(FsyncLogMachine, marks=pytest.mark.thorough)])
def test_any_sequence_of_calls_does_what_a_few_lists_do(machine: type[LogMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", MACHINES)
def test_many_sequences_of_calls_do_what_a_few_lists_do(machine: type[LogMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=1700, stateful_step_count=60, deadline=None))
