from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.core.errors import UnknownParameter, UsageError
from nbagora_lab.scenarios.parameters import (
    check_parameters,
    declared_parameters,
    format_value,
    parse_parameters,
    parse_value,
)

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


def cell(source: str, *tags: str) -> dict[str, object]:
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("inf", math.inf),
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ('"7"', "7"),
        ('["a", 1]', ["a", 1]),
        ('{"a": [true]}', {"a": [True]}),
        ("北京", "北京"),
        ("", ""),
        ("[half a list", "[half a list"),
        ('"half a string', '"half a string'),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
    ],
)
def test_a_word_is_read_as_papermill_or_json_would(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.thorough
@given(VALUES)
def test_a_formatted_value_is_read_back_through_a_shell(value: object) -> None:
    [word] = shlex.split(shlex.quote(format_value(value)))
    read = parse_value(word)
    assert read == value
    assert type(read) is type(value)


def test_a_string_stays_a_word_where_it_can() -> None:
    assert format_value("北京") == "北京"
    assert format_value("7") == '"7"'


def test_a_mapping_is_taken_as_it_is_and_words_are_parsed() -> None:
    assert parse_parameters({"n": "7"}) == {"n": "7"}
    assert parse_parameters([("n", "7"), ("n", "8")]) == {"n": 8}


@pytest.mark.parametrize("name", ["", "a-b", "1st", "a b"])
def test_a_name_that_python_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="can't be a parameter"):
        parse_parameters({name: 1})


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, [{"a": object()}], b"x", "\ud800"])
def test_a_value_that_papermill_would_change_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="the parameter 'x' is"):
        parse_parameters({"x": value})


def test_the_parameters_cell_declares_what_it_assigns() -> None:
    source = (
        "%matplotlib inline\nseed: int = 7\na, (b, c) = 1, (2, 3)\nlater: str\nopts = dict(a=1)\nif True:\n    d = 4\n"
    )
    declared = declared_parameters([cell("x = 1"), cell(source, "parameters"), cell("y = 1", "parameters")])
    assert declared == {"seed": 7, "a": None, "b": None, "c": None, "later": None, "opts": None}


def test_a_source_in_lines_counts_as_one() -> None:
    assert declared_parameters([cell(["a = 1\n", "b = 2"], "parameters")]) == {"a": 1, "b": 2}  # type: ignore[arg-type]


def test_no_parameters_cell_is_told_from_an_empty_one() -> None:
    assert declared_parameters([cell("a = 1")]) is None
    assert declared_parameters([cell("", "parameters")]) == {}
    assert declared_parameters([cell("a = (", "parameters")]) == {}


def test_an_unknown_parameter_is_an_error_that_says_what_was_meant() -> None:
    with pytest.raises(UnknownParameter) as caught:
        check_parameters(Path("x/a.ipynb"), {"seed": 1, "city": "Oslo"}, {"sede": 2})
    assert (caught.value.what, caught.value.hint) == ("a.ipynb has no parameter 'sede'", "did you mean 'seed'?")


def test_parameters_without_a_cell_for_them_are_an_error() -> None:
    with pytest.raises(UnknownParameter, match="no parameters cell, but was given seed"):
        check_parameters(Path("a.ipynb"), None, {"seed": 2})
    check_parameters(Path("a.ipynb"), None, {})
