"""Dead letters: records that a group gave up on, whole, on a lite topic of the group's own."""

from __future__ import annotations

import json
from typing import NamedTuple

from nbagora_lab.core.errors import StoreCorrupt
from nbagora_lab.core.events import Record, RecordType, decode, encode

__all__ = ["DEAD_LETTERS", "REPLAYS", "DeadLetter", "dead_topic", "pack_letter", "parse_letter"]

DEAD_LETTERS = "dead-letters"
"""The parent topic of all dead letters; each group has the lite topic of its name."""

REPLAYS = "dead-letter-replays"
"""The group that has read those dead letters that were replayed; it comes into being by the first replay."""


class DeadLetter(NamedTuple):
    """A record that a group gave up on.

    Attributes:
        offset: Its place among the group's dead letters.
        attempts: How often it had been handed out.
        time: When the group gave up, in seconds since the Unix epoch.
        stored: The record as it was stored.
        record: The record, with the topic and offset that it had.
    """

    offset: int
    attempts: int
    time: float
    stored: bytes
    record: Record


def dead_topic(group: str) -> str:
    """Full name of the lite topic of a group's dead letters."""
    return f"{DEAD_LETTERS}/{group}"


def pack_letter(topic: str, offset: int, attempts: int, stored: bytes, *, epoch: int, now: float) -> bytes:
    """A dead letter, encoded: a line of JSON that tells where the record stood, then the record itself."""
    told = json.dumps({"topic": topic, "offset": offset, "attempts": attempts}, ensure_ascii=False)
    body = told.encode() + b"\n" + stored
    kind = b"application/octet-stream"
    return encode(RecordType.DEAD_LETTER, body, source=b"/broker", time=now, epoch=epoch, datacontenttype=kind)


def parse_letter(record: Record) -> DeadLetter:
    """Reads a record of a dead letter.

    Raises:
        StoreCorrupt: It is none.
    """
    told, _, stored = record.body.partition(b"\n")
    try:
        where = json.loads(told)
        original = decode(stored, where["topic"], where["offset"])
        return DeadLetter(record.offset, where["attempts"], record.time, stored, original)
    except (ValueError, KeyError, TypeError):
        raise StoreCorrupt(
            f"record {record.offset} of {record.topic} is no dead letter", "send nothing to that topic yourself"
        ) from None
