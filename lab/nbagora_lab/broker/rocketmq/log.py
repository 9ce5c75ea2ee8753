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
are no transactions: what an append says below one parent comes after what it says below the one named before, intents
first. A broker that is away makes reads fail and sends wait, for as long as `patience` says; nothing that was
acknowledged is lost by that. The servers end topics by themselves, with a TTL in minutes, 15 at least.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from nbagora_lab.broker.api import Stored
from nbagora_lab.broker.blobs import BlobReader, BlobRef
from nbagora_lab.broker.model import EVENTS, TopicInfo, TopicSpec, check_name, split_topic
from nbagora_lab.broker.rocketmq.bodies import Bodies
from nbagora_lab.broker.rocketmq.cluster import Cluster
from nbagora_lab.broker.rocketmq.official import version
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.parents import Parents
from nbagora_lab.broker.rocketmq.reader import Reader
from nbagora_lab.broker.rocketmq.sender import Sender
from nbagora_lab.broker.rocketmq.writer import Writer
from nbagora_lab.broker.watches import Watches
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import (
    LabError,
    StoreClosed,
    TooLarge,
    TopicExists,
    TopicNotFound,
    did_you_mean,
)
from nbagora_lab.core.events import RecordType, encode, head_of

__all__ = ["RocketLog"]

