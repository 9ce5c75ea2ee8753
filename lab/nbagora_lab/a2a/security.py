"""The doors' guard: what may come in at all, before any of it is parsed.

| check | against |
|---|---|
| Host is loopback or allowed | a page that rebinds its own name to 127.0.0.1 |
| Origin is this server's or allowed; Sec-Fetch-Site, where sent, is same-origin or none | a page of another origin |
| the lab's token, or what an agent's card asks for (`gate`) | everybody else on the machine |
| bodies are JSON by their content type, but for records | forms and text, which browsers send across origins unasked |
| size and depth of the body | a caller that exhausts memory or the parser |

Pages of allowed origins may read what is answered: a browser is told so (CORS), before the call where it asks.

A record's body is no JSON and may be large: it is passed on as it comes, and counted on its way.

Refusals are RFC 9457 problem details, and JSON-RPC errors at a JSON-RPC door.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nbagora_lab.core.errors import TooLarge

__all__ = ["Guard", "Identity", "Nobody", "json_depth_exceeds", "problem"]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # an unclosed one reaches to the end
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_JSON_TYPES = frozenset({"application/json", "application/a2a+json", "application/cloudevents+json"})
_UNASKED = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""Types that a browser sends to another origin without asking there first; a token, which is a header, has it ask."""


def json_depth_exceeds(body: bytes, limit: int) -> bool:
    """Whether JSON text nests deeper than `limit`; in time linear in its length, without recursion.

    Strings go first, then all but brackets, which become of one kind; a round takes out every innermost pair, so what
    is left after `limit` rounds is nested deeper, or is unbalanced and no JSON anyway.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    brackets = _STRING.sub(b"", body).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(limit):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    return bool(brackets)


class Identity(Protocol):
    """Says who calls, where it is not the lab's own user."""

    def is_public(self, scope: Scope) -> bool:
        """Whether anybody may see that."""
        ...

    async def caller(self, scope: Scope, headers: Headers) -> tuple[str, Any]:
        """What to answer who shows nothing that will do (a WWW-Authenticate; empty where the lab's own token is asked
        for), and who calls, or None."""
        ...


class Nobody:
    """Where nobody but the lab's own user is known."""

    def is_public(self, scope: Scope) -> bool:  # noqa: ARG002 -- the protocol's
        """Nothing is."""
        return False

    async def caller(self, scope: Scope, headers: Headers) -> tuple[str, Any]:  # noqa: ARG002 -- the protocol's
        """Nobody."""
        return "", None


