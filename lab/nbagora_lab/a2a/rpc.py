"""An agent's JSON-RPC door: 1.0's eleven methods; those of 0.3 are `doors03`'s.

A call is parsed once, and its answer is written once: what is folded or stored goes out as it is. Errors are the SDK's,
as its dispatcher would write them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

from a2a.server.context import ServerCallContext
from a2a.server.jsonrpc_models import InternalError, JSONParseError, JSONRPCError, MethodNotFoundError
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.server.routes.common import create_event_source_response, serialize_list_tasks_response
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError, InvalidParamsError, InvalidRequestError
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from nbagora_lab.a2a.doors03 import JsonRpc03
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
from nbagora_lab.a2a.protojson import filled, written
from nbagora_lab.a2a.requests import validated
from nbagora_lab.a2a.wire import dumps, is_text
from nbagora_lab.core.log import logger

__all__ = ["JsonRpc"]

_MEMBERS = frozenset({"jsonrpc", "method", "params", "id"})
_WAIT = frozenset({"SendMessage", "GetTask", "message/send", "message/stream", "tasks/resubscribe"})
"""Calls that may wait for an agent before their response begins."""
_log = logger.getChild("a2a")


async def _send(handler: LogRequestHandler, params: Any, context: ServerCallContext) -> Any:
    return await handler.send_json(validated(params), context)


async def _get(handler: LogRequestHandler, params: Any, context: ServerCallContext) -> Any:
    await handler.newer(params.id, context)
    return await handler.get_json(validated(params), context)


async def _list(handler: LogRequestHandler, params: Any, context: ServerCallContext) -> Any:
    return serialize_list_tasks_response(await handler.on_list_tasks(params, context), params.include_artifacts)


def _converted(operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """An operation whose result is a protobuf message, or nothing."""

    async def call(handler: LogRequestHandler, params: Any, context: ServerCallContext) -> Any:
        result = await operation(handler, params, context)
        return None if result is None else written(result)

    return call


def _sent(handler: LogRequestHandler, params: Any, context: ServerCallContext) -> AsyncGenerator[list[Frame]]:
    return handler.stream_batches(validated(params), context)


def _subscribed(handler: LogRequestHandler, params: Any, context: ServerCallContext) -> AsyncGenerator[list[Frame]]:
    return handler.subscribe_batches(validated(params), context)


class _Method(NamedTuple):
    """A method: its parameters' type, and what it does; one of `answer` and `stream`."""

    params: type[Message]
    answer: Callable[..., Awaitable[Any]] | None = None
    stream: Callable[..., AsyncGenerator[list[Frame]]] | None = None


_ours = LogRequestHandler
_METHODS = {
    "SendMessage": _Method(pb.SendMessageRequest, _send),
    "SendStreamingMessage": _Method(pb.SendMessageRequest, stream=_sent),
    "GetTask": _Method(pb.GetTaskRequest, _get),
    "ListTasks": _Method(pb.ListTasksRequest, _list),
    "CancelTask": _Method(pb.CancelTaskRequest, _converted(_ours.on_cancel_task)),
    "SubscribeToTask": _Method(pb.SubscribeToTaskRequest, stream=_subscribed),
    "CreateTaskPushNotificationConfig": _Method(
        pb.TaskPushNotificationConfig, _converted(_ours.on_create_task_push_notification_config)
    ),
    "GetTaskPushNotificationConfig": _Method(
        pb.GetTaskPushNotificationConfigRequest, _converted(_ours.on_get_task_push_notification_config)
    ),
    "ListTaskPushNotificationConfigs": _Method(
        pb.ListTaskPushNotificationConfigsRequest, _converted(_ours.on_list_task_push_notification_configs)
    ),
    "DeleteTaskPushNotificationConfig": _Method(
        pb.DeleteTaskPushNotificationConfigRequest, _converted(_ours.on_delete_task_push_notification_config)
    ),
    "GetExtendedAgentCard": _Method(pb.GetExtendedAgentCardRequest, _converted(_ours.on_get_extended_agent_card)),
}


