"""Moves a topic to another store, or another engine: its records under their offsets, and its tasks' directory entries.

A file of lines of JSON: a header; one line for each record, in base64 as the store keeps it; one for each chunk of a
large body, before the record that refers to it. Nothing in it says which engine it came from.

An opening of a store has a number, its epoch, and a claim of a higher one fences off the writes of a lower one. Another
store counts anew, so records arrive with epoch 0, and those that were fenced off arrive as `topic.fenced`: they stay
where they were and count for as little.
"""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from nbagora_lab.broker.api import Log, Stored
from nbagora_lab.broker.blobs import CHUNK, BlobRef
from nbagora_lab.broker.model import TopicInfo, split_topic
from nbagora_lab.core.errors import TopicExists, TopicNotFound, UsageError
from nbagora_lab.core.events import Flags, RecordType, decode, encode, head_of
from nbagora_lab.inspect.directory import DIRECTORY

__all__ = ["export_topic", "import_topic"]

_FORMAT = 1
_EPOCH = struct.Struct(">I")
_EPOCH_AT = 2  # in a stored record, see `core.events`
_BATCH = 500


def export_topic(log: Log, topic: str, path: Path) -> int:
    """Writes a topic to a file.

    Args:
        log: Where it is.
        topic: Full name.
        path: The file; one that is there is replaced once the new one is whole.

    Returns:
        Number of its records.

    Raises:
        TopicNotFound: No such topic.
    """
    following, count = log.info(topic).next, 0
    draft = path.with_name(f"{path.name}.new")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"format": _FORMAT, "topic": topic}, ensure_ascii=False) + "\n")
            claims: dict[bytes, int] = {}
            for offset, stored in _all(log, topic):
                if offset >= following:
                    break
                head = head_of(stored)
                if head.flags & Flags.CLAIM:
                    claims[head.subject] = max(head.epoch, claims.get(head.subject, 0))
                if head.flags & Flags.REFERENCE:
                    _write_body(log, BlobRef.parse(stored[head.body_at :]), file)
                fenced = head.epoch < claims.get(head.subject, 0)
                line = {"offset": offset, "stored": _text(_fenced(stored, topic, offset) if fenced else stored)}
                file.write(json.dumps(line) + "\n")
                count += 1
            for offset, stored in _all(log, DIRECTORY) if topic != DIRECTORY else ():
                entry = decode(stored, DIRECTORY, offset)
                if _told(entry.body).get("topic") == topic or entry.subject.encode() in claims:
                    file.write(json.dumps({"entry": _text(stored)}) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def import_topic(log: Log, path: Path) -> TopicInfo:
    """Makes the topic that `export_topic` wrote to a file, under its own name.

    Raises:
        UsageError: The file can't be read, or is none of these.
        TopicExists: The topic is there already.
        TopicNotFound: Its parent isn't.
    """
    header, lines = _read(path)
    with contextlib.closing(lines):
        return _import(log, str(header["topic"]), lines, path)


def _import(log: Log, topic: str, lines: Generator[dict[str, Any]], path: Path) -> TopicInfo:
    parent, _ = split_topic(topic)
    if parent not in log.parents():
        raise TopicNotFound(f"no topic '{parent}'", f"create it first, then import {path.name} again")
    if log.scan(topic, limit=1):
        raise TopicExists(f"the topic {topic} exists", "remove it with %topic rm, or leave it as it is")
    entries: list[tuple[str, bytes]] = []
    tasks: list[tuple[str, bytes]] = []
    chunks: list[bytes] = []
    following = 0
    for line in lines:
        if "chunk" in line:
            chunks.append(_bytes(line["chunk"]))
            continue
        stored = _as_new(_bytes(line.get("stored") or line["entry"]))
        if "entry" in line:
            tasks.append((DIRECTORY, stored))
            continue
        if head_of(stored).flags & Flags.REFERENCE:
            _flush(log, entries)
            log.stage(chunks)
            chunks = []
        gap = encode(RecordType.TOPIC_GAP, b"", datacontenttype=b"application/octet-stream")
        entries += [(topic, gap)] * (line["offset"] - following)  # what was removed before keeps its place
        entries.append((topic, stored))
        following = line["offset"] + 1
        if len(entries) >= _BATCH:
            _flush(log, entries)
    _flush(log, entries)
    if tasks:
        log.append(tasks)
    return log.info(topic)


def _flush(log: Log, entries: list[tuple[str, bytes]]) -> None:
    if entries:
        log.append(entries)
        entries.clear()


def _all(log: Log, topic: str) -> Iterator[Stored]:
    after = -1
    while batch := log.scan(topic, after=after):
        yield from batch
        after = batch[-1][0]


def _fenced(stored: bytes, topic: str, offset: int) -> bytes:
    record = decode(stored, topic, offset)
    return encode("topic.fenced", record.body, source=record.source.encode(), time=record.time)


def _as_new(stored: bytes) -> bytes:
    """A record with the epoch 0."""
    return stored[:_EPOCH_AT] + _EPOCH.pack(0) + stored[_EPOCH_AT + _EPOCH.size :]


def _write_body(log: Log, ref: BlobRef, file: Any) -> None:
    with log.open_body(ref) as body:
        while chunk := body.read(CHUNK):
            file.write(json.dumps({"chunk": _text(chunk)}) + "\n")


def _told(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _read(path: Path) -> tuple[dict[str, Any], Generator[dict[str, Any]]]:
    """An export's header, and its other lines, which the caller closes."""

    def lines() -> Generator[dict[str, Any]]:
        with path.open(encoding="utf-8") as file:
            for text in file:
                yield json.loads(text)

    found = lines()
    try:
        header = next(found)
        known = header["format"]
        split_topic(header["topic"])
    except (OSError, ValueError, LookupError, TypeError, StopIteration) as error:
        found.close()
        raise UsageError(f"{path} is no exported topic: {error}", "%topic export TOPIC FILE writes one") from None
    if known != _FORMAT:
        found.close()
        raise UsageError(f"{path} has format {known}, this nbagora reads {_FORMAT}", "export it anew")
    return header, found


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
