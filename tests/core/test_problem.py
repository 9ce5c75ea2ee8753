from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ValidationError

from nbagora_lab.core import errors
from nbagora_lab.core.errors import GroupNotFound, LabError, LeaseLost, StoreClosed, UsageError
from nbagora_lab.core.problem import PROBLEM, Problem, misfit, problem_of, refuse, status_of

CALLERS = (
    errors.UsageError,
    errors.NotFound,
    errors.NotJoined,
    errors.Conflict,
    errors.Forbidden,
    errors.TooLarge,
    errors.QuotaExceeded,
)


class Point(BaseModel):
    x: list[int]


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name[0].isupper()])
def test_what_a_caller_does_wrong_is_never_the_server_s_fault(name: str) -> None:
    kind = getattr(errors, name)
    assert (status_of(kind("what", "hint")) < 500) is issubclass(kind, (*CALLERS, errors.Unauthorized))


def test_an_error_tells_its_class_and_both_its_lines() -> None:
    problem = problem_of(LeaseLost("gone", "receive again"), handles=["1.2.chat/s"])
    assert problem.model_dump() == {
        "type": "urn:nbagora:error:LeaseLost",
        "title": "Lease lost",
        "status": 409,
        "detail": "gone",
        "hint": "receive again",
        "handles": ["1.2.chat/s"],
    }


@pytest.mark.parametrize(
    ("given", "status"), [(GroupNotFound("no group '组\ud800'", "x"), 404), (StoreClosed("closed"), 503), (405, 405)]
)
def test_a_refusal_is_problem_details_in_utf_8(given: LabError | int, status: int) -> None:
    answer = refuse(given, "what", "hint", {"Allow": "GET"})
    assert (answer.status_code, answer.headers["content-type"], answer.headers["allow"]) == (status, PROBLEM, "GET")
    problem = Problem.model_validate(json.loads(bytes(answer.body)))
    assert (problem.status, problem.detail) == (status, given.what if isinstance(given, LabError) else "what")


def test_what_does_not_fit_is_named_place_by_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Point.model_validate({"x": ["a"] * 12})
    error = misfit(caught.value, "the body", "mend it")
    assert isinstance(error, UsageError)
    assert error.what.startswith("the body does not fit: /x/0: Input should be a valid integer")
    assert error.what.endswith("; and 2 more")
