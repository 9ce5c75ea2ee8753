"""The embedded engine's groups: progress and what waits in RocksDB, the rest in memory (`dispatch.Dispatch`).

| operation | write batch | a crash leaves |
|---|---|---|
| append | the records, and in `waiting` that their topics have something to read | all of it or nothing |
| receive | in `handed` what is out under the lease | the lease is lost, the attempts count |
| ack | progress; out of `waiting` what is drained; with `send`, those records | all of it or nothing |
| fail, lease over | dead letters, with the progress past them | all of it or nothing |
| seek | progress, `waiting` | all of it or nothing |
| create a group | where it starts on the topics that exist, then its name | no group before the last batch |
| delete a group | its name; then its ranges of keys | remains that no group's number refers to |

Threads: everything is called under the engine's lock, in the caller's thread. A call may be interrupted anywhere, in a
write or between any two lines, by a failing disk or by Ctrl-C: `Dispatch.torn` is set before, and whoever finds it set
makes the group's memory again from the store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

from rocksdict import WriteBatch

from nbagora_lab.broker import keys
from nbagora_lab.broker.dead import DEAD_LETTERS, dead_topic
from nbagora_lab.broker.delivery import Batch, Given, Handle
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.group import GroupSpec, Start
from nbagora_lab.broker.group_store import GroupStore
from nbagora_lab.broker.leases import Leases, lost_leases
from nbagora_lab.broker.model import EVENTS, TopicSpec, check_name, split_topic
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.broker.report import progress_of, stats_of, unread_of
from nbagora_lab.broker.starts import Starts
from nbagora_lab.broker.stats import GroupStats, TopicProgress
from nbagora_lab.broker.subscribers import Subscribers
from nbagora_lab.core.errors import BadName, Conflict, GroupExists, GroupNotFound, LabError, UsageError, did_you_mean

__all__ = ["EmbeddedGroups"]

_MOST = 100_000  # records in one receive
_PAGE = 10_000
_NUMBER = slice(4)  # of a stored group


class EmbeddedGroups:
    """Groups beside an embedded log, in its store and under its lock.

    Args:
        log: The log.
    """

    capabilities = frozenset({"glob", "exclusive", "durable", "suspend", "seek", "schedule", "transaction"})

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self._store = store = log.store
        self._groups: dict[str, Dispatch] = {}
        self._leases = Leases(store, log.tell)
        self._starts = Starts(log)
        self._subscribers = Subscribers(store, self._leases)
        with store.lock, store.entered:
            for name, value in store.rocks.families["groups"].items():
                number = int.from_bytes(value[_NUMBER])
                self._add(name.decode(), number, GroupSpec.model_validate_json(value[4:]))
        store.on_close.append(self._close)

    def _add(self, name: str, number: int, spec: GroupSpec) -> Dispatch:
        store = self._store
        parent = store.parent(spec.topic)
        stored = GroupStore(store, number, parent)
        stored.count_handed()
        group = Dispatch(name, number, spec, parent, stored, now=store.clock.now())
        self._subscribers.load(group)
        parent.groups.append(group)
        if store.rocks.families["progress"].get(keys.waiting_key(number, keys.HEARS)) is not None:
            parent.hearing.append(group)
        self._groups[name] = group
        return group

    def create_group(self, name: str, spec: GroupSpec) -> bool:
        """See `Groups.create_group`."""
        if check_name(name, "group") == EVENTS:
            raise BadName(f"no group can be named {EVENTS}", "its dead letters would lie where topics are told of")
        self._log.create_topic(DEAD_LETTERS, TopicSpec())
        with self._store.lock, self._store.entered:
            there = self._groups.get(name)
            if there is not None:
                if there.spec != spec:
                    raise GroupExists(
                        f"the group '{name}' exists with other settings: {there.spec.difference(spec)}",
                        "use it as it is, alter it, or take another name",
                    )
                return False
            store = self._store
            parent = store.parent(spec.topic)
            number = int.from_bytes(store.rocks.db.get(keys.GROUP_NUMBER) or b"") + 1
            batch = WriteBatch(raw_mode=True)
            batch.put(keys.GROUP_NUMBER, keys.u64(number))
            store.write(batch)  # from here on the number is spent, whatever happens
            self._starts.put_all(number, spec, single=parent.spec.type == "PRIORITY")
            batch = WriteBatch(raw_mode=True)
            stored = keys.group_prefix(number) + spec.model_dump_json().encode()
            batch.put(name.encode(), stored, store.rocks.handles["groups"])
            store.write(batch)
            self._add(name, number, spec)
            return True

    def alter_group(self, name: str, spec: GroupSpec) -> None:
        """See `Groups.alter_group`."""
        with self._store.lock, self._store.entered:
            group, now = self._entered(name)
            fixed = [key for key in ("topic", "mode", "start") if getattr(spec, key) != getattr(group.spec, key)]
            if fixed:
                raise Conflict(
                    f"{fixed[0]} of the group '{name}' can't be changed", "delete the group and make it anew"
                )
            batch = WriteBatch(raw_mode=True)
            stored = keys.group_prefix(group.number) + spec.model_dump_json().encode()
            batch.put(name.encode(), stored, self._store.rocks.handles["groups"])
            self._store.write(batch)
            group.alter(spec, now)

    def groups(self) -> dict[str, GroupSpec]:
        """See `Groups.groups`."""
        with self._store.lock, self._store.entered:
            return {name: group.spec for name, group in sorted(self._groups.items())}

    def delete_group(self, name: str) -> None:
        """See `Groups.delete_group`."""
        with self._store.lock, self._store.entered:
            group = self._group(name)
            handles = self._store.rocks.handles
            batch = WriteBatch(raw_mode=True)
            batch.delete(name.encode(), handles["groups"])
            first, past = keys.group_prefix(group.number), keys.group_prefix(group.number + 1)
            for family in ("progress", "waiting", "handed", "subscribers"):
                batch.delete_range(first, past, handles[family])
            self._store.write(batch)
            del self._groups[name]
            for readers in (group.parent.groups, group.parent.hearing):
                if group in readers:
                    readers.remove(group)
            group.wake_all()
            if self._store.hot.look(dead_topic(name)) is not None:
                self._log.expire(dead_topic(name))

    # -- subscriptions ----------------------------------------------------------------------------------------------

    def subscribe(
        self,
        group: str,
        client: str,
        patterns: Collection[str],
        *,
        durable: bool = False,
        evicted: Callable[[list[str]], None] | None = None,
    ) -> None:
        """See `Groups.subscribe`."""
        check_name(client, "client")
        parsed = [Pattern.parse(text) for text in dict.fromkeys(patterns)]
        with self._store.lock, self._store.entered:
            known, _ = self._entered(group)
            if any(pattern.name == EVENTS for pattern in parsed):
                self._hear(known)
            told = self._subscribers.join(known, client, parsed, durable=durable, evicted=evicted)
        for callback, lost in told:
            callback(lost)

    def _hear(self, group: Dispatch) -> None:
        """Has a group read its parent's `_events` from now on, from where it starts."""
        if group in group.parent.hearing:
            return
        topic, handles = f"{group.parent.name}/{EVENTS}", self._store.rocks.handles
        batch = WriteBatch(raw_mode=True)
        batch.put(keys.waiting_key(group.number, keys.HEARS), b"", handles["progress"])
        if self._store.hot.look(topic) is not None:
            self._starts.put(batch, group.number, topic, group.spec.start, single=group.single)
        self._store.write(batch)
        group.parent.hearing.append(group)

    def unsubscribe(self, group: str, client: str, patterns: Collection[str] | None = None) -> None:
        """See `Groups.unsubscribe`."""
        parsed = None if patterns is None else [Pattern.parse(text) for text in patterns]
        with self._store.lock, self._store.entered:
            known, _ = self._entered(group)
            there = known.clients.get(client)
            if there is not None:
                self._subscribers.leave(known, there, parsed)
                if there.durable:
                    self._subscribers.keep(known, client, there.patterns)
            elif client in known.dormant:
                gone = {pattern.text for pattern in parsed or ()}
                left = [] if parsed is None else [text for text in known.dormant[client] if text not in gone]
                self._subscribers.keep(known, client, left)
                known.dormant[client] = left
                if not left:
                    del known.dormant[client]

    def subscriptions(self, group: str) -> dict[str, list[str]]:
        """See `Groups.subscriptions`."""
        with self._store.lock, self._store.entered:
            known, _ = self._entered(group)
            return known.dormant | {name: list(client.patterns) for name, client in known.clients.items()}

    # -- records ----------------------------------------------------------------------------------------------------

    def receive(
        self,
        group: str,
        client: str,
        *,
        limit: int = 32,
        max_bytes: int | None = None,
        lease: float | None = None,
        attempt_id: str = "",
    ) -> Batch:
        """See `Groups.receive`."""
        if not 1 <= limit <= _MOST:
            raise UsageError(f"a receive of {limit} records", f"ask for 1 to {_MOST}")
        if max_bytes is not None and max_bytes < 1:
            raise UsageError(f"a receive of {max_bytes} bytes", "ask for 1 at least; the first record always comes")
        if lease is not None:
            _check_lease(lease)
        with self._store.lock, self._store.entered:
            known, now = self._entered(group, client)
            there = known.client(client, now)
            until = known.spec.lease if lease is None else lease
            return self._leases.receive(
                known, there, limit=limit, max_bytes=max_bytes, lease=until, attempt_id=attempt_id, now=now
            )

    def when_ready(self, group: str, client: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Groups.when_ready`."""
        with self._store.lock, self._store.entered:
            known, now = self._entered(group, client)
            end = known.watch(known.client(client, now), wake)

        def locked_end() -> None:
            with self._store.lock:
                end()

        return locked_end

    def ack(
        self,
        group: str,
        handles: Collection[Given],
        *,
        costs: dict[Handle, float] | None = None,
        send: Sequence[tuple[str, bytes]] = (),
    ) -> list[int]:
        """See `Groups.ack`."""
        for handle, cost in (costs or {}).items():
            if not 0 <= cost < math.inf:
                raise UsageError(f"a cost of {cost} for record {handle.offset} of {handle.topic}", "it is 0 or more")
        with self._store.lock, self._store.entered:
            known, now = self._entered(group)
            try:
                offsets, touched, lost = self._leases.ack(known, handles, costs or {}, send, now)
            except LabError:
                raise
            except BaseException:  # interrupted, perhaps between the write and the telling of it
                self._log.tell({topic for topic, _ in send}, (), ())
                raise
        if touched:
            self._log.tell(touched, send, offsets)
        if lost:
            raise lost_leases(group, lost)
        return offsets

    def extend(self, group: str, handles: Collection[Given], lease: float) -> None:
        """See `Groups.extend`."""
        _check_lease(lease)
        with self._store.lock, self._store.entered:
            known, now = self._entered(group)
            lost = self._leases.extend(known, handles, lease, now)
        if lost:
            raise lost_leases(group, lost)

    def fail(self, group: str, handles: Collection[Given], *, pause: float | None = None) -> None:
        """See `Groups.fail`."""
        if pause is not None:
            _check_pause(pause)
        with self._store.lock, self._store.entered:
            known, now = self._entered(group)
            lost = self._leases.fail(known, handles, pause, now)
        if lost:
            raise lost_leases(group, lost)

    def release(self, group: str, handles: Collection[Given]) -> None:
        """See `Groups.release`."""
        with self._store.lock, self._store.entered:
            known, now = self._entered(group)
            lost = self._leases.release(known, handles, now)
        if lost:
            raise lost_leases(group, lost)

    def suspend(self, group: str, topic: str, pause: float) -> None:
        """See `Groups.suspend`."""
        _check_pause(pause)
        with self._store.lock, self._store.entered:
            known, now = self._entered(group)
            _check(known, topic)
            known.suspend(topic, now + pause, now)
            self._leases.give_back(known, known.turns_of(topic), now)

    def seek(self, group: str, topic: str, start: Start) -> int:
        """See `Groups.seek`."""
        start = Start.parse(start)
        with self._store.lock, self._store.entered:
            known, now = self._entered(group)
            _check(known, topic)
            self._log.info(topic)
            if (hot := self._store.hot.load(topic)) is not None:
                hot.listed &= ~known.bit
            batch = WriteBatch(raw_mode=True)
            offset = self._starts.put(batch, known.number, topic, start, single=known.single)
            self._store.write(batch)
            for turn in known.turns_of(topic):
                known.forget(turn)
            known.found(known.stored.of(topic), now)
            return offset

    def progress(self, group: str, topic: str) -> TopicProgress:
        """See `Groups.progress`."""
        with self._store.lock, self._store.entered:
            known, _ = self._entered(group)
            _check(known, topic)
            return progress_of(known, topic, self._log.info(topic).next)

    def stats(self, group: str, *, unread: bool = True) -> GroupStats:
        """See `Groups.stats`."""
        with self._store.lock, self._store.entered:
            known, _ = self._entered(group)
        with self._store.rocks.edge:
            waiting = unread_of(known) if unread else {}
        with self._store.lock, self._store.entered:
            known, now = self._entered(group)
            return stats_of(known, waiting, now)

    def _entered(self, name: str, client: str | None = None) -> tuple[Dispatch, float]:
        """A group, whole, with everything done that is due, and the time; a client that calls lives, or is back."""
        group = self._group(name)
        torn = group.torn
        self._store.act(group)
        if torn:
            self._mend(group)
        now = self._store.clock.now()
        if client in group.clients:
            group.clients[client].seen = now
        group.timers.run(now)
        if client in group.dormant:
            self._subscribers.join(group, client, [], durable=True, evicted=None)
        return group, now

    def _group(self, name: str) -> Dispatch:
        group = self._groups.get(name)
        if group is None:
            raise GroupNotFound(f"no group '{name}'", did_you_mean(name, self._groups))
        return group

    def _mend(self, group: Dispatch) -> None:
        """Makes a group's memory again from the store, after an interruption; leases, and what is held back, stay."""
        now = self._store.clock.now()
        group.stored.count_handed(out=group.grants)
        for turn in group.start_anew():
            hot = self._store.hot.load(turn.topic)
            if hot is None or hot.number != turn.number:
                group.forget(turn)
            else:
                self._leases.settle(group, turn, now)
        group.find_all(now)

    def _close(self) -> None:
        for group in self._groups.values():
            group.wake_all()


def _check_lease(lease: float) -> None:
    if not 0 < lease < math.inf:
        raise UsageError(f"a lease of {lease} s", "it is above 0 seconds")


def _check_pause(pause: float) -> None:
    if not 0 <= pause < math.inf:
        raise UsageError(f"a pause of {pause} s", "it is 0 seconds or more")


def _check(group: Dispatch, topic: str) -> None:
    """Whether a group can stand anywhere on a topic."""
    parent, lite = split_topic(topic)
    if parent != group.spec.topic or (lite == EVENTS and group not in group.parent.hearing):
        raise UsageError(
            f"the group '{group.name}' does not read {topic}", f"name a lite topic of '{group.spec.topic}'"
        )
