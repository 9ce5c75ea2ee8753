"""`%topic`: the records of lite topics, which a context's are too."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nbagora.command import Arg, Command, Face
from nbagora.show import Note, moment, payload
from nbagora.table import Table
from nbagora_lab.broker.model import TopicInfo, TopicRef, escape_name, parse_ref, seconds, split_topic
from nbagora_lab.core.errors import BadName, GroupNotFound, TopicNotFound, UsageError, did_you_mean

if TYPE_CHECKING:
    from nbagora_lab.broker.model import Receipt, TopicSpec
    from nbagora_lab.core.events import Record

__all__ = [
    "Export",
    "Fork",
    "Import",
    "Info",
    "List",
    "Read",
    "Records",
    "Remove",
    "Replay",
    "Send",
    "Suspend",
    "Tail",
    "View",
]

_Topic = Annotated[str, Arg(kind="topic", positional=True)]
_Offset = Annotated[int | None, Arg(metavar="OFFSET")]

_GLOB = re.compile(r"(?<!\\)(?:\\\\)*[*?\[]")

_TOPIC = "parent/lite, or a context's id; last: the newest context's"


def _resolve(face: Face, typed: str) -> TopicRef:
    """The topic that was typed; ``last`` and ``last@12`` are the newest context's.

    Raises:
        BadName: It can't be a topic's name.
        TaskNotFound: There is no context yet.
    """
    ref = parse_ref(typed)
    if ref.topic != "sessions/last":
        return ref
    last = face.lab.task("last")
    return TopicRef(last.topic or f"sessions/{last.context_id}", ref.offset)  # a plain reply names no topic


def _existing(face: Face, typed: str, *, offset: bool = False) -> TopicRef:
    """As `_resolve`, of a topic that exists.

    Raises:
        TopicNotFound: It does not; says which is near.
        UsageError: An offset after it, where it can't have one.
    """
    ref = _resolve(face, typed)
    if ref.offset is not None and not offset:
        raise UsageError(f"'{typed}' names an offset", r"only fork takes one; a name's own @ is written \@")
    try:
        face.lab.broker.info(ref.topic)
    except TopicNotFound:
        parent, lite = split_topic(ref.topic)
        if parent not in face.lab.broker.topics():
            raise TopicNotFound(f"no parent topic '{parent}'", did_you_mean(parent, face.lab.broker.topics())) from None
        near = face.lab.broker.ls(parent, limit=1000)
        raise TopicNotFound(f"no topic '{ref.topic}'", did_you_mean(lite, near)) from None
    return ref


def _seconds(moment: datetime) -> float:
    """A time as typed, in UTC unless it says otherwise, in seconds since the Unix epoch."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _says(record: Record) -> str:
    """A record in words: what a task's says, and any other's body."""
    if not record.type.startswith(("a2a.", "task.")):
        return payload(record)
    from nbagora_lab.inspect.tasks import event_row

    row = event_row(record)
    return f"{row.state} {row.text}".strip()


class Records(Table["Record"]):
    """Records in rows."""

    def __init__(self, records: list[Record], empty: str, *, topics: bool = False) -> None:
        super().__init__(
            records,
            {
                **({"topic": lambda record: record.topic} if topics else {}),
                "offset": lambda record: record.offset,
                "time": lambda record: moment(record.time),
                "type": lambda record: record.type,
                "subject": lambda record: record.subject,
                "says": _says,
            },
            empty,
        )


class List(Command, noun="topic", verb="ls"):
    """Lists topics: the parents, or the lite topics of one."""

    parent: Annotated[str | None, Arg(kind="parent", positional=True)] = Field(None, description="the parent topic")
    prefix: str = Field("", description="only lite topics whose name starts so")
    limit: int = Field(100, ge=1, description="number of topics at most")

    def run(self, face: Face) -> Table[tuple[str, TopicSpec]] | Table[TopicInfo]:
        """The topics."""
        broker = face.lab.broker
        if self.parent is None:
            return Table(
                list(broker.topics().items()),
                {
                    "topic": lambda item: item[0],
                    "type": lambda item: item[1].type,
                    "ttl": lambda item: item[1].ttl,
                },
                "no topics",
            )
        if self.parent not in broker.topics():
            raise TopicNotFound(f"no parent topic '{self.parent}'", did_you_mean(self.parent, broker.topics()))
        names = broker.ls(self.parent, prefix=self.prefix, limit=self.limit)
        return Table(
            [broker.info(f"{self.parent}/{name}") for name in names],
            {
                "topic": lambda info: info.topic,
                "records": lambda info: info.count,
                "first": lambda info: info.first,
                "next": lambda info: info.next,
                "last write": lambda info: moment(info.last_write),
                "forked from": lambda info: info.forked_from,
            },
            f"'{self.parent}' has no such lite topics",
        )


