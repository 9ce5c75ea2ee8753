"""One agent's doors: JSON-RPC (`rpc`) and HTTP+JSON in 1.0; the 0.3 face of both is `doors03`'s.

The SDK's REST dispatcher does routing, validation and errors. What is overridden is the hot path: streams send stored
bytes, a batch of events in one write, each with its offset as the SSE id; unary calls send the folded dict. Faces that
the overrides don't reach parse.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from email.utils import formatdate
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.routes.common import create_event_source_response
from a2a.server.routes.rest_dispatcher import RestDispatcher
from a2a.types import a2a_pb2 as pb
from a2a.utils.error_handlers import build_rest_error_payload, rest_error_handler, rest_stream_error_handler
from a2a.utils.errors import InvalidParamsError
from a2a.utils.proto_utils import parse_params
from google.protobuf.json_format import Parse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from nbagora_lab.a2a.doors03 import Rest03
from nbagora_lab.a2a.doorway import (
    HALF_A_PAIR,
    ContextBuilder,
    check_version,
    is_whole,
    match_of,
    server_sent,
    while_connected,
)
from nbagora_lab.a2a.frames import Frame
from nbagora_lab.a2a.handler import LogRequestHandler
from nbagora_lab.a2a.requests import validated
from nbagora_lab.a2a.rpc import JsonRpc
from nbagora_lab.a2a.security import problem
from nbagora_lab.a2a.wire import dumps

__all__ = ["build_doors"]


class _Rest(RestDispatcher):
    request_handler: LogRequestHandler

    def __init__(self, handler: LogRequestHandler) -> None:
        super().__init__(handler, context_builder=ContextBuilder())

    @rest_error_handler
    async def on_message_send(self, request: Request) -> Response:
        """POST /message:send."""
        context = self._build_call_context(request)
        await check_version(context)
        params = validated(Parse(await request.body(), pb.SendMessageRequest(), ignore_unknown_fields=True))
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        media = "application/json" if given == "application/json" else "application/a2a+json"  # in the caller's own
        return JSONResponse(await self.request_handler.send_json(params, context), media_type=media)

    @rest_error_handler
    async def on_get_task(self, request: Request) -> Response:
        """GET /tasks/{id}; with ``currentGeneration`` it waits for a newer one, as the 1.1 draft has it."""
        context = self._build_call_context(request)
        await check_version(context)
        await self.request_handler.newer(request.path_params["id"], context)
        params = pb.GetTaskRequest()
        parse_params(request.query_params, params)
        params.id = request.path_params["id"]
        task = await self.request_handler.get_json(validated(params), context)  # not by protobuf, which takes ten times
        return JSONResponse(task, media_type="application/a2a+json")

    @rest_stream_error_handler
    async def on_message_send_stream(self, request: Request) -> Response:
        """POST /message:stream."""
        params = Parse(await request.body(), pb.SendMessageRequest(), ignore_unknown_fields=True)
        return await self._stream(request, lambda context: self.request_handler.stream_batches(params, context), params)

    @rest_stream_error_handler
    async def on_subscribe_to_task(self, request: Request) -> Response:
        """GET or POST /tasks/{id}:subscribe; 204 where a cursor is at the end, which stops a browser's EventSource."""
        params = pb.SubscribeToTaskRequest(id=request.path_params["id"])
        return await self._stream(
            request, lambda context: self.request_handler.subscribe_batches(params, context), params
        )

    async def _stream(
        self,
        request: Request,
        operation: Callable[[ServerCallContext], AsyncGenerator[list[Frame]]],
        params: Any,
    ) -> Response:
        context = self._build_call_context(request)
        await check_version(context)
        validated(params)
        batches = operation(context)
        first = await anext(batches, None)
        if first is None:
            return Response(status_code=204)
        response: Response = create_event_source_response(
            server_sent(first, batches, b"", b"", lambda error: dumps(build_rest_error_payload(error)))
        )
        return response


def _connected(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def listened(request: Request) -> Response:
        return await while_connected(request, endpoint(request))

    return listened


def _whole(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def checked(request: Request) -> Response:
        body = await request.body()
        if is_whole(body):
            if b"ifGenerationMatch" in body:
                with contextlib.suppress(ValueError):  # as its parser will say
                    request.state.match = match_of(json.loads(body))
            response: Response = await endpoint(request)
            return response
        return JSONResponse(build_rest_error_payload(InvalidParamsError(HALF_A_PAIR)), 400)

    return checked


def build_doors(
    handler: LogRequestHandler, card: Callable[[], dict[str, Any]], card03: Callable[[], dict[str, Any]]
) -> ASGIApp:
    """The ASGI app of one agent, below its own path.

    Args:
        handler: Its operations.
        card: Its card as served now, in ProtoJSON.
        card03: The same in the form of 0.3.
    """
    from a2a.server.routes.agent_card_routes import _etag_for, _if_none_match_hits

    rpc, rest = JsonRpc(handler), _Rest(handler)

    def card_route(path: str, content: Callable[[], dict[str, Any]]) -> Route:
        served = ("", "")

        async def serve(request: Request) -> Response:
            nonlocal served
            body = content()
            etag = _etag_for(body)
            if served[0] != etag:
                served = etag, formatdate(handler.tasks.clock.now(), usegmt=True)
            headers = {
                "ETag": etag,
                "Last-Modified": served[1],
                "Cache-Control": "private, max-age=0, must-revalidate",
            }
            if _if_none_match_hits(request.headers.get("if-none-match", ""), headers["ETag"]):
                return Response(status_code=304, headers=headers)
            return JSONResponse(body, headers=headers)

        return Route(path, serve, methods=["GET"])

    push = "/tasks/{id}/pushNotificationConfigs"
    routes = [
        Route("/", rpc.answer, methods=["POST"]),
        card_route("/.well-known/agent-card.json", card),
        card_route("/v0.3/.well-known/agent-card.json", card03),
        Route("/message:send", _whole(_connected(rest.on_message_send)), methods=["POST"]),
        Route("/message:stream", _whole(rest.on_message_send_stream), methods=["POST"]),
        Route("/tasks/{id}:cancel", rest.on_cancel_task, methods=["POST"]),
        Route("/tasks/{id}:subscribe", rest.on_subscribe_to_task, methods=["GET", "POST"]),
        Route("/tasks/{id}", _connected(rest.on_get_task), methods=["GET"]),
        Route("/tasks", rest.list_tasks, methods=["GET"]),
        Route(push, _whole(rest.set_push_notification), methods=["POST"]),
        Route(push, rest.list_push_notifications, methods=["GET"]),
        Route(push + "/{push_id}", rest.get_push_notification, methods=["GET"]),
        Route(push + "/{push_id}", rest.delete_push_notification, methods=["DELETE"]),
        Route("/extendedAgentCard", rest.handle_authenticated_agent_card, methods=["GET"]),
    ]
    adapter = Rest03(handler, context_builder=ContextBuilder())
    for (path, method), endpoint in adapter.routes().items():
        waits = method == "POST" and not path.endswith(":cancel")
        routes.append(Route(path, _whole(_connected(endpoint)) if waits else endpoint, methods=[method]))
    router = Router(routes, redirect_slashes=False, default=_nothing)

    async def doors(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/" and scope["method"] == "POST":  # most calls are, and need no search among routes
            response = await rpc.answer(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await router(scope, receive, send)

    return doors


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers where no route is."""
    await problem(404, "Not found", f"nothing is at {scope['path']} of this agent")(scope, receive, send)
