"""The embedded engine: a log on RocksDB (https://rocksdb.org), through rocksdict.

| notion | structure |
|---|---|
| parent topic | a key in `parents`, all held in memory |
| lite topic | a key in `topics`; while hot, one small object in an LRU; while cold, nothing |
| record | a key in `records`, written once |
| append | one write batch; commit point: RocksDB's write-ahead log |
| holder of the store | RocksDB's file lock; `holder.json` beside it says who |

| operation | write batch | a crash leaves |
|---|---|---|
| append | records, and for a new topic its name, its number and `topic.opened` | all of it or nothing |
| fork | the number; the records under it; then the name and `topic.forked` | no topic before the last batch |
| expire | the name, its range of records and `topic.expired` | all of it or nothing |
| open | the epoch | the former or the new epoch |

Threads: the core is synchronous and runs in the caller's thread under one lock; readers take none. A write may be
interrupted anywhere, by a failing disk, by Ctrl-C or by the cancelling of an agent: before it, the topics that it
touches are noted in `HotTopics.writing`, and whoever finds such a note asks the disk. So memory can't differ from it,
and readers see a batch's records together.
`os` durability means the write-ahead log has reached the operating system: it survives the death of the process, not
of the machine. `fsync` has it on the disk before anybody reads it; callers that meet share one write (group commit).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from rocksdict import ReadOptions, WriteBatch, WriteOptions

from nbagora_lab.broker import keys
from nbagora_lab.broker.api import Stored
from nbagora_lab.broker.blobs import BlobReader, BlobRef, Blobs
from nbagora_lab.broker.commit import Commit, GroupCommit
from nbagora_lab.broker.expiry import Expiry
from nbagora_lab.broker.hot import LAST_OFFSET, HotTopic
from nbagora_lab.broker.model import EVENTS, TopicInfo, TopicSpec, check_name, split_topic
from nbagora_lab.broker.parent import Parent
from nbagora_lab.broker.rocks import Put, Rocks
from nbagora_lab.broker.store import Store
from nbagora_lab.broker.watches import Watches
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import (
    LabError,
    QuotaExceeded,
    StoreError,
    StoreTooNew,
    TooLarge,
    TopicExists,
    TopicNotFound,
    did_you_mean,
)
from nbagora_lab.core.events import head_of

__all__ = ["EmbeddedLog"]

_FAMILIES = ("parents", "topics", "records", "groups", "progress", "handed", "waiting", "due", "blobs", "subscribers")


class EmbeddedLog:
    """A log in one folder, held by one process.

    Args:
        path: Folder of the store; made if absent.
        clock: Time of creation and of life-cycle records.
        durability: ``os`` or ``fsync``.
        record_limit: Largest record, in bytes.
        body_limit: Largest body that is stored apart from its record, in bytes.

    Raises:
        StoreLocked: Another process holds it.
        StoreReadOnly: The folder can't be written.
        StoreTooNew: A later version of nbagora wrote it.
        StoreCorrupt: Damage in more than the unfinished tail.
    """

    engine = "embedded"
    capabilities = frozenset({"batch"})

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        durability: str = "os",
        record_limit: int = 64 << 20,
        body_limit: int = 1 << 30,
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._record_limit = record_limit
        self._watches = Watches()
        self._write_options = WriteOptions()
        self._write_options.sync = durability == "fsync"
        self._rocks = Rocks(self.path, _FAMILIES)
        self._edge = self._rocks.edge
        self._topics, self._records = self._rocks.families["topics"], self._rocks.families["records"]
        grouped = durability == "fsync"
        blobs = Blobs(self.path / "blobs", self._rocks, sync=grouped, limit=body_limit)
        self.store = Store(self._rocks, clock, self._write, blobs, remember=grouped)
        self._lock, self._hot, self._writer = self.store.lock, self.store.hot, self.store.writer
        self._expiry = Expiry(self.store, self._watches.tell)
        self._commits = (
            GroupCommit(self._lock, self._writer.commit, self._writer.written)
            if grouped
            else Commit(self._lock, self._writer.commit)
        )
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with self._edge:
            stored = self._rocks.db.get(keys.FORMAT_KEY)
            found = keys.parse_u64(stored) if stored else keys.FORMAT
            if found < keys.FORMAT:
                raise StoreError(
                    f"the store {self.path} has format {found}, this nbagora writes {keys.FORMAT}",
                    "start on another folder with --store; an earlier nbagora reads this one",
                )
            if found > keys.FORMAT:
                raise StoreTooNew(
                    f"the store {self.path} has format {found}, this nbagora reads up to {keys.FORMAT}",
                    "upgrade nbagora, or start on another folder with --store",
                )
            self.epoch = keys.parse_u64(self._rocks.db.get(keys.EPOCH) or keys.u64(0)) + 1
            self.store.begin(self.epoch)
            for name, value in self._rocks.families["parents"].items():
                counts = keys.COUNTS.unpack(
                    self._rocks.db.get(keys.count_key(name.decode())) or bytes(keys.COUNTS.size)
                )
                self.store.parents[name.decode()] = Parent(name.decode(), TopicSpec.model_validate_json(value), *counts)
            batch = WriteBatch(raw_mode=True)
            batch.put(keys.FORMAT_KEY, keys.u64(keys.FORMAT))
            batch.put(keys.EPOCH, keys.u64(self.epoch))
            self._write(batch)
        self._rocks.hold(self._clock.now())

    def create_topic(self, parent: str, spec: TopicSpec) -> bool:
        """See `Log.create_topic`."""
        check_name(parent, "parent topic")
        with self._lock, self._edge:
            there = self.store.parents.get(parent)
            if there is not None:
                if there.spec != spec:
                    raise TopicExists(
                        f"the topic '{parent}' exists with other settings: {there.spec.difference(spec)}",
                        "use it as it is, or another name",
                    )
                return False
            batch = WriteBatch(raw_mode=True)
            batch.put(parent.encode(), spec.model_dump_json().encode(), self._rocks.handles["parents"])
            self._write(batch)
            self.store.parents[parent] = Parent(parent, spec)
            return True

    def append(self, entries: Sequence[tuple[str, bytes]]) -> list[int]:
        """See `Log.append`."""
        for topic, stored in entries:
            if len(stored) > self._record_limit:
                raise TooLarge(
                    f"a record of {len(stored)} bytes for {topic}, the limit is {self._record_limit}",
                    "raise the setting record_limit, or send it in parts",
                )
        try:
            offsets, touched = self._commits.commit(entries)
            self._watches.tell(touched)
            self._watches.tell_written(entries, offsets)
        except LabError:
            raise
        except BaseException:  # interrupted, perhaps between the write and the telling of it
            self._watches.tell_all()
            raise
        return offsets

    def fork(self, topic: str, to: str, *, at: int) -> TopicInfo:
        """See `Log.fork`."""
        parent, _ = split_topic(to)
        with self._lock, self._edge:
            source = self._known(topic)
            if not 0 <= at < source.next:
                raise TopicNotFound(f"{topic} has no record at offset {at}", f"its offsets end at {source.next - 1}")
            if self._hot.load(to) is not None:
                raise TopicExists(f"the topic {to} exists", "fork to another name")
            self.store.parent(parent)
            number = self._writer.spend_number()
            try:
                size = self._copy(topic, number, at)
                _, touched = self._writer.fork(to, number, at + 1, size, f"{topic}@{at}")
            except QuotaExceeded:
                self._remove_records(number)
                raise
        self._watches.tell({to, *touched})
        return self.info(to)

    def _copy(self, topic: str, number: int, at: int) -> int:
        """Copies records to another number, up to and including offset `at`; returns their bytes."""
        after, size = -1, 0
        while after < at:
            batch = WriteBatch(raw_mode=True)
            for offset, stored in self.scan(topic, after=after):
                after = offset
                if offset > at:
                    break
                batch.put(keys.record_key(number, offset), stored, self._rocks.handles["records"])
                size += len(stored)
            self._write(batch)
        return size

    def _remove_records(self, number: int) -> None:
        batch = WriteBatch(raw_mode=True)
        first, past = keys.record_key(number, 0), keys.record_key(number, LAST_OFFSET)
        batch.delete_range(first, past, self._rocks.handles["records"])
        self._write(batch)

    def expire(self, topic: str) -> None:
        """See `Log.expire`."""
        split_topic(topic)
        with self._lock, self._edge:
            _, touched = self._writer.expire(topic, self._known(topic))
        self._watches.tell(touched)

    def stage(self, chunks: Iterable[bytes]) -> BlobRef:
        """See `Log.stage`."""
        return self.store.blobs.stage(chunks)

    def unstage(self, ref: BlobRef) -> None:
        """See `Log.unstage`."""
        with self.store.lock, self.store.entered:
            self.store.blobs.drop(ref.sha256)

    def open_body(self, ref: BlobRef) -> BlobReader:
        """See `Log.open_body`."""
        return self.store.blobs.open(ref.sha256)

    def expire_due(self) -> float | None:
        """See `Log.expire_due`."""
        return self._expiry.run()

    def on_due(self, wake: Callable[[], None]) -> None:
        """See `Log.on_due`."""
        self._expiry.watch(wake)

    def _write(self, what: WriteBatch | Put) -> None:
        """The one place where anything is written: tests let faults in here."""
        self._rocks.write(what, self._write_options)

    def tell(self, topics: Collection[str], entries: Sequence[tuple[str, bytes]], offsets: Sequence[int]) -> None:
        """Wakes who watches topics that were written beside `append`."""
        self._watches.tell(topics)
        self._watches.tell_written(entries, offsets)

    def parents(self) -> dict[str, TopicSpec]:
        """See `Log.parents`."""
        with self._edge:
            return {name: parent.spec for name, parent in self.store.parents.items()}

    def lites(self, parent: str, *, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """See `Log.lites`."""
        self.store.parent(parent)
        within = f"{parent}/{prefix}".encode("utf-8", "surrogatepass")  # what is no name is before or after the names
        past = f"{parent}/{after}".encode("utf-8", "surrogatepass") if after else within
        names: list[str] = []
        with self._edge:
            for key in self._topics.keys(from_key=max(within, past)):
                if not key.startswith(within) or len(names) >= limit:
                    break
                if key != past or not after:
                    names.append(key[len(parent.encode()) + 1 :].decode())
        return names

    def scan(self, topic: str, *, after: int = -1, limit: int = 1000, max_bytes: int = 4 << 20) -> list[Stored]:
        """See `Log.scan`."""
        found: list[Stored] = []
        with self._edge:
            written = not self._hot.writing  # looked at before the topic is, as a write may begin in between
            hot = self._hot.look(topic)
            if hot is None:
                split_topic(topic)
                return found
            if limit < 1 or (written and after + 1 >= hot.next):
                return found
            prefix = keys.u64(hot.number)
            within = ReadOptions()  # else looking past the last record walks over removed topics
            within.set_iterate_upper_bound(keys.record_key(hot.number, LAST_OFFSET))
            first = keys.record_key(hot.number, max(after + 1, 0))
            for key, stored in self._records.items(from_key=first, read_opt=within):
                if key[:8] != prefix:
                    break
                found.append((keys.record_offset(key), stored))
                max_bytes -= len(stored)
                if len(found) >= limit or max_bytes <= 0:
                    break
        return found

    def seek(self, topic: str, time: float) -> int:
        """See `Log.seek`."""
        info = self.info(topic)
        low, high, wanted = info.first, info.next, time * 1e6
        while low < high:
            middle = (low + high) // 2
            if not (found := self.scan(topic, after=middle - 1, limit=1)):
                raise self._missing(topic)  # expired meanwhile
            if head_of(found[0][1]).time < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def info(self, topic: str) -> TopicInfo:
        """See `Log.info`."""
        split_topic(topic)
        with self._edge:
            value = self._topics.get(topic.encode())
            if value is None:
                raise self._missing(topic)
            number, created, forked_from = keys.parse_topic(value)
            first = self._hot.end(number, backwards=False)
            last = self._hot.end(number, backwards=True)
        following = last[0] + 1 if last else 0
        return TopicInfo(
            topic=topic,
            first=first[0] if first else following,
            next=following,
            created=created,
            last_write=head_of(last[1]).time / 1e6 if last else created,
            forked_from=forked_from,
        )

    def watch(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Log.watch`."""
        split_topic(topic)
        with self._edge:
            return self._watches.add(topic, wake)

    def watch_parent(self, parent: str, heard: Callable[[str, int], None]) -> Callable[[], None]:
        """See `Log.watch_parent`."""
        with self._edge:
            self.store.parent(parent)
            return self._watches.add_parent(parent, heard)

    def revision(self) -> int:
        """See `Log.revision`."""
        with self._edge:
            return self._rocks.revision()

    def close(self) -> None:
        """See `Log.close`."""
        with self._lock:
            for close in self.store.on_close:
                close()
            self._rocks.close()
            self._hot.clear()
            self._topics = self._records = None
        self._watches.tell_all()

    def _known(self, topic: str) -> HotTopic:
        split_topic(topic)
        hot = self._hot.load(topic)
        if hot is None:
            raise self._missing(topic)
        return hot

    def _missing(self, topic: str) -> TopicNotFound:
        parent, lite = split_topic(topic)
        self.store.parent(parent)
        near = self.lites(parent, prefix=lite[:3], limit=50) or self.lites(parent, limit=50)
        names = [name for name in near if name != EVENTS]
        return TopicNotFound(f"no topic '{topic}'", lambda: did_you_mean(lite, names))  # a session's first look is one
