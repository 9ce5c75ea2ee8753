"""The parent topics and groups of a lab: what it says of itself on the servers, so that every kernel of it agrees."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import EVENTS, TopicSpec
from nbagora_lab.broker.rocketmq.cluster import Cluster
from nbagora_lab.broker.rocketmq.feed import LITE, LITE_OFFSET, Feed
from nbagora_lab.broker.rocketmq.life import Life
from nbagora_lab.broker.rocketmq.names import lmq, parent_spelt
from nbagora_lab.broker.rocketmq.owners import is_stray
from nbagora_lab.broker.rocketmq.packing import ID, ON, stored_of
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.broker.rocketmq.writer import Writer
from nbagora_lab.broker.watches import Watches
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import LabError, TopicExists, TopicNotFound, Unsupported, did_you_mean
from nbagora_lab.core.events import decode, encode

__all__ = ["Parents"]

_OWN, _BODIES = "", "_blobs"  # of the lab's own
_SETTINGS, _OPENINGS = "settings", "openings"  # lite topics of its own parent
_FORGETS = 15 * 60.0  # seconds: the servers' shortest TTL
_LONGEST = 30 * 86400.0


class Parents:
    """The parents of a lab. Any thread may call.

    Args:
        lab: Its id.
        cluster: The servers.
        writer: What sends.
        clock: Time of what is said.
        watches: Told of every message, in the thread of a feed.
    """

    def __init__(self, lab: str, cluster: Cluster, writer: Writer, clock: Clock, watches: Watches) -> None:
        self._lab = lab
        self._cluster = cluster
        self._writer = writer
        self._clock = clock
        self._watches = watches
        self._lock = threading.RLock()
        self._parents: dict[str, Parent] = {}
        self._groups: dict[str, GroupSpec] = {}
        self._told = -1  # offset on `settings` that is folded
        cluster.create_group(f"{lab}-reader")
        cluster.create_topic(lab, minutes=-1)
        self._own = self._add(_OWN, TopicSpec(), lab)
        self.refresh()

    def open(self) -> int:
        """Says that the lab is open, with all settings, so that none goes with the servers' oldest messages.

        Returns:
            How often it was opened.
        """
        with self._lock:
            told = {
                "parents": {name: spec.model_dump(mode="json") for name, spec in self.specs().items()},
                "groups": {name: spec.model_dump(mode="json") for name, spec in self._groups.items()},
            }
        self._tell(_SETTINGS, "lab.settings", told)
        return self._tell(_OPENINGS, "lab.opened", {}) + 1

    def refresh(self) -> None:
        """Learns what other openings of this lab have said."""
        with self._lock:
            while messages := self._cluster.pull(self._own.queue(_SETTINGS), self._told + 1).messages:
                for message in messages:
                    self._told = int(message.properties[LITE_OFFSET])
                    told = json.loads(decode(stored_of(message), _SETTINGS, self._told).body)
                    self._learn(told.get("parents", {}), told.get("groups", {}))

    def _learn(self, parents: dict[str, Any], groups: dict[str, Any]) -> None:
        for name, spec in parents.items():
            if name not in self._parents:
                self._add(name, TopicSpec.model_validate(spec), parent_spelt(self._lab, name))
        for name, spec in groups.items():
            if spec is None:
                self._groups.pop(name, None)
            else:
                self._groups[name] = GroupSpec.model_validate(spec)

    def specs(self) -> dict[str, TopicSpec]:
        """Settings of the parents that people made, by name."""
        with self._lock:
            return {name: one.spec for name, one in self._parents.items() if name not in {_OWN, _BODIES}}

    def known(self, name: str) -> Parent | None:
        """A parent that this kernel knows already."""
        return self._parents.get(name) if name not in {_OWN, _BODIES} else None

    def get(self, name: str) -> Parent:
        """A parent.

        Raises:
            TopicNotFound: There is none.
        """
        if (there := self.known(name)) is None:
            self.refresh()
            if (there := self.known(name)) is None:
                raise TopicNotFound(f"no topic '{name}'", did_you_mean(name, self.specs()))
        return there

    def create(self, name: str, spec: TopicSpec) -> bool:
        """See `Log.create_topic`."""
        with self._lock:
            self.refresh()
            if (there := self.specs().get(name)) is not None:
                if there != spec:
                    raise TopicExists(
                        f"the topic '{name}' exists with other settings: {there.difference(spec)}",
                        "use it as it is, or another name",
                    )
                return False
            self._check(name, spec)
            spelt = parent_spelt(self._lab, name)
            minutes = -1 if spec.ttl is None else math.ceil(max(spec.ttl, _FORGETS) / 60)
            self._cluster.create_topic(spelt, minutes=minutes)
            self._add(name, spec, spelt)
            self._tell(_SETTINGS, "lab.settings", {"parents": {name: spec.model_dump(mode="json")}})
            return True

    def _check(self, name: str, spec: TopicSpec) -> None:
        defaults = TopicSpec(
            type=spec.type, ttl=spec.ttl, drained=spec.drained
        )  # which the lab's copy for groups keeps
        if spec != defaults:
            raise Unsupported(
                f"RocketMQ can't hold '{name}' to its settings: {defaults.difference(spec)}",
                "leave them out, or use the embedded engine",
            )
        if spec.type != "LITE":
            raise Unsupported(
                f"RocketMQ has no topic that is {spec.type} and has lite topics",
                "a lab keeps such a topic in its own store; or use the embedded engine",
            )
        if spec.ttl is not None and spec.ttl > _LONGEST:
            raise Unsupported(
                f"RocketMQ keeps a lite topic for 30 days at most, '{name}' asks for {spec.ttl / 86400:g}",
                "ask for less, or for no TTL: its messages then go with the server's fileReservedTime",
            )
        self._cluster.check(ttl=spec.ttl or 0)

    def bodies(self) -> Parent:
        """The parent of large bodies."""
        with self._lock:
            if _BODIES not in self._parents:
                spelt = parent_spelt(self._lab, _BODIES)
                self._cluster.create_topic(spelt, minutes=-1)
                self._add(_BODIES, TopicSpec(), spelt)
            return self._parents[_BODIES]

    def groups(self) -> dict[str, GroupSpec]:
        """Settings of the lab's groups."""
        with self._lock:
            self.refresh()
            return dict(self._groups)

    def set_group(self, name: str, spec: GroupSpec | None) -> None:
        """Says what a group's settings are; None: that it is gone."""
        with self._lock:
            told = None if spec is None else spec.model_dump(mode="json")
            self._tell(_SETTINGS, "lab.settings", {"groups": {name: told}})
            self.refresh()

    def position(self) -> int:
        """A number that grows with every message of the lab."""
        return sum(feed.position for feed in self._feeds())

    def remove(self) -> None:
        """Removes everything that the lab has on the servers."""
        with self._lock:
            for feed in self._feeds():
                feed.stop()
            topics = {*(parent.spelt for parent in self._parents.values()), parent_spelt(self._lab, _BODIES)}
            groups = [f"{self._lab}-reader", *(parent_spelt(self._lab, name) for name in self._groups)]
        self._cluster.remove(topics=topics, groups=groups)

    def stop(self) -> None:
        """Ends the feeds, and the connections that they wait on."""
        feeds = self._feeds()
        for feed in feeds:
            feed.stop()
        self._cluster.close()
        for feed in feeds:
            feed.join()

    def _feeds(self) -> list[Feed]:
        return [feed for parent in list(self._parents.values()) for feed in parent.feeds.values()]

    def _add(self, name: str, spec: TopicSpec, spelt: str) -> Parent:
        parent = Parent(name, spelt, spec, Life(name, lambda after: self._events(parent, after)))
        for broker in self._cluster.brokers:
            parent.feeds[broker] = Feed(
                self._cluster,
                broker,
                spelt,
                lambda message, broker=broker: self._heard(parent, message, broker),  # type: ignore[misc]
                lambda: self._missed(parent),
                self._writer.crowded,
                self._writer.awaited,
            )
        self._parents[name] = parent
        return parent

    def _heard(self, parent: Parent, message: Message, broker: str) -> None:
        """In a feed's thread: a broker has stored a message below a parent, of whomever."""
        properties = message.properties
        spelt, offset = properties.get(LITE, ""), int(properties.get(LITE_OFFSET, 0))
        tell_sender = self._writer.place(message, broker)
        try:
            if not spelt or is_stray(message, broker):
                return
            if ON in properties:
                self._cluster.owners.see(lmq(parent.spelt, spelt), broker)
            lite = parent.lite(spelt)
            if lite == EVENTS:
                parent.life.stale = True
            elif lite is None:
                parent.life.refresh()
                lite = parent.lite(spelt)
            if lite is not None:
                if ID not in properties:
                    parent.foreign.add(lite)
                topic = f"{parent.name}/{lite}"
                self._watches.tell([topic])
                place = parent.life.place(lite)
                self._watches.tell_written([(topic, b"")], [offset - (place.base if place else 0)])
        except LabError:  # the servers went away meanwhile: when they are back, all are woken
            pass
        finally:
            tell_sender()

    def _missed(self, parent: Parent) -> None:
        """Messages below a parent may have gone by unseen."""
        parent.life.stale = True
        self._watches.tell_all()

    def _events(self, parent: Parent, after: int) -> list[tuple[int, bytes]]:
        messages = self._cluster.pull(parent.queue(EVENTS), after + 1).messages
        return [(int(message.properties[LITE_OFFSET]), stored_of(message)) for message in messages]

    def _tell(self, lite: str, kind: str, told: object) -> int:
        stored = encode(kind, json.dumps(told, ensure_ascii=False).encode(), source=b"/broker", time=self._clock.now())
        return self._writer.store([(self._own, lite, stored)])[0]
