"""The snapshots of the registry that views show: what a search finds, one thing in whole, and the newest changes.

What a snapshot costs follows what it shows; nothing is read while neither the registry nor the look at it changed.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, NamedTuple

from nbagora_lab.core.errors import LabError
from nbagora_lab.inspect.registryview import (
    CHANGES,
    FACETS,
    FOUND,
    LINES,
    VERSIONS,
    ChangeRow,
    Difference,
    EndpointRow,
    Facet,
    FacetValue,
    FoundRow,
    LabelRow,
    RegistrySnapshot,
    ThingDetail,
    VersionRow,
)
from nbagora_lab.registry import Change, Endpoint, Found, Registry, Rule

__all__ = ["RegistryInspector", "RegistryLook"]

_SHOWN = ("skill", "tag", "capability", "provider", "input", "output", "scheme")  # facets, in this order
_BEST = ("up", "draining", "down")
_MOST = 10_000  # results that are counted


class RegistryLook(NamedTuple):
    """What a view wants to see; its fields are those of `RegistrySnapshot`."""

    kind: str = "agent"
    text: str = ""
    filters: tuple[str, ...] = ()
    name: str | None = None
    before: str = ""
    after: str = ""


class RegistryInspector:
    """Makes snapshots. Used on one thread at a time.

    Args:
        registry: The registry.
        url: URL of the lab.
    """

    def __init__(self, registry: Registry, url: str) -> None:
        self._registry = registry
        self._url = url
        self._seq = itertools.count(1)

    def version(self) -> int:
        """Changes whenever a snapshot could."""
        return self._registry.revision

    def snapshot(self, look: RegistryLook) -> RegistrySnapshot:
        """What is looked at, as it is now."""
        asked: dict[str, Any] = {"kind": look.kind, "text": look.text, "filters": look.filters}
        base = {"seq": next(self._seq), "lab": self._url, **asked, "changes": self._changes()}
        try:
            found, facets = self._search(look)
            selected = None if look.name is None else self._detail(look, look.name)
        except LabError as error:
            return RegistrySnapshot(**base, problem=f"{error.what}\n{error.hint}")
        rows = tuple(self._row(look, one) for one in found[:FOUND])
        return RegistrySnapshot(**base, total=len(found), rows=rows, facets=facets, selected=selected)

    def _search(self, look: RegistryLook) -> tuple[list[Found], tuple[Facet, ...]]:
        given: dict[str, Any] = {"kind": look.kind, "limit": _MOST, "text": look.text or None}
        for one in look.filters:
            field, _, value = one.partition("=")
            given[field] = (*given.get(field, ()), _literal(value))
        query = self._registry.query(given)
        counts = self._registry.counts(query)
        facets = []
        for field in _SHOWN:
            chosen = {one.partition("=")[2] for one in look.filters if one.startswith(f"{field}=")}
            values = [
                FacetValue(value=value, count=count, chosen=value in chosen)
                for value, count in counts.get(field, {}).items()
            ]
            values.sort(key=lambda value: not value.chosen)
            if values:
                facets.append(Facet(field=field, values=tuple(values[:FACETS])))
        return self._registry.search(query), tuple(facets)

    def _row(self, look: RegistryLook, found: Found) -> FoundRow:
        agent = found.agent
        places = self._registry.endpoints(agent.name, kind=agent.kind)
        states = {place.state for place in places}
        return FoundRow(
            name=agent.name,
            version=agent.version,
            description=agent.description,
            health=next((state for state in _BEST if state in states), "none"),
            endpoints=len(places),
            why=", ".join(f"{why.field}: {why.text}" for why in found.why[:4]) if look.text else "",
        )

    def _detail(self, look: RegistryLook, name: str) -> ThingDetail:
        kind: Any = look.kind
        versions = self._registry.versions(name, kind=kind)
        labels = self._registry.labels(name, kind=kind)
        rule = self._registry.rule(name, kind=kind)
        newest = next((one for one in versions if "latest" in one.labels), versions[0])
        difference = None
        if look.before and look.after:
            lines = self._registry.diff(name, look.before, look.after, kind=kind)
            difference = Difference(
                before=look.before, after=look.after, lines=tuple(lines[:LINES]), more=max(0, len(lines) - LINES)
            )
        shares = _shares(rule, labels)
        return ThingDetail(
            name=name,
            owner=newest.owner,
            description=newest.description,
            rule=_told(rule),
            labels=tuple(LabelRow(label=label, version=version) for label, version in labels.items()),
            versions=tuple(
                VersionRow(
                    version=one.version,
                    state=one.state,
                    published=one.published,
                    labels=one.labels,
                    share=shares.get(one.version, 0.0) if shares else None,
                    hash=one.hash[:12],
                )
                for one in versions[:VERSIONS]
            ),
            endpoints=tuple(map(_place, self._registry.endpoints(name, kind=kind))),
            difference=difference,
        )

    def _changes(self) -> tuple[ChangeRow, ...]:
        newest = self._registry.changed_since(max(0, self._registry.revision - CHANGES))
        return tuple(
            ChangeRow(
                revision=one.revision, time=one.time, type=one.type, name=one.name, version=one.version,
                text=_words(one), who=one.who,
            )
            for one in reversed(newest)
        )  # fmt: skip


def _place(endpoint: Endpoint) -> EndpointRow:
    known = endpoint.model_dump(include=set(EndpointRow.model_fields))
    return EndpointRow(**known)


def _shares(rule: Rule, labels: dict[str, str]) -> dict[str, float]:
    """Percent of all conversations that a rule's weights lead to each version."""
    total = sum(rule.weights.values())
    shares: dict[str, float] = {}
    for ref, weight in rule.weights.items():
        version = labels.get(ref, ref)
        shares[version] = shares.get(version, 0.0) + 100 * weight / total
    return shares


def _told(rule: Rule) -> str:
    """A rule in a sentence."""
    parts = [f"{match.key} {match.value} → {match.to}" for match in rule.matches]
    if total := sum(rule.weights.values()):
        shares = ", ".join(f"{100 * weight / total:.3g} % → {ref}" for ref, weight in rule.weights.items())
        parts.append(f"{shares}, sticky by {rule.sticky}")
    else:
        parts.append(f"everybody → {rule.otherwise}")
    if rule.budget is not None:
        limits = [f"{100 * rule.budget.errors:.3g} % errors"] if rule.budget.errors is not None else []
        limits += [f"{rule.budget.latency:g} s"] if rule.budget.latency is not None else []
        parts.append(f"{rule.budget.label} is taken back above {' or '.join(limits)}")
    return "; ".join(parts)


def _words(change: Change) -> str:
    """What a change did, in words."""
    detail = change.detail
    text = {
        "published": "a draft" if detail.get("state") == "draft" else "",
        "signed": "anew",
        "state.changed": f"{detail.get('from')} → {detail.get('to')}",
        "label.moved": f"{detail.get('label')}: {detail.get('from') or 'new'} → {change.version}",
        "label.removed": f"{detail.get('label')}",
        "rule.changed": "a rule" if detail.get("to") else "no rule",
        "endpoint.health": f"{detail.get('state')}: {detail.get('reason')}",
        "refused": f"{detail.get('action')}: {detail.get('reason')}",
        "access.changed": json.dumps(detail, ensure_ascii=False),
    }.get(change.type, f"{detail.get('url', '')} {detail.get('reason', '')}".strip())
    return f"{text} ({change.why})" if change.why else text


def _literal(value: str) -> str:
    """A value that is no pattern."""
    return "".join(f"\\{letter}" if letter in "*?\\" else letter for letter in value)