class Info(Command, noun="topic", verb="info"):
    """Tells what is known of a lite topic."""

    topic: _Topic = Field(description=_TOPIC)

    def run(self, face: Face) -> TopicInfo:
        """What is known."""
        return face.lab.broker.info(_existing(face, self.topic).topic)


class Send(Command, noun="topic", verb="send"):
    """Appends a record to a lite topic, which comes into being by its first."""

    topic: _Topic = Field(description=_TOPIC)
    body: Annotated[str, Arg(rest=True)] = Field(description="the record's text: the rest of the line as it stands")
    type: str = Field("message", description="the record's dotted type")
    subject: str = Field("", description="what the record is about")
    priority: int = Field(0, ge=0, le=255, description="groups hand out the higher first")
    tenant: str = Field("", description="on whose behalf, for shares and quotas")
    cost: float = Field(1.0, ge=0, allow_inf_nan=False, description="what it takes, in the unit of the groups' quotas")
    deadline: Annotated[datetime | None, Arg(metavar="TIME")] = Field(
        None, description="when it should be handed out at the latest: 2026-01-01T12:00 (UTC)"
    )

    def run(self, face: Face) -> Receipt:
        """Where it was stored."""
        ref = _resolve(face, self.topic)
        if ref.offset is not None:
            raise UsageError(f"'{self.topic}' names an offset", r"records go to the end; a name's own @ is written \@")
        return face.lab.broker.send(
            ref.topic,
            self.body,
            type=self.type,
            subject=self.subject,
            priority=self.priority,
            tenant=self.tenant,
            cost=self.cost,
            deadline=None if self.deadline is None else _seconds(self.deadline),
        )


class Read(Command, noun="topic", verb="read"):
    """Reads records, at any time; moves nobody's progress."""

    topic: _Topic = Field(description=_TOPIC)
    after: _Offset = Field(None, ge=0, description="leaves out offsets up to and including this one")
    before: _Offset = Field(None, ge=0, description="leaves out offsets from this one on")
    since: Annotated[datetime | None, Arg(metavar="TIME")] = Field(
        None, description="leaves out records before this time: 2026-01-01T12:00 (UTC), or seconds since the Unix epoch"
    )
    limit: int | None = Field(None, ge=1, description="number of records at most")

    def run(self, face: Face) -> Records:
        """The records."""
        ref = _existing(face, self.topic)
        since = None if self.since is None else _seconds(self.since)
        records = face.lab.broker.read(ref.topic, after=self.after, before=self.before, since=since, limit=self.limit)
        return Records(records, "no records there")


class Tail(Command, noun="topic", verb="tail"):
    """Waits for the records that come next, on one topic or on all that a glob names, and returns them."""

    topic: _Topic = Field(description=f"{_TOPIC}; or a glob, such as chat/s-*")
    after: _Offset = Field(None, ge=0, description="starts after this offset; unset, with what is written from now on")
    count: int = Field(1, ge=1, description="number of records to wait for")
    timeout: Annotated[float | None, Arg(metavar="SECONDS")] = Field(
        10.0, gt=0, description="seconds without a record after which it ends"
    )

    def run(self, face: Face) -> Records:
        """The records that came."""
        broker = face.lab.broker
        many = _GLOB.search(self.topic) is not None
        if many and self.after is not None:
            raise UsageError(
                f"--after beside the glob '{self.topic}'", "offsets are each topic's own; tail one of them"
            )
        coming = (
            broker.tail_many(self.topic if "/" in self.topic else f"sessions/{self.topic}", timeout=self.timeout)
            if many
            else broker.tail(_resolve(face, self.topic).topic, after=self.after, timeout=self.timeout)
        )
        records = list(itertools.islice(coming, self.count))
        return Records(records, f"no record came within {self.timeout:g} s", topics=many)


class Fork(Command, noun="topic", verb="fork"):
    """Makes a new topic of a topic's records up to and including an offset."""

    topic: _Topic = Field(description=f"{_TOPIC}; with @OFFSET, up to and including that offset")
    to: Annotated[str, Arg(metavar="TOPIC")] = Field(description="name of the new topic")

    def run(self, face: Face) -> TopicInfo:
        """The new topic."""
        ref = _existing(face, self.topic, offset=True)
        parent = split_topic(ref.topic)[0]
        return face.lab.broker.fork(ref.topic, parse_ref(self.to, parent).topic, at=ref.offset)


class Export(Command, noun="topic", verb="export"):
    """Writes a topic to a file, with all that another lab needs to go on with it, on whatever engine."""

    topic: _Topic = Field(description=_TOPIC)
    file: Annotated[str, Arg(positional=True, metavar="FILE")] = Field(description="the file; replaced if it is there")

    def run(self, face: Face) -> Note:
        """How many records it has."""
        from nbagora_lab.moving import export_topic

        ref = _existing(face, self.topic)
        count = export_topic(face.lab.broker.log, ref.topic, Path(self.file))
        return Note(f"{count} records of {escape_name(ref.topic)} are in {self.file}")


