"""Any sequence of calls on a group, with failing disks, interrupts and restarts, against a model in a few dictionaries.

The model says what may be handed out and what must be; in which order topics take turns is the schedule's affair.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deliveries import message
from faults import FULL, FaultyLog
from logs import scratch
from nbagora_lab.broker.dead import parse_letter
from nbagora_lab.broker.delivery import Handle
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import LeaseLost, NotSubscribed, StoreError
from nbagora_lab.core.events import decode

LITES = ("a", "b", "x1", "天")
PATTERNS = ("*", "a", "x*", "[ab]", "天")
CLIENTS = ("c", "d")
MOST, LEASE, BACKOFF = 3, 10.0, (2.0, 5.0)

lites = st.sampled_from(LITES)
clients = st.sampled_from(CLIENTS)
faults = st.sampled_from([None] * 6 + ["full", "interrupted", "written"])


@dataclass
class Out:
    """A lease of the model: one turn's, which is a lite topic, or a single record on a PRIORITY parent."""

    client: str
    number: int
    offsets: list[int]
    until: float


@dataclass
class Topic:
    """What the model knows of a lite topic."""

    priorities: list[int] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    attempts: dict[int, int] = field(default_factory=dict)
    suspended: float = 0.0

    def left(self) -> list[int]:
        return [offset for offset in range(len(self.priorities)) if offset not in self.done]


