"""How texts and questions are cut."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cards import card, skill
from nbagora_lab.registry.words import BREAK, MARKS, fold, index_text, marked, match_of, texts_of

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test looks at the time it takes


@pytest.fixture(scope="module")
def fts() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = 'porter unicode61 remove_diacritics 2')")
    yield connection
    connection.close()


def matches(fts: sqlite3.Connection, texts: list[str], question: str) -> list[str] | None:
    """What in `texts` the question marks; None where they don't match."""
    fts.execute("DELETE FROM t")
    fts.execute("INSERT INTO t VALUES (?)", (index_text(texts),))
    row = fts.execute("SELECT highlight(t, 0, ?, ?) FROM t WHERE t MATCH ?", (*MARKS, match_of(question))).fetchone()
    return marked(row[0]) if row else None


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("weather", '"weather"'),
        ("the weather in 北京", '"weather" OR "北 京"'),
        ("酒", '"酒"'),
        ("酒店预订", '"酒 店" OR "店 预" OR "预 订"'),
        ("ホテル", '"ホ テ" OR "テ ル"'),
        ("hotel酒店2024", '"hotel" OR "酒 店" OR "2024"'),
        ("weather weather", '"weather"'),
        ("image_generation", '"image" OR "generation"'),
        ("ｈｏｔｅｌ", '"hotel"'),
        ("is it the", '"is" OR "it" OR "the"'),
        ("的", '"的"'),
        ('a "b" OR c*', '"b" OR "c"'),
        ("", None),
        ("?! 🌤 ——", None),
        (BREAK, None),
    ],
)
def test_a_question_becomes_words_and_pairs(question: str, expression: str | None) -> None:
    assert match_of(question) == expression


@pytest.mark.parametrize(
    ("text", "question", "found"),
    [
        ("帮你预订酒店房间", "酒店", ["酒店"]),
        ("帮你预订酒店房间", "订酒", ["订酒"]),
        ("帮你预订酒店房间", "预订酒店", ["预订酒店"]),
        ("帮你预订酒店房间", "店酒", None),
        ("Books Hotels in Zürich", "hotel zurich", ["Hotels", "Zürich"]),
        ("AI助手 for 旅行", "助手", ["助手"]),
        ("AI助手", "ai", ["AI"]),
        ("預訂ﾎﾃﾙ", "ホテル", ["ホテル"]),
        ("a b a b", "b", ["b"]),
    ],
)
def test_a_text_is_found_by_its_words(
    fts: sqlite3.Connection, text: str, question: str, found: list[str] | None
) -> None:
    assert matches(fts, [text], question) == found


def test_a_pair_stays_within_one_text(fts: sqlite3.Connection) -> None:
    assert matches(fts, ["红酒", "店铺"], "酒店") is None
    assert matches(fts, ["红酒店铺"], "酒店") == ["酒店"]


def test_the_marks_themselves_are_no_text(fts: sqlite3.Connection) -> None:
    assert matches(fts, [f"{MARKS[0]}sea{MARKS[1]} side{BREAK}"], "side") == ["side"]
    assert matches(fts, [f"a{BREAK}b"], BREAK + "b") == ["b"]


@unhurried
@given(text=st.text("天气预报酒店ab é1-_.", max_size=12), question=st.text("天气酒店ab é1*\"'():", max_size=8))
def test_each_part_of_a_text_finds_it_and_syntax_never_fails(fts: sqlite3.Connection, text: str, question: str) -> None:
    if match_of(question) is not None:
        matches(fts, [text], question)
    for piece in text.split():
        if match_of(piece) is not None:
            assert matches(fts, [text], piece)


@pytest.mark.parametrize(
    ("one", "two"), [("Travel", "travel"), ("ＡＢＣ", "abc"), ("É", "e\u0301"), ("straße", "STRASSE")]
)
def test_folding_takes_away_case_width_and_composition(one: str, two: str) -> None:
    assert fold(one) == fold(two)
    assert fold(fold(one)) == fold(one)


def test_a_cards_texts_by_their_place() -> None:
    described = card(
        "weather",
        skills=[skill("a", name="A", tags=["t"], examples=["e"]), {"id": "b", "name": "b", "description": "Does b."}],
    )
    assert texts_of(described) == {
        "name": ["weather"],
        "skill": ["a", "A", "b"],
        "tag": ["t"],
        "description": ["Is weather.", "Does a.", "Does b."],
        "example": ["e"],
    }
    assert texts_of({"name": "n", "description": "d"})["skill"] == []
