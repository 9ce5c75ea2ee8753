"""The 0.3 face of an agent's doors: the SDK's adapters, with SSE ids, and with bad input told from our own faults.

Its streams hold no character that line readers take for a line's end, and their first event is awaited before the
response begins, so that an error answers in JSON-RPC or HTTP; who accepts only events gets the error as the one event.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import a2a.server.routes  # noqa: F401 -- first: the SDK's 0.3 modules and its routes import each other
from a2a.compat.v0_3 import types as types03
from a2a.compat.v0_3.conversions import to_core_get_extended_agent_card_request
from a2a.compat.v0_3.jsonrpc_adapter import JSONRPC03Adapter
from a2a.compat.v0_3.request_handler import RequestHandler03
from a2a.compat.v0_3.rest_adapter import REST03Adapter
from a2a.server.context import ServerCallContext
from a2a.server.jsonrpc_models import InvalidParamsError as RpcInvalidParams
from a2a.server.jsonrpc_models import InvalidRequestError as RpcInvalidRequest
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.server.routes.common import ServerCallContextBuilder, create_event_source_response
from a2a.utils.error_handlers import build_rest_error_payload, rest_error_handler, rest_stream_error_handler
from a2a.utils.errors import InvalidParamsError
from a2a.utils.version_validator import validate_version
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nbagora_lab.a2a.cards import card_v03
from nbagora_lab.a2a.wire import DEEPEST, nested_deeper, one_line
from nbagora_lab.core.log import logger
from nbagora_lab.inspect.fold import LOG_EXTENSION

__all__ = ["JsonRpc03", "Rest03"]

_ENVELOPE = 5  # levels that stand around a data part: call, params, message, parts, part
_UNFIT = (DecodeError, TypeError, ValueError)
"""What the SDK's conversions raise for parameters of another form."""
_STREAMS = frozenset({"message/stream", "tasks/resubscribe"})
_DELETE = "tasks/pushNotificationConfig/delete"
_log = logger.getChild("a2a")

_Item = tuple[dict[str, Any] | None, str]
"""The metadata of an event, and its JSON."""


class _Operations03(RequestHandler03):
    """The SDK's conversion of the operations, and of the extended card, whose interfaces are all of 1.0."""

    async def on_get_extended_agent_card(
        self, request: types03.GetAuthenticatedExtendedCardRequest, context: ServerCallContext
    ) -> types03.AgentCard:
        card = await self.request_handler.on_get_extended_agent_card(
            to_core_get_extended_agent_card_request(request), context
        )
        url = card.supported_interfaces[0].url
        card.ClearField("signatures")  # of another form of it
        return types03.AgentCard.model_validate(card_v03(MessageToDict(card), url))


