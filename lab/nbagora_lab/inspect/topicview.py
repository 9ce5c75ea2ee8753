"""What a topic view shows and what it may ask for: snapshots and commands, as in `inspect.model`.

A snapshot holds one page of a parent's lite topics and one window of one topic's records: its size and what it costs
follow what is shown, not what there is. A record's body is no part of it, since that never changes: it is handed over
once, when somebody looks at it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nbagora_lab.inspect.model import Bye, Command, Hello, Snapshot, first_words

__all__ = [
    "LEASES",
    "PAGE",
    "TOPIC_STATES",
    "WINDOW",
    "Attribute",
    "Browse",
    "Fork",
    "GroupRow",
    "LeaseRow",
    "Look",
    "ParentRow",
    "Payload",
    "Pick",
    "RecordRow",
    "Send",
    "Show",
    "TopicCommand",
    "TopicDetail",
    "TopicRow",
    "TopicsSnapshot",
]

PAGE = 40
"""Lite topics of a snapshot at most."""

WINDOW = 120
"""Records of a snapshot at most."""

LEASES = 20
"""Leases of a group that a snapshot lists at most."""

TOPIC_STATES = ("ready", "leased", "suspended", "back-off", "drained", "idle")
"""States of a topic for a group."""


def _one_line(text: str) -> str:
    return first_words(" ".join(text[:800].split()), 160)


_Line = Annotated[str, BeforeValidator(_one_line)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ParentRow(_Model):
    """A parent topic.

    Attributes:
        name: Its name.
        type: ``LITE`` or ``PRIORITY``.
        ttl: Seconds after its last write that a lite topic is kept; None keeps it for good.
    """

    name: str
    type: str
    ttl: float | None = None


class TopicRow(_Model):
    """One lite topic.

    Attributes:
        topic: Full name.
        lite: Its name within its parent.
        ref: The full name as it is written in commands, with escapes.
        first: Offset of its first kept record; equal to `next` when it has none.
        next: Offset that the next record will get.
        created: Which topic of that name it is: seconds since the Unix epoch.
        last_write: Time of the last record.
        forked_from: ``parent/lite@offset`` where it is a fork; else empty.
        state: One of `TOPIC_STATES` for the group that was chosen; empty without one.
        lag: Records that this group has not acked; None without one.
    """

    topic: str
    lite: str
    ref: str
    first: int
    next: int
    created: float
    last_write: float
    forked_from: str = ""
    state: str = ""
    lag: int | None = None


class RecordRow(_Model):
    """One record, as a line.

    Attributes:
        offset: Its place on the topic.
        time: When it was appended.
        type: Its dotted type.
        subject: What it is about.
        size: Bytes of its body.
        text: The first words of it.
    """

    offset: int
    time: float
    type: str
    subject: _Line = ""
    size: int
    text: _Line = ""


class LeaseRow(_Model):
    """A lease that is out: while it holds, its topic is locked for the group.

    Attributes:
        topic: Full name.
        client: Who holds it.
        first: Lowest offset of it that is not acked.
        records: Number of records of it that are not acked.
        expires: Seconds since the Unix epoch.
    """

    topic: str
    client: str
    first: int
    records: int
    expires: float


class GroupRow(_Model):
    """One group of the parent, and where it stands on the topic that is shown.

    Attributes:
        group: Its name.
        mode: ``shared`` or ``exclusive``.
        clients: Number of clients that subscribe.
        ready: Topics that the next receive could be handed.
        held: Those held back, by rule, in words.
        leased: Number of leases that are out.
        leases: The first of them, `LEASES` at most.
        received: Records handed out since the lab started.
        acked: Records acked.
        redelivered: Records handed out again.
        dead: Records that became dead letters.
        committed: Offset of the first record of the topic that it has not acked; None where no topic is shown.
        lag: Records of the topic that are not acked.
        attempts: How often the record at `committed` was handed out.
        state: Of the topic for it, one of `TOPIC_STATES`.
        lock: The lease that locks the topic; None where it is free.
    """

    group: str
    mode: str
    clients: int
    ready: int
    held: str = ""
    leased: int
    leases: tuple[LeaseRow, ...] = ()
    received: int
    acked: int
    redelivered: int
    dead: int
    committed: int | None = None
    lag: int = 0
    attempts: int = 0
    state: str = ""
    lock: LeaseRow | None = None


class TopicDetail(_Model):
    """The topic that is shown, and a window of its records.

    Attributes:
        row: What is known of it.
        opened: Time of its first kept record.
        start: Offset where the window begins.
        records: Those of the window, `WINDOW` at most, in order; of large ones some come with a later snapshot.
        follow: Whether the window goes with the newest records.
        asked: Number of the request that put the window there; 0 for none.
    """

    row: TopicRow
    opened: float
    start: int
    records: tuple[RecordRow, ...] = ()
    follow: bool
    asked: int = 0


class TopicsSnapshot(Snapshot):
    """What a topic view shows.

    Attributes:
        parents: All parent topics.
        parent: The one whose lite topics are listed; empty where there is none.
        prefix: How the names of the listed ones begin.
        group: The group whose view of them is shown; None for none.
        state: Their state for that group; None for any.
        after: Name past which this page begins; empty for the first page.
        topics: The page, `PAGE` at most, in the order of names.
        until: Name past which the next page begins; empty where this is the last.
        groups: Groups of the parent.
        topic: Full name of the topic that is shown; None for none.
        selected: That topic; None where it does not exist.
    """

    parents: tuple[ParentRow, ...] = ()
    parent: str = ""
    prefix: str = ""
    group: str | None = None
    state: str | None = None
    after: str = ""
    topics: tuple[TopicRow, ...] = ()
    until: str = ""
    groups: tuple[GroupRow, ...] = ()
    topic: str | None = None
    selected: TopicDetail | None = None


class Attribute(_Model):
    """An attribute of a record that is set.

    Attributes:
        name: Its name.
        value: Its value, in words.
    """

    name: str
    value: str


class Payload(_Model):
    """A record as it is looked at.

    Attributes:
        topic: Full name of its topic.
        created: Which topic of that name, as `TopicRow.created`.
        offset: Its place on it.
        kind: ``json``, ``text``, ``image``, ``bytes``, or ``gone`` where there is no such record.
        text: Lines to read; of an image its bytes in Base64.
        media: Its media type.
        size: Bytes of its body.
        cut: Whether only the beginning is shown.
        attributes: Those that are set.
    """

    topic: str
    created: float
    offset: int
    kind: str
    text: str = ""
    media: str = ""
    size: int = 0
    cut: bool = False
    attributes: tuple[Attribute, ...] = ()


class Browse(Command):
    """Asks for a page of lite topics: a parent's, by prefix, as a group sees them, past a name."""

    do: Literal["browse"] = "browse"
    parent: str
    prefix: str = ""
    group: str | None = None
    state: str | None = None
    after: str = ""


class Show(Command):
    """Asks for a topic's records, the newest ones at first; None for none."""

    do: Literal["show"] = "show"
    topic: str | None


class Look(Command):
    """Asks for the window from an offset or a time on, or for one that goes with the newest records."""

    do: Literal["look"] = "look"
    offset: int | None = Field(None, ge=0)
    time: float | None = Field(None, allow_inf_nan=False)
    follow: bool = False


class Pick(Command):
    """Asks for a record's body; None for none."""

    do: Literal["pick"] = "pick"
    topic: str
    offset: int | None = Field(ge=0)


class Fork(Command):
    """Makes a new topic of a topic's records up to and including an offset."""

    do: Literal["fork"] = "fork"
    topic: str
    at: int = Field(ge=0)
    to: str


class Send(Command):
    """Appends a record of text to a topic."""

    do: Literal["send"] = "send"
    topic: str
    body: str
    type: str = "message"
    media: Literal["text/plain", "application/json"] = "text/plain"


TopicCommand = Annotated[Hello | Bye | Browse | Show | Look | Pick | Fork | Send, Field(discriminator="do")]
"""What a topic view may send."""
