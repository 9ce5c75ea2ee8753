"""The embedded engine: a registry in one SQLite file (`schema` has its layout, `sqlite` its transactions).

| operation | one transaction of | cost follows |
|---|---|---|
| publish | the version, its links, its change, and what label does | the card |
| label, unlabel | the label, its change; the index of whatever lost its last label or got its first | the card |
| set_state | the state, its change; a draft that is approved also what label does | the card |
| register | the endpoint, its change; first what `expire` does | what ran out |
| renew | one row | one row |
| mark, deregister | one row, its change | one row |
| set_rule, put, own, refuse | one row, its change | one row |
| expire | the rows that ran out, a change each; nothing due: a read | what ran out |
| find | a read, driven by words, the rarest filter, or the name; first the index takes in what waits | what matches |
| verify | a read of all changes | all changes |

A crash leaves a whole transaction or nothing of it. Threads: any; see `sqlite`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbagora_lab.core.clock import Clock
from nbagora_lab.core.ids import Ids
from nbagora_lab.registry import audit, index, leases, life
from nbagora_lab.registry.api import CAPABILITIES
from nbagora_lab.registry.audit import note
from nbagora_lab.registry.change import Change, Seal, Verdict
from nbagora_lab.registry.model import (
    LATEST,
    LOCAL,
    AgentVersion,
    By,
    Draft,
    Endpoint,
    EndpointState,
    Found,
    Kind,
    Published,
    Query,
    State,
)
from nbagora_lab.registry.names import is_version
from nbagora_lab.registry.rows import (
    VERSION,
    agent_version,
    entry_of,
    known,
    published,
    signed_of,
    users_of,
    version_not_found,
)
from nbagora_lab.registry.schema import APPLICATION_ID, MIGRATIONS
from nbagora_lab.registry.sqlite import Run, SqliteStore

__all__ = ["EmbeddedCatalog"]


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
    capabilities = frozenset(CAPABILITIES)

    def __init__(self, path: Path, *, clock: Clock, ids: Ids, durability: str = "os", patience: float = 5.0) -> None:
        self._clock = clock
        self._ids = ids
        self._store = self._open(path, durability, patience)

    def _open(self, path: Path, durability: str, patience: float) -> SqliteStore:
        return SqliteStore(path, MIGRATIONS, application_id=APPLICATION_ID, durability=durability, patience=patience)

    def close(self) -> None:
        """See `Catalog.close`."""
        self._store.close()

    # -- versions and labels ---------------------------------------------------------------------------------------

    def publish(
        self,
        draft: Draft,
        *,
        version: str | None = None,
        state: State = "published",
        private: bool = False,
        as_owner: bool = False,
        by: By = LOCAL,
    ) -> Published:
        """See `Catalog.publish`."""
        thing = (draft.kind, draft.namespace, draft.name)
        with self._store.writing() as run:
            entry = entry_of(run, *thing)
            first = entry is None
            if entry is None:
                entry = run("INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?)", (*thing, by.who, private)).lastrowid
            elif as_owner:
                life.check_owner(run, entry, thing, by)
            assert entry is not None
            version, state, new = life.make(run, self._clock.now(), entry, draft, version, state, by, first=first)
        return Published(
            namespace=draft.namespace,
            name=draft.name,
            version=version,
            hash=draft.hash,
            new=new,
            kind=draft.kind,
            state=state,
        )

    def label(
        self, namespace: str, name: str, label: str, version: str, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """See `Catalog.label`."""
        with self._store.writing() as run:
            entry = known(run, kind, namespace, name)
            if published(run, entry, version) is None:
                raise version_not_found(run, entry, name, version)
            return life.point(run, self._clock.now(), entry, (kind, namespace, name), label, version, by)

    def unlabel(self, namespace: str, name: str, label: str, *, kind: Kind = "agent", by: By = LOCAL) -> bool:
        """See `Catalog.unlabel`."""
        with self._store.writing() as run:
            entry = known(run, kind, namespace, name)
            return life.unlabel(run, self._clock.now(), entry, (kind, namespace, name), label, by)

    def rollback(self, namespace: str, name: str, label: str, *, kind: Kind = "agent", by: By = LOCAL) -> Change:
        """See `Catalog.rollback`."""
        with self._store.writing() as run:
            entry = known(run, kind, namespace, name)
            life.rollback(run, self._clock.now(), entry, (kind, namespace, name), label, by)
            return audit.changes_since(run, audit.revision_of(run) - 1, 1)[0]

    def set_state(
        self, namespace: str, name: str, version: str, state: State, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """See `Catalog.set_state`."""
        with self._store.writing() as run:
            entry = known(run, kind, namespace, name)
            return life.set_state(run, self._clock.now(), entry, (kind, namespace, name), version, state, by)

    def labels(self, namespace: str, name: str, *, kind: Kind = "agent") -> dict[str, str]:
        """See `Catalog.labels`."""
        with self._store.reading() as run:
            entry = known(run, kind, namespace, name)
            return dict(run("SELECT label, version FROM labels WHERE entry = ? ORDER BY label", (entry,)))

    def get(self, namespace: str, name: str, ref: str, *, kind: Kind = "agent") -> AgentVersion:
        """See `Catalog.get`."""
        with self._store.reading() as run:
            entry = known(run, kind, namespace, name)
            version = ref
            if not is_version(ref):
                row = run("SELECT version FROM labels WHERE entry = ? AND label = ?", (entry, ref)).fetchone()
                version = row[0] if row else ""
            found = run(f"{VERSION} WHERE v.entry = ? AND v.version = ?", (entry, version)).fetchone()
            if found is None:
                raise version_not_found(run, entry, name, ref)
            return agent_version(found)

    def signed(self, namespace: str, name: str, ref: str, *, kind: Kind = "agent") -> dict[str, Any] | None:
        """See `Catalog.signed`."""
        version = self.get(namespace, name, ref, kind=kind).version
        with self._store.reading() as run:
            return signed_of(run, known(run, kind, namespace, name), version)

    def versions(self, namespace: str, name: str, *, kind: Kind = "agent") -> list[AgentVersion]:
        """See `Catalog.versions`."""
        with self._store.reading() as run:
            entry = known(run, kind, namespace, name)
            return [agent_version(row) for row in run(f"{VERSION} WHERE v.entry = ? ORDER BY v.id DESC", (entry,))]

    def users(self, namespace: str, name: str, *, kind: Kind = "agent") -> list[tuple[AgentVersion, str]]:
        """See `Catalog.users`."""
        with self._store.reading() as run:
            return users_of(run, kind, namespace, name)

    # -- search ----------------------------------------------------------------------------------------------------

    def ls(self, namespace: str, *, after: str = "", limit: int = 1000, kind: Kind = "agent") -> list[AgentVersion]:
        """See `Catalog.ls`."""
        with self._store.reading() as run:
            rows = run(
                f"{VERSION} JOIN labels l ON l.entry = e.id AND l.label = ? AND l.version = v.version "
                "WHERE e.kind = ? AND e.namespace = ? AND e.name > ? ORDER BY e.name LIMIT ?",
                (LATEST, kind, namespace, after, limit),
            )
            return [agent_version(row) for row in rows]

    def find(self, query: Query) -> list[Found]:
        """See `Catalog.find`."""
        with self._searching() as run:
            return index.find(run, query, self._clock.now())

    def counts(self, query: Query) -> dict[str, dict[str, int]]:
        """See `Catalog.counts`."""
        with self._searching() as run:
            return index.counts(run, query, self._clock.now())

    @contextmanager
    def _searching(self) -> Iterator[Run]:
        """A read of an index that has all that was published before."""
        with self._store.reading() as run:
            if not index.is_behind(run):
                yield run
                return
        with self._store.writing() as run:
            index.catch_up(run)
        with self._store.reading() as run:
            yield run

    # -- endpoints -------------------------------------------------------------------------------------------------

    def register(
        self,
        namespace: str,
        name: str,
        version: str,
        url: str,
        transport: str,
        lease: float,
        *,
        kind: Kind = "agent",
        weight: float = 1.0,
        zone: str = "",
        tenant: str = "",
        by: By = LOCAL,
    ) -> Endpoint:
        """See `Catalog.register`."""
        with self._store.writing() as run:
            entry = known(run, kind, namespace, name)
            if published(run, entry, version) is None:
                raise version_not_found(run, entry, name, version)
            place = (url, transport, lease, weight, zone, tenant)
            return leases.register(
                run, self._ids, self._clock.now(), entry, (kind, namespace, name, version), place, by
            )

    def renew(self, id: str) -> Endpoint:  # noqa: A002 -- the endpoint's own word
        """See `Catalog.renew`."""
        with self._store.writing() as run:
            return leases.renew(run, self._clock.now(), id)

    def mark(self, id: str, state: EndpointState, reason: str = "", *, by: By = LOCAL) -> bool:  # noqa: A002
        """See `Catalog.mark`."""
        with self._store.writing() as run:
            return leases.mark(run, self._clock.now(), id, state, reason, by)

    def deregister(self, id: str, *, by: By = LOCAL) -> bool:  # noqa: A002 -- the endpoint's own word
        """See `Catalog.deregister`."""
        with self._store.writing() as run:
            return leases.deregister(run, self._clock.now(), id, by)

    def endpoints(
        self, namespace: str, name: str, version: str | None = None, *, kind: Kind = "agent"
    ) -> list[Endpoint]:
        """See `Catalog.endpoints`."""
        with self._store.reading() as run:
            return leases.live(run, self._clock.now(), known(run, kind, namespace, name), version)

    def all_endpoints(self, *, kind: Kind = "agent") -> list[Endpoint]:
        """See `Catalog.all_endpoints`."""
        with self._store.reading() as run:
            return leases.all_live(run, self._clock.now(), kind)

    def expire(self) -> float | None:
        """See `Catalog.expire`."""
        now = self._clock.now()
        with self._store.reading() as run:
            deadline = leases.deadline(run)
        if deadline is not None and deadline <= now:
            with self._store.writing() as run:
                leases.expire(run, now)
                deadline = leases.deadline(run)
        return None if deadline is None else max(0.0, deadline - now)

    # -- what stands beside versions: rules, policies, tokens, owners ------------------------------------------------

    def set_rule(
        self, namespace: str, name: str, rule: dict[str, Any] | None, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """See `Catalog.set_rule`."""
        thing = (kind, namespace, name)
        with self._store.writing() as run:
            entry = known(run, kind, namespace, name)
            before = life.document(run, "rule", namespace, life.rule_key(thing))
            if before == rule:
                return False
            if rule is not None:
                life.check_leads(run, entry, name, rule["needs"])
            life.set_document(run, "rule", namespace, life.rule_key(thing), rule)
            note(run, self._clock.now(), "rule.changed", (*thing, ""), {"from": before, "to": rule}, by)
            return True

    def rule(self, namespace: str, name: str, *, kind: Kind = "agent") -> dict[str, Any] | None:
        """See `Catalog.rule`."""
        return self.document("rule", namespace, life.rule_key((kind, namespace, name)))

    def put(
        self,
        type: str,  # noqa: A002 -- the document's own word
        namespace: str,
        key: str,
        value: dict[str, Any] | None,
        *,
        told: dict[str, Any],
        by: By = LOCAL,
    ) -> bool:
        """See `Catalog.put`."""
        with self._store.writing() as run:
            if life.document(run, type, namespace, key) == value:
                return False
            life.set_document(run, type, namespace, key, value)
            note(run, self._clock.now(), "access.changed", ("agent", namespace, "", ""), {"set": type} | told, by)
            return True

    def document(self, type: str, namespace: str, key: str) -> dict[str, Any] | None:  # noqa: A002
        """See `Catalog.document`."""
        with self._store.glancing() as run:
            return life.document(run, type, namespace, key)

    def documents(self, type: str, namespace: str | None = None) -> dict[tuple[str, str], dict[str, Any]]:  # noqa: A002
        """See `Catalog.documents`."""
        which, values = ("", ()) if namespace is None else (" AND namespace = ?", (namespace,))
        with self._store.reading() as run:
            rows = run(
                f"SELECT namespace, key, value FROM documents WHERE type = ?{which} ORDER BY namespace, key",
                (type, *values),
            )
            return {(space, key): json.loads(value) for space, key, value in rows}

    def own(
        self,
        namespace: str,
        name: str,
        *,
        kind: Kind = "agent",
        owner: str | None = None,
        private: bool | None = None,
        by: By = LOCAL,
    ) -> bool:
        """See `Catalog.own`."""
        with self._store.writing() as run:
            entry = known(run, kind, namespace, name)
            before = run("SELECT owner, private FROM entries WHERE id = ?", (entry,)).fetchone()
            after = (before[0] if owner is None else owner, before[1] if private is None else int(private))
            if before == after:
                return False
            run("UPDATE entries SET owner = ?, private = ? WHERE id = ?", (*after, entry))
            detail = {"owner": after[0], "private": bool(after[1])}
            note(run, self._clock.now(), "access.changed", (kind, namespace, name, ""), detail, by)
            return True

    def refuse(self, kind: Kind, namespace: str, name: str, action: str, reason: str, *, by: By = LOCAL) -> None:
        """See `Catalog.refuse`."""
        with self._store.writing() as run:
            detail = {"action": action, "reason": reason}
            note(run, self._clock.now(), "refused", (kind, namespace, name, ""), detail, by)

    # -- changes ---------------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """See `Catalog.revision`."""
        with self._store.glancing() as run:
            return audit.revision_of(run)

    def changed_since(
        self, revision: int, *, limit: int = 1000, whose: tuple[Kind, str, str] | None = None
    ) -> list[Change]:
        """See `Catalog.changed_since`."""
        with self._store.reading() as run:
            return audit.changes_since(run, revision, limit, whose)

    def verify(self, kept: Seal | None = None) -> Verdict:
        """See `Catalog.verify`."""
        with self._store.reading() as run:
            return audit.verify(run, kept)
