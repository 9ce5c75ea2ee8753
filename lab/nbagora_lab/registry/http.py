"""The registry over HTTP: one table of operations, from which the routes and the OpenAPI document are made.

Paths stand below ``/registry``; ``?namespace=`` says where, elsewhere than in ``public``; the header ``Nbagora-Why``
gives the reason that stands in the audit. Errors are problem details (RFC 9457), with the hint as `hint`. A bearer
token of the registry makes its bearer the caller; whoever got in by the lab's own token is the lab's own caller.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from nbagora_lab.core.errors import Forbidden, LabError, UsageError
from nbagora_lab.core.openapi import Operation, document
from nbagora_lab.core.problem import misfit, refuse
from nbagora_lab.registry.model import NAMESPACE, Kind
from nbagora_lab.registry.registry import Registry

__all__ = ["Call", "Door", "build_app"]


class Call(NamedTuple):
    """What an operation is given.

    Attributes:
        registry: The registry, as the caller may use it.
        request: The request.
        kind: The kind in its path, where it has one.
        namespace: The namespace that it names.
        name: The name in its path, or an empty string.
        body: Its body, read, or None where the operation takes none.
        base: URL of the registry.
    """

    registry: Registry
    request: Request
    kind: Kind
    namespace: str
    name: str
    body: Any
    base: str

    @property
    def where(self) -> dict[str, Any]:
        """Kind and namespace, for the registry's methods."""
        return {"kind": self.kind, "namespace": self.namespace}

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query."""
        return self.request.query_params.get(name, default)

    def number(self, name: str, default: int, most: int) -> int:
        """A parameter that is a number from 0 on.

        Raises:
            UsageError: It is none.
        """
        text = self.query(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise UsageError(f"{name} can't be {text[:40]!r}", "give a number from 0 on")
        return min(int(text), most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door(Operation):
    """One thing that can be asked over HTTP, and what does it.

    Attributes:
        run: Does it; gives a model, what JSON can hold, or a response.
        quick: Whether it never waits, and may run on the service loop itself.
        kind: The kind that it is for.
    """

    run: Callable[[Call], Any]
    quick: bool = False
    kind: Kind = "agent"


def build_app(registry: Registry, url: str, token: str) -> Starlette:
    """The registry's application.

    Args:
        registry: The registry, as the lab's own caller has it.
        url: URL of the lab, without a slash at its end.
        token: The lab's own token, which makes its bearer the lab's own caller; empty for none.
    """
    from nbagora_lab.registry.operations import DOORS

    base = f"{url}/registry"
    routes = [Route(door.path, _endpoint(door, registry, base, token), methods=[door.method]) for door in DOORS]
    told = document("nbagora registry", DOORS, url=url)

    async def document_of(_: Request) -> Response:
        return JSONResponse(told)

    routes.append(Route("/registry/openapi.json", document_of, methods=["GET"]))
    routes.append(Route("/registry/watch", _watch(registry, token), methods=["GET"]))
    catalogue = next(door for door in DOORS if door.path == "/registry/catalogue")
    routes.append(Route("/.well-known/ai-catalog.json", _endpoint(catalogue, registry, base, token), methods=["GET"]))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        hint = "GET /registry/openapi.json tells what there is"
        return refuse(error.status_code, error.detail, hint, dict(error.headers or {}))

    return Starlette(routes=routes, exception_handlers={HTTPException: refused})


def _endpoint(door: Door, registry: Registry, base: str, token: str) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            caller = _caller(registry, request, token)
        except Forbidden as error:
            return refuse(401, error.what, error.hint, {"WWW-Authenticate": 'Bearer realm="nbagora registry"'})
        try:
            body = await _body(door, request)
            call = Call(
                caller, request, door.kind, request.query_params.get("namespace", NAMESPACE),
                str(request.path_params.get("name", "")), body, base,
            )  # fmt: skip
            result = door.run(call) if door.quick else await asyncio.to_thread(door.run, call)
        except LabError as error:
            return refuse(error)
        except ClientDisconnect:
            return Response(status_code=400)
        if isinstance(result, Response):
            return result
        return Response(_json(_plain(result)), media_type="application/json")

    return endpoint


def _caller(registry: Registry, request: Request, token: str) -> Registry:
    """The registry, as whoever calls may use it.

    Raises:
        Forbidden: The token is none, was taken back, or ran out.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    why = request.headers.get("nbagora-why", "")[:500]
    given = given.strip() if scheme.lower() == "bearer" else ""
    if given and given != token:
        return registry.with_token(given, why=why)
    return registry.because(why) if why else registry


async def _body(door: Door, request: Request) -> Any:
    """What a request carries.

    Raises:
        UsageError: It does not fit; names all that does not, each with its JSON pointer.
    """
    if door.body is None:
        return None
    raw = await request.body()
    try:
        return door.body.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise misfit(error, "the body", f"it takes {door.body.__name__}, see /registry/openapi.json") from None


def _watch(registry: Registry, token: str) -> Callable[[Request], Any]:
    async def watch(request: Request) -> Response:
        try:
            caller = _caller(registry, request, token)
        except Forbidden as error:
            return refuse(401, error.what, error.hint)
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        if given and not (given.isascii() and given.isdigit() and len(given) < 16):
            return refuse(400, f"no revision {given[:40]!r}", "resume with the id of the last event, or leave it out")
        kind = request.query_params.get("kind")
        if kind not in {None, "agent", "mcp", "prompt"}:
            return refuse(400, f"no kind {str(kind)[:40]!r}", "there are: agent, mcp, prompt")
        name = request.query_params.get("name")
        changes = caller.stream(int(given) if given else None, name=name, kind=kind)  # type: ignore[arg-type]
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(caller, changes), media_type="text/event-stream", headers=headers)

    return watch


async def _events(registry: Registry, changes: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """Changes as server-sent events: the id is the revision, the event its type."""
    yield b": watching\n\n"
    async for change in changes:
        if change is None:
            yield b": still here\n\n"
        else:
            head = f"id: {change.revision}\nevent: {change.type}\ndata: "
            yield head.encode() + registry.as_json(change) + b"\n\n"


def _plain(value: Any) -> Any:
    """A result as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(one) for key, one in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
