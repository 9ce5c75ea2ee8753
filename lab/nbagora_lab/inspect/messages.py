"""A task's message as the protocol has it: the JSON that every door sends, on indented lines."""

from __future__ import annotations

import json

from nbagora_lab.broker.api import Log
from nbagora_lab.core.events import Flags, decode
from nbagora_lab.inspect.fold import LOG_EXTENSION
from nbagora_lab.inspect.payload import shown
from nbagora_lab.inspect.topicview import Attribute, Payload

__all__ = ["message_payload"]


def message_payload(log: Log, topic: str, offset: int) -> Payload:
    """A task's record as the protocol's message, as every door sends it: with its offset and generation put in."""
    info = log.info(topic)
    gone = Payload(topic=topic, created=info.created, offset=offset, kind="gone")
    found = log.scan(topic, after=offset - 1, limit=1) if info.first <= offset < info.next else []
    if not found or found[0][0] != offset:
        return gone
    record = decode(found[0][1], topic, offset)
    body = record.body
    if record.flags & Flags.SPLICED:
        message = json.loads(body)
        [inner] = message.values()
        inner["metadata"][LOG_EXTENSION] |= {"offset": str(offset), "generation": str(record.generation)}
        body = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    kind, text, media, cut = shown(body, record.datacontenttype or "application/json")
    told = {"type": record.type, "generation": str(record.generation or ""), "source": record.source}
    attributes = tuple(Attribute(name=name, value=value) for name, value in told.items() if value)
    named = {"kind": kind, "text": text, "media": media, "cut": cut}
    return gone.model_copy(update={**named, "size": len(body), "attributes": attributes})
