from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.core.errors import TraceDiffers
from nbagora_lab.scenarios.diff import diff_traces
from nbagora_lab.scenarios.trace import Trace, TraceHeader, TraceLine

HEADER = TraceHeader(notebook="a", parameters={}, seed=1, clock="virtual", engines={"broker": "embedded"})


def trace(**topics: str) -> Trace:
    """One line a letter, on ``sessions/<name>``: the letter is the body."""
    lines = [
        TraceLine(f"sessions/{name}", offset, "a2a.status", "t-1", offset + 1, letter * 64)
        for name, letters in sorted(topics.items())
        for offset, letter in enumerate(letters)
    ]
    return Trace(HEADER, tuple(lines))


TRACES = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text("xyz", min_size=1, max_size=6)).map(
    lambda topics: trace(**topics)
)


@given(TRACES, TRACES)
def test_traces_are_the_same_exactly_if_nothing_differs(a: Trace, b: Trace) -> None:
    assert diff_traces(a, b).same == (a == b)
    assert diff_traces(a, a).same


@given(TRACES, TRACES)
def test_each_difference_is_of_lines_that_are_there(a: Trace, b: Trace) -> None:
    for difference in diff_traces(a, b).differences:
        assert (difference.before is None) == (difference.kind == "extra")
        assert (difference.after is None) == (difference.kind == "missing")
        assert difference.before is None or difference.before in a.lines
        assert difference.after is None or difference.after in b.lines
        assert difference.before != difference.after


def test_no_difference_says_so() -> None:
    diff = diff_traces(trace(a="xyz"), trace(a="xyz"))
    assert str(diff) == "no difference"
    assert diff.first is None
    diff.check()


def test_another_body_is_told_by_its_place() -> None:
    diff = diff_traces(trace(a="xyz"), trace(a="xxz"))
    assert str(diff) == "sessions/a@1 (a2a.status of t-1): its body changed"
    assert [one.kind for one in diff.differences] == ["changed"]


def test_a_missing_record_is_one_difference_though_all_behind_it_moved() -> None:
    diff = diff_traces(trace(a="xyzx"), trace(a="xzx"))
    assert [(one.kind, one.what) for one in diff.differences] == [
        ("missing", "sessions/a@1 (a2a.status of t-1) is missing")
    ]


def test_an_extra_record_is_one_difference() -> None:
    diff = diff_traces(trace(a="xzx"), trace(a="xyzx"))
    assert [(one.kind, one.what) for one in diff.differences] == [
        ("extra", "sessions/a@1 (a2a.status of t-1) is extra")
    ]


def test_a_topic_that_only_one_has_is_one_difference() -> None:
    both = diff_traces(trace(a="x", b="xy"), trace(a="x", c="z"))
    assert [one.what for one in both.differences] == [
        "the topic sessions/b with 2 records is missing",
        "the topic sessions/c with 1 record is extra",
    ]


def test_changed_fields_are_named() -> None:
    a = trace(a="x")
    line = replace(a.lines[0], type="a2a.artifact", subject="t-2", generation=9)
    diff = diff_traces(a, replace(a, lines=(line,)))
    assert str(diff) == (
        "sessions/a@0 (a2a.artifact of t-2): type was 'a2a.status', subject was 't-1', generation was 1"
    )


def test_another_generation_alone_is_a_difference() -> None:
    a = trace(a="xy")
    diff = diff_traces(a, replace(a, lines=(a.lines[0], replace(a.lines[1], generation=5))))
    assert str(diff) == "sessions/a@1 (a2a.status of t-1): generation was 2"


def test_the_header_goes_first() -> None:
    a = trace(a="x")
    diff = diff_traces(a, Trace(replace(HEADER, seed=2, engines={}), trace(a="y").lines))
    assert [one.what for one in diff.differences] == [
        "seed was 1, is 2",
        "engines was {'broker': 'embedded'}, is {}",
        "sessions/a@0 (a2a.status of t-1): its body changed",
    ]
    assert str(diff) == "seed was 1, is 2 (and 2 more)"


def test_a_long_topic_is_compared_pair_by_pair() -> None:
    long = trace(a="x" * 3000 + "y" * 3000)
    diff = diff_traces(long, trace(a="x" * 2999 + "y" * 3001))
    assert str(diff) == "sessions/a@2999 (a2a.status of t-1): its body changed"
    shorter = diff_traces(long, trace(a="z" * 3000))
    assert (len(shorter.differences), shorter.differences[-1].kind) == (6000, "missing")


def test_a_difference_raises_in_two_lines() -> None:
    with pytest.raises(TraceDiffers) as caught:
        diff_traces(trace(a="x"), trace(a="y")).check("the trace of a")
    assert caught.value.what == "the trace of a differs: sessions/a@0 (a2a.status of t-1): its body changed"
