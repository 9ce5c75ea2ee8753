"""One agent's doors: JSON-RPC and HTTP+JSON in 1.0; the 0.3 face of both is `doors03`'s.

The SDK's dispatchers do routing, validation, errors and the 0.3 conversion. What is overridden is the hot path:
streams send stored bytes, a batch of events in one write, each with its offset as the SSE id; unary calls send the
folded dict. Faces that the overrides don't reach parse.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from email.utils import formatdate
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.server.jsonrpc_models import JSONParseError
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.server.routes.common import DefaultServerCallContextBuilder, create_event_source_response
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.server.routes.rest_dispatcher import RestDispatcher
from a2a.types import a2a_pb2 as pb
from a2a.utils.error_handlers import build_rest_error_payload, rest_error_handler, rest_stream_error_handler
from a2a.utils.errors import A2AError, InternalError, InvalidParamsError
from a2a.utils.proto_utils import parse_params
from a2a.utils.version_validator import validate_version
from google.protobuf.json_format import Parse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from nbagora_lab.a2a.doors03 import JsonRpc03, Rest03
from nbagora_lab.a2a.frames import Frame
from nbagora_lab.a2a.handler import LogRequestHandler
from nbagora_lab.a2a.requests import validated
from nbagora_lab.a2a.security import problem
from nbagora_lab.a2a.wire import dumps, is_text
from nbagora_lab.core.log import logger

__all__ = ["build_doors"]

_V1 = "1.0"
_HALF_A_PAIR = "half of a surrogate pair is no text"
_WAIT = frozenset({"SendMessage", "GetTask", "message/send", "message/stream", "tasks/resubscribe"})
"""Calls that may wait for an agent before their response begins."""
_log = logger.getChild("a2a")


class _ContextBuilder(DefaultServerCallContextBuilder):
    """Takes from the query what a browser's EventSource can't put into headers."""

    def build(self, request: Request) -> ServerCallContext:
        context = super().build(request)
        context.state["scopes"] = getattr(request.scope.get("user"), "scopes", None)
        known = getattr(request.state, "known", request.query_params.get("currentGeneration"))
        context.state["known_generation"] = _generation(known)
        context.state["if_generation"] = _generation(getattr(request.state, "match", None))
        headers = context.state["headers"]
        for parameter, header in (("A2A-Version", "a2a-version"), ("lastEventId", "last-event-id")):
            if parameter in request.query_params:
                headers.setdefault(header, request.query_params[parameter])
        return context


def _generation(known: Any) -> int | None:
    """The generation of a task that a caller knows; None where it names none."""
    text = str(known)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _match_of(params: Any) -> Any:
    """The generation at which alone a message is to be taken, as the 1.1 draft has it; None where none is named."""
    config = params.get("configuration") if isinstance(params, dict) else None
    return config.get("ifGenerationMatch") if isinstance(config, dict) else None


async def _sse(
    first: list[Frame] | None,
    batches: AsyncGenerator[list[Frame]],
    before: bytes,
    after: bytes,
    failed: Callable[[Exception], bytes],
) -> AsyncGenerator[bytes]:
    """Server-sent events, a batch in one chunk: one write a batch doubles the rate of one write an event."""
    try:
        batch = first
        while batch is not None:
            if batch:
                yield b"".join(
                    [b"id: %d\r\ndata: %b%b%b\r\n\r\n" % (one.offset, before, one.body, after) for one in batch]
                )
            batch = await anext(batches, None)
    except Exception as error:  # noqa: BLE001 -- the stream's own error event is the only way left to say it
        _log.warning("a stream ended with an error", exc_info=error)
        yield b"event: error\r\ndata: %b\r\n\r\n" % failed(error)
    finally:
        await batches.aclose()


class _JsonRpc(JsonRpcDispatcher):
    request_handler: LogRequestHandler

    def __init__(self, handler: LogRequestHandler) -> None:
        super().__init__(handler, context_builder=_ContextBuilder(), enable_v0_3_compat=True)
        self._v03_adapter = JsonRpc03(handler, context_builder=_ContextBuilder())

    async def handle_requests(self, request: Request) -> Response:
        """POST /: one call."""
        try:
            body = await request.json()
        except ValueError as error:
            return self._generate_error_response(None, JSONParseError(message=str(error)))
        if not await _is_whole(request):
            given = body.get("id") if isinstance(body, dict) else None
            known = type(given) in {str, int} and is_text(given)
            return self._generate_error_response(given if known else None, InvalidParamsError(_HALF_A_PAIR))
        params = body.get("params") if isinstance(body, dict) else None
        request.state.known = params.get("currentGeneration") if isinstance(params, dict) else None
        request.state.match = _match_of(params)
        call = super().handle_requests(request)
        waits = isinstance(body, dict) and str(body.get("method")) in _WAIT
        return await _while_connected(request, call) if waits else await call

    @validate_version(_V1)
    async def _process_streaming_request(
        self, request_id: str | int | None, request_obj: Any, context: ServerCallContext
    ) -> AsyncGenerator[Any]:
        """Bytes in place of the SDK's dicts, for the response that is made of them below."""
        handler = self.request_handler
        if context.state["method"] == "SendStreamingMessage":
            batches = handler.stream_batches(validated(request_obj), context)
        else:
            batches = handler.subscribe_batches(validated(request_obj), context)
        first = await anext(batches, None)  # so that an error answers in JSON-RPC, not inside the stream
        before = b'{"jsonrpc":"2.0","id":%b,"result":' % dumps(request_id)

        def failed(error: Exception) -> bytes:
            known = error if isinstance(error, A2AError) else InternalError(message=str(error))
            return dumps(build_error_response(request_id, known))

        return _sse(first, batches, before, b"}", failed)

    def _create_response(self, context: ServerCallContext, handler_result: Any) -> Response:
        if isinstance(handler_result, AsyncGenerator):
            response: Response = create_event_source_response(handler_result)
            return response
        return super()._create_response(context, handler_result)

    async def _handle_send_message(
        self, request_obj: pb.SendMessageRequest, context: ServerCallContext
    ) -> dict[str, Any]:
        return await self.request_handler.send_json(validated(request_obj), context)

    async def _handle_get_task(self, request_obj: pb.GetTaskRequest, context: ServerCallContext) -> dict[str, Any]:
        await self.request_handler.newer(request_obj.id, context)
        return self.request_handler.get_json(validated(request_obj), context)


