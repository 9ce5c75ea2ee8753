"""What may become of a registry's file: every operation that writes, and what must hold of the file at any time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from cards import draft, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.registry import audit, index, words
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.fields import facets_of

__all__ = ["OPERATIONS", "URL", "check_whole", "connection_of", "dump", "two_versions"]

URL = "http://127.0.0.1:8000/agents/weather"

OPERATIONS: dict[str, Callable[[EmbeddedCatalog, dict[str, str]], object]] = {
    "publish a first version": lambda catalog, ids: catalog.publish(draft("fresh")),
    "publish a next version": lambda catalog, ids: catalog.publish(draft(description="Three.")),
    "publish a given version": lambda catalog, ids: catalog.publish(draft(description="Three."), version="3"),
    "move latest": lambda catalog, ids: catalog.label("public", "weather", "latest", "1"),
    "put a label": lambda catalog, ids: catalog.label("public", "weather", "stable", "1"),
    "register": lambda catalog, ids: catalog.register("public", "weather", "1", URL + "/3", "JSONRPC", 30),
    "take over": lambda catalog, ids: catalog.register("public", "weather", "2", URL + "/2", "JSONRPC", 30),
    "take a label away": lambda catalog, ids: catalog.unlabel("public", "weather", "old"),
    "roll back": lambda catalog, ids: catalog.rollback("public", "weather", "latest"),
    "deprecate": lambda catalog, ids: catalog.set_state("public", "weather", "1", "deprecated"),
    "withdraw": lambda catalog, ids: catalog.set_state("public", "weather", "7", "withdrawn"),
    "approve": lambda catalog, ids: catalog.set_state("public", "weather", "9", "published"),
    "set a rule": lambda catalog, ids: catalog.set_rule("public", "weather", {"needs": ["latest", "1"]}),
    "set a document": lambda catalog, ids: catalog.put("policy", "public", "", {"signed": True}, told={}),
    "give away": lambda catalog, ids: catalog.own("public", "weather", owner="ann", private=True),
    "refuse": lambda catalog, ids: catalog.refuse("agent", "public", "weather", "label", "no role"),
    "mark": lambda catalog, ids: catalog.mark(ids["live"], "draining"),
    "renew": lambda catalog, ids: catalog.renew(ids["live"]),
    "deregister": lambda catalog, ids: catalog.deregister(ids["live"]),
    "expire": lambda catalog, ids: catalog.expire(),
}


def two_versions(catalog: EmbeddedCatalog, clock: VirtualClock) -> dict[str, str]:
    """An agent with versions, drafts, an endpoint, and one whose lease ran out unnoticed; gives the endpoints' ids."""
    catalog.publish(draft(description="One.", skills=[skill("sun", tags=["a"])]), version="1")
    catalog.publish(draft(description="Two.", skills=[skill("rain", tags=["b"])]), version="2")
    catalog.publish(draft(description="Seven.", skills=[skill("fog")]), version="7", state="draft")
    catalog.publish(draft(description="Nine.", skills=[skill("snow")]), version="9", state="draft")
    catalog.label("public", "weather", "old", "1")
    lapsed = catalog.register("public", "weather", "2", URL + "/1", "JSONRPC", 10)
    live = catalog.register("public", "weather", "2", URL + "/2", "JSONRPC", 30)
    clock.advance(10)
    return {"live": live.id, "lapsed": lapsed.id}


def connection_of(catalog: EmbeddedCatalog) -> sqlite3.Connection:
    connection = catalog._store._connection
    assert connection is not None
    return connection


def dump(catalog: EmbeddedCatalog) -> list[str]:
    """All that the file says, the index included."""
    return list(connection_of(catalog).iterdump())


def check_whole(catalog: EmbeddedCatalog) -> None:
    """What must hold of a file at any time, once its index was brought up to date."""
    with catalog._store.writing() as run:
        index.catch_up(run)
    connection = connection_of(catalog)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.execute("INSERT INTO search (search) VALUES ('integrity-check')")
    latest = "SELECT count(*) FROM labels WHERE label = 'latest'"
    assert connection.execute(latest).fetchone() == connection.execute("SELECT count(*) FROM entries").fetchone()
    labelled = connection.execute(
        "SELECT DISTINCT v.id, v.content FROM labels l JOIN versions v ON v.entry = l.entry AND v.version = l.version "
        "ORDER BY v.id"
    ).fetchall()
    indexed = connection.execute("SELECT rowid, name, skill, tag, description, example FROM search ORDER BY rowid")
    facets = connection.execute("SELECT version, field, value FROM facets").fetchall()
    expected = []
    for number, content in labelled:
        texts = words.texts_of(json.loads(content))
        expected += [(number, *facet) for facet in facets_of(json.loads(content))]
        columns = [words.index_text(texts[field]) for field in ("name", "skill", "tag", "description", "example")]
        assert next(indexed) == (number, *columns)
    assert list(indexed) == []
    assert sorted(facets) == sorted(set(expected))
    revisions = [revision for (revision,) in connection.execute("SELECT revision FROM changes ORDER BY revision")]
    assert revisions == list(range(1, len(revisions) + 1))
    told = connection.execute("SELECT name, version FROM changes WHERE type = 'published' ORDER BY revision").fetchall()
    assert audit.verify(connection.execute).whole
    made = connection.execute("SELECT e.name, v.version FROM versions v JOIN entries e ON e.id = v.entry ORDER BY v.id")
    assert made.fetchall() == told
