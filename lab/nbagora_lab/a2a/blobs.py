"""Large parts over HTTP: a body named by its SHA-256, kept for as long as a session refers to it, streamed both ways.

A blob belongs to the sessions that refer to it. Who may see such a session may read the blob; to everybody else it is
as unknown as one that never was. An upload names the context that it is for, or is given a new one.

| | |
|---|---|
| ``GET /blobs/{sha256}?context=ID`` | the body; ``Range``, ``If-None-Match`` (its ETag is its name) and ``HEAD`` |
| ``POST /blobs?context=ID`` | takes a body of any size up to the setting ``stored_body_limit``; 201 with its URL |
| ``PUT /blobs/{sha256}?context=ID`` | the same, where the name must be the body's |
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from nbagora_lab.a2a.security import problem
from nbagora_lab.a2a.sessions import session_topic
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.broker.blobs import BlobReader
from nbagora_lab.core.errors import BadName, LabError, NotFound
from nbagora_lab.core.problem import refuse

__all__ = ["BlobDoors"]

_PIECE = 256 << 10  # bytes
_NAME = re.compile("[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",  # a page that somebody sent is not to run here
    "Content-Disposition": "attachment",
}


class BlobDoors:
    """The app at ``/blobs``.

    Args:
        tasks: The task log.
    """

    def __init__(self, tasks: TaskLog) -> None:
        self._tasks = tasks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except LabError as error:
            response = refuse(error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        name = request.scope["path"].removeprefix("/blobs").strip("/")
        owner = getattr(request.scope.get("user"), "owner", "")
        context = request.query_params.get("context", "")
        if request.method == "POST" and not name:
            return await self._take(request, owner, context, "")
        if name and not _NAME.fullmatch(name):
            return problem(404, "Not found", "a blob is named by the SHA-256 of its body, in hexadecimal")
        if request.method == "PUT" and name:
            return await self._take(request, owner, context, name)
        if request.method in {"GET", "HEAD"} and name:
            return await asyncio.to_thread(self._give, request, owner, context, name)
        return problem(405, "Method not allowed", "GET, HEAD or PUT /blobs/{sha256}, POST /blobs")

    def _give(self, request: Request, owner: str, context: str, name: str) -> Response:
        try:
            reader, media_type = self._tasks.bodies.open(owner, context, name)
        except (NotFound, BadName):
            return problem(404, "Not found", f"no blob {name[:12]}… in that context")
        headers = _HEADERS | {"ETag": f'"{name}"'}
        if f'"{name}"' in request.headers.get("if-none-match", ""):
            reader.close()
            return Response(status_code=304, headers=headers)
        first, last, status = 0, reader.size - 1, 200
        asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
        if asked and asked[0] != "bytes=-" and request.headers.get("if-range", f'"{name}"') == f'"{name}"':
            if asked[1]:
                first, last = int(asked[1]), min(int(asked[2] or last), last)
            else:
                first = max(0, reader.size - int(asked[2]))
            if first > last:
                reader.close()
                headers["Content-Range"] = f"bytes */{reader.size}"
                return problem(416, "Range not satisfiable", f"the blob has {reader.size} bytes", headers)
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last}/{reader.size}"
        headers["Content-Length"] = str(last - first + 1)
        if request.method == "HEAD":
            reader.close()
            return Response(status_code=status, headers=headers, media_type=media_type)
        return StreamingResponse(_pieces(reader, first, last), status, headers, media_type)

    async def _take(self, request: Request, owner: str, context: str, name: str) -> Response:
        from nbagora_lab.broker.http_records import staged

        context = context or f"ctx-{self._tasks.ids.new('context')}"
        session_topic(owner, context)  # which raises where it can't be
        media_type = request.headers.get("content-type", "application/octet-stream")
        try:
            ref = await staged(self._tasks.log.stage, request.stream())  # which returns once nothing of a part is left
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody gets
        if name and ref.sha256 != name:
            self._tasks.log.unstage(ref)
            return problem(409, "Conflict", f"the body is {ref.sha256}, not {name}")
        await asyncio.to_thread(self._tasks.bodies.keep, owner, context, ref, media_type)
        url = f"/blobs/{ref.sha256}?context={quote(context, safe='')}"
        told = {"sha256": ref.sha256, "size": ref.size, "url": self._tasks.bodies.url + url, "contextId": context}
        return JSONResponse(told, 201, {"Location": url, "ETag": f'"{ref.sha256}"'})


def _pieces(reader: BlobReader, first: int, last: int) -> Iterator[bytes]:
    with reader:
        reader.seek(first)
        left = last - first + 1
        while left and (piece := reader.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
