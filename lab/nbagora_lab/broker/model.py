"""What a broker's faces speak of: topics, their settings, receipts; and the rules for names.

A topic's full name is ``parent/lite``. Either part is 1 to 512 bytes of UTF-8 without control characters or ``/``.
Where a name stands in text that gives ``@``, ``*``, ``?`` or ``[`` a meaning (``%topic fork ctx-1@12``, globs), these
are escaped by a backslash.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nbagora_lab.core.errors import BadName, UsageError

__all__ = [
    "EVENTS",
    "Receipt",
    "TopicInfo",
    "TopicRef",
    "TopicSpec",
    "check_name",
    "escape_name",
    "join_topic",
    "parse_ref",
    "seconds",
    "split_topic",
]

EVENTS = "_events"
"""The lite topic of every parent that tells of the life of its other lite topics."""

_LONGEST = 512  # bytes
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DIGITS = 20  # of the largest offset
_ESCAPED = re.compile(r"([@*?\[\\])")


class TopicSpec(BaseModel):
    """Settings of a parent topic.

    Attributes:
        type: LITE: groups are handed a lite topic's records in order, one batch at a time. PRIORITY: its records stand
            for themselves, the highest priority goes first. Either way lite topics come into being by the first record
            that is sent to them.
        ttl: Seconds after its last write that a lite topic is kept; None keeps it for good.
        expiring: Seconds before a lite topic expires that `topic.expiring` tells of it; None: not.
        drained: Whether a lite topic is kept past its TTL until every group has read it.
        archive: Folder to which the records of a lite topic are written before it expires; None: not.
        max_topics: Lite topics that there may be; None: any number.
        max_bytes: Bytes that their records may have together; None: any number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["LITE", "PRIORITY"] = "LITE"
    ttl: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    expiring: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    drained: bool = False
    archive: str | None = None
    max_topics: int | None = Field(default=None, gt=0)
    max_bytes: int | None = Field(default=None, gt=0)

    @field_validator("ttl", "expiring", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return seconds(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> TopicSpec:
        if self.ttl is None and (self.expiring is not None or self.drained or self.archive is not None):
            raise ValueError("expiring, drained and archive say how a TTL ends, and there is none")
        if self.ttl is not None and self.expiring is not None and self.expiring >= self.ttl:
            raise ValueError("expiring is a part of the TTL, so it is shorter")
        return self

    def difference(self, asked: TopicSpec) -> str:
        """In which settings `asked` is not this."""
        here, there = self.model_dump(), asked.model_dump()
        return ", ".join(f"{name} is {here[name]}, not {there[name]}" for name in here if here[name] != there[name])


def seconds(duration: float | str) -> float:
    """A duration as typed, in seconds: a number, or one with a unit, ``90s``, ``15m``, ``1h``, ``7d``.

    Example:
        >>> seconds("1h"), seconds(90)
        (3600.0, 90.0)

    Raises:
        UsageError: It is none.
    """
    number, unit = (duration[:-1], duration[-1:]) if isinstance(duration, str) else (duration, "s")
    try:
        return float(number) * _UNITS[unit]
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"'{duration}' is no duration", "write 90s, 15m, 1h or 7d, or a number of seconds") from None


class TopicInfo(BaseModel):
    """What is known of a lite topic at one moment.

    Attributes:
        topic: Full name.
        first: Offset of its first kept record; equal to `next` when it has none.
        next: Offset that the next record will get.
        created: Seconds since the Unix epoch.
        last_write: Time of the last record; `created` when there is none.
        forked_from: ``parent/lite@offset`` where it is a fork.
    """

    model_config = ConfigDict(frozen=True)

    topic: str
    first: int
    next: int
    created: float
    last_write: float
    forked_from: str | None = None

    @property
    def count(self) -> int:
        """Number of records kept."""
        return self.next - self.first


class Receipt(NamedTuple):
    """Where a record was stored. Holding one means that the record is durable, as the store's mode defines it."""

    topic: str
    offset: int


class TopicRef(NamedTuple):
    """A topic as somebody typed it, with the offset that may follow its name."""

    topic: str
    offset: int | None


def check_name(name: str, what: str = "topic") -> str:
    """Returns `name` if it keeps the rules for names.

    Raises:
        BadName: It does not; says which rule.
    """
    if name.isascii() and name.isprintable() and 0 < len(name) <= _LONGEST and "/" not in name:  # as most are
        return name
    shown = name if len(name) <= 40 else f"{name[:37]}..."
    hint = "names are 1 to 512 bytes of UTF-8 without control characters or '/'"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadName(f"the {what} name {shown!a} has half a surrogate pair", hint) from None
    if not name:
        raise BadName(f"an empty {what} name", hint)
    if size > _LONGEST:
        raise BadName(f"the {what} name '{shown}' has {size} bytes", hint)
    if "/" in name or any(unicodedata.category(letter) == "Cc" for letter in name):
        raise BadName(f"the {what} name {shown!r} has a '/' or a control character", hint)
    return name


def split_topic(topic: str) -> tuple[str, str]:
    """A full name's parent and lite topic, both checked.

    Example:
        >>> split_topic("sessions/ctx-1")
        ('sessions', 'ctx-1')

    Raises:
        BadName: It is no full name.
    """
    parent, slash, lite = topic.partition("/")
    if not slash:
        raise BadName(f"'{topic}' names no lite topic", f"write parent/lite, such as {topic or 'sessions'}/ctx-1")
    return check_name(parent, "parent topic"), check_name(lite, "lite topic")


def join_topic(parent: str, lite: str) -> str:
    """The full name of a lite topic."""
    return f"{check_name(parent, 'parent topic')}/{check_name(lite, 'lite topic')}"


def escape_name(name: str) -> str:
    """A name as it is written in text where ``@ * ? [`` have a meaning.

    Example:
        >>> escape_name("a@b")
        'a\\\\@b'
    """
    return _ESCAPED.sub(r"\\\1", name)


def parse_ref(text: str, parent: str = "sessions") -> TopicRef:
    """Reads ``ctx-1``, ``chat/s-1`` or ``ctx-1@12``.

    Args:
        text: As typed, with escapes.
        parent: The parent of a name that gives none.

    Example:
        >>> parse_ref("ctx-1@12")
        TopicRef(topic='sessions/ctx-1', offset=12)

    Raises:
        BadName: The name, or what follows its ``@``, does not fit.
    """
    name, offset = "", None
    pieces = re.split(r"(\\.|@)", text)
    for index, piece in enumerate(pieces):
        if piece == "@":
            rest = "".join(pieces[index + 1 :])
            if not rest.isascii() or not rest.isdigit() or len(rest) > _DIGITS:
                raise BadName(f"'{text}' has no offset after its '@'", "write topic@12; a name's own @ is written \\@")
            offset = int(rest)
            break
        name += piece[1] if len(piece) == 2 and piece[0] == "\\" else piece
    parent, lite = split_topic(name) if "/" in name else (parent, check_name(name, "lite topic"))
    return TopicRef(join_topic(parent, lite), offset)
