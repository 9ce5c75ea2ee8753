"""The audit of the embedded registry: every change in order, each sealed together with all before it.

The seal of a change is the SHA-256 of the seal before it and of all that the change says. Who alters, takes out or puts
in a line breaks every seal from there on, and `verify` says where. Whoever can write the file could seal all anew, so
keep a seal elsewhere from time to time: `verify` takes it and says whether the registry still has that past.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from nbagora_lab.registry.change import Change, ChangeType, Seal, Verdict
from nbagora_lab.registry.model import By, Endpoint, Kind
from nbagora_lab.registry.sqlite import Run

__all__ = ["changes_since", "note", "note_all", "revision_of", "take_down", "tell_endpoint", "verify"]

_COLUMNS = "revision, time, type, namespace, name, version, detail, kind, who, why"


def revision_of(run: Run) -> int:
    """Number of changes so far."""
    [revision] = run("SELECT max(revision) FROM changes").fetchone()
    return revision or 0


def note(
    run: Run,
    now: float,
    what: ChangeType,
    whose: tuple[Kind, str, str, str],
    detail: dict[str, Any],
    by: By,
) -> int:
    """Writes a change down; gives its revision.

    Args:
        run: The transaction.
        now: Seconds since the Unix epoch.
        what: Type of the change.
        whose: Kind, namespace, name and version.
        detail: See `Change`.
        by: Who asked for it.
    """
    return note_all(run, now, [(what, whose, detail)], by)


def note_all(
    run: Run, now: float, told: Sequence[tuple[ChangeType, tuple[Kind, str, str, str], dict[str, Any]]], by: By
) -> int:
    """Writes down changes that one call made, each as `note` takes it; gives the last one's revision."""
    newest = "SELECT revision, chain FROM changes WHERE revision = (SELECT max(revision) FROM changes)"
    revision, chain = run(newest).fetchone() or (0, "")
    values: list[Any] = []
    for what, (kind, namespace, name, version), detail in told:
        revision += 1
        text = json.dumps(detail, ensure_ascii=False, sort_keys=True)
        row = (revision, float(now), what, namespace, name, version, text, kind, by.who, by.why)
        chain = _seal(chain, row)
        values += [*row, chain]
    places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(told))
    run(f"INSERT INTO changes ({_COLUMNS}, chain) VALUES {places}", values)
    return int(revision)


def changes_since(run: Run, revision: int, limit: int, whose: tuple[Kind, str, str] | None = None) -> list[Change]:
    """The changes past `revision`, oldest first; those of one thing alone where it is named."""
    which, values = (" AND kind = ? AND namespace = ? AND name = ?", whose) if whose else ("", ())
    rows = run(
        f"SELECT {_COLUMNS} FROM changes WHERE revision > ?{which} ORDER BY revision LIMIT ?",
        (revision, *values, limit),
    )
    return [
        Change(
            revision=number, time=time, type=what, namespace=space, name=name, version=version,
            detail=json.loads(detail), kind=kind, who=who, why=why,
        )
        for number, time, what, space, name, version, detail, kind, who, why in rows
    ]  # fmt: skip


def verify(run: Run, kept: Seal | None = None) -> Verdict:
    """Checks every seal, and that the past which `kept` sealed is still there."""
    before, expected, unsealed, checked = "", 1, 0, 0
    seal, reason, broken = Seal(0, ""), "", None
    for *row, chain in run(f"SELECT {_COLUMNS}, chain FROM changes ORDER BY revision"):
        checked += 1
        if row[0] != expected:
            broken, reason = expected, f"change {expected} was taken out"
        elif not chain and not before:
            unsealed += 1
        elif chain != _seal(before, tuple(row)):
            broken, reason = expected, f"change {expected} is not what was written"
        if reason:
            break
        before, expected, seal = chain, expected + 1, Seal(row[0], chain)
        if kept is not None and kept.revision == row[0] and kept.chain != chain:
            broken, reason = row[0], f"the past up to change {row[0]} is another one"
            break
    [highest] = run("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)").fetchone()
    if not reason and max(highest, kept.revision if kept else 0) > seal.revision:
        broken, reason = seal.revision + 1, f"the changes after {seal.revision} were taken out"
    return Verdict(not reason, checked, unsealed, broken, seal, reason)


def _seal(before: str, row: tuple[Any, ...]) -> str:
    return hashlib.sha256(f"{before}\n{json.dumps(row, ensure_ascii=False)}".encode()).hexdigest()


def take_down(run: Run, now: float, endpoint: Endpoint, kind: Kind, reason: str, by: By) -> None:
    """Ends an endpoint."""
    run("DELETE FROM endpoints WHERE id = ?", (endpoint.id,))
    tell_endpoint(run, now, "endpoint.down", endpoint, kind, {"reason": reason}, by)


def tell_endpoint(
    run: Run, now: float, what: ChangeType, endpoint: Endpoint, kind: Kind, detail: dict[str, Any], by: By
) -> None:
    """Writes down what became of an endpoint."""
    place = {"id": endpoint.id, "url": endpoint.url, "transport": endpoint.transport}
    note(run, now, what, (kind, endpoint.namespace, endpoint.name, endpoint.version), place | detail, by)
