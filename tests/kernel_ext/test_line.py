from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora.line import Variables, next_word, words
from nbagora_lab.core.errors import UsageError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text("{}$'\" =#ab北😀\\-", max_size=40)


def texts(line: str) -> list[str]:
    return [word.text for word in words(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("""--skill "forecast: of a city" x""", ["--skill", "forecast: of a city", "x"]),
        ("--skill='a b' c", ["--skill=a b", "c"]),
        ("what's up", ["what's", "up"]),
        (r"a\@b C:\new", [r"a\@b", r"C:\new"]),
        ("{a + 1} {d['k v']}x", ["{a + 1}", "{d['k v']}x"]),
        ("a # comment", ["a"]),
        ("a '#' b#c", ["a", "#", "b#c"]),
        ("{ a", ["{", "a"]),
        ("'' a", ["", "a"]),
        ("北京 天气", ["北京", "天气"]),
        ("", []),
    ],
)
def test_a_line_is_parted_at_its_blanks(line: str, expected: list[str]) -> None:
    assert texts(line) == expected


@pytest.mark.parametrize("line", ["'a", 'x "a b', "--skill='a"])
def test_a_quote_that_is_never_closed_is_an_error(line: str) -> None:
    with pytest.raises(UsageError, match="never closed"):
        texts(line)


def test_a_word_tells_where_it_stands() -> None:
    word = next_word("  'a b' c")
    assert word is not None
    assert (word.text, word.quoted, word.start, word.end) == ("a b", True, 2, 7)


NAMES = {"city": "北京", "n": 3, "task": object(), "obj": type("O", (), {"name": "x"})()}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("{city} and $city", "北京 and 北京"),
        ("{n * 2}", "6"),
        ("$obj.name, $obj.nothing, $n.", "x, $obj.nothing, 3."),
        ("{{city}} $$city", "{city} $city"),
        ("$5 {unknown} $unknown { } {", "$5 {unknown} $unknown { } {"),
        ('{"city": "{city}"}', '{"city": "{city}"}'),
        ("{city} { {city}", "北京 { 北京"),
        ("{n!r:}", "3"),
        ("{city!r}", "'北京'"),
        ("{1/0} {city}", "{1/0} 北京"),
        ("$$$5", "$$$5"),
    ],
)
def test_variables_go_in_each_for_itself(typed: str, expected: str) -> None:
    assert Variables(NAMES).text(typed) == expected


def test_a_word_that_is_one_variable_is_the_object() -> None:
    variables = Variables(NAMES)
    assert variables.value("{task}") is NAMES["task"]
    assert variables.value("$task") is NAMES["task"]
    assert variables.value("{n}{n}") == "33"
    assert variables.value("{gone}") == "{gone}"
    assert variables.value("$gone") == "$gone"
    assert variables.value("{{n}}") == "{n}"


@given(TEXT)
def test_a_text_without_known_names_stays_as_it_is(typed: str) -> None:
    def plain(text: str) -> bool:
        return "{" not in text and "$" not in text

    changed = Variables({}).text(typed)
    assert changed == typed or not plain(typed)


@given(TEXT)
def test_parting_loses_no_letter(line: str) -> None:
    try:
        parted = list(words(line))
    except UsageError:
        assert "'" in line or '"' in line
        return
    assert all(line[word.start : word.end].strip() for word in parted)
    end = parted[-1].end if parted else 0
    between = [line[a.end : b.start] for a, b in itertools.pairwise(parted)]
    assert not "".join(between).strip()
    assert not line[end:].strip() or line[end:].lstrip().startswith("#")


def test_many_lone_braces_cost_no_more_than_one_look_each() -> None:
    line = "{" * 20_000
    assert texts(line) == [line]
    assert Variables({}).text(line) == line
