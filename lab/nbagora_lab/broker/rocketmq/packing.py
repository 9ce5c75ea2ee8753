"""A record as a message: its body is the message's body, so that any client of RocketMQ reads it; its head a property.

| property | value |
|---|---|
| ``nb-head`` | what stands before the body in a stored record (`core.events`), in base64 |
| ``nb-id`` | ``<epoch>-<number>``: the same however often the message was sent, so that a second one is left out |
| ``nb-on`` | the broker that it is meant for, where there are several (`owners`) |
| ``nb-empty`` | RocketMQ takes no empty body: the one byte that is there is none |

A message without ``nb-head`` is another client's: its properties that CloudEvents knows become a record's.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.core.events import encode, head_of

__all__ = ["EMPTY", "HEAD", "ID", "ON", "Packed", "packed", "sender_of", "stored_of"]

HEAD, ID, ON, EMPTY = "nb-head", "nb-id", "nb-on", "nb-empty"
_LONGEST = 8 << 10  # a head that does not fit into a message's properties goes into its body


class Packed(NamedTuple):
    """What is sent of a record."""

    body: bytes
    properties: dict[str, str]


def packed(stored: bytes) -> Packed:
    """A stored record, to be sent."""
    at = head_of(stored).body_at
    if at > _LONGEST:
        return Packed(stored, {HEAD: "-"})
    head, body = base64.b64encode(stored[:at]).decode(), stored[at:]
    return Packed(body, {HEAD: head}) if body else Packed(b"\0", {HEAD: head, EMPTY: "1"})


def stored_of(message: Message) -> bytes:
    """The record that a message holds, as a store keeps it."""
    properties = message.properties
    head = properties.get(HEAD)
    if head is None:
        return encode(
            properties.get("ce_type", "message"),
            message.body,
            time=message.born,
            source=properties.get("ce_source", "").encode(),
            subject=properties.get("ce_subject", "").encode(),
            id=(properties.get("ce_id") or properties.get("UNIQ_KEY", "")).encode()[:255],
            datacontenttype=properties.get("ce_datacontenttype", "application/octet-stream").encode(),
        )
    if head == "-":
        return message.body
    return base64.b64decode(head) + (b"" if EMPTY in properties else message.body)


def sender_of(message: Message) -> tuple[str, int]:
    """Who sent a message, and as its how manieth; an empty name for another client's."""
    writer, _, number = message.properties.get(ID, "").partition("-")
    return writer, int(number) if number.isdigit() else 0
