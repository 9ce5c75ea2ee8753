"""The record: an envelope with CloudEvents 1.0 attribute names around a body of bytes.

Attribute names and meanings follow https://github.com/cloudevents/spec (v1.0.2); `traceparent` is the Distributed
Tracing extension with the value format of W3C Trace Context.

On disk a record is a fixed head, the variable attributes, and the body. What a reader needs to route, filter and stop
(flags, generation, epoch, subject) lies in front, so that no reader parses a body for it. `offset` is the key under
which the record lies and is not repeated in it. A store's `FORMAT` is raised when this layout changes.
"""

from __future__ import annotations

import functools
import struct
from typing import Final, NamedTuple

from nbagora_lab.core.errors import StoreCorrupt, TooLarge

__all__ = [
    "PLAIN",
    "SCHEDULED_AT",
    "Flags",
    "Head",
    "Record",
    "RecordType",
    "Scheduling",
    "decode",
    "encode",
    "head_of",
    "restamped",
    "scheduling_of",
]

_LAYOUT = 1
_FIXED = struct.Struct(">BBIQIBHHBBBB")  # layout, flags, epoch, time in µs, generation, then seven lengths
_ALL_LENGTHS = struct.Struct(">BHHBBBB")  # the end of `_FIXED`
_LENGTHS = ("type", "source", "subject", "datacontenttype", "traceparent", "id", "scheduling")
SCHEDULED_AT: Final = _FIXED.size - 1
"""Where a stored record says how long its scheduling fields are."""
_FIELDS = struct.Struct(">BdQ")  # priority, cost, deadline in µs; then the tenant
_LONGEST = {"source": 65535, "subject": 65535}  # bytes; the others' is 255


class Flags:
    """What a reader must know of a record without parsing its body.

    Bits of a plain int: every record is tested three times on its way out, and an `enum.IntFlag` takes 1 µs a test.
    """

    NONE: Final = 0
    TERMINAL: Final = 1  # the task ends here
    INTERRUPTED: Final = 2  # the task waits for input or authorisation
    MESSAGE: Final = 4  # a plain Message reply: there is no task to follow
    TASK: Final = 8  # opens a task
    PROVISIONAL: Final = 16  # an opening that is withheld until the agent's first word
    SPLICED: Final = 32  # readers put offset and generation into the body's metadata, before its last four bytes
    CLAIM: Final = 64  # the writer of this epoch takes the task over
    REFERENCE: Final = 128  # the body is too large for a record: what stands here says where it is


class RecordType:
    """The closed set of types that nbagora itself writes; producers may use dotted types of their own."""

    MESSAGE = "a2a.message"
    TASK = "a2a.task"
    STATUS = "a2a.status"
    ARTIFACT = "a2a.artifact"
    CLAIM = "task.claim"
    TASK_OPENED = "task.opened"
    TASK_ENDED = "task.ended"
    TASK_LOG = "task.log"
    CALL = "task.call"
    REQUEST = "inbox.request"
    BLOB = "session.blob"
    SNAPSHOT = "session.snapshot"
    WEBHOOK = "push.webhook"
    WEBHOOK_DUE = "push.due"
    RETURN = "task.return"
    STEP_MODEL = "agent.step.model"
    STEP_TOOL = "agent.step.tool"
    FLOW_STEP = "flow.step"
    REMEMBER = "memory.remember"
    FORGET = "memory.forget"
    UNDO = "memory.undo"
    SUMMARY = "memory.summary"
    WORD = "discussion.word"
    TOPIC_OPENED = "topic.opened"
    TOPIC_FORKED = "topic.forked"
    TOPIC_EXPIRING = "topic.expiring"
    TOPIC_EXPIRED = "topic.expired"
    TOPIC_GAP = "topic.gap"
    TOPIC_RESENT = "topic.resent"
    DEAD_LETTER = "topic.dead-letter"


