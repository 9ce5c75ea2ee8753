"""The snapshots of topics that views show: a page of names, a window of records, and where groups stand.

What a snapshot costs follows what it shows. Records never change, so those of the window that are known are not read
again; the page of names and the groups, which cost more, are looked at once a second while records stream in.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.model import TopicInfo, escape_name, split_topic
from nbagora_lab.broker.stats import GroupStats, LeaseInfo, TopicProgress
from nbagora_lab.core.errors import BadName, GroupNotFound, StoreCorrupt, TopicNotFound, UsageError
from nbagora_lab.core.events import Flags, Record, Scheduling, decode, head_of
from nbagora_lab.inspect.payload import preview, shown
from nbagora_lab.inspect.topicview import (
    LEASES,
    PAGE,
    WINDOW,
    Attribute,
    GroupRow,
    LeaseRow,
    ParentRow,
    Payload,
    RecordRow,
    TopicDetail,
    TopicRow,
    TopicsSnapshot,
)

__all__ = ["TopicInspector", "TopicLook"]

_REST = 1.0  # seconds between two looks at the page and the groups while nobody asks, at least
_SHARE = 20  # and this many times what the last one took: the doors live on the same thread
_CHUNK = 32  # records of one reading at most
_BYTES = 4 << 20  # of one snapshot's readings; the rest of a window comes with the next
_EXAMINED = 100  # topics that are asked for their state to fill a page
_USUAL = "sessions"  # the parent that is listed where none was chosen


class TopicLook(NamedTuple):
    """What a view wants to see; its fields are those of `TopicsSnapshot` and `TopicDetail`."""

    parent: str = ""
    prefix: str = ""
    group: str | None = None
    state: str | None = None
    after: str = ""
    topic: str | None = None
    offset: int = 0
    follow: bool = True
    asked: int = 0


class _Page(NamedTuple):
    """What is looked at once a second, and what it was asked for."""

    asked: tuple[object, ...]
    at: float
    took: float
    revision: int
    topics: tuple[TopicRow, ...]
    until: str
    stats: dict[str, GroupStats]


class TopicInspector:
    """Makes the snapshots of one view. Owned by the thread that asks for them.

    Args:
        log: The broker's engine.
        groups: Its groups; None where it has none.
        lab: Gives the lab's URL.
        ticks: Seconds from any start, for what rests between two looks.
    """

    def __init__(self, log: Log, groups: Groups | None, lab: str, ticks: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._groups = groups
        self._lab = lab
        self._ticks = ticks
        self._page: _Page | None = None
        self._of: tuple[str, float] | None = None  # topic, and which of that name, that `_known` is of
        self._known: dict[int, RecordRow] = {}
        self._none: set[int] = set()  # offsets in the window that have no record: an engine stored the one before twice
        self._unread = False
        self._revision = -1
        self._turn = 0

    def version(self) -> int:
        """Changes whenever a snapshot could be another."""
        revision = self._log.revision()
        if revision != self._revision or self._unread or self._due(revision):
            self._revision = revision
            self._turn += 1
        return self._turn

    def _due(self, revision: int) -> bool:
        """Whether the page and the groups have rested enough, and may have changed."""
        page = self._page
        if page is None or self._ticks() - page.at < max(_REST, _SHARE * page.took):
            return False
        return page.revision != revision or any(stats.leases or stats.held for stats in page.stats.values())

    def snapshot(self, look: TopicLook) -> TopicsSnapshot:
        """What is there now, of what is looked at."""
        revision = self._log.revision()
        specs = self._log.parents()
        parent = look.parent if look.parent in specs else self._usual(specs)
        look = look._replace(parent=parent)
        page = self._page
        asked = look[: TopicLook._fields.index("topic")]
        if page is None or page.asked != asked or self._due(revision):
            page = self._page = self._look(look, asked, revision)
        return TopicsSnapshot(
            seq=revision,
            lab=self._lab,
            parents=tuple(ParentRow(name=name, type=spec.type, ttl=spec.ttl) for name, spec in specs.items()),
            parent=parent,
            prefix=look.prefix,
            group=look.group,
            state=look.state,
            after=look.after,
            topics=page.topics,
            until=page.until,
            groups=tuple(self._group(stats, look.topic) for stats in page.stats.values()),
            topic=look.topic,
            selected=self._detail(look),
        )

    @staticmethod
    def _usual(specs: Mapping[str, object]) -> str:
        return _USUAL if _USUAL in specs else min(specs, default="")

    # The page.

    def _look(self, look: TopicLook, asked: tuple[object, ...], revision: int) -> _Page:
        began = self._ticks()
        stats = {}
        if self._groups is not None:
            for name, spec in sorted(self._groups.groups().items()):
                if spec.topic == look.parent:
                    try:
                        stats[name] = self._groups.stats(name, unread=False)
                    except GroupNotFound:
                        continue  # deleted meanwhile
        topics: tuple[TopicRow, ...] = ()
        until = ""
        with contextlib.suppress(TopicNotFound):  # the parent may come later
            topics, until = self._list(look)
        now = self._ticks()
        return _Page(asked, now, now - began, revision, topics, until, stats)

    def _list(self, look: TopicLook) -> tuple[tuple[TopicRow, ...], str]:
        rows: list[TopicRow] = []
        examined = _EXAMINED if look.state and look.group else PAGE
        after = look.after
        while examined > 0:
            limit = min(PAGE, examined)
            names = self._log.lites(look.parent, prefix=look.prefix, after=after, limit=limit + 1)
            for name in names[:limit]:
                after = name
                topic = f"{look.parent}/{name}"
                if look.state and look.group:  # asked first: most don't pass, and it costs a tenth of the rest
                    progress = self._progress(look.group, topic)
                    if progress is None or progress.state != look.state:
                        continue
                if (row := self._row(topic, look.group)) is not None:
                    rows.append(row)
                if len(rows) == PAGE:
                    return tuple(rows), after if name != names[-1] else ""
            if len(names) <= limit:
                return tuple(rows), ""
            examined -= limit
        return tuple(rows), after

    def _row(self, topic: str, group: str | None) -> TopicRow | None:
        try:
            return self._row_of(self._log.info(topic), group)
        except TopicNotFound:
            return None  # expired meanwhile

    def _row_of(self, info: TopicInfo, group: str | None) -> TopicRow:
        progress = self._progress(group, info.topic) if group else None
        return TopicRow(
            topic=info.topic,
            lite=split_topic(info.topic)[1],
            ref=escape_name(info.topic),
            first=info.first,
            next=info.next,
            created=info.created,
            last_write=info.last_write,
            forked_from=info.forked_from or "",
            state=progress.state if progress else "",
            lag=progress.lag if progress else None,
        )

    def _progress(self, group: str, topic: str) -> TopicProgress | None:
        if self._groups is None:
            return None
        try:
            return self._groups.progress(group, topic)
        except (GroupNotFound, TopicNotFound, UsageError):  # the last where the group does not read `_events`
            return None

    # The groups.

    def _group(self, stats: GroupStats, topic: str | None) -> GroupRow:
        assert self._groups is not None
        spec = self._groups.groups().get(stats.group)
        progress = self._progress(stats.group, topic) if topic else None
        lock = next((lease for lease in stats.leases if lease.topic == topic), None)
        return GroupRow(
            group=stats.group,
            mode=spec.mode if spec else "",
            clients=len(stats.clients),
            ready=stats.ready,
            held=", ".join(f"{count:,} by {rule}" for rule, count in stats.held.items() if count),
            leased=len(stats.leases),
            leases=tuple(map(_lease, stats.leases[:LEASES])),
            received=stats.received,
            acked=stats.acked,
            redelivered=stats.redelivered,
            dead=stats.dead,
            committed=progress.committed if progress else None,
            lag=progress.lag if progress else 0,
            attempts=progress.attempts if progress else 0,
            state=progress.state if progress else "",
            lock=_lease(lock) if lock else None,
        )

    # The records.

    def _detail(self, look: TopicLook) -> TopicDetail | None:
        self._unread = False
        if look.topic is None:
            return None
        try:
            info = self._log.info(look.topic)
        except (BadName, TopicNotFound):
            return None
        if self._of != (info.topic, info.created) or any(offset >= info.next for offset in self._known):
            self._of, self._known, self._none = (
                (info.topic, info.created),
                {},
                set(),
            )  # a clock that stands still tells no two apart
        start = max(info.first, info.next - WINDOW)
        if not look.follow:
            start = max(info.first, min(look.offset, info.next - 1))
        end = min(info.next, start + WINDOW)
        self._known = {offset: row for offset, row in self._known.items() if start <= offset < end}
        self._none = {offset for offset in self._none if start <= offset < end}
        self._read(info.topic, start, end, newest=look.follow)
        self._unread = len(self._known) + len(self._none) < end - start
        return TopicDetail(
            row=self._row_of(info, look.group),
            opened=self._time(info),
            start=start,
            records=tuple(self._known[offset] for offset in sorted(self._known)),
            follow=look.follow,
            asked=look.asked,
        )

    def _read(self, topic: str, start: int, end: int, *, newest: bool) -> None:
        """Reads what is not known of a window, as far as one snapshot may."""
        left, count = _BYTES, 1  # begins with one: how large they are is not known
        while left > 0 and (gap := self._gap(start, end, newest=newest)):
            low, high = gap
            low = max(low, high - count) if newest else low
            batch = self._log.scan(topic, after=low - 1, limit=min(count, high - low), max_bytes=left)
            count = min(2 * count, _CHUNK)
            if not batch or batch[0][0] < low:
                return  # it has been removed meanwhile: the next snapshot knows
            read = {offset: stored for offset, stored in batch if offset < high}
            self._none.update(set(range(low, max(read, default=high - 1) + 1)) - read.keys())
            for offset, stored in read.items():
                left -= len(stored)
                self._known[offset] = _record_row(topic, offset, stored)

    def _gap(self, start: int, end: int, *, newest: bool) -> tuple[int, int] | None:
        """The last, or else the first run of offsets in a window that are not known: its first, and past its last."""
        done = self._known.keys() | self._none
        missing = [offset for offset in range(start, end) if offset not in done]
        if not missing:
            return None
        edge = missing[-1] if newest else missing[0]
        step = -1 if newest else 1
        other = edge
        while other + step not in done and start <= other + step < end:
            other += step
        return min(edge, other), max(edge, other) + 1

    def _time(self, info: TopicInfo) -> float:
        """Time of the first kept record."""
        if (row := self._known.get(info.first)) is not None:
            return row.time
        first = self._log.scan(info.topic, after=info.first - 1, limit=1)
        return head_of(first[0][1]).time / 1e6 if first else info.created

    def seek(self, topic: str, at: float) -> int:
        """Offset of a topic's first record at or after a time; of the last one if there is none.

        Raises:
            TopicNotFound: No such topic.
        """
        return min(self._log.seek(topic, at), max(0, self._log.info(topic).next - 1))

    def payload(self, topic: str, offset: int) -> Payload:
        """A record as it is looked at.

        Raises:
            BadName: It is no full name of a topic.
            TopicNotFound: No such topic.
        """
        info = self._log.info(topic)
        gone = Payload(topic=topic, created=info.created, offset=offset, kind="gone")
        if not info.first <= offset < info.next:
            return gone
        found = self._log.scan(topic, after=offset - 1, limit=1)
        if not found or found[0][0] != offset:
            return gone
        try:
            record = decode(found[0][1], topic, offset)
        except StoreCorrupt as error:
            return gone.model_copy(update={"text": f"{error.what}\n{error.hint}", "size": len(found[0][1])})
        kind, text, media, cut = shown(record.body, record.datacontenttype)
        attributes = tuple(Attribute(name=name, value=value) for name, value in _attributes(record) if value)
        told = {"kind": kind, "text": text, "media": media, "cut": cut}
        return gone.model_copy(update={**told, "size": len(record.body), "attributes": attributes})


def _record_row(topic: str, offset: int, stored: bytes) -> RecordRow:
    try:
        record = decode(stored, topic, offset)
    except StoreCorrupt as error:
        return RecordRow(offset=offset, time=0, type="damaged", size=len(stored), text=error.what)
    return RecordRow(
        offset=offset,
        time=record.time,
        type=record.type,
        subject=record.subject,
        size=len(record.body),
        text=preview(record),
    )


def _lease(lease: LeaseInfo) -> LeaseRow:
    return LeaseRow(
        topic=lease.topic, client=lease.client, first=lease.first, records=lease.records, expires=lease.expires
    )


def _attributes(record: Record) -> list[tuple[str, str]]:
    """A record's attributes in words; those that are not set are empty."""
    plan = record.scheduling
    flags = [name.lower() for name, bit in vars(Flags).items() if name.isupper() and bit and record.flags & bit]
    return [
        ("type", record.type),
        ("time", _moment(record.time)),
        ("subject", record.subject),
        ("source", record.source),
        ("content type", record.datacontenttype),
        ("id", record.id if record.id != str(record.offset) else ""),
        ("trace", record.traceparent),
        ("generation", str(record.generation or "")),
        ("flags", ", ".join(flags)),
        ("priority", str(plan.priority or "")),
        ("tenant", plan.tenant),
        ("cost", f"{plan.cost:g}" if plan.cost != Scheduling().cost else ""),
        ("deadline", _moment(plan.deadline) if plan.deadline is not None else ""),
        ("written in epoch", str(record.epoch or "")),
    ]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
