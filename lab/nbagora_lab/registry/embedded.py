"""The embedded engine: a registry in one SQLite file (`schema` has its layout, `sqlite` its transactions).

| operation | one transaction of | cost follows |
|---|---|---|
| publish | the version, its change, and what label does | the card |
| label | the label, its change; for ``latest`` the index of the version it leaves and of the one it gets | the card |
| register | the endpoint, its change; first what `expire` does | what ran out |
| renew | one row | one row |
| expire | the rows that ran out, a change each; nothing due: a read | what ran out |
| find | a read, driven by the full-text index, else a facet, else the name | what matches |

A crash leaves a whole transaction or nothing of it. Threads: any; see `sqlite`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import AgentNotFound, EndpointNotFound, VersionExists, VersionNotFound, did_you_mean
from nbagora_lab.core.ids import Ids
from nbagora_lab.registry import index
from nbagora_lab.registry.card import difference
from nbagora_lab.registry.model import (
    LATEST,
    AgentVersion,
    Change,
    Draft,
    Endpoint,
    Found,
    Published,
    Query,
    automatic_number,
    is_version,
)
from nbagora_lab.registry.schema import APPLICATION_ID, MIGRATIONS
from nbagora_lab.registry.sqlite import Run, SqliteStore

__all__ = ["EmbeddedCatalog"]

_KIND = "agent"
_NEAR = 1000  # names that a "did you mean" is chosen from

_VERSION = """
    SELECT e.namespace, e.name, v.version, v.hash, v.content, v.published,
        (SELECT group_concat(label, ' ') FROM labels WHERE entry = v.entry AND version = v.version)
    FROM versions v JOIN entries e ON e.id = v.entry
"""
_ENDPOINT = """
    SELECT p.id, p.epoch, e.namespace, e.name, p.version, p.url, p.transport, p.lease, p.registered, p.expires
    FROM endpoints p JOIN entries e ON e.id = p.entry
