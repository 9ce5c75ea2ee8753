"""The embedded registry's endpoints: leases on places, within the transaction that the engine opened.

An endpoint's life: ``up`` from its registration; ``down`` while its probe or its calls fail, and ``up`` again; then
``draining``, from which there is no way back; gone when it is deregistered, taken over, or its lease runs out.
"""

from __future__ import annotations

from typing import Any

from nbagora_lab.core.errors import EndpointNotFound
from nbagora_lab.core.ids import Ids
from nbagora_lab.registry.audit import note, revision_of, take_down, tell_endpoint
from nbagora_lab.registry.model import LOCAL, By, Endpoint, EndpointState, Kind
from nbagora_lab.registry.sqlite import Run

__all__ = ["all_live", "deadline", "deregister", "expire", "live", "mark", "register", "renew"]

_FIELDS = (
    "id", "epoch", "namespace", "name", "version", "url", "transport", "lease", "registered", "expires", "weight",
    "zone", "tenant", "state", "reason",
)  # fmt: skip
_SELECT = f"""
    SELECT {", ".join(f"{'e' if field in {'namespace', 'name'} else 'p'}.{field}" for field in _FIELDS)}, e.kind
    FROM endpoints p JOIN entries e ON e.id = p.entry
"""


def register(
    run: Run,
    ids: Ids,
    now: float,
    entry: int,
    whose: tuple[Kind, str, str, str],
    place: tuple[str, str, float, float, str, str],
    by: By,
) -> Endpoint:
    """Makes an endpoint, taking over the place if it has one.

    Args:
        run: The transaction.
        ids: Makes its id.
        now: Seconds since the Unix epoch.
        entry: Number of the thing.
        whose: Its kind, namespace, name and version.
        place: URL, transport, lease, weight, zone and tenant.
        by: Who asked for it.
    """
    kind, namespace, name, version = whose
    url, transport, lease, weight, zone, tenant = place
    expire(run, now)
    spot = (entry, version, url, transport)
    former = run(
        "SELECT id FROM endpoints WHERE entry = ? AND version = ? AND url = ? AND transport = ?", spot
    ).fetchone()
    epoch = revision_of(run) + 1
    # the epoch in the scope: an id is not made twice, even by seeded ids over a store that was opened again
    fresh = ids.new("endpoint", f"{namespace}/{name}@{epoch}")
    detail = {"id": fresh, "url": url, "transport": transport}
    if former:
        detail["replaces"] = former[0]
        run("DELETE FROM endpoints WHERE id = ?", former)
    note(run, now, "endpoint.up", (kind, namespace, name, version), detail, by)
    run(
        "INSERT INTO endpoints (id, epoch, entry, version, url, transport, lease, registered, expires, weight, zone, "
        "tenant) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (fresh, epoch, *spot, lease, now, now + lease, weight, zone, tenant),
    )
    return _one(run, fresh)


def renew(run: Run, now: float, id_: str) -> Endpoint:
    """Starts a lease anew."""
    if not run("UPDATE endpoints SET expires = ? + lease WHERE id = ? AND expires > ?", (now, id_, now)).rowcount:
        raise EndpointNotFound(
            f"the endpoint {id_} is no longer live", "its lease ran out or was taken over: register the place again"
        )
    return _one(run, id_)


def mark(run: Run, now: float, id_: str, state: EndpointState, reason: str, by: By) -> bool:
    """Sets an endpoint's state; whether that changed anything."""
    row = run(f"{_SELECT} WHERE p.id = ? AND p.expires > ?", (id_, now)).fetchone()
    if row is None:
        raise EndpointNotFound(
            f"the endpoint {id_} is no longer live", "see %registry endpoints NAME for those there are"
        )
    endpoint = _endpoint(row)
    if endpoint.state in {state, "draining"}:
        return False
    run("UPDATE endpoints SET state = ?, reason = ? WHERE id = ?", (state, reason, id_))
    if state == "draining":
        tell_endpoint(run, now, "endpoint.draining", endpoint, row[-1], {"reason": reason}, by)
    else:
        tell_endpoint(run, now, "endpoint.health", endpoint, row[-1], {"state": state, "reason": reason}, by)
    return True


def deregister(run: Run, now: float, id_: str, by: By) -> bool:
    """Ends an endpoint; whether it was live."""
    row = run(f"{_SELECT} WHERE p.id = ? AND p.expires > ?", (id_, now)).fetchone()
    if row is None:
        return False
    take_down(run, now, _endpoint(row), row[-1], "deregistered", by)
    return True


def live(run: Run, now: float, entry: int, version: str | None) -> list[Endpoint]:
    """A thing's live endpoints, the one registered last first."""
    which, versions = ("AND p.version = ?", (version,)) if version is not None else ("", ())
    rows = run(f"{_SELECT} WHERE p.entry = ? {which} AND p.expires > ? ORDER BY p.epoch DESC", (entry, *versions, now))
    return [_endpoint(row) for row in rows]


def all_live(run: Run, now: float, kind: Kind) -> list[Endpoint]:
    """All live endpoints of a kind, the one registered last first."""
    rows = run(f"{_SELECT} WHERE e.kind = ? AND p.expires > ? ORDER BY p.epoch DESC", (kind, now))
    return [_endpoint(row) for row in rows]


def deadline(run: Run) -> float | None:
    """When the next lease runs out."""
    [when] = run("SELECT min(expires) FROM endpoints").fetchone()
    return None if when is None else float(when)


def expire(run: Run, now: float) -> None:
    """Takes away the endpoints whose lease ran out."""
    for row in run(f"{_SELECT} WHERE p.expires <= ? ORDER BY p.expires, p.epoch", (now,)).fetchall():
        take_down(run, now, _endpoint(row), row[-1], "expired", LOCAL)


def _one(run: Run, id_: str) -> Endpoint:
    return _endpoint(run(f"{_SELECT} WHERE p.id = ?", (id_,)).fetchone())


def _endpoint(row: tuple[Any, ...]) -> Endpoint:
    return Endpoint(**dict(zip(_FIELDS, row[:-1], strict=True)))