class Scheduling(NamedTuple):
    """What a producer says of when a record should be handed out.

    Attributes:
        priority: 0 to 255; the higher goes first.
        tenant: On whose behalf, for shares and quotas.
        cost: What it takes, in the unit of the group's quotas; 1 where that is messages.
        deadline: When it should be handed out at the latest, in seconds since the Unix epoch; None: no matter.
    """

    priority: int = 0
    tenant: str = ""
    cost: float = 1.0
    deadline: float | None = None

    def pack(self) -> bytes:
        """As `encode` takes it; empty for the defaults.

        Raises:
            TooLarge: The tenant's name has more than 238 bytes.
            ValueError: A priority that is no byte.
        """
        if self == PLAIN:
            return b""
        tenant = self.tenant.encode()
        if len(tenant) > 255 - _FIELDS.size:
            raise TooLarge(f"the record's tenant has {len(tenant)} bytes", f"it takes {255 - _FIELDS.size} at most")
        try:
            packed = _FIELDS.pack(self.priority, self.cost, 0 if self.deadline is None else round(self.deadline * 1e6))
        except struct.error:
            raise ValueError(f"no scheduling: {self}") from None
        return packed + tenant


PLAIN: Final = Scheduling()
"""What most records say: nothing."""


class Head(NamedTuple):
    """What routes a record: the fixed part of it, and where its body starts."""

    flags: int
    epoch: int
    time: int
    generation: int
    subject: bytes
    body_at: int


class Record(NamedTuple):
    """One record on a lite topic.

    Attributes:
        type: Dotted type, such as ``a2a.status``.
        body: The payload.
        topic: Full name of the topic that it was read from, ``parent/lite``; empty before it is appended.
        offset: Its place on that topic, dense from 0; -1 before it is appended.
        source: Who wrote it, as a URI reference: ``/agents/weather``.
        subject: What it is about: the task's id for task events.
        time: Seconds since the Unix epoch, to the microsecond.
        datacontenttype: Media type of the body.
        traceparent: W3C trace context.
        id: Producer's id; where none was given, the offset in decimal.
        generation: The task's own dense count of events, from 1; 0 where the record is no task event.
        epoch: Which opening of the store wrote it.
        flags: What a reader must know without parsing the body: bits of `Flags`.
        scheduling: Priority, tenant, cost and deadline.
    """

    type: str
    body: bytes = b""
    topic: str = ""
    offset: int = -1
    source: str = ""
    subject: str = ""
    time: float = 0.0
    datacontenttype: str = "application/json"
    traceparent: str = ""
    id: str = ""
    generation: int = 0
    epoch: int = 0
    flags: int = Flags.NONE
    scheduling: Scheduling = PLAIN

    def at(self, topic: str, offset: int) -> Record:
        """The same record, placed."""
        return self._replace(topic=topic, offset=offset, id=self.id or str(offset))


def encode(
    type: str,  # noqa: A002 -- CloudEvents' name
    body: bytes,
    *,
    source: bytes = b"",
    subject: bytes = b"",
    time: float = 0.0,
    datacontenttype: bytes = b"application/json",
    traceparent: bytes = b"",
    id: bytes = b"",  # noqa: A002 -- CloudEvents' name
    generation: int = 0,
    epoch: int = 0,
    flags: int = 0,
    scheduling: bytes = b"",
) -> bytes:
    """Packs a record into the bytes that a store keeps; attributes as in `Record`, text already in UTF-8.

    Raises:
        TooLarge: An attribute is longer than its place: 65535 bytes for `source` and `subject`, 255 for the others.
    """
    kind = type.encode()
    try:
        fixed = _FIXED.pack(
            _LAYOUT,
            flags,
            epoch,
            round(time * 1e6),
            generation,
            len(kind),
            len(source),
            len(subject),
            len(datacontenttype),
            len(traceparent),
            len(id),
            len(scheduling),
        )
    except struct.error:
        texts = (kind, source, subject, datacontenttype, traceparent, id, scheduling)
        for name, value in zip(_LENGTHS, texts, strict=True):
            if len(value) > (longest := _LONGEST.get(name, 255)):
                raise TooLarge(f"the record's {name} has {len(value)} bytes", f"it takes {longest} at most") from None
        raise
    return b"".join((fixed, subject, kind, source, datacontenttype, traceparent, id, scheduling, body))


