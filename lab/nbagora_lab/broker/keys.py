"""The one home of the embedded store's key layout.

| column family | key | value |
|---|---|---|
| `default` | ``format``, ``epoch``, ``topic-number``, ``group-number`` | u64 |
| ditto | `count_key` | a parent's u64 lite topics, u64 bytes, u8 1: scheduled records, 2: large bodies |
| `parents` | name of the parent | JSON of its `TopicSpec` |
| `topics` | ``parent/lite`` in UTF-8 | u64 topic number, u64 µs of creation, UTF-8 of where it was forked from |
| `records` | u64 topic number, u64 offset | the record, as `core.events.encode` packs it |
| `groups` | name of the group | u32 group number, JSON of its `GroupSpec` |
| `progress` | u32 group number, u64 topic number | the stored part of a `Turn`; absent: nothing is acked |
| `handed` | u32 group number, u64 lease | what was handed out under it: pairs of u64 topic number, u64 end of offsets |
| `waiting` | u32 group number, u64 topic number | the topic's full name: it has something that is not acked |
| ditto, PRIORITY parent | the same, u64 offset | `ATTEMPTS`, the topic's full name: this record is not acked |
| `due` | u64 µs, u64 topic number | u8 what is then due, the topic's full name: when to look whether it has expired |
| `blobs` | SHA-256 of a large body, hexadecimal | u64 references, u64 size, u32 CRC of each chunk of 1 MiB |
| `subscribers` | u32 group number, name of the client | JSON list of patterns of a durable subscriber |

All numbers are big-endian, so that keys sort as numbers do; a topic's records lie together, in order. A topic's next
offset is one past its last record's and is not stored: a send is one put. Topic numbers are never used twice, so what
an unfinished fork or removal leaves can't be taken for another topic's.
"""

from __future__ import annotations

import struct

__all__ = [
    "ATTEMPTS",
    "COUNTS",
    "END",
    "EPOCH",
    "FORMAT",
    "FORMAT_KEY",
    "GROUP_NUMBER",
    "HEARS",
    "TELL",
    "TOPIC_NUMBER",
    "UNTRIED",
    "count_key",
    "due_key",
    "group_prefix",
    "handed_key",
    "handed_pair",
    "parse_due",
    "parse_handed",
    "parse_topic",
    "parse_u64",
    "record_key",
    "record_offset",
    "topic_number",
    "topic_value",
    "u64",
    "waiting_key",
    "waiting_record_key",
]

FORMAT = 3
"""Raised when any layout in this table, or a record's, changes; a store of a higher one is refused."""

FORMAT_KEY = b"format"
EPOCH = b"epoch"
TOPIC_NUMBER = b"topic-number"
GROUP_NUMBER = b"group-number"

_PAIR = struct.Struct(">QQ")
_ONE = struct.Struct(">Q")
_GROUPED = struct.Struct(">IQ")
_GROUPED_RECORD = struct.Struct(">IQQ")

COUNTS = struct.Struct(">QQB")
"""What a parent has."""

ATTEMPTS = struct.Struct(">IQ")
"""How `waiting` begins on a PRIORITY parent: attempts, and the last lease that is counted in them."""

UNTRIED = ATTEMPTS.pack(0, 0)
"""The same of a record that was never handed out."""

waiting_key = _GROUPED.pack
"""``waiting_key(group_number, topic_number)``: 12 bytes; also the key in `progress`."""

HEARS = 0
"""No topic's number: where `progress` says that the group reads its parent's `_events`."""

handed_key = _GROUPED.pack
"""``handed_key(group_number, lease)``: 12 bytes."""


handed_pair = _PAIR.pack
"""``handed_pair(topic_number, end)``: 16 bytes of what was handed out under a lease."""

parse_handed = _PAIR.iter_unpack
"""These pairs, of a whole value."""


waiting_record_key = _GROUPED_RECORD.pack
"""``waiting_record_key(group_number, topic_number, offset)``: 20 bytes."""

group_prefix = struct.Struct(">I").pack
"""How all keys of a group begin."""

record_key = _PAIR.pack
"""``record_key(topic_number, offset)``: 16 bytes."""

u64 = _ONE.pack
"""A number as a value."""


def count_key(parent: str) -> bytes:
    """Where a parent's counts are."""
    return b"count:" + parent.encode()


TELL, END = b"\0", b"\1"
"""What is due: to tell that a topic is about to expire, or to end it."""


def due_key(time: float, number: int) -> bytes:
    """Where `due` has a topic."""
    return _PAIR.pack(max(0, round(time * 1e6)), number)


def parse_due(key: bytes) -> tuple[float, int]:
    """The time in seconds, and the topic's number."""
    due, number = _PAIR.unpack(key)
    return due / 1e6, number


def parse_u64(value: bytes) -> int:
    """The number that `u64` packed."""
    return int(_ONE.unpack(value)[0])


def record_offset(key: bytes) -> int:
    """The offset in a record's key."""
    return int(_PAIR.unpack(key)[1])


def topic_value(number: int, created: float, forked_from: str = "") -> bytes:
    """What is stored under a topic's name."""
    return _PAIR.pack(number, round(created * 1e6)) + forked_from.encode()


def topic_number(value: bytes) -> int:
    """The number alone of what is stored under a topic's name."""
    return int(_ONE.unpack_from(value)[0])


def parse_topic(value: bytes) -> tuple[int, float, str | None]:
    """Topic number, seconds of creation, and where it was forked from."""
    number, created = _PAIR.unpack_from(value)
    return number, created / 1e6, value[_PAIR.size :].decode() or None