class Import(Command, noun="topic", verb="import"):
    """Makes the topic that was exported to a file: the same records under the same offsets, and its tasks."""

    file: Annotated[str, Arg(positional=True, metavar="FILE")] = Field(description="what export wrote")

    def run(self, face: Face) -> TopicInfo:
        """The topic."""
        from nbagora_lab.moving import import_topic

        return import_topic(face.lab.broker.log, Path(self.file))


class Replay(Command, noun="topic", verb="replay"):
    """Sends a topic's records once more, to another topic, at once or at the pace at which they came."""

    topic: _Topic = Field(description=_TOPIC)
    to: Annotated[str, Arg(metavar="TOPIC")] = Field(description="name of the other topic, which may have records")
    after: _Offset = Field(None, ge=0, description="leaves out offsets up to and including this one")
    before: _Offset = Field(None, ge=0, description="leaves out offsets from this one on")
    speed: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="times the pace at which they came; unset: at once"
    )

    def run(self, face: Face) -> Note:
        """How many they were."""
        ref = _existing(face, self.topic)
        to = parse_ref(self.to, split_topic(ref.topic)[0])
        if to.offset is not None:
            raise UsageError(f"'{self.to}' names an offset", r"records go to the end; a name's own @ is written \@")
        count = face.lab.broker.replay(ref.topic, to.topic, after=self.after, before=self.before, speed=self.speed)
        return Note(f"{count} records sent again, to {escape_name(to.topic)}")


class Suspend(Command, noun="topic", verb="suspend"):
    """Has nothing of a topic handed out to a group for a while; what is out goes back."""

    topic: _Topic = Field(description=_TOPIC)
    group: Annotated[str, Arg(kind="group")] = Field(description="the group that is to wait")
    pause: Annotated[str, Arg(option="--for", metavar="DURATION")] = Field(
        "60s", description="how long, such as 90s or 15m; 0 ends it"
    )

    def run(self, face: Face) -> Note:
        """That it is done."""
        topic, broker = _existing(face, self.topic).topic, face.lab.broker
        if self.group not in (groups := broker.groups()):
            raise GroupNotFound(f"no group '{self.group}'", did_you_mean(self.group, groups))
        pause = float(self.pause) if self.pause.replace(".", "", 1).isdigit() else seconds(self.pause)
        broker.suspend(self.group, topic, pause)
        return Note(
            f"{escape_name(topic)} suspended for {self.group}: {pause:g} s"
            if pause
            else f"{escape_name(topic)} goes on"
        )


class Remove(Command, noun="topic", verb="rm"):
    """Removes a lite topic and its records."""

    topic: _Topic = Field(description="parent/lite, or a context's id")

    def run(self, face: Face) -> Note:
        """That it is done."""
        topic = _existing(face, self.topic).topic
        face.lab.broker.rm(topic)
        return Note(f"topic {escape_name(topic)} removed")


class View(Command, noun="topic", verb="view"):
    """Shows topics live: their records by offset, with bodies, and the groups that read them; forks and sends."""

    topic: Annotated[str | None, Arg(kind="topic", positional=True)] = Field(
        None, description=f"{_TOPIC}; or a parent alone"
    )
    prefix: str = Field("", description="lists only lite topics whose name starts so")
    group: Annotated[str | None, Arg(kind="group")] = Field(None, description="shows how far this group is on each")

    def run(self, face: Face) -> object:
        """The widget."""
        from nbagora_lab.views import TopicViewSource
        from nbagora_widgets import TopicView

        lab = face.lab
        parent, topic = self._place(face)
        if self.group is not None:
            groups = lab.broker.groups()
            if self.group not in groups:
                raise GroupNotFound(f"no group '{self.group}'", did_you_mean(self.group, groups))
            read = groups[self.group].topic
            if parent not in {"", read}:
                raise UsageError(
                    f"the group '{self.group}' reads '{read}', not {topic or parent}", "leave one of them out"
                )
            parent = read
        source = TopicViewSource(lab.service, lab.broker, lab.url)
        rate = lab.settings.view_rate
        return TopicView(source, topic=topic, parent=parent, prefix=self.prefix, group=self.group, rate=rate)

    def _place(self, face: Face) -> tuple[str, str | None]:
        """The parent whose topics to list, empty for the usual one, and the topic to show; a context goes before."""
        if self.topic is None:
            return "", None
        parent = self.topic.removesuffix("/")
        try:
            topic = _existing(face, self.topic).topic
        except (BadName, TopicNotFound):
            if parent in face.lab.broker.topics():
                return parent, None
            raise
        return split_topic(topic)[0], topic
