"""A registry's snapshot as plain tables, in HTML and in text: what is read where no live view can be."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nbagora_lab.inspect.model import first_words
from nbagora_lab.inspect.registryview import RegistrySnapshot
from nbagora_widgets.table import aligned, html_table, lab_of, when

__all__ = ["registry_html", "registry_text"]

_NOUNS = {"agent": "agent", "mcp": "MCP server", "prompt": "prompt"}
_FOUND = ("Name", "Version", "Health", "Endpoints", "Description", "Found by")
_VERSIONS = ("Version", "Labels", "State", "Share", "Published", "Hash")
_PLACES = ("URL", "Transport", "Version", "State", "Reason", "Weight", "Zone")
_CHANGES = ("Revision", "Time", "Change", "Name", "Version", "What", "Who")
_ROWS = 20  # a terminal's worth
_WORDS = 60  # characters

_Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def registry_html(snapshot: RegistrySnapshot) -> str:
    """Tables of what is found, of the versions and endpoints of what is looked at, and of changes; all escaped."""
    tables = [html_table(*table) for table in _tables(snapshot)]
    if snapshot.problem:
        tables.insert(0, f"<p>{escape(snapshot.problem)}</p>")
    return "\n".join(tables)


def registry_text(snapshot: RegistrySnapshot) -> str:
    """The same as plain text, twenty rows of each."""
    parts = [snapshot.problem] if snapshot.problem else []
    for title, heads, rows in _tables(snapshot):
        short = [tuple(first_words(cell, _WORDS) for cell in row) for row in rows[:_ROWS]]
        parts.append("\n".join(aligned(title, heads, short)))
    return "\n\n".join(parts)


def _tables(snapshot: RegistrySnapshot) -> list[_Table]:
    noun = _NOUNS[snapshot.kind]
    asked = " ".join(part for part in (snapshot.text, *snapshot.filters) if part)
    title = f"{snapshot.total:,} {noun}{'' if snapshot.total == 1 else 's'}{f' for {asked}' if asked else ''}"
    found = [(row.name, row.version, row.health, str(row.endpoints), row.description, row.why) for row in snapshot.rows]
    tables: list[_Table] = [(f"{title} ({lab_of(snapshot)})", _FOUND, found)]
    if (detail := snapshot.selected) is not None:
        versions = [
            (
                row.version,
                ", ".join(row.labels),
                row.state,
                "" if row.share is None else f"{row.share:.3g} %",
                when(row.published),
                row.hash,
            )
            for row in detail.versions
        ]
        tables.append((f"Versions of {detail.name}; {detail.rule}", _VERSIONS, versions))
        places = [
            (row.url, row.transport, row.version, row.state, row.reason, f"{row.weight:g}", row.zone)
            for row in detail.endpoints
        ]
        tables.append((f"Endpoints of {detail.name}", _PLACES, places))
        if (difference := detail.difference) is not None:
            lines = [(line,) for line in difference.lines]
            tables.append((f"From {difference.before} to {difference.after}", ("Place",), lines))
    changes = [
        (str(row.revision), when(row.time), row.type, row.name, row.version, row.text, row.who)
        for row in snapshot.changes
    ]
    tables.append(("Changes", _CHANGES, changes))
    return tables