def restamped(record: Record, *, time: float, epoch: int) -> bytes:
    """A record that was read, packed to be written once more, at another time."""
    own = record.id if record.id != str(record.offset) else ""
    return encode(
        record.type,
        record.body,
        source=record.source.encode(),
        subject=record.subject.encode(),
        time=time,
        datacontenttype=record.datacontenttype.encode(),
        traceparent=record.traceparent.encode(),
        id=own.encode(),
        generation=record.generation,
        epoch=epoch,
        flags=record.flags,
        scheduling=record.scheduling.pack(),
    )


def head_of(stored: bytes) -> Head:
    """The routing part of a stored record, without touching its body.

    Raises:
        StoreCorrupt: These bytes are no record of this layout.
    """
    try:
        layout, flags, epoch, time, generation, kind, source, subject, content, trace, own, plan = _FIXED.unpack_from(
            stored
        )
    except struct.error:
        raise _no_record("a record", stored) from None
    start = _FIXED.size
    body_at = start + subject + kind + source + content + trace + own + plan
    if layout != _LAYOUT or body_at > len(stored):
        raise _no_record("a record", stored)
    return Head(flags, epoch, time, generation, stored[start : start + subject], body_at)


def decode(stored: bytes, topic: str, offset: int) -> Record:
    """The whole record that `encode` packed.

    Raises:
        StoreCorrupt: These bytes are no record of this layout.
    """
    try:
        layout, flags, epoch, time, generation, kind, source, subject, content, trace, own, plan = _FIXED.unpack_from(
            stored
        )
        texts, at = [], _FIXED.size
        for length in (subject, kind, source, content, trace, own):
            texts.append(stored[at : at + length].decode())
            at += length
        scheduling = _unpack(stored[at : at + plan]) if plan else PLAIN
        at += plan
    except (struct.error, UnicodeDecodeError):
        raise _no_record(f"record {offset} of {topic}", stored) from None
    if layout != _LAYOUT or at > len(stored):
        raise _no_record(f"record {offset} of {topic}", stored)
    about, type_, by, media, parent, name = texts
    # by place: every reader of every topic comes through here, and names would double what this costs
    return Record(
        type_,
        stored[at:],
        topic,
        offset,
        by,
        about,
        time / 1e6,
        media,
        parent,
        name or str(offset),
        generation,
        epoch,
        flags,
        scheduling,
    )


def scheduling_of(stored: bytes) -> Scheduling:
    """A stored record's scheduling fields; a quick look where it has none."""
    length = stored[SCHEDULED_AT]
    if not length:
        return PLAIN
    end = _FIXED.size + sum(_ALL_LENGTHS.unpack_from(stored, _FIXED.size - _ALL_LENGTHS.size))
    packed = stored[end - length : end]
    if stored[0] != _LAYOUT or len(packed) < length:
        raise _no_record("a record", stored)
    return _unpack(packed)


@functools.lru_cache(4096)
def _unpack(packed: bytes) -> Scheduling:
    priority, cost, deadline = _FIELDS.unpack_from(packed)
    return Scheduling(priority, packed[_FIELDS.size :].decode(), cost, deadline / 1e6 if deadline else None)


def _no_record(which: str, stored: bytes) -> StoreCorrupt:
    layout = stored[0] if stored else None
    what = "is cut short" if layout == _LAYOUT else f"has layout {layout}, not {_LAYOUT}"
    return StoreCorrupt(f"{which} {what}", "restore the store from a copy")
