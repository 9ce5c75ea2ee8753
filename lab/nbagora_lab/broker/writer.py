"""What a commit writes: records, new topics, counts, and for each group that there is something to read.

One write batch a commit; the commit point is RocksDB's write-ahead log. Called under the engine's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from rocksdict import WriteBatch

from nbagora_lab.broker import keys
from nbagora_lab.broker.blobs import BlobRef, Blobs
from nbagora_lab.broker.commit import Committed, Entries
from nbagora_lab.broker.dispatch import Dispatch, News
from nbagora_lab.broker.hot import LAST_OFFSET, HotTopic, HotTopics
from nbagora_lab.broker.life import life_record
from nbagora_lab.broker.model import EVENTS, split_topic
from nbagora_lab.broker.parent import Added, Parent
from nbagora_lab.broker.rocks import Put, Rocks
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.events import PLAIN, SCHEDULED_AT, Flags, RecordType, head_of, scheduling_of

__all__ = ["Writer"]

_PLAIN = [PLAIN]
_MANY = 10_000  # records that are deleted as a range


class Writer:
    """Turns entries into write batches.

    Args:
        rocks: The open store.
        hot: Topics in use.
        clock: Time of creation and of life-cycle records.
        parent_of: A parent by its name; raises `TopicNotFound`.
        write: Writes a batch, or a single key.
        blobs: Large bodies.
        remember: Whether the last commit is kept, for who asks what an interrupted one has written.

    Attributes:
        epoch: Of the store's holder.
        on_due: Called with the time at which a new topic is due to expire.
        number: The last one that a topic has got; None: the disk knows.
        unsure: Parents on whose counts a write was under way; one that stays here was interrupted: the disk knows.
        last: What the last commit wrote, and one key of it, where that is remembered.
        acting: The group in whose call this is; None: in nobody's.
    """

    def __init__(
        self,
        rocks: Rocks,
        hot: HotTopics,
        clock: Clock,
        *,
        parent_of: Callable[[str], Parent],
        write: Callable[[WriteBatch | Put], None],
        remember: bool,
        blobs: Blobs,
    ) -> None:
        self.epoch = 0
        self.rocks = rocks
        self.hot = hot
        self.clock = clock
        self.parent_of = parent_of
        self.write = write
        self.remember = remember
        self.blobs = blobs
        self.on_due: Callable[[float], None] = lambda _: None
        self.number: int | None = None
        self.unsure: set[Parent] = set()
        self.last: tuple[Entries, bytes, Committed] | None = None
        self.acting: Dispatch | None = None

    def commit(self, entries: Entries, batch: WriteBatch | None = None) -> Committed:
        """One batch for `entries`, beside what `batch` holds already.

        Raises:
            QuotaExceeded: A parent has as many topics, or bytes, as it may.
        """
        with self.rocks.edge:
            if batch is None and len(entries) == 1 and (hot := self.hot.load(entries[0][0])) is not None:
                return self._commit_one(*entries[0], hot)
            return _Commit(self, batch or WriteBatch(raw_mode=True)).run(entries)

    def _commit_one(self, topic: str, stored: bytes, hot: HotTopic) -> Committed:
        """The same for one record on a topic that is there, as most appends are; spares two thirds of the time."""
        if stored[SCHEDULED_AT] or stored[1] & Flags.REFERENCE or hot.parent.limited:
            return _Commit(self, WriteBatch(raw_mode=True)).run([(topic, stored)])
        offset = hot.next
        key = keys.record_key(hot.number, offset)
        unlisted = [group for group in hot.groups if group.single or not hot.listed & group.bit]
        write: WriteBatch | Put
        if unlisted:
            handles, write = self.rocks.handles, WriteBatch(raw_mode=True)
            write.put(key, stored, handles["records"])
            for group in unlisted:
                _put_waiting(write, handles, group, hot, topic, offset)
        else:
            write = "records", key, stored
        news = [(topic, hot, offset, _PLAIN)]
        told = dict.fromkeys(hot.groups, news)
        changed = self.begin(told)
        self.hot.writing = topics = (topic,)
        self.write(write)
        hot.next = offset + 1
        self.hot.writing = ()
        if told:
            self.tell(told, changed)
        return [offset], topics

    def begin(self, told: Mapping[Dispatch, object]) -> list[Dispatch]:
        """Notes that the memory of groups is being changed; returns those that were whole."""
        changed = [group for group in told if not group.torn]
        for group in changed:
            group.torn = True
        return changed

    def tell(
        self, told: Mapping[Dispatch, Collection[News]], changed: list[Dispatch], whole: Collection[Dispatch] = ()
    ) -> None:
        """Has groups take over what was written for them, those that were whole before."""
        now = self.clock.now()
        for group, news in told.items():
            if group in changed or group in whole or group is self.acting:
                bit = group.bit
                for _, hot, _, _ in news:
                    hot.listed |= bit
                group.arrived(news, now)
            else:  # interrupted a while ago: who comes next makes its memory anew, so somebody must come
                group.wake_all()
        for group in changed:
            group.torn = False

    def written(self, entries: Entries) -> Committed | None:
        """What an interrupted commit of these very entries has stored, None if nothing."""
        with self.rocks.edge:
            if self.last is None or self.last[0] is not entries:
                return None
            _, key, committed = self.last
            return committed if self.rocks.families["records"].get(key) is not None else None  # given once only

    def last_number(self) -> int:
        """The highest number that a topic has got."""
        if self.number is None:
            self.number = keys.parse_u64(self.rocks.db.get(keys.TOPIC_NUMBER) or keys.u64(0))
        return self.number

    def spend_number(self) -> int:
        """Gives a number out; from here on it is spent, whatever happens."""
        number = self.last_number() + 1
        batch = WriteBatch(raw_mode=True)
        batch.put(keys.TOPIC_NUMBER, keys.u64(number))
        self.write(batch)
        self.number = number
        return number

    def fork(self, to: str, number: int, following: int, size: int, forked_from: str) -> Committed:
        """Gives a topic's name to records that are there, `size` bytes of them; the commit point of a fork."""
        with self.rocks.edge:
            commit = _Commit(self, WriteBatch(raw_mode=True))
            hot = HotTopic(to, number, following, self.parent_of(split_topic(to)[0]))
            commit.open(to, hot, forked_from)
            commit.take_in(to, hot, following, size)
            committed = commit.run([])
            self.hot.remember(to, hot)
            return committed

    def expire(self, topic: str, hot: HotTopic) -> Committed:
        """Removes a topic, its records, and what groups know of it."""
        with self.rocks.edge:
            commit = _Commit(self, WriteBatch(raw_mode=True))
            commit.close(topic, hot)
            self.hot.forget(topic)
            changed = self.begin(dict.fromkeys(hot.groups))
            committed = commit.run([], changed)
            for group in hot.groups:
                if group in changed or group is self.acting:
                    group.expired(topic)
            for group in changed:
                group.torn = False
            return committed


