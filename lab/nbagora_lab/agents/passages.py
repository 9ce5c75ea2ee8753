"""Passages of text, found by their words: a full-text index in SQLite (FTS5, BM25), made from what it indexes.

Chinese words of one and two characters are found as well; see `registry.words`. With an embedder, what is near in
meaning is found beside what shares words; the two rankings are joined by their reciprocal ranks.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbagora_lab.registry.words import index_text, match_of

__all__ = ["Embedder", "Hit", "Passages"]

Embedder = Callable[[list[str]], Sequence[Sequence[float]]]
"""Gives a vector for each text."""

_JOIN = 60  # of reciprocal ranks: how little the first places stand out


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    Attributes:
        key: What it is known by: ``guide.md#3``.
        source: Where it stands.
        text: What it says.
        score: The higher, the better it fits; comparable within one search alone.
    """

    key: str
    source: str
    text: str
    score: float

    def as_json(self) -> dict[str, Any]:
        """For a tool's result."""
        return {"source": self.source, "text": self.text, "score": round(self.score, 4)}


class Passages:
    """An index of passages. May be used from any thread.

    Args:
        embedder: Gives vectors for texts; None: words alone count.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._lock = threading.Lock()
        self._embedder = embedder
        self._vectors: dict[str, list[float]] = {}
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("CREATE TABLE passages (key TEXT PRIMARY KEY, place TEXT, source TEXT, text TEXT)")
        self._db.execute("CREATE VIRTUAL TABLE search USING fts5(body, tokenize='porter unicode61')")

    def put(self, passages: Iterable[tuple[str, str, str, str]]) -> None:
        """Takes in passages: key, place (what a search can be limited to), source and text; a known key is replaced."""
        rows = list(passages)
        with self._lock, self._db:
            self._db.execute("BEGIN")
            for key, place, source, text in rows:
                self._drop(key)
                self._db.execute("INSERT INTO passages VALUES (?, ?, ?, ?)", (key, place, source, text))
                number = self._db.execute("SELECT rowid FROM passages WHERE key = ?", (key,)).fetchone()[0]
                self._db.execute("INSERT INTO search (rowid, body) VALUES (?, ?)", (number, index_text([text])))
        if self._embedder is not None and rows:
            vectors = self._embedder([text for *_, text in rows])
            self._vectors |= {row[0]: _unit(vector) for row, vector in zip(rows, vectors, strict=True)}

    def drop(self, key: str) -> bool:
        """Lets go of a passage; whether there was one."""
        self._vectors.pop(key, None)
        with self._lock:
            return self._drop(key)

    def _drop(self, key: str) -> bool:
        row = self._db.execute("SELECT rowid FROM passages WHERE key = ?", (key,)).fetchone()
        if row is None:
            return False
        self._db.execute("DELETE FROM search WHERE rowid = ?", row)
        self._db.execute("DELETE FROM passages WHERE rowid = ?", row)
        return True

    def find(self, question: str, *, place: str | None = None, limit: int = 5) -> list[Hit]:
        """The passages that fit best, the best first.

        Args:
            question: In words.
            place: Only passages of this place; None for all.
            limit: Number of them at most.
        """
        wanted = max(limit, 0)
        by_words = self._by_words(question, place, wanted if self._embedder is None else 4 * wanted)
        if self._embedder is None or not self._vectors:
            return by_words[:wanted]
        by_meaning = self._by_meaning(question, place, 4 * wanted)
        joined: dict[str, float] = {}
        for ranking in (by_words, by_meaning):
            for rank, hit in enumerate(ranking):
                joined[hit.key] = joined.get(hit.key, 0.0) + 1 / (_JOIN + rank)
        known = {hit.key: hit for hit in (*by_meaning, *by_words)}
        best = sorted(joined, key=lambda key: -joined[key])[:wanted]
        return [Hit(key, known[key].source, known[key].text, joined[key]) for key in best]

    def _by_words(self, question: str, place: str | None, limit: int) -> list[Hit]:
        match = match_of(question)
        if match is None:
            return []
        with self._lock:
            rows = self._db.execute(
                "SELECT p.key, p.source, p.text, -bm25(search) FROM search JOIN passages p ON p.rowid = search.rowid "
                "WHERE search MATCH ?1 AND (?2 IS NULL OR p.place = ?2) ORDER BY bm25(search), p.key LIMIT ?3",
                (match, place, limit),
            ).fetchall()
        return [Hit(*row) for row in rows]

    def _by_meaning(self, question: str, place: str | None, limit: int) -> list[Hit]:
        assert self._embedder is not None
        [asked] = self._embedder([question])
        wanted = _unit(asked)
        with self._lock:
            rows = self._db.execute(
                "SELECT key, source, text FROM passages WHERE ?1 IS NULL OR place = ?1", (place,)
            ).fetchall()
        scored = [
            Hit(key, source, text, sum(a * b for a, b in zip(self._vectors[key], wanted, strict=True)))
            for key, source, text in rows
            if key in self._vectors
        ]
        return sorted(scored, key=lambda hit: -hit.score)[:limit]

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM passages").fetchone()[0])

    def close(self) -> None:
        """Lets go of it."""
        with self._lock:
            self._db.close()


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]