"""


class EmbeddedCatalog:
    """A registry in one file; several processes may hold it open.

    Args:
        path: The file; it and its folder are made if absent.
        clock: Time of publication and of leases.
        ids: Makes the endpoints' ids.
        durability: ``os`` or ``fsync``.
        patience: Seconds to wait for another process that writes.

    Raises:
        StoreLocked: Another process kept it locked for longer than `patience`.
        StoreReadOnly: The file or its folder can't be written.
        StoreTooNew: A later version of nbagora wrote it.
        StoreCorrupt: It is damaged, or no registry.
    """

    engine = "embedded"
    capabilities = frozenset({"changes", "labels", "text"})

    def __init__(self, path: Path, *, clock: Clock, ids: Ids, durability: str = "os", patience: float = 5.0) -> None:
        self._clock = clock
        self._ids = ids
        self._store = SqliteStore(
            path, MIGRATIONS, application_id=APPLICATION_ID, durability=durability, patience=patience
        )

    def close(self) -> None:
        """See `Catalog.close`."""
        self._store.close()

    # -- versions and labels ---------------------------------------------------------------------------------------

    def publish(self, draft: Draft, *, version: str | None = None) -> Published:
        """See `Catalog.publish`."""
        with self._store.writing() as run:
            entry = _entry(run, draft.namespace, draft.name)
            if entry is None:
                cursor = run("INSERT INTO entries VALUES (NULL, ?, ?, ?)", (_KIND, draft.namespace, draft.name))
                entry = cursor.lastrowid
            assert entry is not None
            there = _latest(run, entry) if version is None else _published(run, entry, version)
            if there is not None and there[1] == draft.hash:
                return Published(
                    namespace=draft.namespace, name=draft.name, version=there[0], hash=draft.hash, new=False
                )
            if version is None:
                version = _next_version(run, entry)
            elif there is not None:
                raise _version_exists(draft, version, json.loads(there[2]))
            self._insert(run, entry, draft, version)
            return Published(namespace=draft.namespace, name=draft.name, version=version, hash=draft.hash, new=True)

    def _insert(self, run: Run, entry: int, draft: Draft, version: str) -> None:
        now = self._clock.now()
        content = json.dumps(draft.card, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        run(
            "INSERT INTO versions VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (entry, version, automatic_number(version), draft.hash, content, now),
        )
        _note(run, now, "published", (draft.namespace, draft.name, version), {})
        self._point(run, entry, (draft.namespace, draft.name), LATEST, version)

    def _point(self, run: Run, entry: int, who: tuple[str, str], label: str, version: str) -> bool:
        """Moves a label; the index follows ``latest``."""
        row = run("SELECT version FROM labels WHERE entry = ? AND label = ?", (entry, label)).fetchone()
        before: str | None = row[0] if row else None
        if before == version:
            return False
        run(
            "INSERT INTO labels VALUES (?, ?, ?) ON CONFLICT (entry, label) DO UPDATE SET version = excluded.version",
            (entry, label, version),
        )
        detail = {"label": label} | ({"from": before} if before is not None else {})
        _note(run, self._clock.now(), "label.moved", (*who, version), detail)
        if label == LATEST:
            if before is not None:
                index.leave(run, _version_id(run, entry, before))
            index.enter(run, _version_id(run, entry, version))
        return True

    def label(self, namespace: str, name: str, label: str, version: str) -> bool:
        """See `Catalog.label`."""
        with self._store.writing() as run:
            entry = _known(run, namespace, name)
            if _published(run, entry, version) is None:
                raise _version_not_found(run, entry, name, version)
            return self._point(run, entry, (namespace, name), label, version)

    def labels(self, namespace: str, name: str) -> dict[str, str]:
        """See `Catalog.labels`."""
        with self._store.reading() as run:
            entry = _known(run, namespace, name)
            return dict(run("SELECT label, version FROM labels WHERE entry = ? ORDER BY label", (entry,)))

    def get(self, namespace: str, name: str, ref: str) -> AgentVersion:
        """See `Catalog.get`."""
        with self._store.reading() as run:
            entry = _known(run, namespace, name)
            version = ref
            if not is_version(ref):
                row = run("SELECT version FROM labels WHERE entry = ? AND label = ?", (entry, ref)).fetchone()
                version = row[0] if row else ""
            found = run(f"{_VERSION} WHERE v.entry = ? AND v.version = ?", (entry, version)).fetchone()
            if found is None:
                raise _version_not_found(run, entry, name, ref)
            return _agent_version(found)

    def versions(self, namespace: str, name: str) -> list[AgentVersion]:
        """See `Catalog.versions`."""
        with self._store.reading() as run:
            entry = _known(run, namespace, name)
            return [_agent_version(row) for row in run(f"{_VERSION} WHERE v.entry = ? ORDER BY v.id DESC", (entry,))]

    # -- search ----------------------------------------------------------------------------------------------------

    def ls(self, namespace: str, *, after: str = "", limit: int = 1000) -> list[AgentVersion]:
        """See `Catalog.ls`."""
        with self._store.reading() as run:
            rows = run(
                f"{_VERSION} JOIN labels l ON l.entry = e.id AND l.label = ? AND l.version = v.version "
                "WHERE e.kind = ? AND e.namespace = ? AND e.name > ? ORDER BY e.name LIMIT ?",
                (LATEST, _KIND, namespace, after, limit),
            )
            return [_agent_version(row) for row in rows]

    def find(self, query: Query) -> list[Found]:
        """See `Catalog.find`."""
        search = index.Search.of(query)
        if search is None:
            return []  # a text without a word is on no card
        with self._store.reading() as run:
            results = []
            for version, score in run(search.sql, search.parameters).fetchall():
                agent = _agent_version(run(f"{_VERSION} WHERE v.id = ?", (version,)).fetchone())
                results.append(Found(agent=agent, score=score, why=index.why(run, query, search, agent.card, version)))
            return results

    # -- endpoints -------------------------------------------------------------------------------------------------

    def register(self, namespace: str, name: str, version: str, url: str, transport: str, lease: float) -> Endpoint:
        """See `Catalog.register`."""
        with self._store.writing() as run:
            entry = _known(run, namespace, name)
            if _published(run, entry, version) is None:
                raise _version_not_found(run, entry, name, version)
            now = self._clock.now()
            self._expire(run, now)
            place = (entry, version, url, transport)
            former = run(
                "SELECT id FROM endpoints WHERE entry = ? AND version = ? AND url = ? AND transport = ?", place
            ).fetchone()
            epoch = _revision(run) + 1
            # the epoch in the scope: an id is not made twice, even by seeded ids over a store that was opened again
            fresh = self._ids.new("endpoint", f"{namespace}/{name}@{epoch}")
            detail = {"id": fresh, "url": url, "transport": transport}
            if former:
                detail["replaces"] = former[0]
                run("DELETE FROM endpoints WHERE id = ?", former)
            _note(run, now, "endpoint.up", (namespace, name, version), detail)
            run(
                "INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (fresh, epoch, *place, lease, now, now + lease),
            )
            return _endpoint(run(f"{_ENDPOINT} WHERE p.id = ?", (fresh,)).fetchone())

    def renew(self, id: str) -> Endpoint:  # noqa: A002 -- the endpoint's own word
        """See `Catalog.renew`."""
        with self._store.writing() as run:
            now = self._clock.now()
            if not run(
                "UPDATE endpoints SET expires = ? + lease WHERE id = ? AND expires > ?", (now, id, now)
            ).rowcount:
                raise EndpointNotFound(
                    f"the endpoint {id} is no longer live",
                    "its lease ran out or was taken over: register the place again",
                )
            return _endpoint(run(f"{_ENDPOINT} WHERE p.id = ?", (id,)).fetchone())

    def deregister(self, id: str) -> bool:  # noqa: A002 -- the endpoint's own word
        """See `Catalog.deregister`."""
        with self._store.writing() as run:
            now = self._clock.now()
            row = run(f"{_ENDPOINT} WHERE p.id = ? AND p.expires > ?", (id, now)).fetchone()
            if row is None:
                return False
            _take_down(run, now, _endpoint(row), "deregistered")
            return True

    def endpoints(self, namespace: str, name: str, version: str | None = None) -> list[Endpoint]:
        """See `Catalog.endpoints`."""
        with self._store.reading() as run:
            entry = _known(run, namespace, name)
            which, versions = ("AND p.version = ?", (version,)) if version is not None else ("", ())
            rows = run(
                f"{_ENDPOINT} WHERE p.entry = ? {which} AND p.expires > ? ORDER BY p.epoch DESC",
                (entry, *versions, self._clock.now()),
            )
            return [_endpoint(row) for row in rows]

    def expire(self) -> float | None:
        """See `Catalog.expire`."""
        now = self._clock.now()
        with self._store.reading() as run:
            deadline = _deadline(run)
        if deadline is not None and deadline <= now:
            with self._store.writing() as run:
                self._expire(run, now)
                deadline = _deadline(run)
        return None if deadline is None else max(0.0, deadline - now)

    def _expire(self, run: Run, now: float) -> None:
        for row in run(f"{_ENDPOINT} WHERE p.expires <= ? ORDER BY p.expires, p.epoch", (now,)).fetchall():
            _take_down(run, now, _endpoint(row), "expired")

    # -- changes ---------------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """See `Catalog.revision`."""
        with self._store.reading() as run:
            return _revision(run)

    def changed_since(self, revision: int, *, limit: int = 1000) -> list[Change]:
        """See `Catalog.changed_since`."""
        with self._store.reading() as run:
            rows = run("SELECT * FROM changes WHERE revision > ? ORDER BY revision LIMIT ?", (revision, limit))
            return [
                Change(
                    revision=number, time=time, type=what, namespace=space, name=name, version=version,
                    detail=json.loads(detail),
                )
                for number, time, what, space, name, version, detail in rows
            ]  # fmt: skip


# -- rows --------------------------------------------------------------------------------------------------------------


def _entry(run: Run, namespace: str, name: str) -> int | None:
    row = run(
        "SELECT id FROM entries WHERE kind = ? AND namespace = ? AND name = ?", (_KIND, namespace, name)
    ).fetchone()
    return row[0] if row else None


def _known(run: Run, namespace: str, name: str) -> int:
    entry = _entry(run, namespace, name)
    if entry is None:
        rows = run("SELECT name FROM entries WHERE kind = ? AND namespace = ? LIMIT ?", (_KIND, namespace, _NEAR))
        where = "" if namespace == "public" else f" in the namespace '{namespace}'"
        raise AgentNotFound(f"no agent '{name}'{where}", did_you_mean(name, (near for (near,) in rows)))
    return entry


def _latest(run: Run, entry: int) -> Any:
    return run(
        "SELECT v.version, v.hash FROM labels l JOIN versions v ON v.entry = l.entry AND v.version = l.version "
        "WHERE l.entry = ? AND l.label = ?",
        (entry, LATEST),
    ).fetchone()


def _published(run: Run, entry: int, version: str) -> Any:
    return run(
        "SELECT version, hash, content FROM versions WHERE entry = ? AND version = ?", (entry, version)
    ).fetchone()


def _next_version(run: Run, entry: int) -> str:
    [highest] = run(
        "SELECT max(automatic) FROM versions WHERE entry = ? AND automatic IS NOT NULL", (entry,)
    ).fetchone()
    return f"0.0.{(highest or 0) + 1}"


def _version_id(run: Run, entry: int, version: str) -> int:
    [number] = run("SELECT id FROM versions WHERE entry = ? AND version = ?", (entry, version)).fetchone()
    return int(number)


def _revision(run: Run) -> int:
    [revision] = run("SELECT max(revision) FROM changes").fetchone()
    return revision or 0


def _deadline(run: Run) -> float | None:
    [deadline] = run("SELECT min(expires) FROM endpoints").fetchone()
    return None if deadline is None else float(deadline)


def _note(run: Run, now: float, what: str, whose: tuple[str, str, str], detail: dict[str, str]) -> None:
    run(
        "INSERT INTO changes (time, type, namespace, name, version, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (now, what, *whose, json.dumps(detail, ensure_ascii=False)),
    )


def _take_down(run: Run, now: float, endpoint: Endpoint, reason: str) -> None:
    run("DELETE FROM endpoints WHERE id = ?", (endpoint.id,))
    detail = {"id": endpoint.id, "url": endpoint.url, "transport": endpoint.transport, "reason": reason}
    _note(run, now, "endpoint.down", (endpoint.namespace, endpoint.name, endpoint.version), detail)


def _agent_version(row: tuple[Any, ...]) -> AgentVersion:
    namespace, name, version, digest, content, published, labels = row
    return AgentVersion(
        namespace=namespace,
        name=name,
        version=version,
        hash=digest,
        card=json.loads(content) | {"version": version},
        published=published,
        labels=tuple(sorted((labels or "").split())),
    )


def _endpoint(row: tuple[Any, ...]) -> Endpoint:
    return Endpoint(**dict(zip(Endpoint.model_fields, row, strict=True)))


def _version_not_found(run: Run, entry: int, name: str, ref: str) -> VersionNotFound:
    versions = run("SELECT version FROM versions WHERE entry = ? ORDER BY id DESC LIMIT ?", (entry, _NEAR))
    labels = run("SELECT label FROM labels WHERE entry = ?", (entry,))
    kind = "version" if is_version(ref) else "label"
    return VersionNotFound(
        f"'{name}' has no {kind} '{ref}'", did_you_mean(ref, [known for (known,) in (*versions, *labels)])
    )


def _version_exists(draft: Draft, version: str, published: dict[str, Any]) -> VersionExists:
    places = list(difference(published, draft.card))
    more = f"; and {len(places) - 3} more" if len(places) > 3 else ""
    return VersionExists(
        f"'{draft.name}' {version} is published with other content: {'; '.join(places[:3])}{more}",
        "publish it as another version, or without one for the next 0.0.N; versions never change",
    )