_STRIPES = 256


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
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._stops = contextlib.ExitStack()
        try:
            self.cluster = Cluster(namesrv, access_key=access_key, secret_key=secret_key, reader=f"{lab}-reader")
            self._stops.callback(self.cluster.close)
            self.cluster.hold(lab)
            self.servers = self.cluster.check(ttl=0)
            self.engine = f"rocketmq {self.servers[0].version}, client {client_version}"
            self.sender = Sender(
                endpoints, access_key=access_key, secret_key=secret_key, patience=patience, alive=self._alive
            )
            self._stops.callback(self.sender.close)
            self._reader = Reader(self.cluster)
            self._writer = Writer(self.sender, self.cluster, patience=patience)
            self._stops.callback(self._writer.close)
            self.topics = Parents(lab, self.cluster, self._writer, clock, self._watches)
            self._stops.callback(self.topics.stop)
            self.cluster.check(ttl=max((spec.ttl or 0 for spec in self.topics.specs().values()), default=0))
            self._bodies = Bodies(self.topics.bodies, self._writer.store, self.cluster, limit=body_limit, spool=spool)
            self.epoch = self.topics.open()
        except BaseException:
            self.close()
            raise

    def create_topic(self, parent: str, spec: TopicSpec) -> bool:
        """See `Log.create_topic`."""
        check_name(parent, "parent topic")
        self._check_open()
        return self.topics.create(parent, spec)

    def parents(self) -> dict[str, TopicSpec]:
        """See `Log.parents`."""
        self._check_open()
        self.topics.refresh()
        return self.topics.specs()

    def _parent(self, name: str) -> Parent:
        self._check_open()
        return self.topics.get(name)

    def lites(self, parent: str, *, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """See `Log.lites`."""
        there = self._parent(parent)
        there.life.refresh()
        within, past = prefix.encode("utf-8", "surrogatepass"), after.encode("utf-8", "surrogatepass")
        names = sorted({EVENTS, *there.life.lites(), *there.foreign}, key=str.encode)
        found: list[str] = []
        for name in names if limit > 0 else ():
            raw = name.encode()
            if raw.startswith(within) and (not past or raw > past) and self._reader.there(there, name):
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
            topics = dict(zip((topic for topic, _ in entries), known, strict=True))
            bases = self._writer.patiently(lambda: self._opened(topics))
            places = self._stored([(*where, stored) for where, (_, stored) in zip(known, entries, strict=True)])
            for (topic, _), (there, lite) in zip(entries, known, strict=True):
                self._reader.know(there, lite, bases[topic])
        return [offset - bases[topic] for offset, (topic, _) in zip(places, entries, strict=True)]

    def _stored(self, records: list[tuple[Parent, str, bytes]]) -> list[int]:
        """Stores records, those of a parent after those of the one that was named before it: they may refer to them."""
        offsets: dict[int, int] = {}
        for spelt in dict.fromkeys(parent.spelt for parent, _, _ in records):
            here = [at for at, (parent, _, _) in enumerate(records) if parent.spelt == spelt]
            offsets |= zip(here, self._writer.store([records[at] for at in here]), strict=True)
        return [offsets[at] for at in range(len(records))]

    def _opened(self, topics: dict[str, tuple[Parent, str]]) -> dict[str, int]:
        """Sees to it that topics are there, or are said to come; returns each one's base."""
        bases, records = {}, []
        for topic, (parent, lite) in topics.items():
            if lite == EVENTS:
                bases[topic] = 0
                continue
            place = parent.life.place(lite)
            if place is not None and self._reader.knows(parent, lite):
                bases[topic] = place.base
                continue
            _, end = self._reader.ends(parent, lite)
            if place is not None and place.open and end >= place.base + place.least:
                bases[topic] = place.base
                continue
            if not end:
                self.cluster.check_room(parent.queue(lite))
            foreign = place is None and end > 0  # another client wrote there first: its records are the topic's
            bases[topic] = base = 0 if foreign else end
            told = {"topic": topic, "base": base} | ({"anew": True} if place is not None and place.open else {})
            records.append((parent, EVENTS, self._life_record(RecordType.TOPIC_OPENED, told)))
        if records:
            self._writer.store(records)
            for topic, (parent, lite) in topics.items():
                if (place := parent.life.place(lite)) is not None and place.open and lite != EVENTS:
                    bases[topic] = place.base  # another writer may have been first
        return bases

    def _life_record(self, kind: str, told: dict[str, object]) -> bytes:
        body = json.dumps(told, ensure_ascii=False).encode()
        return encode(kind, body, source=b"/broker", time=self._clock.now(), epoch=self.epoch)

    def scan(self, topic: str, *, after: int = -1, limit: int = 1000, max_bytes: int = 4 << 20) -> list[Stored]:
        """See `Log.scan`."""
        parent, lite = split_topic(topic)
        self._check_open()
        if limit < 1 or after >= 1 << 62:
            return []
        with contextlib.suppress(TopicNotFound):
            return self._reader.scan(self._parent(parent), lite, after=after, limit=limit, max_bytes=max_bytes)
        return []

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
        place = self._reader.place(parent, lite)
        first, end = self._reader.ends(parent, lite)
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
            if self._reader.there(parent, lite):
                raise TopicExists(f"the topic {to} exists", "fork to another name")
            place = parent.life.place(lite)
            _, base = self._reader.ends(parent, lite)
            if not base:
                self.cluster.check_room(parent.queue(lite))
            told = {"topic": to, "from": f"{topic}@{at}", "base": base, "count": at + 1}
            told |= {"anew": True} if place is not None and place.open else {}
            self._writer.store([(parent, EVENTS, self._life_record(RecordType.TOPIC_FORKED, told))])
            after = -1
            while after < at and (batch := self.scan(topic, after=after)):
                copied = [(parent, lite, stored) for offset, stored in batch if offset <= at]
                self._writer.store(copied)
                after = batch[-1][0]
            self._reader.know(parent, lite, base)
        return self.info(to)

    def expire(self, topic: str) -> None:
        """See `Log.expire`."""
        parent_name, lite = split_topic(topic)
        parent = self._parent(parent_name)
        with self._held([topic]):
            if not self._reader.there(parent, lite):
                raise self._missing(topic)
            _, end = self._reader.ends(parent, lite)
            self._reader.forget(parent, lite)
            record = self._life_record(RecordType.TOPIC_EXPIRED, {"topic": topic, "base": end})
            self._writer.store([(parent, EVENTS, record)])
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
        return self.topics.position()

    def remove(self) -> None:
        """Removes everything that the lab has on the servers; for one that is not to come back."""
        self._check_open()
        self.topics.remove()

    def close(self) -> None:
        """See `Log.close`."""
        if self._closed:
            return
        self._closed = True
        self._stops.close()
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
