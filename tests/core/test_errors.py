"""Errors are one tree, say what happened and what to do, and survive being copied."""

from __future__ import annotations

import copy
import pickle
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nbagora_lab.core import errors
from nbagora_lab.core.errors import LabError, TaskFailed, TimedOut, did_you_mean

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LabError)]


def drawn() -> dict[str, str | None]:
    """Each class in the docstring's picture, and the one that it hangs from."""
    found: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"(    )((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)(?: |$)", line):
            depth = len(match[2]) // 4
            assert match[3] not in found, f"{match[3]} is drawn twice"
            above[depth:] = [match[3]]
            found[match[3]] = above[depth - 1] if depth else None
    return found


def test_the_picture_of_the_tree_is_the_tree() -> None:
    real = {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}
    assert drawn() == real | {"LabError": None}


def test_every_error_is_exported() -> None:
    assert {cls.__name__ for cls in CLASSES} == set(errors.__all__) - {"did_you_mean"}


@pytest.mark.parametrize("cls", CLASSES)
def test_a_notebook_shows_two_lines(cls: type[LabError]) -> None:
    error = cls("the sky\nfell", "hold\tit up")
    assert error._render_traceback_() == [f"{cls.__name__}: the sky fell", "hint: hold it up"]
    assert str(error) == "the sky\nfell\nhold\tit up"
    assert cls.__doc__


def test_without_a_hint_the_second_line_still_leads_somewhere() -> None:
    assert LabError("the sky fell")._render_traceback_() == ["LabError: the sky fell", "hint: see %lab status"]
    assert str(LabError("the sky fell")) == "the sky fell"


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("clone", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_keeps_its_words_on_the_way_to_another_process(cls: type[LabError], clone: object) -> None:
    error = cls("the sky fell", "hold it up")
    again = clone(error)  # type: ignore[operator]
    assert (type(again), again.what, again.hint) == (cls, "the sky fell", "hold it up")


def test_a_failed_task_comes_along() -> None:
    task = object()
    assert TaskFailed("it failed", "look at it", task).task is task
    assert TaskFailed("it failed").task is None


def test_a_wait_that_ran_out_of_time_is_a_timeout_to_everybody() -> None:
    with pytest.raises(TimeoutError, match="the sky still stands"):
        raise TimedOut("the sky still stands", "wait longer")


def test_a_near_name_is_suggested() -> None:
    assert did_you_mean("wether", ["hotels", "weather"]) == "did you mean 'weather'?"


def test_without_a_near_name_all_are_listed() -> None:
    assert did_you_mean("x", ["hotels", "天气"]) == "there are: hotels, 天气"
    assert did_you_mean("x", []) == "there are none yet"


def test_of_many_names_ten_are_listed() -> None:
    names = [f"agent-{number:02}" for number in range(12)]
    assert did_you_mean("?", names) == f"there are: {', '.join(names[:10])} and 2 more"


@given(st.text(), st.lists(st.text()))
def test_a_suggestion_is_a_name_that_exists(name: str, known: list[str]) -> None:
    said = did_you_mean(name, known)
    if said.startswith("did you mean"):
        assert said[len("did you mean '") : -len("'?")] in known
    else:
        assert said == "there are none yet" or said.startswith("there are: ")
