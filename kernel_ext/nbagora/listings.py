"""The registry's listings: versions, endpoints and changes in rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nbagora.show import moment
from nbagora.table import Table

if TYPE_CHECKING:
    from nbagora_lab.registry import AgentVersion, Change, Endpoint, Found

__all__ = ["changes_table", "endpoints_table", "found_table", "versions_table"]


def found_table(found: list[Found]) -> Table[Found]:
    """Findings in rows, with why they were found."""
    return Table(
        found,
        {
            "name": lambda one: one.agent.name,
            "version": lambda one: one.agent.version,
            "description": lambda one: one.agent.description,
            "skills": lambda one: one.agent.skills,
            "why": lambda one: [f"{why.field}: {why.text}" for why in one.why],
        },
        "no agent fits",
    )


def versions_table(versions: list[AgentVersion], empty: str) -> Table[AgentVersion]:
    """Versions in rows."""
    return Table(
        versions,
        {
            "name": lambda version: version.name,
            "version": lambda version: version.version,
            "labels": lambda version: version.labels,
            "state": lambda version: version.state,
            "description": lambda version: version.description,
            "skills": lambda version: version.skills,
            "published": lambda version: moment(version.published),
            "hash": lambda version: version.hash[:12],
        },
        empty,
    )


def changes_table(changes: list[Change], empty: str) -> Table[Change]:
    """Changes in rows."""
    return Table(
        changes,
        {
            "revision": lambda change: change.revision,
            "time": lambda change: moment(change.time),
            "type": lambda change: change.type,
            "name": lambda change: change.name,
            "version": lambda change: change.version,
            "detail": lambda change: json.dumps(change.detail, ensure_ascii=False) if change.detail else "",
            "who": lambda change: change.who,
            "why": lambda change: change.why,
        },
        empty,
    )


def endpoints_table(endpoints: list[Endpoint]) -> Table[Endpoint]:
    """Endpoints in rows."""
    return Table(
        endpoints,
        {
            "id": lambda one: one.id,
            "version": lambda one: one.version,
            "state": lambda one: one.state,
            "reason": lambda one: one.reason,
            "url": lambda one: one.url,
            "transport": lambda one: one.transport,
            "weight": lambda one: one.weight,
            "zone": lambda one: one.zone,
            "until": lambda one: moment(one.expires),
        },
        "it answers nowhere",
    )
