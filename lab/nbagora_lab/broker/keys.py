"""The one home of the embedded store's key layout.

| column family | key | value |
|---|---|---|
| `default` | ``format``, ``epoch``, ``topic-number`` | u64 |
| `parents` | name of the parent | JSON of its `TopicSpec` and time of creation |
| `topics` | ``parent/lite`` in UTF-8 | u64 topic number, u64 µs of creation, UTF-8 of where it was forked from |
| `records` | u64 topic number, u64 offset | the record, as `core.events.encode` packs it |

All numbers are big-endian, so that keys sort as numbers do; a topic's records lie together, in order. A topic's next
offset is one past its last record's and is not stored: a send is one put. Topic numbers are never used twice, so what
an unfinished fork or removal leaves can't be taken for another topic's.
"""

from __future__ import annotations

import struct

__all__ = [
    "EPOCH",
    "FORMAT",
    "FORMAT_KEY",
    "TOPIC_NUMBER",
    "parse_topic",
    "parse_u64",
    "record_key",
    "record_offset",
    "topic_value",
    "u64",
]

FORMAT = 1
"""Raised when any layout in this table, or a record's, changes; a store of a higher one is refused."""

FORMAT_KEY = b"format"
EPOCH = b"epoch"
TOPIC_NUMBER = b"topic-number"

_PAIR = struct.Struct(">QQ")
_ONE = struct.Struct(">Q")

record_key = _PAIR.pack
"""``record_key(topic_number, offset)``: 16 bytes."""

u64 = _ONE.pack
"""A number as a value."""


def parse_u64(value: bytes) -> int:
    """The number that `u64` packed."""
    return int(_ONE.unpack(value)[0])


def record_offset(key: bytes) -> int:
    """The offset in a record's key."""
    return int(_PAIR.unpack(key)[1])


def topic_value(number: int, created: float, forked_from: str = "") -> bytes:
    """What is stored under a topic's name."""
    return _PAIR.pack(number, round(created * 1e6)) + forked_from.encode()


def parse_topic(value: bytes) -> tuple[int, float, str | None]:
    """Topic number, seconds of creation, and where it was forked from."""
    number, created = _PAIR.unpack_from(value)
    return number, created / 1e6, value[_PAIR.size :].decode() or None
