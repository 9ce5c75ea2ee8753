"""The embedded registry's rows: looking things up by their names, and making the room's records of them.

Every function here runs within the transaction that its caller opened.
"""

from __future__ import annotations

import json
from typing import Any

from nbagora_lab.core.errors import AgentNotFound, VersionExists, VersionNotFound, WrongState, did_you_mean
from nbagora_lab.registry.card import difference
from nbagora_lab.registry.model import LATEST, NAMESPACE, NOUNS, AgentVersion, Draft, Kind, State
from nbagora_lab.registry.names import is_version
from nbagora_lab.registry.sqlite import Run

__all__ = [
    "FIRST",
    "VERSION",
    "agent_version",
    "entry_of",
    "known",
    "label_refused",
    "latest_of",
    "next_version",
    "published",
    "signed_of",
    "state_of",
    "users_of",
    "version_exists",
    "version_id",
    "version_not_found",
]

_NEAR = 1000  # names that a "did you mean" is chosen from

VERSION = """
    SELECT e.namespace, e.name, v.version, v.hash, v.content, v.published,
        (SELECT group_concat(label, ' ') FROM labels WHERE entry = v.entry AND version = v.version),
        e.kind, coalesce((SELECT state FROM states WHERE version = v.id), 'published'), e.owner, e.private
    FROM versions v JOIN entries e ON e.id = v.entry
"""
"""Selects what `agent_version` takes."""


def agent_version(row: tuple[Any, ...]) -> AgentVersion:
    """A version, from a row of `VERSION`."""
    namespace, name, version, digest, content, time, labels, kind, state, owner, private = row
    return AgentVersion(
        namespace=namespace,
        name=name,
        version=version,
        hash=digest,
        card=json.loads(content) | {"version": version},
        published=time,
        labels=tuple(sorted((labels or "").split())),
        kind=kind,
        state=state,
        owner=owner,
        private=bool(private),
    )


def entry_of(run: Run, kind: Kind, namespace: str, name: str) -> int | None:
    """The number of a thing, None if there is none."""
    row = run(
        "SELECT id FROM entries WHERE kind = ? AND namespace = ? AND name = ?", (kind, namespace, name)
    ).fetchone()
    return row[0] if row else None


def known(run: Run, kind: Kind, namespace: str, name: str) -> int:
    """The number of a thing.

    Raises:
        AgentNotFound: There is none.
    """
    entry = entry_of(run, kind, namespace, name)
    if entry is None:
        rows = run("SELECT name FROM entries WHERE kind = ? AND namespace = ? LIMIT ?", (kind, namespace, _NEAR))
        where = "" if namespace == NAMESPACE else f" in the namespace '{namespace}'"
        raise AgentNotFound(f"no {NOUNS[kind]} '{name}'{where}", did_you_mean(name, (near for (near,) in rows)))
    return entry


def latest_of(run: Run, entry: int) -> Any:
    """Version, hash and content of what ``latest`` points at, None if it points nowhere."""
    return run(
        "SELECT v.version, v.hash, v.content FROM labels l JOIN versions v ON v.entry = l.entry "
        "AND v.version = l.version WHERE l.entry = ? AND l.label = ?",
        (entry, LATEST),
    ).fetchone()


def published(run: Run, entry: int, version: str) -> Any:
    """Version, hash and content of a version, None if there is none."""
    return run(
        "SELECT version, hash, content FROM versions WHERE entry = ? AND version = ?", (entry, version)
    ).fetchone()


FIRST = "0.0.1"
"""The version of a thing that has none, where nobody gives another."""


def next_version(run: Run, entry: int) -> str:
    """The next ``0.0.N`` of a thing."""
    [highest] = run(
        "SELECT max(automatic) FROM versions WHERE entry = ? AND automatic IS NOT NULL", (entry,)
    ).fetchone()
    return f"0.0.{(highest or 0) + 1}"


def version_id(run: Run, entry: int, version: str) -> int:
    """The number of a version that exists."""
    [number] = run("SELECT id FROM versions WHERE entry = ? AND version = ?", (entry, version)).fetchone()
    return int(number)


def state_of(run: Run, entry: int, version: str) -> State:
    """The state of a version that exists."""
    row = run("SELECT state FROM states WHERE version = ?", (version_id(run, entry, version),)).fetchone()
    state: State = row[0] if row else "published"
    return state


def signed_of(run: Run, entry: int, version: str) -> dict[str, Any] | None:
    """The signed card that a version which exists was published with, None where it was not signed."""
    row = run("SELECT card FROM signed WHERE version = ?", (version_id(run, entry, version),)).fetchone()
    return json.loads(row[0]) if row else None


def users_of(run: Run, kind: Kind, namespace: str, name: str) -> list[tuple[AgentVersion, str]]:
    """The versions under a label that use a thing, and the version or label of it that each uses."""
    rows = run(
        "SELECT u.version, u.ref FROM links u JOIN versions v ON v.id = u.version "
        "JOIN entries e ON e.id = v.entry WHERE u.kind = ? AND u.name = ? AND e.namespace = ? AND EXISTS "
        "(SELECT 1 FROM labels l WHERE l.entry = v.entry AND l.version = v.version) "
        "ORDER BY e.kind, e.name, v.id",
        (kind, name, namespace),
    ).fetchall()
    return [(agent_version(run(f"{VERSION} WHERE v.id = ?", (number,)).fetchone()), ref) for number, ref in rows]


def version_not_found(run: Run, entry: int, name: str, ref: str) -> VersionNotFound:
    """The error for a version or label that a thing lacks."""
    versions = run("SELECT version FROM versions WHERE entry = ? ORDER BY id DESC LIMIT ?", (entry, _NEAR))
    labels = run("SELECT label FROM labels WHERE entry = ?", (entry,))
    kind = "version" if is_version(ref) else "label"
    return VersionNotFound(
        f"'{name}' has no {kind} '{ref}'", did_you_mean(ref, [near for (near,) in (*versions, *labels)])
    )


def version_exists(draft: Draft, version: str, there: dict[str, Any]) -> VersionExists:
    """The error for a version that has other content."""
    places = list(difference(there, draft.card))
    more = f"; and {len(places) - 3} more" if len(places) > 3 else ""
    return VersionExists(
        f"'{draft.name}' {version} is published with other content: {'; '.join(places[:3])}{more}",
        "publish it as another version, or without one for the next 0.0.N; versions never change",
    )


def label_refused(name: str, version: str, state: str) -> WrongState:
    """The error for a label that is put on a version which nobody may be led to."""
    hint = "approve it first" if state == "draft" else "point the label at another version; withdrawn ones stay so"
    return WrongState(f"'{name}' {version} is {'a draft' if state == 'draft' else state}", hint)
