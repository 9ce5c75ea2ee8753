"""The registry over HTTP: one table of operations, from which the routes and the OpenAPI document are made.

Paths stand below ``/registry``; ``?namespace=`` says where, elsewhere than in ``public``; the header ``Nbagora-Why``
gives the reason that stands in the audit. Errors are problem details (RFC 9457), with the hint as `hint`. A bearer
token of the registry makes its bearer the caller; whoever got in by the lab's own token is the lab's own caller.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from nbagora_lab.core.errors import (
    Conflict,
    Forbidden,
    LabError,
    NotFound,
    ServiceError,
    StoreError,
    TooLarge,
    UsageError,
)
from nbagora_lab.registry.model import NAMESPACE, Kind
from nbagora_lab.registry.registry import Registry

__all__ = ["PROBLEM", "Call", "Operation", "Problem", "build_app", "openapi", "problem", "problem_of"]

PROBLEM = "application/problem+json"
"""The media type of an error."""

_UNNAMED = re.compile("[^A-Za-z]+")

_STATUS: tuple[tuple[type[LabError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (Forbidden, 403),
    (TooLarge, 413),
    (UsageError, 400),
    (StoreError, 503),
    (ServiceError, 503),
)


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str = ""


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


class Operation(NamedTuple):
    """One thing that can be asked over HTTP.

    Attributes:
        method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
        path: Below the registry's.
        summary: What it does, in a line.
        run: Does it; gives a model, what JSON can hold, or a response.
        body: What its body must be.
        result: What it answers with.
        query: Parameters of its query.
        quick: Whether it never waits, and may run on the service loop itself.
        kind: The kind that it is for.
    """

    method: str
    path: str
    summary: str
    run: Callable[[Call], Any]
    body: type[BaseModel] | None = None
    result: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    quick: bool = False
    kind: Kind = "agent"


def problem(status: int, detail: str, hint: str = "", headers: dict[str, str] | None = None) -> Response:
    """An error as an answer."""
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, hint=hint).model_dump()
    return Response(_json(content), status, headers, PROBLEM)


def problem_of(error: LabError) -> Response:
    """A registry's error as an answer."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return problem(status, error.what, error.hint)


def build_app(registry: Registry, url: str, token: str, operations: tuple[Operation, ...] | None = None) -> Starlette:
    """The registry's application.

    Args:
        registry: The registry, as the lab's own caller has it.
        url: URL of the lab, without a slash at its end.
        token: The lab's own token, which makes its bearer the lab's own caller; empty for none.
        operations: What it can do; by default `operations.OPERATIONS`.
    """
    if operations is None:
        from nbagora_lab.registry.operations import OPERATIONS

        operations = OPERATIONS
    base = f"{url}/registry"
    routes = [
        Route(f"/registry{one.path}", _endpoint(one, registry, base, token), methods=[one.method]) for one in operations
    ]
    document = openapi(operations, url)

    async def document_of(_: Request) -> Response:
        return JSONResponse(document)

    routes.append(Route("/registry/openapi.json", document_of, methods=["GET"]))
    routes.append(Route("/registry/watch", _watch(registry, token), methods=["GET"]))
    catalogue = next(one for one in operations if one.path == "/catalogue")
    routes.append(Route("/.well-known/ai-catalog.json", _endpoint(catalogue, registry, base, token), methods=["GET"]))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        hint = "GET /registry/openapi.json tells what there is"
        return problem(error.status_code, error.detail, hint, dict(error.headers or {}))

    return Starlette(routes=routes, exception_handlers={HTTPException: refused})


def _endpoint(operation: Operation, registry: Registry, base: str, token: str) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            caller = _caller(registry, request, token)
        except Forbidden as error:
            return problem(401, error.what, error.hint, {"WWW-Authenticate": 'Bearer realm="nbagora registry"'})
        try:
            body = await _body(operation, request)
            call = Call(
                caller, request, operation.kind, request.query_params.get("namespace", NAMESPACE),
                str(request.path_params.get("name", "")), body, base,
            )  # fmt: skip
            result = operation.run(call) if operation.quick else await asyncio.to_thread(operation.run, call)
        except LabError as error:
            return problem_of(error)
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


async def _body(operation: Operation, request: Request) -> Any:
    """What a request carries.

    Raises:
        UsageError: It does not fit; names all that does not, each with its JSON pointer.
    """
    if operation.body is None:
        return None
    raw = await request.body()
    try:
        return operation.body.model_validate_json(raw or b"{}")
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = "; ".join(f"/{'/'.join(map(str, item['loc']))}: {item['msg']}" for item in found[:10])
        more = f"; and {len(found) - 10} more" if len(found) > 10 else ""
        raise UsageError(
            f"the body does not fit: {problems}{more}",
            f"it takes {operation.body.__name__}, see /registry/openapi.json",
        ) from None


def _watch(registry: Registry, token: str) -> Callable[[Request], Any]:
    async def watch(request: Request) -> Response:
        try:
            caller = _caller(registry, request, token)
        except Forbidden as error:
            return problem(401, error.what, error.hint)
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        if given and not (given.isascii() and given.isdigit() and len(given) < 16):
            return problem(400, f"no revision {given[:40]!r}", "resume with the id of the last event, or leave it out")
        kind = request.query_params.get("kind")
        if kind not in {None, "agent", "mcp", "prompt"}:
            return problem(400, f"no kind {str(kind)[:40]!r}", "there are: agent, mcp, prompt")
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


def openapi(operations: tuple[Operation, ...], url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the operations."""
    models: dict[str, type[BaseModel]] = {"Problem": Problem}
    for one in operations:
        models |= {model.__name__: model for model in (one.body, one.result) if model is not None}
    _, schemas = models_json_schema(
        [(model, "validation") for _, model in sorted(models.items())], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(f"/registry{one.path}", {})[one.method.lower()] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "nbagora registry", "version": "1.0"},
        "servers": [{"url": url}],
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
        "paths": paths,
    }


def _described(operation: Operation) -> dict[str, Any]:
    parts = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters = [{"name": part, "in": "path", "required": True, "schema": {"type": "string"}} for part in parts]
    parameters += [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in ("namespace", *operation.query)
    ]
    content = {"schema": _ref(operation.result)} if operation.result else {"schema": {}}
    refusal = {"description": "What went wrong", "content": {PROBLEM: {"schema": _ref(Problem)}}}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method.lower()}_{_UNNAMED.sub('_', operation.path.strip('/{}'))}",
        "parameters": parameters,
        "responses": {"200": {"description": "Done", "content": {"application/json": content}}, "default": refusal},
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(operation.body)}}}
    return described


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


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
