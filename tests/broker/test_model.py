"""Names: which there are, how they are written, and what is said of those that are none."""

from __future__ import annotations

import unicodedata

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from nbagora_lab.broker.model import (
    TopicInfo,
    TopicRef,
    TopicSpec,
    check_name,
    escape_name,
    join_topic,
    parse_ref,
    seconds,
    split_topic,
)
from nbagora_lab.core.errors import BadName, UsageError

any_text = st.text(st.characters(), max_size=30)  # surrogates and control characters, too
names = (
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=40)
    | st.text("@*?[]\\a", min_size=1, max_size=8)
    | st.text("天🌦", min_size=1, max_size=100)
)


def breaks_the_rules(name: str) -> bool:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return True
    return not 1 <= size <= 512 or "/" in name or any(unicodedata.category(letter) == "Cc" for letter in name)


@given(any_text | names)
def test_a_name_is_taken_as_it_is_or_refused_in_two_lines(name: str) -> None:
    if breaks_the_rules(name):
        with pytest.raises(BadName) as caught:
            check_name(name, "agent")
        assert len(caught.value._render_traceback_()) == 2
        str(caught.value).encode()
        assert "agent" in caught.value.what
    else:
        assert check_name(name) == name


@pytest.mark.parametrize("name", ["x" * 512, "天" * 170 + "xx"])
def test_the_longest_name(name: str) -> None:
    assert check_name(name) == name
    with pytest.raises(BadName, match="has 513 bytes"):
        check_name(name + "x")


def test_a_long_bad_name_is_shown_cut() -> None:
    with pytest.raises(BadName) as caught:
        check_name("x" * 10_000)
    assert len(caught.value.what) < 100


@given(names, names)
def test_joining_and_splitting_are_inverse(parent: str, lite: str) -> None:
    assert split_topic(join_topic(parent, lite)) == (parent, lite)


@given(any_text)
def test_what_can_be_split_can_be_joined(topic: str) -> None:
    try:
        parent, lite = split_topic(topic)
    except BadName:
        return
    assert join_topic(parent, lite) == topic


@given(names, names, st.none() | st.integers(0, 2**64 - 1))
def test_an_escaped_name_is_read_back_with_its_offset(parent: str, lite: str, offset: int | None) -> None:
    suffix = "" if offset is None else f"@{offset}"
    assert parse_ref(escape_name(lite) + suffix, parent) == TopicRef(f"{parent}/{lite}", offset)
    full = f"{escape_name(parent)}/{escape_name(lite)}{suffix}"
    assert parse_ref(full) == TopicRef(f"{parent}/{lite}", offset)


@given(any_text | st.text("@\\/12a", max_size=10))
def test_whatever_is_typed_is_a_topic_or_refused_in_two_lines(text: str) -> None:
    try:
        ref = parse_ref(text)
    except BadName as error:
        lines = error._render_traceback_()
    else:
        lines = ["", ""]
        split_topic(ref.topic)
        assert ref.offset is None or ref.offset >= 0
    assert len(lines) == 2


@given(names)
def test_an_escaped_name_has_no_bare_sign(name: str) -> None:
    bare = escape_name(name).replace("\\\\", "").replace("\\@", "").replace("\\*", "").replace("\\?", "")
    assert not set("@*?[") & set(bare.replace("\\[", ""))


@pytest.mark.parametrize(
    ("text", "topic", "offset"),
    [
        ("ctx-1", "sessions/ctx-1", None),
        ("ctx-1@12", "sessions/ctx-1", 12),
        ("chat/s-1@0", "chat/s-1", 0),
        (r"a\@b@7", "sessions/a@b", 7),
        (r"a\\@7", "sessions/a\\", 7),
        ("a\\", "sessions/a\\", None),
        ("天气@12", "sessions/天气", 12),
    ],
)
def test_what_somebody_types(text: str, topic: str, offset: int | None) -> None:
    assert parse_ref(text) == TopicRef(topic, offset)


@pytest.mark.parametrize(
    "text", ["", "@", "@1", "a@", "a@b", "a@-1", "a@1@2", "a@١", "a@1 ", "a/b/c", "a@" + "9" * 5000]
)
def test_what_is_no_topic(text: str) -> None:
    with pytest.raises(BadName) as caught:
        parse_ref(text)
    assert caught.value.hint


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "soon"])
def test_a_time_to_live_is_a_duration_above_none(ttl: object) -> None:
    with pytest.raises((ValidationError, UsageError)):
        TopicSpec.model_validate({"ttl": ttl})


@given(st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_settings_are_stored_and_read_back(ttl: float | None) -> None:
    spec = TopicSpec(ttl=ttl)
    assert TopicSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_count_is_what_is_kept() -> None:
    assert TopicInfo(topic="a/b", first=3, next=10, created=0, last_write=0).count == 7


@pytest.mark.parametrize(("typed", "found"), [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800), (2.5, 2.5)])
def test_durations(typed: float | str, found: float) -> None:
    assert seconds(typed) == found


@pytest.mark.parametrize("typed", ["", "h", "1", "1y", "one hour", None, [1], b"1h"])
def test_what_is_no_duration_says_so(typed: object) -> None:
    with pytest.raises(UsageError, match="is no duration"):
        seconds(typed)  # type: ignore[arg-type]