class _Commit:
    """One commit on its way."""

    def __init__(self, writer: Writer, batch: WriteBatch) -> None:
        self._writer = writer
        self._hot = writer.hot
        self._handles = writer.rocks.handles
        self._batch = batch
        self._fresh: dict[str, HotTopic] = {}
        self._news: dict[str, News] = {}
        self._counts: dict[Parent, Added] = {}
        self._number = writer.last_number()
        self._refs: Counter[BlobRef] = Counter()
        self._due: float | None = None  # when the last of the new topics is due to expire
        for parent in list(writer.unsure):
            stored = writer.rocks.db.get(keys.count_key(parent.name)) or bytes(keys.COUNTS.size)
            parent.topics, parent.size, flags = keys.COUNTS.unpack(stored)
            parent.scheduled, parent.referring = bool(flags & 1), bool(flags & 2)
            writer.unsure.discard(parent)

    def run(self, entries: Entries, whole: Collection[Dispatch] = ()) -> Committed:
        """Writes it, and takes it over into memory, that of `whole` groups included, which the caller changes."""
        writer = self._writer
        if len(entries) > 1:
            self._hot.warm([topic for topic, _ in entries])
        offsets = self._put_all(entries)
        counts = [(parent, *added.onto(parent)) for parent, added in self._counts.items()]
        for parent, *count in counts:
            self._batch.put(keys.count_key(parent.name), keys.COUNTS.pack(*count))
        refs = self._count_refs()
        committed = offsets, self._news.keys()
        if writer.remember and entries:
            _, hot, _, _ = self._news[entries[-1][0]]
            writer.last = entries, keys.record_key(hot.number, offsets[-1]), committed
        if self._number != writer.last_number():
            self._batch.put(keys.TOPIC_NUMBER, keys.u64(self._number))
            writer.number = None
        told = self._put_waiting()
        changed = writer.begin(told)
        self._hot.writing = self._news.keys()
        writer.unsure.update(self._counts)
        for parent, _, _, flags in counts:  # at once, as nobody may look past what an interrupted write has stored
            parent.scheduled, parent.referring = bool(flags & 1), bool(flags & 2)
        try:
            writer.write(self._batch)
        except BaseException:  # it may have been written, and who waits would not hear of it
            for group in told:
                group.wake_all()
            raise
        writer.number = self._number
        for parent, topics_now, size, _ in counts:
            parent.topics, parent.size = topics_now, size
        writer.unsure.difference_update(self._counts)
        for ref, kept in refs.items():
            writer.blobs.settle(ref.sha256, kept=kept)
        for _, hot, first, plans in self._news.values():
            hot.next = first + len(plans)
        for topic, hot in self._fresh.items():
            self._hot.remember(topic, hot)
        self._hot.written()
        if told:
            writer.tell(told, changed, whole)
        if self._due is not None:
            writer.on_due(self._due)
        return committed

    def _put_waiting(self) -> dict[Dispatch, list[News]]:
        """Puts what is new into the groups' indexes of what waits; returns what each group is to be told."""
        told: dict[Dispatch, list[News]] = {}
        for one in self._news.values():
            topic, hot, first, plans = one
            for group in hot.groups:
                if group.single or not hot.listed & group.bit:
                    for offset in range(first, first + (len(plans) if group.single else 1)):
                        _put_waiting(self._batch, self._handles, group, hot, topic, offset)
                if group in told:
                    told[group].append(one)
                else:
                    told[group] = [one]
        return told

    def open(self, topic: str, hot: HotTopic, forked_from: str = "") -> None:
        """Has a topic come into being."""
        writer, parent = self._writer, hot.parent
        _, lite = split_topic(topic)
        now = writer.clock.now()
        self._batch.put(topic.encode(), keys.topic_value(hot.number, now, forked_from), self._handles["topics"])
        if lite != EVENTS:
            self._added(parent).topics += 1
            if parent.spec.ttl is not None:
                self._due = now + parent.spec.ttl - (parent.spec.expiring or 0.0)
                stage = keys.TELL if parent.spec.expiring is not None else keys.END
                self._batch.put(keys.due_key(self._due, hot.number), stage + topic.encode(), self._handles["due"])
            told = RecordType.TOPIC_FORKED if forked_from else RecordType.TOPIC_OPENED
            self._put_all([(f"{parent.name}/{EVENTS}", life_record(writer.epoch, told, topic, forked_from, now))])

    def close(self, topic: str, hot: HotTopic) -> None:
        """Has a topic end."""
        writer, parent = self._writer, hot.parent
        _, lite = split_topic(topic)
        batch, handles = self._batch, self._handles
        if parent.limited:
            self._added(parent).size -= sum(map(len, self._hot.records(hot.number)))
        if parent.referring:
            for stored in self._hot.records(hot.number):
                self._refer(parent, stored, -1)
        batch.delete(topic.encode(), handles["topics"])
        self._delete(hot.number, hot.next)
        for group in hot.groups:
            batch.delete(keys.waiting_key(group.number, hot.number), handles["progress"])
            batch.delete(keys.waiting_key(group.number, hot.number), handles["waiting"])
            if group.single:
                first = keys.waiting_record_key(group.number, hot.number, 0)
                past = keys.waiting_record_key(group.number, hot.number, LAST_OFFSET)
                batch.delete_range(first, past, handles["waiting"])
        if lite != EVENTS:
            self._added(parent).topics -= 1
            told = life_record(writer.epoch, RecordType.TOPIC_EXPIRED, topic, "", writer.clock.now())
            self._put_all([(f"{parent.name}/{EVENTS}", told)])

    def _delete(self, number: int, following: int) -> None:
        """Deletes a topic's records: one by one where they are few, since each range that is deleted slows reading."""
        handles = self._handles
        if following > _MANY:
            first, past = keys.record_key(number, 0), keys.record_key(number, LAST_OFFSET)
            self._batch.delete_range(first, past, handles["records"])
            return
        for offset in range(following):
            self._batch.delete(keys.record_key(number, offset), handles["records"])

    def take_in(self, topic: str, hot: HotTopic, count: int, size: int) -> None:
        """Counts records that were put before, and has groups read them."""
        if hot.parent.limited:
            self._added(hot.parent).size += size
        families = self._writer.rocks.families
        stored = families["records"].get([keys.record_key(hot.number, offset) for offset in range(count)])
        plans = [scheduling_of(one) for one in stored]
        self._added(hot.parent).flags |= any(plan != PLAIN for plan in plans)
        for one in stored:
            self._refer(hot.parent, one, 1)
        if count:
            self._news[topic] = topic, hot, 0, plans

    def _put_all(self, entries: Entries) -> list[int]:
        """Puts records, and with the first of a topic what makes it; returns their offsets."""
        news, load, offsets = self._news, self._hot.load, []
        put, record_key = self._batch.put, keys.record_key
        handles = self._handles  # never one of them by itself: a traceback must not keep the store open
        for topic, stored in entries:
            one = news.get(topic)
            if one is None:
                hot = load(topic) or self._begin(topic)
                one = news[topic] = topic, hot, hot.next, []
            _, hot, first, plans = one
            offset = first + len(plans)
            put(record_key(hot.number, offset), stored, handles["records"])
            if stored[SCHEDULED_AT] or stored[1] & Flags.REFERENCE or hot.parent.limited:
                self._account(topic, hot.parent, stored)
                plans.append(scheduling_of(stored) if hot.groups else PLAIN)
            else:
                plans.append(PLAIN)
            offsets.append(offset)
        return offsets

    def _begin(self, topic: str) -> HotTopic:
        self._number += 1
        hot = HotTopic(topic, self._number, 0, self._writer.parent_of(split_topic(topic)[0]))
        self._fresh[topic] = hot
        self.open(topic, hot)
        return hot

    def _account(self, topic: str, parent: Parent, stored: bytes) -> None:
        """Counts a record that is more than its bytes."""
        if stored[SCHEDULED_AT] and not parent.scheduled:
            self._added(parent).flags |= 1
        self._refer(parent, stored, 1)
        if parent.limited and not topic.endswith(f"/{EVENTS}"):
            self._added(parent).size += len(stored)

    def _refer(self, parent: Parent, stored: bytes, change: int) -> None:
        if stored[1] & Flags.REFERENCE:
            self._refs[BlobRef.parse(stored[head_of(stored).body_at :])] += change
            self._added(parent).flags |= 2

    def _count_refs(self) -> dict[BlobRef, bool]:
        """Puts how often large bodies are referred to; returns which of them are kept."""
        kept = {}
        for ref, change in self._refs.items():
            value = self._writer.blobs.counted(ref, change)
            kept[ref] = value is not None
            if value is not None:
                self._batch.put(ref.sha256.encode(), value, self._handles["blobs"])
            else:
                self._batch.delete(ref.sha256.encode(), self._handles["blobs"])
        return kept

    def _added(self, parent: Parent) -> Added:
        return self._counts.setdefault(parent, Added())


def _put_waiting(
    batch: WriteBatch, handles: dict[str, Any], group: Dispatch, hot: HotTopic, topic: str, offset: int
) -> None:
    """Puts a record into a group's index of what waits; of an ordered topic one entry stands for all."""
    if group.single:
        key = keys.waiting_record_key(group.number, hot.number, offset)
        batch.put(key, keys.UNTRIED + topic.encode(), handles["waiting"])
    elif not hot.listed & group.bit:
        batch.put(keys.waiting_key(group.number, hot.number), topic.encode(), handles["waiting"])
