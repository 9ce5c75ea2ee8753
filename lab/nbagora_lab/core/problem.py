"""Errors over HTTP: a `LabError` as problem details (RFC 9457), the same at every door outside A2A.

The type names the class of the error, so that a client may tell one from another without reading the text; the hint
travels beside the detail, so that it reads in two lines there, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nbagora_lab.core import errors
from nbagora_lab.core.errors import (
    Conflict,
    Forbidden,
    LabError,
    LeaseLost,
    NotFound,
    NotJoined,
    QuotaExceeded,
    RemoteError,
    ServiceError,
    StoreError,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unsupported,
    UsageError,
)

if TYPE_CHECKING:
    from starlette.responses import Response

__all__ = ["PROBLEM", "Problem", "error_of", "misfit", "problem_of", "refuse", "status_of"]

PROBLEM = "application/problem+json"
"""The media type of an error."""

_URN = "urn:nbagora:error:"
_SHOWN = 10  # places named where a body does not fit
_WORDS = re.compile("(?<=[a-z])(?=[A-Z])")

_STATUS: tuple[tuple[type[LabError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (Forbidden, 403),
    (QuotaExceeded, 403),
    (TooLarge, 413),
    (UsageError, 400),
    (Unauthorized, 401),
    (RemoteError, 502),
    (TimedOut, 504),
    (Unsupported, 501),
    (NotJoined, 404),
    (StoreError, 503),
    (ServiceError, 503),
)


class Problem(BaseModel):
    """An error, as RFC 9457 has it; errors that know more say it in members of their own.

    Attributes:
        type: ``urn:nbagora:error:`` and the error's class, or ``about:blank`` where the status says it all.
        title: The same for all errors of that type.
        status: The HTTP status.
        detail: What happened, one line.
        hint: What to do about it, one line.
    """

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str = ""


def status_of(error: LabError) -> int:
    """The HTTP status of an error, by its class; 500 for those that no caller can bring about.

    Example:
        >>> from nbagora_lab.core.errors import TopicNotFound
        >>> status_of(TopicNotFound("no topic 'chat'"))
        404
    """
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: LabError, **members: Any) -> Problem:
    """An error as problem details.

    Args:
        error: The error.
        members: What else is to be told of it.
    """
    name = type(error).__name__
    return Problem(
        type=f"{_URN}{name}",
        title=_WORDS.sub(" ", name).capitalize(),
        status=status_of(error),
        detail=error.what,
        hint=error.hint,
        **members,
    )


def error_of(status: int, problem: Mapping[str, Any]) -> LabError:
    """The error that `problem_of` told of, on the other side.

    Args:
        status: The HTTP status.
        problem: Problem details as they arrived.

    Example:
        >>> error_of(404, {"type": "urn:nbagora:error:TopicNotFound", "detail": "no topic 'chat'"})
        TopicNotFound("no topic 'chat'")
    """
    name = str(problem.get("type", "")).removeprefix(_URN)
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, LabError)):
        kind = Unauthorized if status == 401 else RemoteError
    detail = str(problem.get("detail") or f"it answers {status}")
    error = kind(detail, str(problem.get("hint", "")))
    if isinstance(error, LeaseLost):
        error.handles = list(problem.get("handles", ()))
    return error


def refuse(
    problem: Problem | LabError | int, detail: str = "", hint: str = "", headers: dict[str, str] | None = None
) -> Response:
    """An answer that carries a problem.

    Args:
        problem: It; or an error; or a status, whose phrase is then the title.
        detail: What happened, with a status.
        hint: What to do, with a status.
        headers: Further headers.
    """
    from starlette.responses import Response

    if isinstance(problem, int):
        problem = Problem(title=HTTPStatus(problem).phrase, status=problem, detail=detail, hint=hint)
    elif isinstance(problem, LabError):
        problem = problem_of(problem)
    text = json.dumps(problem.model_dump(), ensure_ascii=False)
    return Response(text.encode("utf-8", "backslashreplace"), problem.status, headers, PROBLEM)


def misfit(error: ValidationError, what: str, hint: str) -> UsageError:
    """What does not fit in something that was given, each place by its JSON pointer, ten at most.

    Args:
        error: What pydantic found.
        what: What was given: ``the body``.
        hint: What to do.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [f"/{'/'.join(str(part)[:60] for part in item['loc'])}: {item['msg']}" for item in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return UsageError(f"{what} does not fit: {'; '.join([*problems, *more])}", hint)
