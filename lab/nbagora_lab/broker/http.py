"""The broker over HTTP: a table of doors, from which the routing and the OpenAPI document are made.

The doors stand by noun, in `http_topics`, `http_records`, `http_groups` and `http_deliveries`; here is what they share.
A path is parted before it is decoded, so that a name may hold any letter, and one with a ``/`` is refused as such. What
a caller gets wrong is answered by problem details (RFC 9457), with the hint as `hint`.

No waiting holds a thread: what waits does so on the service loop, and ends when its caller hangs up. What writes or
reads more than a page runs on a worker thread.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nbagora_lab.broker.broker import Broker
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import BadName, LabError, LeaseLost, UsageError, did_you_mean
from nbagora_lab.core.log import logger
from nbagora_lab.core.openapi import JSON, Operation, document
from nbagora_lab.core.problem import misfit, problem_of, refuse

__all__ = ["MOST", "OFFSET", "Call", "Door", "Doors", "dump"]

MOST = 1000
"""Items in one answer at most."""

OFFSET = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
"""JSON schema of an offset."""

_log = logger.getChild("broker")
_WHERE = "GET /broker/openapi.json tells what there is"


@dataclass(slots=True)
class Call:
    """One request, as a door gets it.

    Attributes:
        broker: The broker.
        clock: What says when something is due.
        request: The request.
        path: The parts of its path that the door names.
        query: Its query's parameters, checked.
        body: Its body as the door's model; None where the door has none.
    """

    broker: Broker
    clock: Clock
    request: Request
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any = None

    @property
    def topic(self) -> str:
        """Full name of the lite topic in its path."""
        return f"{self.path['parent']}/{self.path['lite']}"

    async def gone(self) -> None:
        """Returns when the caller has hung up."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Door(Operation):
    """An operation, and what does it.

    Attributes:
        run: Does it; gives a model, what JSON can hold, JSON, or a response. A coroutine runs on the service loop.
        raw: Whether it reads the body itself.
        quick: Whether it reads so little that it runs on the service loop as well.
    """

    run: Callable[[Call], Any]
    raw: bool = False
    quick: bool = False
    parts: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.path.split("/")[1:]))

    def fits(self, segments: Sequence[str]) -> bool:
        """Whether a path, parted and decoded, is this door's."""
        return len(segments) == len(self.parts) and all(
            part == segment or part.startswith("{") for part, segment in zip(self.parts, segments, strict=True)
        )


class Doors:
    """The broker's application.

    Args:
        broker: The broker.
        clock: What says when something is due.
        url: URL of the lab.
    """

    def __init__(self, broker: Broker, clock: Clock, url: str = "") -> None:
        from nbagora_lab.broker.http_groups import group_doors
        from nbagora_lab.broker.http_records import RECORD_DOORS
        from nbagora_lab.broker.http_topics import TOPIC_DOORS

        self._broker = broker
        self._clock = clock
        self.doors: tuple[Door, ...] = (*TOPIC_DOORS, *RECORD_DOORS, *group_doors())
        self.document = document("nbagora broker", self.doors, url=url)
        told = Door(method="GET", path="/broker/openapi.json", summary="This", run=lambda _: self.document, quick=True)
        self._all = (*self.doors, told)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            segments = _segments(request.scope)
            here = [door for door in self._all if door.fits(segments)]
            if not here:
                return refuse(404, f"nothing is at {request.url.path[:200]}", _WHERE)
            door = next((door for door in here if door.method == request.method), None)
            if door is None:
                allowed = ", ".join(sorted(one.method for one in here))
                return refuse(405, f"{request.method[:20]} can't be done there", f"try {allowed}", {"Allow": allowed})
            path = {part[1:-1]: name for part, name in zip(door.parts, segments, strict=True) if part.startswith("{")}
            call = Call(self._broker, self._clock, request, path, _query(door, request))
            if door.body is not None and not door.raw:
                call.body = await _body(door.body, request)
            if door.quick or inspect.iscoroutinefunction(door.run):
                result = door.run(call)
                result = await result if inspect.isawaitable(result) else result
            else:
                result = await asyncio.to_thread(door.run, call)
            if isinstance(result, Response):
                return result
            if result is None:
                return Response(status_code=door.status)
            return Response(result if isinstance(result, bytes) else dump(result), door.status, media_type=JSON)
        except LeaseLost as error:
            return refuse(problem_of(error, handles=list(map(str, error.handles))))
        except LabError as error:
            return refuse(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:  # noqa: BLE001 -- the server would answer without a word of it
            _log.exception("a fault at %s %s", request.method, request.url.path)
            return refuse(500, "a fault in nbagora", "the lab's log says where: %lab status")


def dump(content: Any) -> bytes:
    """What JSON can hold, models among it, as JSON; half a surrogate pair stays an escape.

    Raises:
        ValueError: A number that JSON does not have.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_model)
    return text.encode("utf-8", "backslashreplace")


def _model(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} is not for JSON")


def _segments(scope: Scope) -> list[str]:
    """The path, parted and then decoded.

    Raises:
        BadName: It is not UTF-8 behind its percent signs.
    """
    raw = scope.get("raw_path") or scope["path"].encode()
    try:
        return [unquote_to_bytes(part).decode() for part in raw.partition(b"?")[0].split(b"/")[1:]]
    except UnicodeDecodeError:
        raise BadName("the path is not UTF-8", "encode names as UTF-8, then by percent signs") from None


def _query(door: Door, request: Request) -> dict[str, Any]:
    """The query's parameters.

    Raises:
        UsageError: One that the door does not have, or that does not fit.
    """
    found: dict[str, Any] = {}
    for name, text in request.query_params.items():
        schema = door.query.get(name)
        if schema is None:
            raise UsageError(f"no parameter '{name[:60]}' in this query", did_you_mean(name[:60], door.query))
        found[name] = _value(name, text, schema)
    return found


def _value(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    value: Any = text
    if schema["type"] in {"integer", "number"}:
        try:
            value = int(text) if schema["type"] == "integer" else float(text)
        except ValueError:
            raise UsageError(f"{name} can't be {text[:40]!r}", "give a number") from None
        least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        if not (least <= value <= most and math.isfinite(value)):
            raise UsageError(f"{name} can't be {text[:40]}", f"it is {least} to {most}")
    return value


async def _body(model: type[BaseModel], request: Request) -> BaseModel:
    """The body, as a model.

    Raises:
        UsageError: It does not fit; names each place that does not.
    """
    raw = await request.body()
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise misfit(error, "the body", f"it takes {model.__name__}; {_WHERE}") from None
