"""The layout of the embedded registry's file.

| table | one row is | rows change |
|---|---|---|
| `entries` | a thing with a name: kind (``agent``), namespace, name | never |
| `versions` | a version's content, hash and time; `automatic` is the N of a ``0.0.N`` | never (a trigger holds that) |
| `labels` | where a label points; a foreign key keeps it on a version that exists | as the label moves |
| `endpoints` | a lease on a place; `epoch` is the revision that registered it | by renewal; gone at its end |
| `changes` | a change; its revision is the row's number, dense | never (a trigger holds that) |
| `facets` | a folded skill id, skill name or tag of a version that `latest` points at | with `latest` |
| `search` | the texts of such a version, cut by `words.index_text`; its rowid is the version's | with `latest` |

`facets` and `search` repeat what `versions` and `labels` say and can be made from them at any time. They hold one
version an agent, so a search costs what it finds, however often a cell was run again.
"""

from __future__ import annotations

from nbagora_lab.registry.sqlite import Migration

__all__ = ["APPLICATION_ID", "MIGRATIONS"]

APPLICATION_ID = 0x6E626167
"""``nbag``, in the header of the file."""

MIGRATIONS = (
    Migration(
        "0001-agents",
        (
            """
            CREATE TABLE entries (
                id INTEGER PRIMARY KEY,
                kind TEXT NOT NULL,
                namespace TEXT NOT NULL,
                name TEXT NOT NULL,
                UNIQUE (kind, namespace, name)
            )
            """,
            """
            CREATE TABLE versions (
                id INTEGER PRIMARY KEY,
                entry INTEGER NOT NULL REFERENCES entries (id),
                version TEXT NOT NULL,
                automatic INTEGER,
                hash TEXT NOT NULL,
                content TEXT NOT NULL,
                published REAL NOT NULL,
                UNIQUE (entry, version)
            )
            """,
            "CREATE INDEX versions_automatic ON versions (entry, automatic) WHERE automatic IS NOT NULL",
            """
            CREATE TRIGGER versions_never_change BEFORE UPDATE ON versions
            BEGIN SELECT raise(ABORT, 'a version never changes'); END
            """,
            """
            CREATE TABLE labels (
                entry INTEGER NOT NULL,
                label TEXT NOT NULL,
                version TEXT NOT NULL,
                PRIMARY KEY (entry, label),
                FOREIGN KEY (entry, version) REFERENCES versions (entry, version)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX labels_version ON labels (entry, version)",
            """
            CREATE TABLE endpoints (
                id TEXT PRIMARY KEY,
                epoch INTEGER NOT NULL,
                entry INTEGER NOT NULL,
                version TEXT NOT NULL,
                url TEXT NOT NULL,
                transport TEXT NOT NULL,
                lease REAL NOT NULL,
                registered REAL NOT NULL,
                expires REAL NOT NULL,
                UNIQUE (entry, version, url, transport),
                FOREIGN KEY (entry, version) REFERENCES versions (entry, version)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX endpoints_expires ON endpoints (expires)",
            """
            CREATE TABLE changes (
                revision INTEGER PRIMARY KEY AUTOINCREMENT,
                time REAL NOT NULL,
                type TEXT NOT NULL,
                namespace TEXT NOT NULL,
                name TEXT NOT NULL,
                version TEXT NOT NULL,
                detail TEXT NOT NULL
            )
            """,
            """
            CREATE TRIGGER changes_never_change BEFORE UPDATE ON changes
            BEGIN SELECT raise(ABORT, 'a change never changes'); END
            """,
            """
            CREATE TABLE facets (
                field TEXT NOT NULL,
                value TEXT NOT NULL,
                version INTEGER NOT NULL REFERENCES versions (id),
                PRIMARY KEY (field, value, version)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX facets_version ON facets (version)",
            """
            CREATE VIRTUAL TABLE search USING fts5 (
                name, skill, tag, description, example,
                tokenize = 'porter unicode61 remove_diacritics 2'
            )
            """,
        ),
    ),
)
"""Every step of the layout, oldest first; a name is never used again and a statement never changed."""