class GroupMachine(RuleBasedStateMachine):
    """A group, and beside it what it ought to hand out."""

    kind = "LITE"
    durability = "os"
    spec = GroupSpec(topic="chat", lease=LEASE, max_attempts=MOST, backoff=BACKOFF, client_ttl=1e9)

    @initialize()
    def start(self) -> None:
        self.stack = contextlib.ExitStack()
        self.folder = self.stack.enter_context(scratch())
        self.clock = VirtualClock(1000)
        self.topics: dict[str, Topic] = {}
        self.out: dict[tuple[str, int], Out] = {}  # by lite topic, and offset where records stand for themselves
        self.pauses: dict[tuple[str, int], float] = {}
        self.patterns: dict[str, dict[str, bool]] = {}  # of each client, and whether they are durable
        self.dead: list[tuple[str, int]] = []
        self.old: list[Handle] = []
        self.open()
        self.log.create_topic("chat", TopicSpec(type=self.kind))
        self.groups.create_group("g", self.spec)
        self.groups.subscribe("g", "c", "*")
        self.patterns["c"] = {"*": False}

    def open(self) -> None:
        self.log = FaultyLog(self.folder / "store", clock=self.clock, durability=self.durability)
        self.groups = EmbeddedGroups(self.log)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            self.stack.close()

    # -- the model ----------------------------------------------------------------------------------------------------

    @property
    def single(self) -> bool:
        return self.kind == "PRIORITY"

    def turns(self, lite: str) -> list[tuple[tuple[str, int], list[int]]]:
        """The turns of a topic, each with the offsets that it has left."""
        left = self.topics[lite].left() if lite in self.topics else []
        return [((lite, offset), [offset]) for offset in left] if self.single else [((lite, -1), left)] if left else []

    def reads(self, client: str, lite: str) -> bool:
        return any(Pattern.parse(text).matches(lite) for text in self.patterns.get(client, ()))

    def due(self) -> None:
        """Ends the leases, pauses and suspensions whose time has come, for good if the clock goes back."""
        now = self.clock.now()
        self.pauses = {key: until for key, until in self.pauses.items() if until > now}
        for topic in self.topics.values():
            topic.suspended = topic.suspended if topic.suspended > now else 0.0
        for key, out in list(self.out.items()):
            if out.until <= self.clock.now():
                self.end(key, failed=[one for one in out.offsets if one not in self.topics[key[0]].done])

    def end(self, key: tuple[str, int], *, failed: list[int], uncounted: bool = False, pause: float = 0.0) -> None:
        """Ends a lease; what has failed too often is dead, what is only given back does not count."""
        topic, out = self.topics[key[0]], self.out.pop(key)
        alive = False
        for offset in out.offsets:
            if offset in topic.done:
                continue
            if uncounted or offset not in failed:
                topic.attempts[offset] -= 1
            elif topic.attempts[offset] >= MOST:
                topic.done.add(offset)
                self.dead.append((key[0], offset))
            else:
                alive = True
        if alive and pause > 0:
            self.pauses[key] = self.clock.now() + pause

    def forget(self, lite: str) -> None:
        """Leases and pauses of a topic end as if the process had: the attempts have been counted."""
        for key in [key for key in (*self.out, *self.pauses) if key[0] == lite]:
            self.out.pop(key, None)
            self.pauses.pop(key, None)

    def eligible(self, client: str) -> dict[tuple[str, int], list[int]]:
        now = self.clock.now()
        return {
            key: offsets
            for lite in self.topics
            for key, offsets in self.turns(lite)
            if self.reads(client, lite)
            and key not in self.out
            and self.pauses.get(key, 0.0) <= now
            and self.topics[lite].suspended <= now
        }

    @contextlib.contextmanager
    def faulty(self, fault: str | None) -> Any:
        """Lets a fault into the next write; yields a list that gets whether it was written."""
        written = [True]
        if fault is None:
            yield written
            return
        error = FULL if fault == "full" else KeyboardInterrupt()
        before = self.log.writes
        self.log.fail(1, error, written=fault == "written")
        try:
            yield written
        except (StoreError, KeyboardInterrupt):
            written[0] = fault == "written"
            written.append(False)
        finally:
            self.log.before.clear()
            self.log.after.clear()
            assert self.log.writes >= before

    # -- calls --------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 2.0, 4.0, 10.0, -3.0]))
    def move_the_clock(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.groups.stats("g")
        self.due()

    @rule(sent=st.lists(st.tuples(lites, st.integers(0, 2)), min_size=1, max_size=5), fault=faults)
    def send(self, sent: list[tuple[str, int]], fault: str | None) -> None:
        entries = [(f"chat/{lite}", message(priority=priority)) for lite, priority in sent]
        with self.faulty(fault) as written:
            self.log.append(entries)
        if written[0]:
            for lite, priority in sent:
                self.topics.setdefault(lite, Topic()).priorities.append(priority)

    @rule(
        client=clients,
        texts=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True),
        durable=st.booleans(),
    )
    def subscribe(self, client: str, texts: list[str], durable: bool) -> None:
        self.groups.subscribe("g", client, texts, durable=durable)
        mine = self.patterns.setdefault(client, {})
        keep = durable or any(mine.values())
        mine.update(dict.fromkeys(texts, keep))
        self.patterns[client] = dict.fromkeys(mine, keep)

    @rule(client=clients, texts=st.none() | st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True))
    def unsubscribe(self, client: str, texts: list[str] | None) -> None:
        self.groups.unsubscribe("g", client, texts)
        gone = [Pattern.parse(text) for text in (PATTERNS if texts is None else texts)]
        for key, out in list(self.out.items()):
            if (
                out.client == client
                and client in self.patterns
                and (texts is None or any(one.matches(key[0]) for one in gone))
            ):
                self.end(key, failed=[], uncounted=True)
        mine = self.patterns.get(client, {})
        for text in list(mine) if texts is None else texts:
            mine.pop(text, None)
        if not mine:
            self.patterns.pop(client, None)

    @rule(client=clients, limit=st.sampled_from([1, 2, 5, 100]), fault=faults)
    def receive(self, client: str, limit: int, fault: str | None) -> None:
        if client not in self.patterns:
            with pytest.raises(NotSubscribed):
                self.groups.receive("g", client)
            return
        eligible = self.eligible(client)
        limit = 100 if fault else limit
        if fault:  # which is about the attempts, not about who comes back
            self.groups.when_ready("g", client, lambda: None)()
        batch = None
        with self.faulty(fault) as written:
            batch = self.groups.receive("g", client, limit=limit)
        if batch is None:
            for key, offsets in eligible.items():
                if written[0]:
                    self.count(key[0], offsets)
            return
        got: dict[tuple[str, int], list[int]] = {}
        for one in batch:
            lite = one.topic.partition("/")[2]
            self.count(lite, [one.offset])
            assert one.attempt == self.topics[lite].attempts[one.offset]
            got.setdefault((lite, one.offset if self.single else -1), []).append(one.offset)
        for key, offsets in got.items():
            assert key in eligible, "it may not be handed out now"
            assert offsets == eligible[key][: len(offsets)], "from the first unacked on, in order"
            self.out[key] = Out(client, batch[0].lease, offsets, self.clock.now() + LEASE)
        if len(batch) < limit:
            assert got == eligible, "what could be handed out was not"
        else:
            assert len(batch) == limit
        if self.single:
            given = [self.topics[lite].priorities[offset] for lite, offset in got]
            assert given == sorted(given, reverse=True)
            left = [self.topics[key[0]].priorities[key[1]] for key in eligible.keys() - got.keys()]
            assert not given or not left or min(given) >= max(left)
        self.old += [one.handle for one in batch]

    def count(self, lite: str, offsets: list[int]) -> None:
        attempts = self.topics[lite].attempts
        for offset in offsets:
            attempts[offset] = attempts.get(offset, 0) + 1

    def held(self, handle: Handle) -> tuple[tuple[str, int], Out] | None:
        lite = handle.topic.partition("/")[2]
        key = (lite, handle.offset if self.single else -1)
        out = self.out.get(key)
        return (key, out) if out is not None and out.number == handle.lease else None

    @precondition(lambda self: self.old)
    @rule(data=st.data(), fault=faults, again=st.booleans())
    def ack(self, data: st.DataObject, fault: str | None, again: bool) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.old[-12:]), min_size=1, max_size=4, unique=True))
        held = {handle: found for handle in chosen if (found := self.held(handle)) is not None}
        fresh = [one for one in held if one.offset not in self.topics[held[one][0][0]].done]
        lost = [one for one in chosen if one not in held]
        with self.faulty(fault if fresh and not lost else None) as written:
            try:
                self.groups.ack("g", chosen)
                refused: list[Any] = []
            except LeaseLost as error:
                refused = error.handles
            assert set(refused) <= set(lost)
            for handle in set(lost) - set(refused):  # a second ack under a lease that is over does no harm
                assert handle.offset in self.topics[handle.topic.partition("/")[2]].done
        if written[0]:
            for handle in fresh:
                self.topics[held[handle][0][0]].done.add(handle.offset)
        for key in {held[handle][0] for handle in fresh}:
            if all(offset in self.topics[key[0]].done for offset in self.out[key].offsets):
                del self.out[key]
        if again and len(written) == 1 and fresh:
            self.groups.ack("g", fresh)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), pause=st.sampled_from([None, 0.0, 3.0]))
    def fail(self, data: st.DataObject, pause: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.out)))
        out, topic = self.out[key], self.topics[key[0]]
        left = [offset for offset in out.offsets if offset not in topic.done]
        failed = data.draw(st.lists(st.sampled_from(left), min_size=1, unique=True))
        attempts = max(topic.attempts[offset] for offset in failed)
        self.groups.fail("g", [Handle(f"chat/{key[0]}", offset, out.number) for offset in failed], pause=pause)
        self.end(key, failed=failed, pause=self.spec.pause(attempts) if pause is None else pause)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.out)))
        out, topic = self.out[key], self.topics[key[0]]
        offset = data.draw(st.sampled_from([one for one in out.offsets if one not in topic.done]))
        self.groups.release("g", [Handle(f"chat/{key[0]}", offset, out.number)])
        self.end(key, failed=[], uncounted=True)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), lease=st.sampled_from([1.0, 20.0]))
    def extend(self, data: st.DataObject, lease: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.out)))
        out = self.out[key]
        offset = next(one for one in out.offsets if one not in self.topics[key[0]].done)
        self.groups.extend("g", [Handle(f"chat/{key[0]}", offset, out.number)], lease)
        out.until = self.clock.now() + lease

    @rule(lite=lites, seconds=st.sampled_from([0.0, 1.0, 6.0]))
    def suspend(self, lite: str, seconds: float) -> None:
        self.groups.suspend("g", f"chat/{lite}", seconds)
        until = self.clock.now() + seconds if seconds else 0.0  # over at once, also if the clock goes back
        self.topics.setdefault(lite, Topic()).suspended = until
        for key in [key for key in self.out if key[0] == lite]:
            self.end(key, failed=[], uncounted=True)

    @rule(lite=lites, start=st.sampled_from(["first", "last", "1", "tail-2"]))
    def seek(self, lite: str, start: str) -> None:
        topic = self.topics.get(lite)
        if topic is None or not topic.priorities:
            return
        end = len(topic.priorities)
        at = {"first": 0, "last": end, "1": min(1, end), "tail-2": max(0, end - 2)}[start]
        assert self.groups.seek("g", f"chat/{lite}", Start.parse(start)) == at
        self.forget(lite)
        topic.done = set(range(at))
        topic.attempts = {}

    @rule(lite=lites)
    def remove(self, lite: str) -> None:
        if lite in self.topics and self.topics[lite].priorities:
            self.log.expire(f"chat/{lite}")
            self.forget(lite)
            self.topics[lite] = Topic(suspended=self.topics[lite].suspended)
            self.old = [one for one in self.old if one.topic != f"chat/{lite}"]
            for client, mine in list(self.patterns.items()):
                if not any(mine.values()):
                    mine.pop(lite, None)
                    if not mine:
                        self.groups.unsubscribe("g", client)
                        del self.patterns[client]

    @rule(weights=st.dictionaries(st.sampled_from(["", "t"]), st.sampled_from([1.0, 5.0])))
    def change_weights(self, weights: dict[str, float]) -> None:
        self.spec = self.spec.model_copy(update={"weights": weights})
        self.groups.alter_group("g", self.spec)

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.open()
        for lite, topic in self.topics.items():
            self.forget(lite)
            topic.suspended = 0.0
        self.patterns = {client: mine for client, mine in self.patterns.items() if all(mine.values())}

    @invariant()
    def everything_is_as_it_ought_to_be(self) -> None:
        if not hasattr(self, "log"):
            return
        for lite, topic in self.topics.items():
            if topic.priorities:
                found = self.groups.progress("g", f"chat/{lite}")
                left = topic.left()
                assert (found.next, found.lag) == (len(topic.priorities), len(left))
                assert found.committed == (left[0] if left else len(topic.priorities))
        letters = self.log.scan("dead-letters/g", limit=10_000)
        found = [parse_letter(decode(stored, "dead-letters/g", offset)).record for offset, stored in letters]
        buried = [(one.topic, one.offset) for one in found]
        assert sorted(buried) == sorted((f"chat/{lite}", offset) for lite, offset in self.dead)
        for lite in LITES:  # between topics it is as their leases end
            mine = [offset for topic, offset in buried if topic == f"chat/{lite}"]
            assert mine == [offset for dead, offset in self.dead if dead == lite]
        stats = self.groups.stats("g")
        assert {(lease.topic, lease.number) for lease in stats.leases} == {
            (f"chat/{key[0]}", out.number) for key, out in self.out.items()
        }
        waiting = sum(len(self.turns(lite)) for lite in self.topics)
        assert waiting == sum(one.backlog for one in stats.tenants) + sum(stats.held.values()) + len(stats.leases)
        unread = [lite for lite in self.topics if not any(self.reads(client, lite) for client in stats.clients)]
        assert stats.unread <= sum(len(self.turns(lite)) for lite in unread)
        assert {client: set(texts) for client, texts in self.groups.subscriptions("g").items()} == {
            client: set(mine) for client, mine in self.patterns.items()
        }


class PriorityMachine(GroupMachine):
    """The same on a parent whose records stand for themselves."""

    kind = "PRIORITY"


class FsyncGroupMachine(GroupMachine):
    """The same where each write waits for the disk."""

    durability = "fsync"


MACHINES = [GroupMachine, PriorityMachine, FsyncGroupMachine]


@pytest.mark.parametrize(
    "machine", [GroupMachine, *(pytest.param(one, marks=pytest.mark.thorough) for one in MACHINES[1:])]
)
def test_any_sequence_of_calls_does_what_the_model_does(machine: type[GroupMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=30))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", MACHINES)
def test_a_hundred_thousand_calls_do_what_the_model_does(machine: type[GroupMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=1000, stateful_step_count=100))
