"""A2A's gRPC binding: one port for all agents, told apart by the tenant that each one's card names.

The SDK's servicer takes the operations as they are. What stands here leads a call to its agent and lets in whom the
HTTP doors would let in: what a caller shows stands in the call's metadata (``authorization``, or an API key's header),
as do the version, the cursor (``last-event-id``) and the trace. Needs the extra ``grpc``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, cast

from starlette.datastructures import Headers

from nbagora_lab.core.errors import UsageError

if TYPE_CHECKING:
    from a2a.server.context import ServerCallContext

    from nbagora_lab.a2a.handler import LogRequestHandler
    from nbagora_lab.a2a.security import Guard

__all__ = ["GrpcDoors"]

_STREAMS = frozenset({"on_message_send_stream", "on_subscribe_to_task"})


class GrpcDoors:
    """The gRPC server of a lab. Lives on the service loop.

    Args:
        guard: Who is let in.
        handler: The operations of an agent by its name; None where there is no such agent.
        body_limit: Largest message, in bytes.

    Raises:
        UsageError: gRPC is not installed.
    """

    def __init__(self, guard: Guard, handler: Callable[[str], LogRequestHandler | None], body_limit: int) -> None:
        try:
            import grpc.aio
            from a2a.server.request_handlers.grpc_handler import GrpcHandler
            from a2a.types.a2a_pb2_grpc import add_A2AServiceServicer_to_server
        except ImportError:
            raise UsageError("gRPC is not installed", "pip install 'nbagora[grpc]'") from None
        self._guard = guard
        self._handler = handler
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", body_limit)])
        serve: Any = add_A2AServiceServicer_to_server
        serve(GrpcHandler(cast("Any", _Switch(self))), self._server)

    async def start(self, host: str, port: int) -> str:
        """Serves; gives the address, ``host:port``."""
        bound = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        await self._server.start()
        return f"{host}:{bound}"

    async def stop(self) -> None:
        """Ends every call; streams resume."""
        await self._server.stop(None)

    async def admitted(self, params: Any, context: ServerCallContext) -> LogRequestHandler:
        """The operations of the agent that a call is for, once its caller is let in; ends the call otherwise."""
        import grpc
        from a2a.server.routes.common import StarletteUser

        call, name = context.state["grpc_context"], context.tenant
        headers = Headers(raw=[(key.encode(), _bytes(value)) for key, value in call.invocation_metadata() or ()])
        path = f"/agents/{name}"
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers.raw}
        if await self._guard.refuse_caller(scope, headers) is not None:
            await call.abort(grpc.StatusCode.UNAUTHENTICATED, "show who you are, in metadata: authorization")
        handler = self._handler(name)
        if handler is None:
            await call.abort(grpc.StatusCode.NOT_FOUND, f"no agent {name!r}: the tenant is the agent's name")
            raise AssertionError("abort raises")  # pragma: no cover
        if (caller := scope.get("user")) is not None:
            context.user = StarletteUser(cast("Any", caller))
        context.state.update({"headers": dict(headers), "scopes": getattr(caller, "scopes", None)})
        params.ClearField("tenant")  # which over HTTP says on whose behalf a message is sent
        return handler


class _Switch:
    """Operations that are those of the agent which a call names."""

    def __init__(self, doors: GrpcDoors) -> None:
        self._doors = doors

    def __getattr__(self, operation: str) -> Callable[[Any, ServerCallContext], Any]:
        if operation not in _STREAMS:

            async def answered(params: Any, context: ServerCallContext) -> Any:
                return await getattr(await self._doors.admitted(params, context), operation)(params, context)

            return answered

        async def streamed(params: Any, context: ServerCallContext) -> AsyncGenerator[Any]:
            handler = await self._doors.admitted(params, context)
            async for event in getattr(handler, operation)(params, context):
                yield event

        return streamed


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