class Guard:
    """ASGI middleware that lets in what the table in the module's text allows.

    Args:
        app: What it guards.
        token: The bearer token; empty lets everybody in.
        hosts: Host names that are answered to, beside loopback.
        origins: Origins of pages that may call.
        body_limit: Largest body, in bytes.
        depth_limit: Deepest nesting of a JSON body.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        body_limit: int,
        depth_limit: int,
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = _LOOPBACK | set(hosts)
        self._origins = set(origins)
        self._body_limit = body_limit
        self._depth_limit = depth_limit
        self.admits: Callable[[str, str], bool] = lambda _path, _token: False  # whether another token is let in there
        self.identity: Identity = Nobody()
        self.takes: Callable[[str], int] = lambda _path: 0  # bytes of a body of any type that are taken there

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a refusal itself; passes everything else on."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        refusal = self._refuse_place(scope, headers)
        if refusal is None and (origin := headers.get("origin", "")) in self._origins:
            send = _read_by(origin, send)
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _preflight(headers)(scope, receive, send)
                return
        refusal = refusal or await self.refuse_caller(scope, headers)
        if refusal is None and scope["method"] in {"POST", "PUT", "PATCH"}:
            if limit := self._streamed(scope, headers):
                if (size := headers.get("content-length", "")).isdigit() and int(size) > limit:
                    await problem(413, "Body too large", f"the body is larger than {limit} bytes")(scope, receive, send)
                    return
                await self._app(scope, _counted(receive, limit), send)
                return
            body, refusal = await self._body(scope, headers, receive)
            if refusal is None:
                await self._app(scope, _replay(body, receive), send)
                return
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse_place(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if _host_name(host) not in self._hosts:
            return problem(403, "Host not allowed", f"this server does not answer to the Host {host!r}")
        origin = headers.get("origin")
        own = f"{scope.get('scheme', 'http')}://{host}"
        if origin is not None and origin != own and origin not in self._origins:
            return problem(403, "Origin not allowed", f"pages of {origin!r} may not call this server")
        site = headers.get("sec-fetch-site", "none")
        if origin is None and site not in {"none", "same-origin"}:
            return problem(403, "Origin not allowed", "pages of other origins may not call this server")
        return None

    async def refuse_caller(self, scope: Scope, headers: Headers) -> Response | None:
        """What is answered to who may not call; who may stands as ``user`` in the scope, unless it is the lab's own."""
        path = scope["path"]
        way, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip() if way.lower() == "bearer" else ""
        if self._token and hmac.compare_digest(given.encode(), self._token):
            return None
        if path == "/healthz" or self.identity.is_public(scope):
            return None
        gated, caller = await self.identity.caller(scope, headers)
        if caller is not None:
            scope["user"] = caller
            return None
        if not gated and (not self._token or (given and self.admits(path, given))):
            return None
        what = "wrong" if headers.get("authorization") else "missing"
        return problem(
            401,
            f"Token {what}" if not gated else f"Credentials {what}",
            "send the header 'Authorization: Bearer TOKEN'; %lab status and lab.json have the token"
            if not gated
            else "show who you are in one of the ways that the agent's card declares",
            {"WWW-Authenticate": gated or 'Bearer realm="nbagora"'},
        )

    def _streamed(self, scope: Scope, headers: Headers) -> int:
        """The limit of a body that is passed on as it comes; 0: it is read here first."""
        kind = _kind(headers)
        if kind in _JSON_TYPES or kind.endswith("json") or (kind in _UNASKED and not self._token):
            return 0
        return self.takes(scope["path"])

    async def _body(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[bytes, Response | None]:
        rpc = _is_rpc(scope["path"])
        kind = _kind(headers)
        length = headers.get("content-length", "")
        empty = length in {"", "0"} and "transfer-encoding" not in headers
        other_json = kind.endswith("json") and self.takes(scope["path"])
        if kind not in _JSON_TYPES and not (empty and not rpc) and not other_json:
            what = f"the content type {kind or 'none'} is not JSON"
            return b"", _rpc_error(200, -32005, what) if rpc else problem(415, "Content type not supported", what)
        too_large = f"the body is larger than {self._body_limit} bytes"

        def refusal() -> Response:
            return _rpc_error(413, -32600, too_large) if rpc else problem(413, "Body too large", too_large)

        if length.isdigit() and int(length) > self._body_limit:
            return b"", refusal()
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"", Response(status_code=400)  # the caller has gone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._body_limit:
                return b"", refusal()
            if not message.get("more_body"):
                break
        body = b"".join(chunks)
        if not _is_text(body):
            what = "the body is not UTF-8"
            return b"", _rpc_error(200, -32700, what) if rpc else problem(400, "Not JSON", what)
        if json_depth_exceeds(body, self._depth_limit):
            what = f"the JSON nests deeper than {self._depth_limit}, or is not balanced"
            return b"", _rpc_error(200, -32700, what) if rpc else problem(400, "JSON too deep", what)
        return body, None


def _preflight(headers: Headers) -> Response:
    """What a browser wants to hear before it lets a page of an allowed origin call; who calls is asked of the call."""
    allowed = {
        "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "Access-Control-Allow-Headers": headers.get("access-control-request-headers", ""),
        "Access-Control-Max-Age": "600",
    }
    if headers.get("access-control-request-private-network") == "true":
        allowed["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=204, headers=allowed)


def _read_by(origin: str, send: Send) -> Send:
    """Has a browser let pages of an origin read what is answered; never with its own cookies or passwords."""
    more = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"*"),
        (b"vary", b"Origin"),
    ]

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return told


def _host_name(host: str) -> str | None:
    """The name in a Host header; None where it has none."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port is None or parts.port else None
    except ValueError:
        return None


def _is_text(body: bytes) -> bool:
    """Whether a body is UTF-8, as JSON has to be; parsers that guess UTF-16 would see other brackets in it."""
    if b"\0" in body:
        return False
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


def _is_rpc(path: str) -> bool:
    parts = path.strip("/").split("/")
    return parts == [""] or (len(parts) == 2 and parts[0] == "agents")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read once more, then what really comes (a disconnect)."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def _kind(headers: Headers) -> str:
    """The bare media type of a body."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _counted(receive: Receive, limit: int) -> Receive:
    """The same messages; raises once their bodies are larger than `limit`.

    Raises:
        TooLarge: They are.
    """
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes", "raise the setting stored_body_limit")
        return message

    return counted


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An answer as RFC 9457 has it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _rpc_error(status: int, code: int, message: str) -> Response:
    reason = {-32005: "CONTENT_TYPE_NOT_SUPPORTED", -32700: "JSON_PARSE", -32600: "INVALID_REQUEST"}[code]
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "a2a-protocol.org"}
    error = {"code": code, "message": message, "data": [info]}
    return Response(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}), status, media_type="application/json")
