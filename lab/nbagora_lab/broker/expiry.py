"""Ends lite topics past their TTL, from an index by time: the cost follows what expires or was written, not what is.

A topic has one entry in the index, at the earliest time at which something can be due. When that comes and the topic
was written meanwhile, the entry moves to where it is due now: so each look but the last is paid for by a write.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from rocksdict import WriteBatch

from nbagora_lab.broker import keys
from nbagora_lab.broker.hot import HotTopic
from nbagora_lab.broker.life import life_record
from nbagora_lab.broker.model import EVENTS, TopicSpec
from nbagora_lab.broker.store import Store
from nbagora_lab.core.events import RecordType, decode, head_of
from nbagora_lab.core.log import logger

__all__ = ["Expiry"]

_log = logger.getChild("broker")
_AGAIN = 60.0  # seconds until a topic whose archive failed is tried again


class Expiry:
    """The expiry of a store's topics.

    Args:
        store: The open store.
        tell: Wakes who watches topics that were written.
    """

    def __init__(self, store: Store, tell: Callable[..., None]) -> None:
        self._store = store
        self._tell = tell
        self._from = b""  # nothing is due before; keeps the search off what was removed
        self._next: float | None = None  # when something is due; None: never
        self._wake: Callable[[], None] = lambda: None
        store.writer.on_due = self._note

    def watch(self, wake: Callable[[], None]) -> None:
        """Has `wake` called when something is due earlier than `run` last said."""
        self._wake = wake

    def _note(self, due: float) -> None:
        if self._next is None or due < self._next:
            self._next = due
            self._from = min(self._from, keys.due_key(due, 0))
            self._wake()

    def run(self) -> float | None:
        """Does what is due, topic by topic, so that others come in between.

        Returns:
            Seconds until more is; None: never, unless a topic comes.
        """
        while True:
            with self._store.lock, self._store.entered:
                now = self._store.clock.now()
                found = next(iter(self._store.rocks.families["due"].items(from_key=self._from)), None)
                if found is None:
                    self._next = None
                    return None
                self._from, value = found
                self._next, number = keys.parse_due(self._from)
                if self._next > now:
                    return self._next - now
                touched = self._look(number, value[:1], value[1:].decode(), now)
            self._tell(touched)

    def _look(self, number: int, stage: bytes, topic: str, now: float) -> list[str]:
        """Does what is due for one topic, and moves its entry; returns the topics that were written."""
        store = self._store
        hot = store.hot.look(topic)
        if hot is None or hot.number != number:  # removed, perhaps begun anew
            return self._move(number, topic, None, keys.END)
        spec, events = hot.parent.spec, f"{hot.parent.name}/{EVENTS}"
        if spec.ttl is None:
            return self._move(number, topic, None, keys.END)
        end = self._touched(topic, hot) + spec.ttl
        if stage == keys.TELL:
            if (due := end - (spec.expiring or 0.0)) > now:
                return self._move(number, topic, due, keys.TELL)
            told = life_record(store.writer.epoch, RecordType.TOPIC_EXPIRING, topic, "", now)
            return self._move(number, topic, max(end, now), keys.END, [(events, told)])
        if end > now:  # written since it was told
            due = end - (spec.expiring or 0.0)
            return self._move(number, topic, due, keys.TELL if spec.expiring is not None else keys.END)
        if spec.drained and any(group.stored.of(topic) for group in hot.groups):
            return self._move(number, topic, now + spec.ttl / 10, keys.END)
        if spec.archive is not None and not self._archive(topic, hot, spec):
            return self._move(number, topic, now + _AGAIN, keys.END)
        _, touched = store.writer.expire(topic, hot)
        return [*touched, *self._move(number, topic, None, keys.END)]

    def _touched(self, topic: str, hot: HotTopic) -> float:
        """When a topic was written last, or made."""
        _, created, _ = keys.parse_topic(self._store.rocks.families["topics"].get(topic.encode()))
        last = self._store.hot.end(hot.number, backwards=True)
        return max(created, head_of(last[1]).time / 1e6) if last is not None else created

    def _move(
        self, number: int, topic: str, due: float | None, stage: bytes, entries: list[tuple[str, bytes]] | None = None
    ) -> list[str]:
        batch, handles = WriteBatch(raw_mode=True), self._store.rocks.handles
        batch.delete(self._from, handles["due"])
        if due is not None:
            batch.put(keys.due_key(due, number), stage + topic.encode(), handles["due"])
        _, touched = self._store.writer.commit(entries or [], batch)
        if due is not None:
            self._from = min(self._from, keys.due_key(due, number))  # a clock that was set back
        return list(touched)

    def _archive(self, topic: str, hot: HotTopic, spec: TopicSpec) -> bool:
        """Writes a topic's records to a file of its own, a line of JSON each; False if that fails."""
        parent, _, lite = topic.partition("/")
        folder = Path(spec.archive or "") / quote(parent, safe="")
        name = quote(lite, safe="")[:200]
        path = folder / f"{name}.{hot.number}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            with part.open("w", encoding="utf-8") as file:
                for offset, stored in enumerate(self._store.hot.records(hot.number)):
                    file.write(_line(stored, topic, offset))
            part.replace(path)
        except OSError as error:
            _log.error("the topic %s can't be archived to %s and is kept: %s", topic, folder, error)
            return False
        return True


def _line(stored: bytes, topic: str, offset: int) -> str:
    """A record in CloudEvents' JSON format (https://github.com/cloudevents/spec, v1.0.2), with its topic and offset."""
    import base64

    record = decode(stored, topic, offset)
    event = {
        "specversion": "1.0",
        "id": record.id,
        "source": record.source or "/",
        "type": record.type,
        "time": record.time,
        "subject": record.subject,
        "datacontenttype": record.datacontenttype,
        "traceparent": record.traceparent,
        "topic": topic,
        "offset": offset,
        "data_base64": base64.b64encode(record.body).decode(),
    }
    return json.dumps({name: value for name, value in event.items() if value != ""}, ensure_ascii=False) + "\n"
