"""HTTP/1.1 over a plain socket, with nothing in between: what really goes over the wire, cut where a test wants it.

with RawExchange(port, get("/agents/a/tasks/1:subscribe", token)) as exchange:
    exchange.read(until=700)          # bytes, not events
    exchange.reset()
exchange.events()                     # those that came whole
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["RawExchange", "SseEvent", "get", "post"]

_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")


@dataclass(frozen=True)
class SseEvent:
    """One server-sent event.

    Attributes:
        id: Its id; empty where it has none.
        kind: Its ``event`` field; ``message`` where it has none.
        data: Its data.
    """

    id: str
    kind: str
    data: str

    def json(self) -> Any:
        """Its data, parsed."""
        return json.loads(self.data)


def get(path: str, token: str = "", **headers: str) -> bytes:
    """A GET request. Names of headers have ``_`` for ``-``; ``Host`` is loopback unless given, None leaves it out."""
    return _request("GET", path, token, b"", headers)


def post(path: str, body: Any, token: str = "", **headers: str) -> bytes:
    """A POST request; a body that is no bytes goes as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {name.lower() for name in headers}
    if "content_type" not in given:
        headers["Content_Type"] = "application/json"
    if not given & {"content_length", "transfer_encoding"}:
        headers["Content_Length"] = str(len(raw))
    return _request("POST", path, token, raw, headers)


def _request(method: str, path: str, token: str, body: bytes, headers: dict[str, Any]) -> bytes:
    lines = {"Host": "127.0.0.1", "A2A_Version": "1.0"} | ({"Authorization": f"Bearer {token}"} if token else {})
    lines |= headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


class RawExchange:
    """One request and what comes back.

    Args:
        port: Port on loopback.
        request: The request's bytes.
        timeout: Seconds that the other side may be silent.
    """

    def __init__(self, port: int, request: bytes, *, timeout: float = 20.0) -> None:
        self.raw = bytearray()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # refused before all of it was sent: the answer is there to be read
            self._socket.sendall(request)

    def read(self, *, until: int | None = None, events: int | None = None) -> Self:
        """Reads to the end of the response, or until so many bytes, or whole events, have come in all."""
        while not self._done(until, events):
            wanted = 65536 if until is None else until - len(self.raw)
            try:
                block = self._socket.recv(wanted)
            except ConnectionResetError:
                break
            if not block:
                break
            self.raw += block
        return self

    def _done(self, until: int | None, events: int | None) -> bool:
        if until is not None and len(self.raw) >= until:
            return True
        if events is not None and len(self.events()) >= events:
            return True
        at = self.raw.find(b"\r\n\r\n")
        if at < 0:
            return False
        head = bytes(self.raw[:at])
        if b"transfer-encoding: chunked" in head.lower():
            return self.raw.endswith(b"0\r\n\r\n") and self._chunks()[1]
        length = re.search(rb"(?i)content-length: (\d+)", head)
        status = head.split(b" ", 2)[1]
        return status in {b"204", b"304"} or (length is not None and len(self.raw) - at - 4 >= int(length[1]))

    def reset(self) -> None:
        """Hangs up as a crash would: what is under way is thrown away, on both sides."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def status(self) -> int:
        """The status code; 0 before it came."""
        line = self.raw.split(b"\r\n", 1)[0].split(b" ")
        return int(line[1]) if len(line) > 1 and line[1].isdigit() else 0

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case."""
        head = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}

    @property
    def body(self) -> bytes:
        """The body as far as it came, without the framing of chunks."""
        head, whole, rest = self.raw.partition(b"\r\n\r\n")
        return self._chunks()[0] if whole and b"transfer-encoding: chunked" in head.lower() else bytes(rest)

    def _chunks(self) -> tuple[bytes, bool]:
        """The content of the chunks as far as it came, and whether that is all."""
        at = self.raw.index(b"\r\n\r\n") + 4
        content = []
        while True:
            line = self.raw.find(b"\r\n", at)
            if line < 0:
                return b"".join(content), False
            length = int(self.raw[at:line], 16)
            if length == 0:
                return b"".join(content), self.raw.startswith(b"\r\n", line + 2)
            content.append(self.raw[line + 2 : line + 2 + length])
            at = line + length + 4
            if at > len(self.raw):
                return b"".join(content), False

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    def events(self) -> list[SseEvent]:
        """The server-sent events that came whole, as a browser reads them: lines end in CR, LF or both."""
        *whole, _ = _BLANK.split(self.body)
        found = []
        for block in whole:
            fields: dict[str, list[str]] = {}
            for line in re.split(r"\r\n|\n|\r", block.decode("utf-8")):
                name, _, value = line.partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
            if "data" in fields:
                kind = fields.get("event", ["message"])[-1]
                found.append(SseEvent(fields.get("id", [""])[-1], kind, "\n".join(fields["data"])))
        return found
