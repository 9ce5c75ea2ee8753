"""The RocketMQ engine's log: topics and records of a lab on a cluster with lite topics (RocketMQ 5.5, RIP-83).

| notion | there |
|---|---|
| lab | a prefix of all names, and a parent of that name: ``settings`` of parents and groups, and ``openings`` |
| parent topic | a topic of type LITE, one queue on each broker |
| lite topic | a light message queue on one broker; what parents have is a fold over their `_events` |
| record | a message: `packing` |
| append | a send by the official client; the offset comes by the parent's queue, see `feed` |
| scan | a pull by offset at the broker that has the queue; acks and groups don't matter |
| watch | the feed: own writes and those of others |
| epoch | one more than the offset of `lab.opened`, which every opening appends to the lab's topic ``openings`` |

A topic's offset is the one on its queue less `Place.base`, since the queue goes on where a removed topic ended. There
are no transactions: what an append says over several topics comes one after the other, intents first. A broker that is
away makes reads fail and sends wait, for as long as `patience` says; nothing that was acknowledged is lost by that.
The servers end topics by themselves, with a TTL in minutes, 15 at least.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import secrets
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from nbagora_lab.broker.api import Stored
from nbagora_lab.broker.blobs import BlobReader, BlobRef
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import EVENTS, TopicInfo, TopicSpec, check_name, split_topic
from nbagora_lab.broker.rocketmq.bodies import Bodies
from nbagora_lab.broker.rocketmq.cluster import Cluster
from nbagora_lab.broker.rocketmq.feed import LITE, LITE_OFFSET, Feed
from nbagora_lab.broker.rocketmq.life import Life, Place
from nbagora_lab.broker.rocketmq.names import lite_spelt, parent_spelt
from nbagora_lab.broker.rocketmq.official import version
from nbagora_lab.broker.rocketmq.packing import ID, sender_of, stored_of
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.broker.rocketmq.sender import Sender
from nbagora_lab.broker.watches import Watches
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import (
    LabError,
    ServerGone,
    StoreClosed,
    TooLarge,
    TopicExists,
    TopicNotFound,
    Unsupported,
    did_you_mean,
)
from nbagora_lab.core.events import RecordType, decode, encode, head_of

__all__ = ["RocketLog"]

_OWN, _BODIES = "", "_blobs"  # parents of the lab's own
_HEARD = 0.5  # seconds after which an offset that the feed did not tell is looked for
_STRIPES = 256
_KNOWN = 100_000  # topics that are remembered to be there
_FRESH = 300.0  # seconds for which that is believed
_PAGE = 32
_FORGETS = 15 * 60.0  # seconds: the servers' shortest TTL
_LONGEST = 30 * 86400.0
_SETTINGS, _OPENINGS = "settings", "openings"  # lite topics of the lab's own parent


class _Pending:
    """A send whose offset is awaited."""

    __slots__ = ("heard", "offset")

    def __init__(self) -> None:
        self.heard = threading.Event()
        self.offset = -1


class RocketLog:
    """A log on a RocketMQ cluster. All methods may be called from any thread.

    Args:
        endpoints: ``host:port`` of the proxy.
        namesrv: ``host:port`` of the name server.
        lab: The lab's id there: letters and digits.
        clock: Time of life-cycle records.
        access_key: User, where the servers want one.
        secret_key: Its password.
        record_limit: Largest record, in bytes.
        body_limit: Largest body that is stored apart from its record, in bytes.
        patience: Seconds that a send is tried again while servers are away.
        spool: Folder where large bodies wait until they are known whole; None: the system's.

    Raises:
        ServerGone: A server can't be reached.
        Forbidden: It refuses the credentials.
        Unsupported: It has no lite topics, or the official client is not installed.
        StoreError: It refuses, or forgets messages too early.
    """

    capabilities = frozenset({"remote"})

    def __init__(
        self,
        *,
        endpoints: str,
        namesrv: str,
        lab: str,
        clock: Clock,
        access_key: str = "",
        secret_key: str = "",
        record_limit: int = 64 << 20,
        body_limit: int = 1 << 30,
        patience: float = 60.0,
        spool: Path | None = None,
    ) -> None:
        client_version = version()
        self.lab = lab
        self._clock = clock
        self._record_limit = record_limit
        self._patience = patience
        self._watches = Watches()
        self._closed = False
        self._writer = secrets.token_hex(6)
        self._numbers = itertools.count()
        self._pending: dict[str, _Pending] = {}
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.RLock()  # around parents and groups
        self._parents: dict[str, Parent] = {}
        self._groups: dict[str, GroupSpec] = {}
        self._told = -1  # offset on the lab's own topic that is folded
        self._stops = contextlib.ExitStack()
        try:
            self.cluster = Cluster(namesrv, access_key=access_key, secret_key=secret_key, reader=f"{lab}-reader")
            self._stops.callback(self.cluster.close)
            self.servers = self.cluster.check(ttl=0)
            self.engine = f"rocketmq {self.servers[0].version}, client {client_version}"
            self.cluster.create_group(f"{lab}-reader")
            self.cluster.create_topic(lab, minutes=-1)
            self.sender = Sender(
                endpoints, access_key=access_key, secret_key=secret_key, patience=patience, alive=self._alive
            )
            self._stops.callback(self.sender.close)
            self._own = self._add_parent(_OWN, TopicSpec(), lab)
            self._bodies = Bodies(self._body_parent, self._store, self.cluster, limit=body_limit, spool=spool)
            self._refresh()
            self.epoch = self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> int:
        """Says that the lab is open, with all settings, so that none goes with the servers' oldest messages."""
        with self._lock:
            told = {
                "parents": {name: parent.spec.model_dump(mode="json") for name, parent in self._named().items()},
                "groups": {name: spec.model_dump(mode="json") for name, spec in self._groups.items()},
            }
        self._tell(_SETTINGS, "lab.settings", told)
        return self._tell(_OPENINGS, "lab.opened", {}) + 1

    def _tell(self, lite: str, kind: str, told: object) -> int:
        stored = encode(kind, json.dumps(told, ensure_ascii=False).encode(), source=b"/broker", time=self._clock.now())
        return self._store([(self._own, lite, stored)])[0]

    def _refresh(self) -> None:
        """Learns what other openings of this lab have said of parents and groups."""
        with self._lock:
            while page := self._pull(self._own.queue(_SETTINGS), self._told + 1, limit=_PAGE)[0]:
                for self._told, message in page:
                    record = decode(stored_of(message), "lab", self._told)
                    told = json.loads(record.body)
                    for name, spec in told.get("parents", {}).items():
                        if name not in self._parents:
                            self._add_parent(name, TopicSpec.model_validate(spec), parent_spelt(self.lab, name))
                    for name, spec in told.get("groups", {}).items():
                        if spec is None:
                            self._groups.pop(name, None)
                        else:
                            self._groups[name] = GroupSpec.model_validate(spec)

    def _add_parent(self, name: str, spec: TopicSpec, spelt: str) -> Parent:
        parent = Parent(name, spelt, spec, Life(name, lambda after: self._events(parent, after)))
        for broker in self.cluster.brokers:
            feed = Feed(
                self.cluster,
                broker,
                spelt,
                lambda message: self._heard(parent, message),
                lambda: self._missed(parent),
            )
            parent.feeds[broker] = feed
        self._parents[name] = parent
        return parent

    def _named(self) -> dict[str, Parent]:
        return {name: parent for name, parent in self._parents.items() if name not in {_OWN, _BODIES}}

    def _body_parent(self) -> Parent:
        with self._lock:
            if _BODIES not in self._parents:
                spelt = parent_spelt(self.lab, _BODIES)
                self.cluster.create_topic(spelt, minutes=-1)
                self._add_parent(_BODIES, TopicSpec(), spelt)
            return self._parents[_BODIES]

    def _parent(self, name: str) -> Parent:
        self._check_open()
        if name in {_OWN, _BODIES} or name not in self._parents:
            self._refresh()
        parents = self._named()
        if name not in parents:
            raise TopicNotFound(f"no topic '{name}'", did_you_mean(name, parents))
        return parents[name]

    def create_topic(self, parent: str, spec: TopicSpec) -> bool:
        """See `Log.create_topic`."""
        check_name(parent, "parent topic")
        self._check_open()
        with self._lock:
            self._refresh()
            if (there := self._named().get(parent)) is not None:
                if there.spec != spec:
                    raise TopicExists(
                        f"the topic '{parent}' exists with other settings: {there.spec.difference(spec)}",
                        "use it as it is, or another name",
                    )
                return False
            self._check_spec(parent, spec)
            spelt = parent_spelt(self.lab, parent)
            minutes = -1 if spec.ttl is None else math.ceil(max(spec.ttl, _FORGETS) / 60)
            self.cluster.create_topic(spelt, minutes=minutes)
            self._add_parent(parent, spec, spelt)
            self._tell(_SETTINGS, "lab.settings", {"parents": {parent: spec.model_dump(mode="json")}})
            return True

    def _check_spec(self, parent: str, spec: TopicSpec) -> None:
        defaults = TopicSpec(type=spec.type, ttl=spec.ttl)
        if spec != defaults:
            raise Unsupported(
                f"RocketMQ can't hold '{parent}' to its settings: {defaults.difference(spec)}",
                "leave them out, or use the embedded engine",
            )
        if spec.type != "LITE":
            raise Unsupported(
                f"RocketMQ has no topic that is {spec.type} and has lite topics",
                "a lab keeps such a topic in its own store; or use the embedded engine",
            )
        if spec.ttl is not None and spec.ttl > _LONGEST:
            raise Unsupported(
                f"RocketMQ keeps a lite topic for 30 days at most, '{parent}' asks for {spec.ttl / 86400:g}",
                "ask for less, or for no TTL: its messages then go with the server's fileReservedTime",
            )
        self.cluster.check(ttl=spec.ttl or 0)

    def parents(self) -> dict[str, TopicSpec]:
        """See `Log.parents`."""
        self._check_open()
        self._refresh()
        with self._lock:
            return {name: parent.spec for name, parent in self._named().items()}

    def lites(self, parent: str, *, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """See `Log.lites`."""
        there = self._parent(parent)
        there.life.refresh()
        within, past = prefix.encode("utf-8", "surrogatepass"), after.encode("utf-8", "surrogatepass")
        names = sorted({EVENTS, *there.life.lites(), *there.foreign}, key=str.encode)
        found: list[str] = []
        for name in names:
            raw = name.encode()
            if raw.startswith(within) and (not past or raw > past) and self._there(there, name):
                found.append(name)
                if len(found) >= limit:
                    break
        return found

    def append(self, entries: Sequence[tuple[str, bytes]]) -> list[int]:
        """See `Log.append`."""
        self._check_open()
        known: list[tuple[Parent, str]] = []
        for topic, stored in entries:
            parent, lite = split_topic(topic)
            if len(stored) > self._record_limit:
                raise TooLarge(
                    f"a record of {len(stored)} bytes for {topic}, the limit is {self._record_limit}",
                    "raise the setting record_limit, or send it in parts",
                )
            known.append((self._parent(parent), lite))
        with self._held(topic for topic, _ in entries):
            bases = self._opened({topic: where for (topic, _), where in zip(entries, known, strict=True)})
            places = self._store(
                [(parent, lite, stored) for (parent, lite), (_, stored) in zip(known, entries, strict=True)]
            )
            now = time.monotonic()
            for topic, base in bases.items():
                self._know(topic, base, now)
        return [offset - bases[topic] for offset, (topic, _) in zip(places, entries, strict=True)]

    def _opened(self, topics: dict[str, tuple[Parent, str]]) -> dict[str, int]:
        """Sees to it that topics are there, or are said to come; returns each one's base."""
        bases, records = {}, []
        for topic, (parent, lite) in topics.items():
            if lite == EVENTS:
                bases[topic] = 0
                continue
            place = parent.life.place(lite)
            known = self._known.get(topic)
            if place is not None and place.open and known is not None and known[0] == place.base:
                shortest = _FRESH if parent.spec.ttl is None else min(_FRESH, parent.spec.ttl / 2)
                if time.monotonic() - known[1] < shortest:
                    bases[topic] = place.base
                    continue
            _, end = self._ends(parent.queue(lite))
            if place is not None and place.open and end >= place.base + place.least:
                bases[topic] = place.base
                continue
            foreign = place is None and end > 0  # another client wrote there first: its records are the topic's
            bases[topic] = base = 0 if foreign else end
            told = {"topic": topic, "base": base} | ({"anew": True} if place is not None and place.open else {})
            records.append((parent, EVENTS, self._life_record(RecordType.TOPIC_OPENED, told)))
        if records:
            self._store(records)
            for topic, (parent, lite) in topics.items():
                if (place := parent.life.place(lite)) is not None and place.open and lite != EVENTS:
                    bases[topic] = place.base  # another writer may have been first
        return bases

    def _life_record(self, kind: str, told: dict[str, object]) -> bytes:
        body = json.dumps(told, ensure_ascii=False).encode()
        return encode(kind, body, source=b"/broker", time=self._clock.now(), epoch=self.epoch)

    def _store(self, sends: list[tuple[Parent, str, bytes]]) -> list[int]:
        """Sends records, one in flight a topic, topics side by side; returns their offsets on their queues."""
        offsets = [-1] * len(sends)
        rounds: dict[int, list[int]] = defaultdict(list)
        before: dict[tuple[str, str], int] = defaultdict(int)
        for index, (parent, lite, _) in enumerate(sends):
            rounds[before[parent.spelt, lite]].append(index)
            before[parent.spelt, lite] += 1
        for indices in rounds.values():
            flights = []
            try:
                for index in indices:
                    parent, lite, stored = sends[index]
                    number = f"{self._writer}-{next(self._numbers)}"
                    pending = self._pending[number] = _Pending()
                    start = self._starter(parent, lite, stored, number)
                    flights.append((index, number, pending, start, start()))
                for index, number, pending, start, future in flights:
                    self.sender.finish(future, start, pending.heard.is_set)
                    if not pending.heard.wait(_HEARD):
                        pending.offset = self._find(sends[index][0].queue(sends[index][1]), number, pending)
                    offsets[index] = pending.offset
            finally:
                for _, number, *_rest in flights:
                    self._pending.pop(number, None)
        return offsets

    def _starter(self, parent: Parent, lite: str, stored: bytes, number: str) -> Callable[[], Future[Any]]:
        return lambda: self.sender.start(parent.spelt, lite_spelt(lite), stored, number)

    def _find(self, queue: str, number: str, pending: _Pending) -> int:
        """The offset of a message that is stored and that the feed has not told of."""
        deadline = time.monotonic() + self._patience
        while not pending.heard.is_set():
            with contextlib.suppress(ServerGone):
                _, end = self.cluster.ends(queue)
                for message in self.cluster.pull(queue, max(0, end - _PAGE)).messages:
                    if message.properties.get(ID) == number:
                        return int(message.properties[LITE_OFFSET])
            if self._closed or time.monotonic() > deadline:
                raise ServerGone(
                    "RocketMQ has taken a message and does not show it",
                    "see that its brokers run: scripts/engines status",
                )
            pending.heard.wait(0.1)
        return pending.offset

    def _heard(self, parent: Parent, message: Message) -> None:
        """In the feed's thread: a message was stored below a parent, by whomever."""
        properties = message.properties
        spelt, offset = properties.get(LITE, ""), int(properties.get(LITE_OFFSET, 0))
        if (pending := self._pending.get(properties.get(ID, ""))) is not None:
            pending.offset = offset
        lite = parent.lite(spelt) if spelt else None
        if lite == EVENTS:
            parent.life.stale = True
        try:
            if lite is None and spelt:
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
            if pending is not None:
                pending.heard.set()

    def _missed(self, parent: Parent) -> None:
        parent.life.stale = True
        self._watches.tell_all()

    def scan(self, topic: str, *, after: int = -1, limit: int = 1000, max_bytes: int = 4 << 20) -> list[Stored]:
        """See `Log.scan`."""
        parent, lite = split_topic(topic)
        self._check_open()
        there = self._parents.get(parent)
        if there is None:
            with contextlib.suppress(TopicNotFound):
                there = self._parent(parent)
        if there is None or limit < 1 or after >= 1 << 62:
            return []
        base = self._base(there, lite)
        found: list[Stored] = []
        senders: dict[str, int] = {}
        at = base + max(after, -1) + 1
        if at > base:  # the message before says who was last: a second one of the same is no record
            at -= 1
        while len(found) < limit and max_bytes > 0:
            page, end = self._pull(there.queue(lite), at, limit=min(_PAGE, limit - len(found) + 1))
            for offset, message in page:
                writer, number = sender_of(message)
                second = bool(writer) and number <= senders.get(writer, -1)
                if writer and not second:
                    senders[writer] = number
                if second or offset - base <= after:
                    continue
                stored = stored_of(message)
                found.append((offset - base, stored))
                max_bytes -= len(stored)
                if len(found) >= limit or max_bytes <= 0:
                    break
            if not page or page[-1][0] + 1 >= end:
                break
            at = page[-1][0] + 1
        return found

    def _pull(self, queue: str, offset: int, *, limit: int) -> tuple[list[tuple[int, Message]], int]:
        """Messages of a lite topic's queue, with their offsets on it, and the queue's end."""
        page = self.cluster.pull(queue, offset, limit=limit)
        if not page.messages and page.end > offset < page.first:  # what was there is gone with the server's oldest
            page = self.cluster.pull(queue, page.first, limit=limit)
        return [(int(message.properties[LITE_OFFSET]), message) for message in page.messages], page.end

    def _events(self, parent: Parent, after: int) -> list[Stored]:
        page, _ = self._pull(parent.queue(EVENTS), after + 1, limit=_PAGE)
        return [(offset, stored_of(message)) for offset, message in page]

    def _base(self, parent: Parent, lite: str) -> int:
        """Where a topic's offset 0 is on its queue; past its end where it is not there."""
        if lite == EVENTS:
            return 0
        place = parent.life.place(lite) or Place()
        if place.least > 1 and f"{parent.name}/{lite}" not in self._known:  # perhaps an unfinished fork
            _, end = self._ends(parent.queue(lite))
            if end < place.base + place.least:
                return end
            self._know(f"{parent.name}/{lite}", place.base, time.monotonic())
        return place.base

    def _there(self, parent: Parent, lite: str) -> bool:
        place = Place() if lite == EVENTS else parent.life.place(lite) or Place()
        return self._ends(parent.queue(lite))[1] >= place.base + place.least

    def _ends(self, queue: str) -> tuple[int, int]:
        return self.cluster.ends(queue)

    def seek(self, topic: str, time: float) -> int:
        """See `Log.seek`."""
        info = self.info(topic)
        low, high, wanted = info.first, info.next, time * 1e6
        while low < high:
            middle = (low + high) // 2
            if not (found := self.scan(topic, after=middle - 1, limit=1)):
                raise self._missing(topic)
            if head_of(found[0][1]).time < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def info(self, topic: str) -> TopicInfo:
        """See `Log.info`."""
        parent_name, lite = split_topic(topic)
        parent = self._parent(parent_name)
        place = Place() if lite == EVENTS else parent.life.place(lite) or Place()
        first, end = self._ends(parent.queue(lite))
        if end < place.base + place.least:
            raise self._missing(topic)
        following = end - place.base
        last = self.scan(topic, after=following - 2, limit=1)
        written = head_of(last[0][1]).time / 1e6 if last else self._clock.now()
        created = place.created
        if created is None:
            oldest = self.scan(topic, limit=1)
            created = head_of(oldest[0][1]).time / 1e6 if oldest else written
        return TopicInfo(
            topic=topic,
            first=max(0, first - place.base),
            next=following,
            created=created,
            last_write=written,
            forked_from=place.forked_from,
        )

    def fork(self, topic: str, to: str, *, at: int) -> TopicInfo:
        """See `Log.fork`."""
        parent_name, lite = split_topic(to)
        source = self.info(topic)
        if not 0 <= at < source.next:
            raise TopicNotFound(f"{topic} has no record at offset {at}", f"its offsets end at {source.next - 1}")
        parent = self._parent(parent_name)
        with self._held([to]):
            if self._there(parent, lite):
                raise TopicExists(f"the topic {to} exists", "fork to another name")
            place = parent.life.place(lite)
            _, base = self._ends(parent.queue(lite))
            told = {"topic": to, "from": f"{topic}@{at}", "base": base, "count": at + 1}
            told |= {"anew": True} if place is not None and place.open else {}
            self._store([(parent, EVENTS, self._life_record(RecordType.TOPIC_FORKED, told))])
            after = -1
            while after < at and (batch := self.scan(topic, after=after)):
                copied = [(parent, lite, stored) for offset, stored in batch if offset <= at]
                self._store(copied)
                after = batch[-1][0]
            self._know(to, base, time.monotonic())
        self._watches.tell([to])
        return self.info(to)

    def expire(self, topic: str) -> None:
        """See `Log.expire`."""
        parent_name, lite = split_topic(topic)
        parent = self._parent(parent_name)
        with self._held([topic]):
            if not self._there(parent, lite):
                raise self._missing(topic)
            _, end = self._ends(parent.queue(lite))
            self._known.pop(topic, None)
            record = self._life_record(RecordType.TOPIC_EXPIRED, {"topic": topic, "base": end})
            self._store([(parent, EVENTS, record)])
            parent.foreign.discard(lite)
        self._watches.tell([topic])

    def stage(self, chunks: Iterable[bytes]) -> BlobRef:
        """See `Log.stage`."""
        self._check_open()
        return self._bodies.stage(chunks)

    def unstage(self, ref: BlobRef) -> None:  # noqa: ARG002 -- the protocol's
        """See `Log.unstage`; what is stored goes with the servers' oldest messages."""
        self._check_open()

    def open_body(self, ref: BlobRef) -> BlobReader:
        """See `Log.open_body`."""
        self._check_open()
        return self._bodies.open(ref)

    def expire_due(self) -> float | None:
        """See `Log.expire_due`: the servers do so."""
        self._check_open()
        return None

    def on_due(self, wake: Callable[[], None]) -> None:
        """See `Log.on_due`."""

    def watch(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Log.watch`."""
        split_topic(topic)
        self._check_open()
        return self._watches.add(topic, wake)

    def watch_parent(self, parent: str, heard: Callable[[str, int], None]) -> Callable[[], None]:
        """See `Log.watch_parent`."""
        self._parent(parent)
        return self._watches.add_parent(parent, heard)

    def revision(self) -> int:
        """See `Log.revision`."""
        self._check_open()
        return sum(feed.position for parent in list(self._parents.values()) for feed in parent.feeds.values())

    def groups(self) -> dict[str, GroupSpec]:
        """Settings of the lab's groups."""
        self._check_open()
        with self._lock:
            self._refresh()
            return dict(self._groups)

    def set_group(self, name: str, spec: GroupSpec | None) -> None:
        """Remembers a group's settings; None: forgets it."""
        with self._lock:
            told = None if spec is None else spec.model_dump(mode="json")
            self._tell(_SETTINGS, "lab.settings", {"groups": {name: told}})
            self._refresh()

    def remove(self) -> None:
        """Removes everything that the lab has on the servers; for one that is not to come back."""
        with self._lock:
            topics = [parent.spelt for parent in self._parents.values()]
            groups = [f"{self.lab}-reader", *(parent_spelt(self.lab, name) for name in self._groups)]
        self.cluster.remove(topics=topics, groups=groups)

    def close(self) -> None:
        """See `Log.close`."""
        if self._closed:
            return
        self._closed = True
        feeds = [feed for parent in self._parents.values() for feed in parent.feeds.values()]
        for feed in feeds:
            feed.stop()
        self._stops.close()  # ends the connections that they wait on
        for feed in feeds:
            feed.join()
        self._watches.tell_all()

    def _alive(self) -> bool:
        """Whether every broker answers."""
        try:
            self.cluster.look()
            for name in self.cluster.brokers:
                self.cluster.end_on(name, self.lab)
        except LabError:
            return False
        return True

    def _know(self, topic: str, base: int, now: float) -> None:
        self._known[topic] = base, now
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    @contextlib.contextmanager
    def _held(self, topics: Iterable[str]) -> Iterator[None]:
        """Keeps other threads from sending to these topics."""
        stripes = sorted({hash(topic) % _STRIPES for topic in topics})
        with contextlib.ExitStack() as stack:
            for stripe in stripes:
                stack.enter_context(self._stripes[stripe])
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the lab's topics are closed", "start the lab again: %lab start")

    def _missing(self, topic: str) -> TopicNotFound:
        parent, lite = split_topic(topic)
        near = [name for name in self._parent(parent).life.lites() if name != EVENTS]
        return TopicNotFound(f"no topic '{topic}'", did_you_mean(lite, near))
