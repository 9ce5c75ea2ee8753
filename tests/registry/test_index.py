"""What a name's pattern means."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbagora_lab.registry.index import glob_of

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test looks at the time it takes


@pytest.mark.parametrize(
    ("name", "literal", "pattern"),
    [
        ("weather", "weather", None),
        ("w*", "w*", "w*"),
        ("?气", "?气", "?气"),
        (r"a\*b", "a*b", None),
        (r"a\*b*", "a*b*", "a[*]b*"),
        ("a[x]*", "a[x]*", "a[[]x]*"),
        ("a\\\\", "a\\", None),
        ("a\\", "a\\", None),
        ("", "", None),
    ],
)
def test_a_name_is_itself_or_a_pattern(name: str, literal: str, pattern: str | None) -> None:
    assert glob_of(name) == (literal, pattern)


@unhurried
@given(st.text("ab*?[]^-\\天", max_size=8), st.text("ab*?[]^-\\天", max_size=4))
def test_an_escaped_name_finds_itself_and_no_other(name: str, tail: str) -> None:
    escaped = "".join(f"\\{letter}" for letter in name)
    assert glob_of(escaped) == (name, None)
    _, pattern = glob_of(escaped + "*")
    with sqlite3.connect(":memory:") as connection:
        [found] = connection.execute("SELECT ? GLOB ?", (name + tail, pattern)).fetchone()
        [other] = connection.execute("SELECT ? GLOB ?", ("x" + name, pattern)).fetchone()
    connection.close()
    assert found
    assert not other or not name
