"""Snapshots are bounded and commands are strict, whatever is put in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nbagora_lab.inspect.model import (
    OPEN_STATES,
    STATES,
    TEXT,
    WORDS,
    EventRow,
    TaskCommand,
    TaskRow,
    TasksSnapshot,
    first_words,
    last_words,
)

COMMAND = TypeAdapter(TaskCommand)


def row(**fields):
    return TaskRow(id="t", context_id="c", agent="a", created=0, updated=0, **{"state": "WORKING"} | fields)


@given(st.text(max_size=400), st.integers(2, 50))
def test_first_words_is_the_start_and_tells_a_cut(text, limit):
    cut = first_words(text, limit)
    assert len(cut) <= limit
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]) and len(text) > limit)


@given(st.text(max_size=400), st.integers(2, 50))
def test_last_words_is_one_line_of_the_end_and_tells_a_cut(text, limit):
    cut = last_words(text, limit)
    line = " ".join(text.split())
    assert len(cut) <= limit
    assert len(cut.splitlines()) <= 1
    assert cut == line or (cut.startswith("…") and line.endswith(cut[1:]))


class Long(str):
    """A text that is too long to be split whole."""

    __slots__ = ()

    def split(self, *args):
        raise AssertionError("the whole text was split")


def test_last_words_reads_only_the_end_of_a_long_text():
    assert last_words(Long("x " * 5_000_000 + " the end"), 10) == "…x the end"


def test_a_row_and_an_event_cut_their_texts():
    assert len(row(text="x" * 10_000).text) == WORDS
    assert len(row(question="x" * 10_000).question) == TEXT
    assert len(EventRow(offset=1, generation=1, kind="status", text="x" * 10_000, time=0).text) == TEXT


@pytest.mark.parametrize("state", STATES)
def test_a_task_is_open_until_it_ended(state):
    assert row(state=state).open is (state in OPEN_STATES)


def test_a_snapshot_survives_json():
    snapshot = TasksSnapshot(seq=3, lab="http://127.0.0.1:1", total=1, rows=[row(text="北京")])
    assert TasksSnapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


@pytest.mark.parametrize(
    "content",
    [
        None,
        "cancel",
        [],
        {},
        {"do": "cancel"},
        {"do": "cancel", "request": 1},
        {"do": "cancel", "request": 1, "task_id": 7},
        {"do": "cancel", "request": 1, "task_id": "t", "more": 1},
        {"do": "rm", "request": 1},
        {"do": "select", "request": "one", "task_id": None},
    ],
)
def test_what_is_no_command_is_refused(content):
    with pytest.raises(ValidationError):
        COMMAND.validate_python(content)