class JsonRpc:
    """The door.

    Args:
        handler: The agent's operations.
    """

    def __init__(self, handler: LogRequestHandler) -> None:
        self._handler = handler
        self._contexts = ContextBuilder()
        self._v03 = JsonRpc03(handler, self._contexts)

    async def answer(self, request: Request) -> Response:
        """POST /: one call."""
        body = await request.body()
        try:
            call = json.loads(body)
        except ValueError as error:
            return _refusal(None, JSONParseError(message=str(error)))
        given = call.get("id") if isinstance(call, dict) else None
        call_id = given if type(given) in {str, int} else None
        if not is_whole(body, call):
            return _refusal(call_id if is_text(call_id) else None, InvalidParamsError(HALF_A_PAIR))
        if fault := _fault(call):
            return _refusal(call_id, InvalidRequestError(fault))
        answer = self._dispatched(call_id, call, request)
        return await while_connected(request, answer) if call["method"] in _WAIT else await answer

    async def _dispatched(self, call_id: str | int | None, call: dict[str, Any], request: Request) -> Response:
        name, params = call["method"], call.get("params")
        request.state.known = params.get("currentGeneration") if isinstance(params, dict) else None
        request.state.match = match_of(params)
        if self._v03.supports_method(name):
            answer: Response = await self._v03.handle_request(call_id, name, call, request)
            return answer
        method = _METHODS.get(name)
        if method is None:
            return _refusal(call_id, MethodNotFoundError())
        try:
            wanted = filled(call.get("params", {}), method.params())
        except Exception as error:  # noqa: BLE001 -- whatever the parser stumbles over is the caller's
            return _refusal(call_id, InvalidParamsError(data={"parseError": str(error)}))
        try:
            context = self._contexts.build(request)
            await check_version(context)
            if method.answer is not None:
                return _answer(call_id, dumps(await method.answer(self._handler, wanted, context)))
            assert method.stream is not None
            batches = method.stream(self._handler, wanted, context)
            first = await anext(batches, None)  # so that an error answers in JSON-RPC, not inside the stream
        except A2AError as error:
            return _refusal(call_id, error)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the caller is told in JSON-RPC
            _log.error("%s failed", name, exc_info=error)
            return _refusal(call_id, InternalError(message=str(error)))
        before = b'{"jsonrpc":"2.0","id":%b,"result":' % dumps(call_id)
        stream: Response = create_event_source_response(
            server_sent(first, batches, before, b"}", lambda error: _error(call_id, error))
        )
        return stream


def _fault(call: Any) -> str:
    """What is wrong with a call's envelope; empty where nothing is."""
    if isinstance(call, list):
        return "Batch requests are not supported"
    if not isinstance(call, dict):
        return "a call is an object"
    if unknown := call.keys() - _MEMBERS:
        return f"a call has no member {min(unknown)}"
    if call.get("jsonrpc") != "2.0":
        return "Invalid request: 'jsonrpc' must be exactly '2.0'"
    if not isinstance(method := call.get("method"), str) or not method or method.startswith("rpc."):
        return "Method is required"
    if call.get("params") is not None and not isinstance(call["params"], dict | list):
        return "params is an object"
    if call.get("id") is not None and type(call["id"]) not in {str, int}:
        return "Invalid request: id must be a string, integer, or null"
    return ""


def _answer(call_id: str | int | None, result: bytes) -> Response:
    content = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dumps(call_id), result)
    return Response(content, media_type="application/json")


def _refusal(call_id: str | int | None, error: A2AError | JSONRPCError) -> Response:
    return Response(_error(call_id, error), media_type="application/json")


def _error(call_id: str | int | None, error: Exception | JSONRPCError) -> bytes:
    known = error if isinstance(error, A2AError | JSONRPCError) else InternalError(message=str(error))
    return dumps(build_error_response(call_id, known))
