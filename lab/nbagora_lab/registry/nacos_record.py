"""The record: what this registry knows of a thing and Nacos has no place for, carried in its cards.

Nacos keeps agents' cards in A2A 0.3's form, drops what it doesn't know, and lets any version be written over. The one
place in a card that it leaves alone is an extension's ``params``. So every card that is written there carries

    {"uri": RECORD, "params": {"card": "{…}", "thing": "{\\"name\\": …, \\"labels\\": …, \\"versions\\": …, …}"}}

with the content of the version verbatim, by which its hash is checked, where it was signed the signed card verbatim
(``signed``), since Nacos drops signatures and interfaces, and the record of the whole thing as it is
after that write; both as text, for of JSON it would drop what is null. Nacos shows an agent as it was written last, so
one read gives the newest record. Prompts and MCP servers, which Nacos 3.1 keeps elsewhere or not at all, are configs of
their own with the same two members.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from nbagora_lab.core.errors import LabError
from nbagora_lab.registry.card import read_content
from nbagora_lab.registry.life import document, rule_key
from nbagora_lab.registry.model import LATEST, Draft, Kind, Thing
from nbagora_lab.registry.normal import to_legacy
from nbagora_lab.registry.sqlite import Run

__all__ = ["NOWHERE", "RECORD", "Record", "card_there", "content_of", "latest_of", "read_record", "record_of"]

RECORD = "urn:nbagora:registry:1"
"""URI of the extension that carries the record."""

NOWHERE = "urn:nbagora:nowhere"
"""The URL of a card whose agent answers nowhere; Nacos puts the URL of a live endpoint in its place."""


class Record(NamedTuple):
    """A thing, as it is kept at Nacos.

    Attributes:
        kind, namespace, name: Which it is.
        owner: Whose it is.
        private: Whether only they see it.
        labels: By label, the version that it points at and the one before, or an empty string.
        versions: By version, in the order of publication: hash, state, and seconds since the Unix epoch.
        rule: How its callers are led, or None.
        written: Seconds since the Unix epoch of the change that it is of; the newest record of a thing is the one.
    """

    kind: Kind
    namespace: str
    name: str
    owner: str
    private: bool
    labels: dict[str, tuple[str, str]]
    versions: dict[str, tuple[str, str, float]]
    rule: dict[str, Any] | None
    written: float = 0.0

    @property
    def thing(self) -> Thing:
        """Kind, namespace and name."""
        return self.kind, self.namespace, self.name

    def text(self) -> str:
        """As it is carried."""
        known = {name: value for name, value in self._asdict().items() if name not in {"kind", "namespace"}}
        return json.dumps(known, ensure_ascii=False)


def record_of(run: Run, kind: Kind, namespace: str, name: str) -> Record | None:
    """The record of a thing, from the mirror; None where there is none."""
    row = run(
        "SELECT id, owner, private FROM entries WHERE kind = ? AND namespace = ? AND name = ?", (kind, namespace, name)
    ).fetchone()
    if row is None:
        return None
    labels = run("SELECT label, version, coalesce(previous, '') FROM labels WHERE entry = ? ORDER BY label", row[:1])
    versions = run(
        "SELECT v.version, v.hash, coalesce((SELECT state FROM states WHERE version = v.id), 'published'), v.published "
        "FROM versions v WHERE v.entry = ? ORDER BY v.id",
        row[:1],
    )
    return Record(
        kind,
        namespace,
        name,
        row[1],
        bool(row[2]),
        {label: (version, previous) for label, version, previous in labels},
        {version: (digest, state, published) for version, digest, state, published in versions},
        document(run, "rule", namespace, rule_key((kind, namespace, name))),
        run(
            "SELECT coalesce(max(time), 0) FROM changes WHERE kind = ? AND namespace = ? AND name = ?",
            (kind, namespace, name),
        ).fetchone()[0],
    )


def read_record(kind: Kind, namespace: str, given: object) -> Record | None:
    """A record as it was carried; None where it is none."""
    try:
        given = json.loads(given) if isinstance(given, str) else None
        assert isinstance(given, Mapping)
        return Record(
            kind,
            namespace,
            str(given["name"]),
            str(given["owner"]),
            bool(given["private"]),
            {label: (str(version), str(before)) for label, (version, before) in given["labels"].items()},
            {one: (str(digest), str(state), float(at)) for one, (digest, state, at) in given["versions"].items()},
            given["rule"],
            float(given["written"]),
        )
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        return None


def card_there(
    record: Record,
    known: str,
    version: str,
    content: Mapping[str, Any],
    url: str,
    signed: Mapping[str, Any] | None = None,
) -> str:
    """The card of a version as Nacos takes it.

    Args:
        record: The thing.
        known: Its name there.
        version: The version.
        content: Its content.
        url: Where it answers, or `NOWHERE`.
        signed: The signed card that it was published with.
    """
    card = to_legacy(content)
    capabilities = dict(card.get("capabilities", {}))
    carried = {"card": json.dumps(content, ensure_ascii=False), "thing": record.text()}
    if signed is not None:
        carried["signed"] = json.dumps(signed, ensure_ascii=False)
    others = [one for one in capabilities.get("extensions", ()) if one.get("uri") != RECORD]
    capabilities["extensions"] = [*others, {"uri": RECORD, "params": carried}]
    own = {"name": known, "version": version, "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC", "url": url}
    return json.dumps(card | own | {"capabilities": capabilities}, ensure_ascii=False)


def content_of(card: Mapping[str, Any], namespace: str, name: str) -> tuple[Draft | None, object]:
    """The content that a card at Nacos carries, checked, and what it carries as its record.

    A card of somebody else's is its own content; None where that is none that may be published here.
    """
    extensions = (card.get("capabilities") or {}).get("extensions") or ()
    carried = next((one.get("params") or {} for one in extensions if one.get("uri") == RECORD), None)
    if carried is not None:
        try:
            content = json.loads(carried["card"])
        except (KeyError, TypeError, ValueError):
            content = None
    else:
        dropped = {"latestVersion", "registrationType"}
        content = {key: value for key, value in card.items() if value is not None and key not in dropped}
        content = _without_nulls(content) | {"name": name}
    try:
        draft = read_content("agent", content or {}, namespace)
    except LabError:
        return None, None
    if carried is None:
        return draft, None
    return draft._replace(signed=_signed_of(carried, draft)), carried.get("thing")


def _signed_of(carried: Mapping[str, Any], draft: Draft) -> dict[str, Any] | None:
    """The signed card that is carried beside a content; None where there is none, or its content is another."""
    try:
        signed = json.loads(carried["signed"])
        of = read_content("agent", signed, draft.namespace)
    except (KeyError, TypeError, ValueError, LabError):
        return None
    return of.signed if (of.name, of.hash) == (draft.name, draft.hash) else None


def _without_nulls(value: Any) -> Any:
    """JSON without what Java writes for what it has not."""
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


def latest_of(record: Record) -> str | None:
    """The version that ``latest`` points at, None where it points nowhere."""
    return record.labels[LATEST][0] if LATEST in record.labels else None
