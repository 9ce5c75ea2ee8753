"""Clients of groups: how they come, renew, are evicted, fall silent, and come back."""

from __future__ import annotations

import json
from collections.abc import Collection
from operator import attrgetter

from rocksdict import WriteBatch

from nbagora_lab.broker import keys
from nbagora_lab.broker.audience import Client, Evicted
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.leases import Leases
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.broker.store import Store
from nbagora_lab.broker.turn import Turn
from nbagora_lab.core.errors import QuotaExceeded

__all__ = ["Subscribers", "Told"]

Told = list[tuple[Evicted, list[str]]]
"""Callbacks of those who lost patterns, and which; called once the lock is given back."""


class Subscribers:
    """The clients of all groups of a store. Everything is called under the engine's lock.

    Args:
        store: The open store.
        leases: What they hold.
    """

    def __init__(self, store: Store, leases: Leases) -> None:
        self._store = store
        self._leases = leases

    def load(self, group: Dispatch) -> None:
        """Reads the durable subscribers of a group."""
        prefix = keys.group_prefix(group.number)
        for key, value in self._store.rocks.families["subscribers"].items(from_key=prefix):
            if not key.startswith(prefix):
                break
            group.dormant[key[len(prefix) :].decode()] = json.loads(value)

    def join(
        self, group: Dispatch, name: str, patterns: list[Pattern], *, durable: bool, evicted: Evicted | None
    ) -> Told:
        """Subscribes a client; it need not be known."""
        now = self._store.clock.now()
        client = group.clients.get(name) or Client(name, now)
        new = [pattern for pattern in patterns if group.spec.mode == "exclusive" or pattern.text not in client.patterns]
        if len(client.patterns.keys() | {pattern.text for pattern in new}) > group.spec.max_subscriptions:
            raise QuotaExceeded(
                f"the client '{name}' asks for over {group.spec.max_subscriptions} subscriptions in '{group.name}'",
                "use a glob, or raise the group's max_subscriptions",
            )
        client.seen = now
        client.evicted = evicted or client.evicted
        if durable or client.durable or name in group.dormant:
            client.durable = True
            former = group.dormant.get(name, [])
            new += [pattern for pattern in map(Pattern.parse, former) if pattern.text not in {one.text for one in new}]
            self.keep(group, name, [*client.patterns, *(pattern.text for pattern in new)])
            group.dormant.pop(name, None)
        if name not in group.clients:
            group.clients[name] = client
            group.timers.at(now + group.spec.client_ttl, lambda: self._look_after(group, client))
        told = self._evict(group, client, new, now) if group.spec.mode == "exclusive" else []
        if group.audiences.join(client, new) or group.spec.mode == "exclusive":
            for turn in sorted((turn for turn in group.turns.values() if turn.ready), key=attrgetter("tick")):
                group.move(turn, now)
        names = [pattern for pattern in new if pattern.name is not None]
        for pattern in names:
            topic = f"{group.spec.topic}/{pattern.name}"
            for turn in group.turns_of(topic):
                if turn.ready:
                    group.move(turn, now)
            group.found(group.stored.of(topic), now)
        if len(names) < len(new):
            group.find_all(now)
        group.wake(client)
        return told

    def _evict(self, group: Dispatch, client: Client, patterns: list[Pattern], now: float) -> Told:
        """Takes patterns from whoever has them in an exclusive group; returns whom to tell."""
        lost: dict[Client, list[str]] = {}
        for pattern in patterns:
            for other in group.audiences.holders(pattern):
                if other is not client:
                    group.audiences.leave(other, [pattern])
                    lost.setdefault(other, []).append(pattern.text)
        for grant in list(group.grants.values()):
            if grant.client != client.name:
                over = [turn for turn in grant.turns if any(one.matches(_lite(turn)) for one in patterns)]
                self._leases.give_back(group, over, now)
        return [(other.evicted, texts) for other, texts in lost.items() if other.evicted is not None]

    def keep(self, group: Dispatch, client: str, patterns: Collection[str]) -> None:
        """Stores a durable subscriber's patterns; without any, it is forgotten."""
        batch = WriteBatch(raw_mode=True)
        key, handles = keys.group_prefix(group.number) + client.encode(), self._store.rocks.handles
        if patterns:
            batch.put(key, json.dumps(list(dict.fromkeys(patterns))).encode(), handles["subscribers"])
        else:
            batch.delete(key, handles["subscribers"])
        self._store.write(batch)

    def leave(self, group: Dispatch, client: Client, patterns: list[Pattern] | None) -> None:
        """Takes patterns from a client, or (None) drops it; what it holds of them is handed out again.

        Without any (an empty list) it only gives back what it holds.
        """
        now = self._store.clock.now()
        gone = [Pattern.parse(text) for text in client.patterns] if patterns is None else patterns
        group.drop(group.audiences.leave(client, gone) if gone else [], now)
        if not client.patterns:
            group.clients.pop(client.name, None)
            while client.waiters:
                client.waiters.popleft()()
        for grant in list(group.grants.values()):
            if grant.client == client.name:
                lost = [turn for turn in grant.turns if not patterns or any(one.matches(_lite(turn)) for one in gone)]
                self._leases.give_back(group, lost, now)

    def _look_after(self, group: Dispatch, client: Client) -> None:
        """Drops a client that has been silent for too long."""
        now, ttl = self._store.clock.now(), group.spec.client_ttl
        if group.clients.get(client.name) is not client:
            return
        if client.waiters:  # who waits, lives
            client.seen = now
        if client.seen + ttl > now:
            group.timers.at(client.seen + ttl, lambda: self._look_after(group, client))
            return
        if client.durable:
            group.dormant[client.name] = list(client.patterns)
        self.leave(group, client, None)


def _lite(turn: Turn) -> str:
    return turn.topic.partition("/")[2]
