"""The embedded registry's versions along their life, and the labels that lead to them, within one transaction.

    draft ──▶ published ◀──▶ deprecated
      └───────────┴──────────────┴──▶ withdrawn

A label points at a published or a deprecated version, always: one that a label or a rule leads to can't be withdrawn,
and nothing puts a label on a draft or on a withdrawn one. What enters and leaves the search follows the labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nbagora_lab.core.errors import Forbidden, InUse, VersionNotFound, WrongState
from nbagora_lab.registry import index
from nbagora_lab.registry.audit import note, note_all
from nbagora_lab.registry.change import ChangeType
from nbagora_lab.registry.model import LATEST, NOUNS, By, Draft, Kind, State, Thing
from nbagora_lab.registry.names import automatic_number, is_version
from nbagora_lab.registry.rows import (
    FIRST,
    label_refused,
    latest_of,
    next_version,
    published,
    signed_of,
    state_of,
    version_exists,
    version_id,
    version_not_found,
)
from nbagora_lab.registry.sqlite import Run

__all__ = [
    "check_leads",
    "check_owner",
    "document",
    "insert",
    "make",
    "point",
    "rollback",
    "rule_key",
    "set_document",
    "set_state",
    "sign",
    "unlabel",
]

_NEXT: dict[State, frozenset[State]] = {
    "draft": frozenset({"published", "withdrawn"}),
    "published": frozenset({"deprecated", "withdrawn"}),
    "deprecated": frozenset({"published", "withdrawn"}),
    "withdrawn": frozenset(),
}
_LEADS_TO = frozenset({"published", "deprecated"})  # states in which a label may point at a version


_Told = tuple[ChangeType, tuple[Kind, str, str, str], dict[str, Any]]


def make(
    run: Run, now: float, entry: int, draft: Draft, version: str | None, state: State, by: By, *, first: bool = False
) -> tuple[str, State, bool]:
    """Makes a version of a draft, unless it is there; gives its number, its state, and whether it is new.

    Args:
        run: The transaction.
        now: Seconds since the Unix epoch.
        entry: The thing.
        draft: The content.
        version: The version; None: the next ``0.0.N``.
        state: Its state.
        by: Who asks.
        first: Whether the thing was made just now, so that nothing need be looked for.
    """
    there: Any = None
    if not first:
        there = latest_of(run, entry) if version is None else published(run, entry, version)
    new = there is None or there[1] != draft.hash
    if version is None:
        version = (FIRST if first else next_version(run, entry)) if new else there[0]
    elif new and there is not None:
        raise version_exists(draft, version, json.loads(there[2]))
    if not new:
        if draft.signed is not None and sign(run, entry, version, draft.signed):
            note_all(run, now, [("signed", (draft.kind, draft.namespace, draft.name, version), {})], by)
        return version, state_of(run, entry, version), False
    number, told = _insert(run, now, entry, draft, version, state)
    moved = None
    if state == "published":
        moved = _point(run, entry, (draft.kind, draft.namespace, draft.name), LATEST, version, made=number)
    note_all(run, now, [one for one in (told, moved) if one], by)
    return version, state, True


def sign(run: Run, entry: int, version: str, card: dict[str, Any]) -> bool:
    """Keeps a signed card beside a version whose content it has; whether it is another one than before."""
    if signed_of(run, entry, version) == card:
        return False
    run(
        "INSERT INTO signed VALUES (?, ?) ON CONFLICT (version) DO UPDATE SET card = excluded.card",
        (version_id(run, entry, version), json.dumps(card, ensure_ascii=False)),
    )
    return True


def insert(run: Run, now: float, entry: int, draft: Draft, version: str, state: State, by: By) -> None:
    """Makes a version that there is not; no label points at it yet."""
    _, told = _insert(run, now, entry, draft, version, state)
    note_all(run, now, [told], by)


def _insert(run: Run, now: float, entry: int, draft: Draft, version: str, state: State) -> tuple[int, _Told]:
    content = json.dumps(draft.card, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    number = run(
        "INSERT INTO versions VALUES (NULL, ?, ?, ?, ?, ?, ?)",
        (entry, version, automatic_number(version), draft.hash, content, now),
    ).lastrowid
    assert number is not None
    for link in sorted(set(draft.links)):
        run("INSERT INTO links VALUES (?, ?, ?, ?)", (number, *link))
    if draft.signed is not None:
        run("INSERT INTO signed VALUES (?, ?)", (number, json.dumps(draft.signed, ensure_ascii=False)))
    if state != "published":
        run("INSERT INTO states VALUES (?, ?)", (number, state))
    whose = (draft.kind, draft.namespace, draft.name, version)
    return number, ("published", whose, {} if state == "published" else {"state": state})


def point(run: Run, now: float, entry: int, thing: Thing, label: str, version: str, by: By) -> bool:
    """Moves a label to a version that exists; the index follows. Whether it moved."""
    moved = _point(run, entry, thing, label, version)
    if moved is not None:
        note_all(run, now, [moved], by)
    return moved is not None


def _point(run: Run, entry: int, thing: Thing, label: str, version: str, *, made: int | None = None) -> _Told | None:
    """Moves a label; `made` is the number of a published version to which nothing has led yet."""
    row = run("SELECT version FROM labels WHERE entry = ? AND label = ?", (entry, label)).fetchone()
    before: str | None = row[0] if row else None
    if before == version:
        return None
    if made is None and (state := state_of(run, entry, version)) not in _LEADS_TO:
        raise label_refused(thing[2], version, state)
    first = made is not None or not _labels_at(run, entry, version)
    run(
        "INSERT INTO labels VALUES (?, ?, ?, ?) ON CONFLICT (entry, label) "
        "DO UPDATE SET version = excluded.version, previous = excluded.previous",
        (entry, label, version, before),
    )
    if before is not None:
        _leave_if_unlabelled(run, entry, before)
    if first:
        index.enter(run, made or version_id(run, entry, version))
    detail = {"label": label} | ({"from": before} if before is not None else {})
    return "label.moved", (*thing, version), detail


def rollback(run: Run, now: float, entry: int, thing: Thing, label: str, by: By) -> None:
    """Points a label at the version that it pointed at before."""
    row = run("SELECT previous FROM labels WHERE entry = ? AND label = ?", (entry, label)).fetchone()
    if row is None:
        raise version_not_found(run, entry, thing[2], label)
    if row[0] is None:
        raise VersionNotFound(
            f"{label} of '{thing[2]}' never pointed at another version", "name the version to point it at"
        )
    point(run, now, entry, thing, label, row[0], by)


def unlabel(run: Run, now: float, entry: int, thing: Thing, label: str, by: By) -> bool:
    """Takes a label away; whether it was there."""
    row = run("SELECT version FROM labels WHERE entry = ? AND label = ?", (entry, label)).fetchone()
    if row is None:
        return False
    if label in _targets(run, thing):
        raise InUse(f"the rule of '{thing[2]}' sends callers to {label}", "change the rule first")
    run("DELETE FROM labels WHERE entry = ? AND label = ?", (entry, label))
    note(run, now, "label.removed", (*thing, row[0]), {"label": label}, by)
    _leave_if_unlabelled(run, entry, row[0])
    return True


def set_state(run: Run, now: float, entry: int, thing: Thing, version: str, state: State, by: By) -> bool:
    """Moves a version along its life; whether it moved."""
    if published(run, entry, version) is None:
        raise version_not_found(run, entry, thing[2], version)
    before = state_of(run, entry, version)
    if before == state:
        return False
    if state not in _NEXT[before]:
        following = " or ".join(sorted(_NEXT[before])) or "nothing else"
        raise WrongState(
            f"'{thing[2]}' {version} is {before} and can't become {state}", f"from there it can become {following}"
        )
    if state == "withdrawn":
        if labels := _labels_at(run, entry, version):
            raise InUse(
                f"{', '.join(labels)} of '{thing[2]}' points at {version}", "point the label at another version first"
            )
        if version in _targets(run, thing):
            raise InUse(f"the rule of '{thing[2]}' sends callers to {version}", "change the rule first")
    run(
        "INSERT INTO states VALUES (?, ?) ON CONFLICT (version) DO UPDATE SET state = excluded.state",
        (version_id(run, entry, version), state),
    )
    note(run, now, "state.changed", (*thing, version), {"from": before, "to": state}, by)
    if before == "draft" and state == "published":
        point(run, now, entry, thing, LATEST, version, by)
    return True


def check_owner(run: Run, entry: int, thing: Thing, by: By) -> None:
    """Refuses whoever is not the owner."""
    [owner] = run("SELECT owner FROM entries WHERE id = ?", (entry,)).fetchone()
    if owner != by.who:
        raise Forbidden(
            f"the {NOUNS[thing[0]]} '{thing[2]}' is {owner}'s, and {by.who} may not publish it",
            f"ask {owner}, or an admin",
        )


def document(run: Run, type_: str, namespace: str, key: str) -> dict[str, Any] | None:
    """What is set, None where nothing is."""
    row = run(
        "SELECT value FROM documents WHERE type = ? AND namespace = ? AND key = ?", (type_, namespace, key)
    ).fetchone()
    return json.loads(row[0]) if row else None


def set_document(run: Run, type_: str, namespace: str, key: str, value: dict[str, Any] | None) -> None:
    """Sets a document, or with None takes it away."""
    run("DELETE FROM documents WHERE type = ? AND namespace = ? AND key = ?", (type_, namespace, key))
    if value is not None:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        run("INSERT INTO documents VALUES (?, ?, ?, ?)", (type_, namespace, key, text))


def check_leads(run: Run, entry: int, name: str, refs: Sequence[str]) -> None:
    """Refuses a rule that would lead to nothing, to a draft or to what is withdrawn."""
    for ref in refs:
        if is_version(ref):
            if published(run, entry, ref) is None:
                raise version_not_found(run, entry, name, ref)
            if (state := state_of(run, entry, ref)) not in _LEADS_TO:
                raise label_refused(name, ref, state)
        elif not run("SELECT 1 FROM labels WHERE entry = ? AND label = ?", (entry, ref)).fetchone():
            raise version_not_found(run, entry, name, ref)


def rule_key(thing: Thing) -> str:
    """The key of a thing's rule among its namespace's documents."""
    return f"{thing[0]}/{thing[2]}"


def _targets(run: Run, thing: Thing) -> set[str]:
    """The versions and labels that a thing's rule sends callers to."""
    rule = document(run, "rule", thing[1], rule_key(thing))
    return set(rule["needs"]) if rule else set()


def _labels_at(run: Run, entry: int, version: str) -> list[str]:
    rows = run("SELECT label FROM labels WHERE entry = ? AND version = ? ORDER BY label", (entry, version))
    return [label for (label,) in rows]


def _leave_if_unlabelled(run: Run, entry: int, version: str) -> None:
    if not _labels_at(run, entry, version):
        index.leave(run, version_id(run, entry, version))
