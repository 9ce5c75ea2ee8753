"""The records that tell of a lite topic's life, for the `_events` topic of its parent."""

from __future__ import annotations

import json

from nbagora_lab.core.events import encode

__all__ = ["life_record"]


def life_record(epoch: int, told: str, topic: str, forked_from: str, now: float) -> bytes:
    """One such record, encoded.

    Args:
        epoch: Of the store's holder.
        told: The record's type, such as ``topic.opened``.
        topic: Full name of the topic that it tells of.
        forked_from: ``parent/lite@offset`` where that is a fork; else empty.
        now: Seconds since the Unix epoch.
    """
    body = {"topic": topic} | ({"from": forked_from} if forked_from else {})
    return encode(told, json.dumps(body, ensure_ascii=False).encode(), source=b"/broker", time=now, epoch=epoch)
