"""Globs: what they match is what a slow reader of the same signs says, and what can match nothing is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.broker.model import escape_name
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.core.errors import BadName

LETTERS = "ab-1北"
SPECIAL = "*?[\\"
Sign = tuple[str, str]  # what is written, and the letters that it stands for; "*" for any number of any

signs = st.one_of(
    st.sampled_from(LETTERS).map(lambda letter: (letter, letter)),
    st.sampled_from(SPECIAL).map(lambda letter: (f"\\{letter}", letter)),
    st.just(("?", LETTERS + SPECIAL)),
    st.just(("*", "*")),
    st.sets(st.sampled_from("ab1北"), min_size=1).map(lambda some: (f"[{''.join(sorted(some))}]", "".join(some))),
    st.sets(st.sampled_from("ab1北"), min_size=1).map(
        lambda some: (f"[!{''.join(sorted(some))}]", "".join(set(LETTERS + SPECIAL) - some))
    ),
)
names = st.text(LETTERS + SPECIAL, min_size=1, max_size=6)


def fits(glob: list[Sign], name: str) -> bool:
    """Whether a glob matches, sign by sign."""
    if not glob:
        return not name
    (written, letters), *rest = glob
    if written == "*":
        return any(fits(rest, name[cut:]) for cut in range(len(name) + 1))
    return bool(name) and name[0] in letters and fits(rest, name[1:])


@given(st.lists(signs, min_size=1, max_size=6), names)
def test_it_matches_what_its_signs_say(glob: list[Sign], name: str) -> None:
    pattern = Pattern.parse("".join(written for written, _ in glob))
    assert pattern.matches(name) == fits(glob, name)
    if pattern.matches(name):
        assert name.startswith(pattern.prefix)


@given(names)
def test_an_escaped_name_is_that_name_and_no_other(name: str) -> None:
    pattern = Pattern.parse(escape_name(name))
    assert (pattern.name, pattern.regex) == (name, None)
    assert pattern.matches(name)
    assert not pattern.matches(f"{name}x")
    assert Pattern.parse(pattern.text) == Pattern.literal(name) == pattern


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an empty lite topic name"),
        ("a/b", "'/'"),
        ("a/*", "no topic's name can match"),
        ("[ab", "has a '[' without its ']'"),
        ("[b-a]", "is no glob"),
        ("x" * 513, "513 bytes"),
        ("x" * 512 + "?", "no topic's name can match"),
        ("\ud800", "half a surrogate pair"),
    ],
)
def test_what_no_name_can_match_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadName, match=says.replace("[", r"\[")):
        Pattern.parse(text)


def test_many_stars_take_no_time_to_fail() -> None:
    assert not Pattern.parse("*a" * 60 + "b").matches("a" * 500)
