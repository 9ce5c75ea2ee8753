"""The layout of the embedded registry's file.

| table | one row is | rows change |
|---|---|---|
| `entries` | a thing with a name: kind, namespace, name; its owner and whether it is private | by its owner |
| `versions` | a version's content, hash and time; `automatic` is the N of a ``0.0.N`` | never (a trigger holds that) |
| `states` | a version's state, where that is not ``published`` | along its life |
| `labels` | where a label points, and pointed before; a foreign key keeps it on a version that exists | as it moves |
| `links` | a thing that a version uses | never |
| `signed` | the card that a version was published with last, where it was signed | when it is signed anew |
| `documents` | what is set beside versions: a rule, a policy, a token's digest | when it is set anew |
| `endpoints` | a lease on a place; `epoch` is the revision that registered it | by renewal; gone at its end |
| `changes` | a change; its revision is the row's number, dense; `chain` its hash and all before it | never (triggers) |
| `facets` | a folded value of a filter's field, of a version that a label points at, by name | with its labels |
| `pending` | a version that such a label points at since the index was last searched | till the next search |
| `search` | the texts of such a version, cut by `words.index_text`; its rowid is the version's | with its labels |

`facets`, `search` and `links` repeat what `versions` and `labels` say and can be made from them at any time. The first
two hold no version without a label, so a search costs what it finds, however often a cell was run again.
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
    Migration(
        "0002-kinds",
        (
            "DELETE FROM facets",  # the engine makes them anew, with the filters that came
            "DELETE FROM search",
            "ALTER TABLE entries ADD COLUMN owner TEXT NOT NULL DEFAULT 'local'",
            "ALTER TABLE entries ADD COLUMN private INTEGER NOT NULL DEFAULT 0",
            "CREATE TABLE states (version INTEGER PRIMARY KEY REFERENCES versions (id), state TEXT NOT NULL)",
            "ALTER TABLE labels ADD COLUMN previous TEXT",
            """
            CREATE TABLE links (
                version INTEGER NOT NULL REFERENCES versions (id),
                kind TEXT NOT NULL,
                name TEXT NOT NULL,
                ref TEXT NOT NULL,
                PRIMARY KEY (version, kind, name, ref)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX links_target ON links (kind, name)",
            """
            CREATE TABLE documents (
                type TEXT NOT NULL,
                namespace TEXT NOT NULL,
                key TEXT NOT NULL,
                value TEXT NOT NULL,
                PRIMARY KEY (type, namespace, key)
            ) WITHOUT ROWID
            """,
            "ALTER TABLE endpoints ADD COLUMN weight REAL NOT NULL DEFAULT 1",
            "ALTER TABLE endpoints ADD COLUMN zone TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE endpoints ADD COLUMN tenant TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE endpoints ADD COLUMN state TEXT NOT NULL DEFAULT 'up'",
            "ALTER TABLE endpoints ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE changes ADD COLUMN kind TEXT NOT NULL DEFAULT 'agent'",
            "ALTER TABLE changes ADD COLUMN who TEXT NOT NULL DEFAULT 'local'",
            "ALTER TABLE changes ADD COLUMN why TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE changes ADD COLUMN chain TEXT NOT NULL DEFAULT ''",
            "CREATE INDEX changes_of ON changes (kind, namespace, name, revision)",
            """
            CREATE TRIGGER changes_never_go BEFORE DELETE ON changes
            BEGIN SELECT raise(ABORT, 'a change never goes'); END
            """,
            """
            CREATE TRIGGER versions_never_go BEFORE DELETE ON versions
            BEGIN SELECT raise(ABORT, 'a version never goes'); END
            """,
        ),
    ),
    Migration(
        "0003-facets-by-name",
        (
            "DROP TABLE facets",
            """
            CREATE TABLE facets (
                field TEXT NOT NULL,
                value TEXT NOT NULL,
                kind TEXT NOT NULL,
                namespace TEXT NOT NULL,
                name TEXT NOT NULL,
                version INTEGER NOT NULL REFERENCES versions (id),
                PRIMARY KEY (field, value, kind, namespace, name, version)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX facets_version ON facets (version)",
            "DELETE FROM search",
        ),
    ),
    Migration(
        "0004-index-later",
        (
            "CREATE TABLE pending (version INTEGER PRIMARY KEY REFERENCES versions (id))",
            """
            INSERT INTO pending SELECT DISTINCT v.id FROM labels l JOIN versions v
            ON v.entry = l.entry AND v.version = l.version WHERE v.id NOT IN (SELECT rowid FROM search)
            """,
        ),
    ),
    Migration(
        "0005-signed-cards",
        ("CREATE TABLE signed (version INTEGER PRIMARY KEY REFERENCES versions (id), card TEXT NOT NULL)",),
    ),
)
"""Every step of the layout, oldest first; a name is never used again and a statement never changed."""
