"""Large bodies over a line: staged as they come, and read in pieces that the other side checks by their CRCs."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.blobs import CHUNK, BlobRef
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.link import SESSION
from nbagora_lab.core.openapi import JSON

__all__ = ["Bodies"]


class Bodies:
    """The doors of bodies. Lives on the service loop.

    Args:
        log: The engine's log.
        check: Raises where a session is none.
    """

    def __init__(self, log: Log, check: Callable[[str], object]) -> None:
        self._log = log
        self._check = check

    async def stage(self, request: Request) -> Response:
        """Stages what comes, for a record that will refer to it."""
        from nbagora_lab.broker.http_records import staged

        self._check(request.headers.get(SESSION, ""))
        ref = await staged(self._log.stage, request.stream())
        return Response(ref.body(), media_type=JSON)

    async def tell(self, request: Request) -> Response:
        """Tells a body's size, and its chunks' CRCs."""

        def look() -> bytes:
            with self._log.open_body(_ref(request)) as reader:
                return json.dumps({"size": reader.size, "crcs": base64.b64encode(reader.crcs).decode()}).encode()

        return Response(await asyncio.to_thread(look), media_type=JSON)

    async def read(self, request: Request) -> Response:
        """A piece of a body, up to a chunk."""
        start, size = (request.query_params.get(name, "") for name in ("start", "size"))
        if not all(text.isascii() and text.isdigit() and len(text) < 16 for text in (start, size)):
            raise UsageError("no range of a body", "give start and size, in bytes")

        def piece() -> bytes:
            with self._log.open_body(_ref(request)) as reader:
                reader.seek(int(start))
                return reader.read(min(int(size), CHUNK))

        return Response(await asyncio.to_thread(piece), media_type="application/octet-stream")


def _ref(request: Request) -> BlobRef:
    try:
        return BlobRef(bytes.fromhex(request.path_params["sha256"]).hex(), 0)
    except ValueError:
        raise UsageError("no body's name", "it is the SHA-256 of the body, in hexadecimal") from None
