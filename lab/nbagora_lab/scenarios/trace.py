"""The trace of a run: what was recorded on which topic, one line a record, the same for two runs that did the same.

A trace is a file of JSON lines. The first one is the header: format, notebook, parameters, seed, clock, the engines
with the versions that they answered, and the normalisers. Each other line is a record: topic, offset, type, subject,
generation, and the SHA-256 of its normalised body, sorted by topic and offset. No time, path or port is in it.

Some topics have the order of threads rather than of what was said. The life-cycle topics (``_events``) are left out.
The directory, where the tasks of all sessions open and end, and the agents' inboxes are sorted by task, and their
offsets count in that order. In a session, so are the branches of a flow that ran side by side (`scenarios.branches`).
The inbox of an agent in another process has that process's address in its name: the port is taken out, and topics that
then have one name are one, sorted by task.

A trace is read from the store when its kernel is gone; nothing has to be written for it while the notebook runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbagora_lab.core.errors import ScenarioError
from nbagora_lab.scenarios.branches import side_by_side
from nbagora_lab.scenarios.normalise import NORMALISERS, fingerprint, ports

if TYPE_CHECKING:
    from nbagora_lab.broker.broker import Broker
    from nbagora_lab.core.events import Record

__all__ = ["FORMAT", "Trace", "TraceHeader", "TraceLine", "read_trace", "write_trace"]

FORMAT = 1
"""Raised when the header, a line or the order changes; a trace of another format is refused."""

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceHeader:
    """What a trace was made from.

    Attributes:
        format: `FORMAT` of the nbagora that wrote it.
        notebook: The notebook's name without its suffix.
        parameters: The values that it was given.
        seed: Where its ids came from.
        clock: ``virtual`` or ``system``.
        engines: What each engine answered for its name and version, by family; empty where no store was opened.
        normalisers: Names of what was applied to the bodies.
    """

    format: int = FORMAT
    notebook: str
    parameters: dict[str, Any]
    seed: int
    clock: str
    engines: dict[str, str]
    normalisers: tuple[str, ...] = tuple(one.__name__ for one in NORMALISERS)


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One record.

    Attributes:
        topic: Full name, without the ports of addresses in it.
        offset: Its place there.
        type: Dotted type.
        subject: What it is about: for task events the task's id.
        generation: The task's own count; 0 where it is no task event.
        sha256: Of the normalised body, in hexadecimal.
    """

    topic: str
    offset: int
    type: str
    subject: str
    generation: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole trace."""

    header: TraceHeader
    lines: tuple[TraceLine, ...]


def write_trace(
    target: Path, store: Path, *, notebook: str, parameters: Mapping[str, Any], seed: int, clock: str
) -> Trace:
    """Makes the trace of a store that nobody holds.

    Args:
        target: The file to write.
        store: Folder of the lab's store; one that is not there, because no lab was started, has no records.
        notebook: The notebook's name.
        parameters: The values that it was given.
        seed: Where its ids came from.
        clock: ``virtual`` or ``system``.

    Raises:
        StoreError: The store can't be read.
    """
    engines: dict[str, str] = {}
    lines: list[TraceLine] = []
    log = registry = None
    if store.is_dir():
        from nbagora_lab.broker.broker import Broker
        from nbagora_lab.broker.stored import reopen_topics
        from nbagora_lab.core.clock import VirtualClock
        from nbagora_lab.registry.stored import registry_of

        at_rest = VirtualClock()
        log, registry = reopen_topics(store, at_rest), registry_of(store)
    if log is not None:
        try:
            engines["broker"] = log.engine
            lines = list(_lines(Broker(log, at_rest)))
        finally:
            log.close()
    if registry is not None:
        engines["registry"] = registry
    header = TraceHeader(notebook=notebook, parameters=dict(parameters), seed=seed, clock=clock, engines=engines)
    trace = Trace(header, tuple(lines))
    with target.open("w", encoding="utf-8", newline="\n") as file:
        for entry in (asdict(header), *map(asdict, lines)):
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return trace


def read_trace(path: Path | str) -> Trace:
    """Reads what `write_trace` wrote.

    Raises:
        ScenarioError: The file can't be read, is no trace, or has another format.
    """
    try:
        return _parsed(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ScenarioError(
            f"{path} is no trace: {type(error).__name__}: {error}", "a run leaves its trace as <name>.trace.jsonl"
        ) from None


def _parsed(text: str) -> Trace:
    head, *rest, end = text.split("\n")  # names may hold other line separators
    fields = json.loads(head)
    if fields["format"] != FORMAT:
        raise ScenarioError(f"a trace of format {fields['format']}; this nbagora reads {FORMAT}", "run it again")
    if end:
        raise ValueError("its last line was cut off")
    header = TraceHeader(**fields | {"normalisers": tuple(fields["normalisers"])})
    return Trace(header, tuple(TraceLine(**json.loads(line)) for line in rest))


def _lines(broker: Broker) -> Iterator[TraceLine]:
    from nbagora_lab.broker.model import EVENTS, join_topic
    from nbagora_lab.core.events import RecordType
    from nbagora_lab.inspect.directory import DIRECTORY
    from nbagora_lab.inspect.snapshot import SNAPSHOTS

    named: dict[str, list[str]] = {}  # a topic's name once normalised, and the topics that have it
    for parent in broker.topics():
        if parent == SNAPSHOTS:
            continue  # a cache, written when a session happens to be quiet
        for lite in _lites(broker, parent):
            if lite != EVENTS:
                topic = join_topic(parent, lite)
                named.setdefault(ports("", topic), []).append(topic)
    for name, topics in sorted(named.items()):
        records = [record for topic in topics for record in broker.read(topic)]
        first = 0
        if len(topics) > 1 or name == DIRECTORY or any(record.type == RecordType.REQUEST for record in records[:1]):
            records.sort(key=lambda record: (record.subject, record.offset, record.type, fingerprint(record.body)))
        elif records:
            first = records[0].offset
            records = side_by_side(records)
        yield from (_line(name, record, number) for number, record in enumerate(records, first))


def _lites(broker: Broker, parent: str) -> Iterator[str]:
    after = ""
    while names := broker.ls(parent, after=after, limit=_PAGE):
        yield from names
        after = names[-1]


def _line(name: str, record: Record, offset: int) -> TraceLine:
    return TraceLine(name, offset, record.type, record.subject, record.generation, fingerprint(record.body))
