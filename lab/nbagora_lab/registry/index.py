"""The embedded registry's index: what enters it with a version, and what a query asks of it.

It holds the versions that a label points at, in two forms: `facets` for whole values, `search` for words. A version
enters with its first label and leaves with its last, in the transaction that moves the label; but what entered is only
noted (`pending`) and taken in by the next search, so that a publication writes half as many pages. A publication
that finds `_WAITING` of them noted takes these in itself.
"""

from __future__ import annotations

import fnmatch
import json
from typing import Any, NamedTuple

from nbagora_lab.registry import where, words
from nbagora_lab.registry.fields import CARD_FIELDS, facets_of, values_of
from nbagora_lab.registry.model import Found, Query, TextField, Why
from nbagora_lab.registry.rows import VERSION, agent_version
from nbagora_lab.registry.sqlite import Run

__all__ = ["catch_up", "counts", "enter", "find", "glob_of", "is_behind", "leave"]

_COLUMNS: tuple[TextField, ...] = ("name", "skill", "tag", "description", "example")
_WEIGHTS = "8, 5, 5, 2, 1"  # of a word in each of the columns
_HIGHLIGHT = (
    f"SELECT {', '.join(f'highlight(search, {column}, ?1, ?2)' for column in range(len(_COLUMNS)))} "
    "FROM search WHERE search MATCH ?3 AND rowid = ?4"
)
_STEPS = (32, 1024)  # numbers of versions up to which a filter counts as rare, the smallest first
_ROWS = 100  # rows that one statement inserts
_WAITING = 64  # versions that wait to be taken in, at most
_NAMED = "entries AS e CROSS JOIN labels AS l CROSS JOIN versions AS v"
_NAMED_TERM = "l.entry = e.id AND v.entry = e.id AND v.version = l.version"


def enter(run: Run, version: int) -> None:
    """Has a version taken into the index."""
    run("INSERT INTO pending VALUES (?)", (version,))
    [waiting] = run("SELECT count(*) FROM pending").fetchone()
    if waiting >= _WAITING:
        catch_up(run)


def leave(run: Run, version: int) -> None:
    """Takes a version out of the index."""
    if not run("DELETE FROM pending WHERE version = ?", (version,)).rowcount:
        run("DELETE FROM facets WHERE version = ?", (version,))
        run("DELETE FROM search WHERE rowid = ?", (version,))


def is_behind(run: Run) -> bool:
    """Whether there are versions that wait to be taken in."""
    return run("SELECT 1 FROM pending LIMIT 1").fetchone() is not None


def catch_up(run: Run) -> None:
    """Takes in what waits."""
    for (version,) in run("SELECT version FROM pending ORDER BY version").fetchall():
        _take_in(run, version)
    run("DELETE FROM pending")


def _take_in(run: Run, version: int) -> None:
    content, *thing = run(
        "SELECT v.content, e.kind, e.namespace, e.name FROM versions v JOIN entries e ON e.id = v.entry WHERE v.id = ?",
        (version,),
    ).fetchone()
    card = json.loads(content)
    facets = sorted(facets_of(card))
    for start in range(0, len(facets), _ROWS):
        rows = facets[start : start + _ROWS]
        values = [part for field, value in rows for part in (field, value, *thing, version)]
        run(f"INSERT INTO facets VALUES {', '.join(['(?, ?, ?, ?, ?, ?)'] * len(rows))}", values)
    texts = words.texts_of(card)
    columns = [words.index_text(texts[column]) for column in _COLUMNS]
    run(f"INSERT INTO search (rowid, {', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)", (version, *columns))


def find(run: Run, query: Query, now: float) -> list[Found]:
    """What a query finds, with the reasons."""
    search = _Search.of(run, query, now)
    if search is None:
        return []  # a text without a word is on no card
    found = []
    for version, score in run(f"{search.sql} LIMIT ?", (*search.values, query.limit)).fetchall():
        agent = agent_version(run(f"{VERSION} WHERE v.id = ?", (version,)).fetchone())
        found.append(Found(agent=agent, score=score, why=_why(run, query, search, agent.card, version)))
    return found


def counts(run: Run, query: Query, now: float) -> dict[str, dict[str, int]]:
    """How many of what a query finds have each value of each filter over cards, the most frequent first."""
    search = _Search.of(run, query, now)
    if search is None:
        return {}
    rows = run(
        f"SELECT f.field, f.value, count(*) FROM ({search.sql}) AS m CROSS JOIN facets AS f ON f.version = m.id "
        "GROUP BY f.field, f.value ORDER BY f.field, count(*) DESC, f.value",
        search.values,
    )
    found: dict[str, dict[str, int]] = {}
    for field, value, count in rows:
        found.setdefault(field, {})[value] = count
    return found


