"""The embedded registry's index: what enters it with a version, and what a query asks of it.

It holds the versions that ``latest`` points at, in two forms: `facets` for whole ids, names and tags, `search` for
words. A version enters as ``latest`` comes and leaves as it goes, in the transaction that moves the label.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from nbagora_lab.registry import words
from nbagora_lab.registry.model import LATEST, Query, TextField, Why
from nbagora_lab.registry.sqlite import Run

__all__ = ["Search", "enter", "glob_of", "leave", "why"]

_KIND = "agent"
_COLUMNS: tuple[TextField, ...] = ("name", "skill", "tag", "description", "example")
_WEIGHTS = "8, 5, 5, 2, 1"  # of a word in each of the columns
_HIGHLIGHT = (
    f"SELECT {', '.join(f'highlight(search, {column}, ?1, ?2)' for column in range(len(_COLUMNS)))} "
    "FROM search WHERE search MATCH ?3 AND rowid = ?4"
)


def enter(run: Run, version: int) -> None:
    """Takes a version into the index."""
    [content] = run("SELECT content FROM versions WHERE id = ?", (version,)).fetchone()
    texts = words.texts_of(json.loads(content))
    facets = {(field, words.fold(text)) for field in ("skill", "tag") for text in texts[field]}
    for field, value in sorted(facets):
        run("INSERT INTO facets VALUES (?, ?, ?)", (field, value, version))
    columns = [words.index_text(texts[column]) for column in _COLUMNS]
    run(f"INSERT INTO search (rowid, {', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)", (version, *columns))


def leave(run: Run, version: int) -> None:
    """Takes a version out of the index."""
    run("DELETE FROM facets WHERE version = ?", (version,))
    run("DELETE FROM search WHERE rowid = ?", (version,))


class Search(NamedTuple):
    """A query as a statement.

    Attributes:
        sql: Gives the number of each version that is found and its score, the best first.
        parameters: What the statement's question marks stand for.
        match: Its FTS5 expression, None where no text was asked for.
    """

    sql: str
    parameters: tuple[Any, ...]
    match: str | None

    @classmethod
    def of(cls, query: Query) -> Search | None:
        """The statement for a query; None if its text has no word, so that nothing can be found.

        What narrows most comes first: a whole name, then words, a skill, a tag, and last a name's pattern. CROSS JOIN
        has SQLite keep that order; left to itself it walks all names that begin like the pattern.
        """
        named = _Source(
            "entries AS e CROSS JOIN labels AS l CROSS JOIN versions AS v",
            f"l.entry = e.id AND l.label = '{LATEST}' AND v.entry = e.id AND v.version = l.version",
            (),
            "v.id",
        )
        sources: list[_Source] = []
        name: tuple[str, tuple[str, ...]] = ("", ())
        if query.name is not None:
            literal, pattern = glob_of(query.name)
            name = (" AND e.name GLOB ?", (pattern,)) if pattern is not None else (" AND e.name = ?", (literal,))
            sources = [named] if pattern is None else []
        match: str | None = None
        if query.text and not query.text.isspace():
            match = words.match_of(query.text)
            if match is None:
                return None
            sources.append(_Source("search", "search MATCH ?", (match,), "search.rowid"))
        sources += [
            _Source(
                f"facets AS {field}s",
                f"{field}s.field = '{field}' AND {field}s.value = ?",
                (value,),
                f"{field}s.version",
            )
            for field, value in _wholes(query)
        ]
        sources = sources or [named]
        anchor = sources[0].version
        if named not in sources:
            sources.append(_Source("versions AS v CROSS JOIN entries AS e", "e.id = v.entry", (), "v.id"))
        terms = [sources[0].term, *(f"{source.term} AND {source.version} = {anchor}" for source in sources[1:])]
        score, order = (f"-bm25(search, {_WEIGHTS})", "score DESC, e.name") if match else ("0.0", "e.name")
        sql = (
            f"SELECT v.id, {score} AS score FROM {' CROSS JOIN '.join(source.tables for source in sources)} "
            f"WHERE {' AND '.join(terms)} AND e.kind = '{_KIND}' AND e.namespace = ?{name[0]} ORDER BY {order} LIMIT ?"
        )
        values = [value for source in sources for value in source.values]
        return cls(sql, (*values, query.namespace, *name[1], query.limit), match)


class _Source(NamedTuple):
    """Tables that give versions, which ones, and the column that has a version's number."""

    tables: str
    term: str
    values: tuple[str, ...]
    version: str


def why(run: Run, query: Query, search: Search, card: dict[str, Any], version: int) -> tuple[Why, ...]:
    """The reasons why a version was found, those by name, skill and tag first."""
    reasons: list[Why] = []
    if query.name is not None:
        reasons.append(Why(field="name", text=card["name"]))
    texts = words.texts_of(card)
    for field, wanted in _wholes(query):
        reasons += [Why(field=field, text=text) for text in texts[field] if words.fold(text) == wanted]
    if search.match is not None:
        columns = run(_HIGHLIGHT, (*words.MARKS, search.match, version)).fetchone()
        for field, column in zip(_COLUMNS, columns, strict=True):
            reasons += [Why(field=field, text=text) for text in words.marked(column)]
    return tuple(dict.fromkeys(reasons))


def _wholes(query: Query) -> list[tuple[TextField, str]]:
    """What must be there in whole, folded, by its field."""
    asked: tuple[tuple[TextField, str | None], ...] = (("skill", query.skill), ("tag", query.tag))
    return [(field, words.fold(value)) for field, value in asked if value is not None]


def glob_of(name: str) -> tuple[str, str | None]:
    """A name that may hold ``*`` and ``?``: what it means literally, and as SQLite's GLOB, None if it holds none.

    Example:
        >>> glob_of("hotel*"), glob_of("a\\\\*b")
        (('hotel*', 'hotel*'), ('a*b', None))
    """
    literal, pattern, wild = "", "", False
    letters = iter(name)
    for letter in letters:
        meant = next(letters, letter) if letter == "\\" else letter
        wild = wild or (meant == letter and letter in "*?")
        literal += meant
        pattern += meant if meant == letter and letter in "*?" else f"[{meant}]" if meant in "*?[" else meant
    return literal, pattern if wild else None
