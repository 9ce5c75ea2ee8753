"""What the doors of both bindings share: who calls and what its headers say, text that can be written, streams, and
callers that hang up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from a2a.extensions.common import HTTP_EXTENSION_HEADER, get_requested_extensions
from a2a.server.context import ServerCallContext
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.utils.version_validator import validate_version
from starlette.requests import Request
from starlette.responses import Response

from nbagora_lab.a2a.frames import Frame
from nbagora_lab.a2a.wire import is_text
from nbagora_lab.core.log import logger

__all__ = ["HALF_A_PAIR", "ContextBuilder", "check_version", "is_whole", "match_of", "server_sent", "while_connected"]

HALF_A_PAIR = "half of a surrogate pair is no text"
_EXTENSIONS = HTTP_EXTENSION_HEADER.lower().encode()
_PATIENCE = 0.05  # seconds: a call that is answered sooner costs nobody who listens whether its caller is still there
_log = logger.getChild("a2a")


class ContextBuilder(DefaultServerCallContextBuilder):
    """Takes from the query what a browser's EventSource can't put into headers."""

    def build(self, request: Request) -> ServerCallContext:
        """What a request says of itself, for the operations.

        Headers are read once from what the server gives: Starlette's would look through all of them for each.
        """
        given = request.scope["headers"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(given)}
        query = request.query_params if request.scope["query_string"] else {}
        for parameter, header in (("A2A-Version", "a2a-version"), ("lastEventId", "last-event-id")):
            if parameter in query:
                headers.setdefault(header, query[parameter])
        state = {
            "headers": headers,
            "scopes": getattr(request.scope.get("user"), "scopes", None),
            "known_generation": _generation(getattr(request.state, "known", query.get("currentGeneration"))),
            "if_generation": _generation(getattr(request.state, "match", None)),
        }
        named = [value.decode("latin-1") for name, value in given if name == _EXTENSIONS]
        return ServerCallContext(
            state=state, user=self.build_user(request), requested_extensions=get_requested_extensions(named)
        )


def _generation(known: Any) -> int | None:
    """The generation of a task that a caller knows; None where it names none."""
    text = str(known)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def match_of(params: Any) -> Any:
    """The generation at which alone a message is to be taken, as the 1.1 draft has it; None where none is named."""
    config = params.get("configuration") if isinstance(params, dict) else None
    return config.get("ifGenerationMatch") if isinstance(config, dict) else None


@validate_version("1.0")
async def check_version(context: ServerCallContext) -> None:
    """Refuses a request of another major version; `requests.check_request` holds the minor against what is spoken."""


def is_whole(body: bytes, value: Any = None) -> bool:
    """Whether a JSON body holds no half of a surrogate pair, which no answer that quotes it could be written with.

    Args:
        body: The body.
        value: What it was parsed to, where that is known.
    """
    if b"\\ud" not in body.lower():
        return True
    try:
        return is_text(json.loads(body) if value is None else value)
    except ValueError:
        return True  # as its parser will say


async def server_sent(
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


async def while_connected(request: Request, call: Coroutine[Any, Any, Response]) -> Response:
    """Awaits a call's answer for as long as its caller is there; the agent goes on in any case.

    Otherwise each caller that hangs up would leave a reader that waits for as long as its task runs.
    """
    await request.body()  # from here on, nothing can come but the disconnect
    own = asyncio.current_task()
    assert own is not None
    leaving: asyncio.Future[Any] | None = None
    answered = False

    def left(_: asyncio.Future[Any]) -> None:
        if not answered:
            own.cancel()

    def listen() -> None:
        nonlocal leaving
        leaving = asyncio.ensure_future(request.receive())
        leaving.add_done_callback(left)

    timer = asyncio.get_running_loop().call_later(_PATIENCE, listen)
    try:  # in this task: one of its own would have to be waited for, which gives the interpreter lock away
        return await call
    except asyncio.CancelledError:
        if leaving is None or not leaving.done() or leaving.cancelled():
            raise
        own.uncancel()
        return Response(status_code=204)  # which nobody gets
    finally:
        answered = True
        timer.cancel()
        if leaving is not None:
            leaving.cancel()