class _Search(NamedTuple):
    """A query as a statement.

    Attributes:
        sql: Gives the number of each version that is found and its score, the best first.
        values: What the statement's question marks stand for.
        match: Its FTS5 expression, None where no text was asked for.
    """

    sql: str
    values: tuple[Any, ...]
    match: str | None

    @classmethod
    def of(cls, run: Run, query: Query, now: float) -> _Search | None:
        """The statement for a query; None if its text has no word, so that nothing can be found.

        What narrows most comes first: a whole name, then words, then the rarest filter over cards, and last the names
        in their order; the last two give names in order, so that a search ends with its last result. CROSS JOIN has
        SQLite keep that order; left to itself it walks all names that begin like a pattern.
        """
        match = None
        if query.text and not query.text.isspace():
            match = words.match_of(query.text)
            if match is None:
                return None
        asked = [_term(field, value, now) for field, value in query.asked()]
        if query.where is not None:
            asked.append(_tree(where.parse(query.where), now))
        terms = [
            _Term("e.kind = ? AND e.namespace = ?", (query.kind, query.namespace)),
            _Term("l.label = ?", (query.label,)),
        ]
        literal = False
        if query.name is not None:
            name, pattern = glob_of(query.name)
            literal = pattern is None
            terms.append(_Term("e.name = ?", (name,)) if literal else _Term("e.name GLOB ?", (pattern,)))
        if query.seen_by is not None:
            terms.append(_Term("(NOT e.private OR e.owner = ?)", (query.seen_by,)))
        of_version = "v.id = {} AND e.id = v.entry AND l.entry = v.entry AND l.version = v.version"
        in_order = "e.name"
        joined = "CROSS JOIN versions AS v CROSS JOIN entries AS e CROSS JOIN labels AS l"
        if match is not None and not literal:
            tables, on = f"search {joined}", f"search MATCH ? AND {of_version.format('search.rowid')}"
            values: tuple[Any, ...] = (match,)
        elif not literal and (driver := _rarest(run, query)):
            by_name = "d.field = ? AND d.value = ? AND d.kind = ? AND d.namespace = ?"
            tables, on = f"facets AS d {joined}", f"{by_name} AND {of_version.format('d.version')}"
            values, in_order = (*driver, query.kind, query.namespace), "d.name"
        else:
            tables, on, values = _NAMED, _NAMED_TERM, ()
            if match is not None:
                tables, on, values = (
                    f"{tables} CROSS JOIN search",
                    f"{on} AND search MATCH ? AND search.rowid = v.id",
                    (match,),
                )
        score, order = (f"-bm25(search, {_WEIGHTS})", "score DESC, e.name") if match else ("0.0", in_order)
        every = [*terms, *asked]
        sql = (
            f"SELECT v.id AS id, {score} AS score FROM {tables} "
            f"WHERE {on} AND {' AND '.join(term.sql for term in every)} ORDER BY {order}"
        )
        return cls(sql, (*values, *(value for term in every for value in term.values)), match)


class _Term(NamedTuple):
    """One thing that must hold, over the tables `e`, `l` and `v`."""

    sql: str
    values: tuple[Any, ...]


def _rarest(run: Run, query: Query) -> tuple[str, str] | None:
    """The filter over cards that the fewest versions have, of those asked for whole values; None where none is."""
    asked = [
        (field, words.fold(literal))
        for field, value in query.asked()
        if field in CARD_FIELDS
        for literal, pattern in [glob_of(value)]
        if pattern is None
    ]
    for size in _STEPS:
        for field, value in asked:
            more = run("SELECT 1 FROM facets WHERE field = ? AND value = ? LIMIT 1 OFFSET ?", (field, value, size))
            if more.fetchone() is None:
                return field, value
    return asked[0] if asked else None


def _tree(condition: where.Condition, now: float) -> _Term:
    if isinstance(condition, where.Is):
        return _term(condition.field, condition.value, now)
    if isinstance(condition, where.Not):
        sql, values = _tree(condition.part, now)
        return _Term(f"NOT {sql}", values)
    parts = [_tree(part, now) for part in condition.parts]
    word = " AND " if isinstance(condition, where.All) else " OR "
    return _Term(f"({word.join(part.sql for part in parts)})", tuple(value for part in parts for value in part.values))


def _term(field: str, value: str, now: float) -> _Term:
    """A filter as a term."""
    literal, pattern = glob_of(value)
    fits, wanted = ("=", literal) if pattern is None else ("GLOB", pattern)
    if field in CARD_FIELDS:
        own = "f.kind = e.kind AND f.namespace = e.namespace AND f.name = e.name AND f.version = v.id"
        if pattern is not None:
            own = "f.version = v.id"
        return _Term(
            f"EXISTS (SELECT 1 FROM facets AS f WHERE f.field = ? AND f.value {fits} ? AND {own})",
            (field, words.fold(wanted)),
        )
    if field == "state":
        sql = f"coalesce((SELECT s.state FROM states AS s WHERE s.version = v.id), 'published') {fits} ?"
        return _Term(f"({sql})", (wanted.lower(),))
    column = "p.transport" if field == "transport" else "p.state"
    some = "EXISTS (SELECT 1 FROM endpoints AS p WHERE p.entry = v.entry AND p.version = v.version AND p.expires > ?"
    if field == "health" and literal.lower() == "none":
        return _Term(f"NOT {some})", (now,))
    return _Term(f"{some} AND {column} {fits} ?)", (now, wanted.upper() if field == "transport" else wanted.lower()))


def _why(run: Run, query: Query, search: _Search, card: dict[str, Any], version: int) -> tuple[Why, ...]:
    """The reasons why a version was found, those by name and filter first."""
    reasons: list[Why] = []
    if query.name is not None:
        reasons.append(Why(field="name", text=card["name"]))
    for field, value in query.asked():
        if field in CARD_FIELDS:
            reasons += [Why(field=field, text=text) for text in values_of(card, field) if _fits(text, value)]
        else:
            reasons.append(Why(field=field, text=value))
    if query.where is not None:
        reasons.append(Why(field="where", text=query.where))
    if search.match is not None:
        columns = run(_HIGHLIGHT, (*words.MARKS, search.match, version)).fetchone()
        for column, text in zip(_COLUMNS, columns, strict=True):
            reasons += [Why(field=column, text=found) for found in words.marked(text)]
    return tuple(dict.fromkeys(reasons))


def _fits(text: str, value: str) -> bool:
    """Whether a card's text is what a filter asks for."""
    literal, pattern = glob_of(value)
    if pattern is None:
        return words.fold(text) == words.fold(literal)
    return fnmatch.fnmatchcase(words.fold(text), words.fold(pattern))


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