class _Rest(RestDispatcher):
    request_handler: LogRequestHandler

    def __init__(self, handler: LogRequestHandler) -> None:
        super().__init__(handler, context_builder=_ContextBuilder())

    @rest_error_handler
    async def on_message_send(self, request: Request) -> Response:
        """POST /message:send."""
        context = self._build_call_context(request)
        await _check_version(context)
        params = validated(Parse(await request.body(), pb.SendMessageRequest(), ignore_unknown_fields=True))
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        media = "application/json" if given == "application/json" else "application/a2a+json"  # in the caller's own
        return JSONResponse(await self.request_handler.send_json(params, context), media_type=media)

    @rest_error_handler
    async def on_get_task(self, request: Request) -> Response:
        """GET /tasks/{id}; with ``currentGeneration`` it waits for a newer one, as the 1.1 draft has it."""
        context = self._build_call_context(request)
        await _check_version(context)
        await self.request_handler.newer(request.path_params["id"], context)
        params = pb.GetTaskRequest()
        parse_params(request.query_params, params)
        params.id = request.path_params["id"]
        task = self.request_handler.get_json(
            validated(params), context
        )  # not by way of protobuf, which takes ten times
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
        await _check_version(context)
        validated(params)
        batches = operation(context)
        first = await anext(batches, None)
        if first is None:
            return Response(status_code=204)
        response: Response = create_event_source_response(
            _sse(first, batches, b"", b"", lambda error: dumps(build_rest_error_payload(error)))
        )
        return response


async def _while_connected(request: Request, call: Coroutine[Any, Any, Response]) -> Response:
    """Awaits a call's answer for as long as its caller is there; the agent goes on in any case.

    Otherwise each caller that hangs up would leave a reader that waits for as long as its task runs.
    """
    await request.body()  # from here on, nothing can come but the disconnect
    answering, leaving = asyncio.ensure_future(call), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else Response(status_code=204)  # which nobody gets
    finally:
        leaving.cancel()
        answering.cancel()


def _connected(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def listened(request: Request) -> Response:
        return await _while_connected(request, endpoint(request))

    return listened


async def _is_whole(request: Request) -> bool:
    """Whether a JSON body holds no half of a surrogate pair, which no answer that quotes it could be written with."""
    body = await request.body()
    if b"\\ud" not in body.lower():
        return True
    try:
        return is_text(json.loads(body))
    except ValueError:
        return True  # as its parser will say


def _whole(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def checked(request: Request) -> Response:
        if await _is_whole(request):
            if b"ifGenerationMatch" in (body := await request.body()):
                with contextlib.suppress(ValueError):  # as its parser will say
                    request.state.match = _match_of(json.loads(body))
            response: Response = await endpoint(request)
            return response
        return JSONResponse(build_rest_error_payload(InvalidParamsError(_HALF_A_PAIR)), 400)

    return checked


@validate_version(_V1)
async def _check_version(context: ServerCallContext) -> None:
    """Refuses a request of another major version; `requests.check_request` holds the minor against what is spoken."""


def build_doors(
    handler: LogRequestHandler, card: Callable[[], dict[str, Any]], card03: Callable[[], dict[str, Any]]
) -> Router:
    """The ASGI app of one agent, below its own path.

    Args:
        handler: Its operations.
        card: Its card as served now, in ProtoJSON.
        card03: The same in the form of 0.3.
    """
    from a2a.server.routes.agent_card_routes import _etag_for, _if_none_match_hits

    rpc, rest = _JsonRpc(handler), _Rest(handler)

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
        Route("/", rpc.handle_requests, methods=["POST"]),
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
    adapter = Rest03(handler, context_builder=_ContextBuilder())
    for (path, method), endpoint in adapter.routes().items():
        waits = method == "POST" and not path.endswith(":cancel")
        routes.append(Route(path, _whole(_connected(endpoint)) if waits else endpoint, methods=[method]))
    return Router(routes, redirect_slashes=False, default=_nothing)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers where no route is."""
    await problem(404, "Not found", f"nothing is at {scope['path']} of this agent")(scope, receive, send)
