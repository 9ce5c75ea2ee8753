"""The mirror: a lab's own copy of what a registry elsewhere holds, in the embedded engine's file.

Reads are answered from it. A write is done in it as the embedded engine does it, rules, refusals and all; before its
transaction is committed, what changed is written to the registry elsewhere, and where that fails it is undone. What
others wrote there is taken in without being written back. It can be deleted at any time and is made anew; revisions
then begin anew as well, for they are this lab's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbagora_lab.registry import life
from nbagora_lab.registry.audit import note, revision_of, tell_endpoint
from nbagora_lab.registry.change import ChangeType
from nbagora_lab.registry.leases import live
from nbagora_lab.registry.model import LATEST, By, Draft, Endpoint, Kind
from nbagora_lab.registry.nacos_record import Record
from nbagora_lab.registry.rows import entry_of, published, state_of, version_id
from nbagora_lab.registry.schema import APPLICATION_ID, MIGRATIONS
from nbagora_lab.registry.sqlite import Run, SqliteStore

__all__ = ["ELSEWHERE", "MirrorStore", "take_in", "take_place"]

ELSEWHERE = By("nacos")
"""To whom changes are put down that were made elsewhere."""


class MirrorStore(SqliteStore):
    """The file of a mirror; its readers don't wait for a writer, who waits for a server.

    Args:
        path: The file.
        push: Writes what changed past a revision to where it belongs; it may refuse.
        patience: Seconds to wait for another writer.
    """

    def __init__(self, path: Path, push: Callable[[Run, int], None], *, patience: float = 5.0) -> None:
        super().__init__(path, MIGRATIONS, application_id=APPLICATION_ID, patience=patience)
        self._push = push
        self._readers = SqliteStore(path, MIGRATIONS, application_id=APPLICATION_ID, patience=patience)

    def close(self) -> None:
        """See `SqliteStore.close`."""
        super().close()
        if hasattr(self, "_readers"):
            self._readers.close()

    @contextmanager
    def reading(self) -> Iterator[Run]:
        """See `SqliteStore.reading`."""
        if not hasattr(self, "_readers"):  # while it is being opened
            with super().reading() as run:
                yield run
            return
        with self._readers.reading() as run:
            yield run

    @contextmanager
    def writing(self) -> Iterator[Run]:
        """See `SqliteStore.writing`; what changed is pushed before it is committed."""
        with super().writing() as run:
            before = revision_of(run) if hasattr(self, "_readers") else None
            yield run
            if before is not None and revision_of(run) > before:
                self._push(run, before)

    @contextmanager
    def taking_in(self) -> Iterator[Run]:
        """A transaction whose changes come from where they would be pushed to."""
        with super().writing() as run:
            yield run


def take_in(
    run: Run, now: float, record: Record, drafts: dict[str, Draft], last: tuple[str, Draft] | None = None
) -> list[str]:
    """Makes a thing of the mirror what it is elsewhere.

    Args:
        run: The transaction.
        now: Seconds since the Unix epoch.
        record: The thing as it is there.
        drafts: Contents of the versions that the mirror lacks.
        last: The version that was written last, and its content.

    Returns:
        Versions that are there with other content than was published first, which is kept.
    """
    thing = record.thing
    entry = entry_of(run, *thing)
    if entry is None:
        values = (*thing, record.owner, record.private)
        entry = run("INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?)", values).lastrowid
    assert entry is not None
    run("UPDATE entries SET owner = ?, private = ? WHERE id = ?", (record.owner, record.private, entry))
    overwritten = []
    for version, (digest, state, at) in record.versions.items():
        known = published(run, entry, version)
        if known is None:
            if version in drafts:
                life.insert(run, at, entry, drafts[version], version, state, ELSEWHERE)  # type: ignore[arg-type]
        elif known[1] != digest:
            overwritten.append(version)
        if published(run, entry, version) is not None:
            _set_state(run, now, entry, record, version, state)
    if last is not None and (known := published(run, entry, last[0])) is not None and known[1] == last[1].hash:
        signed = last[1].signed
        if signed is not None and life.sign(run, entry, last[0], signed):
            note(run, now, "signed", (*thing, last[0]), {}, ELSEWHERE)
    rule = life.document(run, "rule", record.namespace, life.rule_key(thing))
    if rule != record.rule:
        life.set_document(run, "rule", record.namespace, life.rule_key(thing), None)  # it may hold labels that go
    for label, (version, before) in record.labels.items():
        if published(run, entry, version) is not None:
            life.point(run, now, entry, thing, label, version, ELSEWHERE)
            run(
                "UPDATE labels SET previous = ? WHERE entry = ? AND label = ?",
                (before if before in record.versions else None, entry, label),
            )
    for (label,) in run("SELECT label FROM labels WHERE entry = ?", (entry,)).fetchall():
        if label not in record.labels and (label != LATEST or not record.versions):
            life.unlabel(run, now, entry, thing, label, ELSEWHERE)
    if rule != record.rule:
        life.set_document(run, "rule", record.namespace, life.rule_key(thing), record.rule)
        note(run, now, "rule.changed", (*thing, ""), {"from": rule, "to": record.rule}, ELSEWHERE)
    rows = run("SELECT version FROM versions WHERE entry = ?", (entry,)).fetchall()
    for (version,) in rows:
        if version not in record.versions:  # deleted there, which nobody here can do
            _set_state(run, now, entry, record, version, "withdrawn")
    return overwritten


def take_place(run: Run, now: float, kind: Kind, place: Endpoint) -> None:
    """Puts an endpoint of somebody else's into the mirror, or makes it what it is now."""
    entry = entry_of(run, kind, place.namespace, place.name)
    if entry is None:
        return
    spot = (entry, place.version, place.url, place.transport)
    found = {one.id: one for one in live(run, now, entry, place.version)}
    if (before := found.get(place.id)) is not None:
        run(
            "UPDATE endpoints SET expires = ?, state = ?, reason = ? WHERE id = ?",
            (place.expires, place.state, place.reason, place.id),
        )
        if before.state != place.state:
            detail = {"state": place.state, "reason": place.reason}
            what: ChangeType = "endpoint.draining" if place.state == "draining" else "endpoint.health"
            tell_endpoint(run, now, what, place, kind, detail, ELSEWHERE)
        return
    run("DELETE FROM endpoints WHERE entry = ? AND version = ? AND url = ? AND transport = ?", spot)
    run("DELETE FROM endpoints WHERE id = ?", (place.id,))
    tell_endpoint(run, now, "endpoint.up", place, kind, {}, ELSEWHERE)
    [epoch] = run("SELECT max(revision) FROM changes").fetchone()
    run(
        "INSERT INTO endpoints (id, epoch, entry, version, url, transport, lease, registered, expires, weight, "
        "zone, tenant, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            place.id, epoch, *spot, place.lease, place.registered, place.expires, place.weight, place.zone,
            place.tenant, place.state, place.reason,
        ),
    )  # fmt: skip


def _set_state(run: Run, now: float, entry: int, record: Record, version: str, state: Any) -> None:
    before = state_of(run, entry, version)
    if before != state:
        run(
            "INSERT INTO states VALUES (?, ?) ON CONFLICT (version) DO UPDATE SET state = excluded.state",
            (version_id(run, entry, version), state),
        )
        note(run, now, "state.changed", (*record.thing, version), {"from": before, "to": state}, ELSEWHERE)