class JsonRpc03(JSONRPC03Adapter):
    """JSON-RPC, 0.3."""

    def __init__(self, handler: RequestHandler, context_builder: ServerCallContextBuilder) -> None:
        super().__init__(handler, context_builder)
        self.handler = _Operations03(request_handler=handler)

    async def handle_request(
        self, request_id: str | int | None, method: str, body: dict[str, Any], request: Request
    ) -> Any:
        """One call; parameters that don't fit are -32602."""
        if nested_deeper(body, DEEPEST + _ENVELOPE):
            return self._generate_error_response(
                request_id, RpcInvalidParams(message=f"the message nests data deeper than {DEEPEST}")
            )
        if not _parts_have_kinds(body):
            return self._generate_error_response(
                request_id, RpcInvalidParams(message="a part of the message has no kind")
            )
        answer = await super().handle_request(request_id, method, body, request)
        streams = method in _STREAMS and "text/event-stream" in request.headers.get("accept", "")
        if streams and isinstance(answer, JSONResponse):  # 0.3's clients can't read a refusal that is no event
            return Response(b"data: %b\r\n\r\n" % bytes(answer.body), media_type="text/event-stream")
        return answer

    def _generate_error_response(self, request_id: str | int | None, error: Any) -> JSONResponse:
        if isinstance(error, RpcInvalidRequest):  # the call itself was checked before: only its parameters can be meant
            error = RpcInvalidParams(data=error.data)
        return super()._generate_error_response(request_id, error)

    async def _process_non_streaming_request(
        self, request_id: str | int | None, request_obj: Any, context: ServerCallContext
    ) -> JSONResponse:
        try:
            answer = await super()._process_non_streaming_request(request_id, request_obj, context)
        except _UNFIT as error:
            raise InvalidParamsError(str(error)) from None
        if request_obj.method == _DELETE and b'"error"' not in answer.body:  # 0.3 has a result of null; the SDK, none
            return JSONResponse({"jsonrpc": "2.0", "id": request_id, "result": None})
        return answer

    @validate_version("0.3")
    async def _process_streaming_request(
        self, request_id: str | int | None, request_obj: Any, context: ServerCallContext
    ) -> Any:
        send = request_obj.method == "message/stream"
        operation: Any = self.handler.on_message_send_stream if send else self.handler.on_subscribe_to_task

        async def items() -> AsyncGenerator[_Item]:
            async for item in operation(request_obj, context):
                result = getattr(item, "result", None) or item.root.result
                yield result.metadata, item.model_dump_json(by_alias=True, exclude_none=True)

        def failed(error: Exception) -> str:
            return types03.JSONRPCErrorResponse(
                id=request_id, error=types03.InternalError(message=str(error))
            ).model_dump_json(by_alias=True, exclude_none=True)

        try:
            return await _stream(items(), failed)
        except _UNFIT as error:
            raise InvalidParamsError(str(error)) from None


class Rest03(REST03Adapter):
    """HTTP+JSON, 0.3."""

    def __init__(self, handler: RequestHandler, context_builder: ServerCallContextBuilder) -> None:
        super().__init__(handler, context_builder)
        self.handler.handler03 = _Operations03(request_handler=handler)

    @rest_error_handler
    async def _handle_request(
        self, method: Callable[[Request, ServerCallContext], Awaitable[Any]], request: Request
    ) -> Response:
        try:
            return JSONResponse(await method(request, self._context_builder.build(request)))
        except _UNFIT as error:
            raise InvalidParamsError(str(error)) from None

    @rest_stream_error_handler
    async def _handle_streaming_request(
        self, method: Callable[[Request, ServerCallContext], Any], request: Request
    ) -> Any:
        await request.body()
        context = self._context_builder.build(request)

        async def items() -> AsyncGenerator[_Item]:
            async for item in method(request, context):
                [inner] = item.values()
                yield inner.get("metadata"), json.dumps(item, ensure_ascii=False)

        try:
            return await _stream(items(), lambda error: json.dumps(build_rest_error_payload(error)))
        except _UNFIT as error:
            raise InvalidParamsError(str(error)) from None


def _parts_have_kinds(body: dict[str, Any]) -> bool:
    """Whether each part of a call's message says what it is; the SDK takes one that doesn't for a text."""
    params = body.get("params")
    message = params.get("message") if isinstance(params, dict) else None
    parts = message.get("parts") if isinstance(message, dict) else None
    return not isinstance(parts, list) or all("kind" in part for part in parts if isinstance(part, dict))


async def _stream(items: AsyncGenerator[_Item], failed: Callable[[Exception], str]) -> Response:
    first = await anext(items, None)

    async def events() -> AsyncGenerator[dict[str, str]]:
        try:
            item = first
            while item is not None:
                metadata, text = item
                place = (metadata or {}).get(LOG_EXTENSION, {})
                yield {"data": one_line(text)} | ({"id": place["offset"]} if "offset" in place else {})
                item = await anext(items, None)
        except Exception as error:  # noqa: BLE001 -- an event is the only way left to say it
            _log.warning("a stream ended with an error", exc_info=error)
            yield {"data": one_line(failed(error))}
        finally:
            await items.aclose()

    response: Response = create_event_source_response(events())
    return response
