"""A2A by raw sockets: requests as bytes, streams read as fast as they come, and understood only after the clock."""

from __future__ import annotations

import json
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Stream", "Unary", "read_all"]

_LAST = b"TASK_STATE_COMPLETED"


def _request(url: str, token: str, method: str, text: str, *, close: bool) -> bytes:
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": message}}).encode()
    where = urlsplit(url)
    head = [
        f"POST {where.path} HTTP/1.1",
        f"Host: {where.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "A2A-Version: 1.0",
        f"Connection: {'close' if close else 'keep-alive'}",
        *([f"Authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _connect(url: str) -> socket.socket:
    where = urlsplit(url)
    connection = socket.create_connection((where.hostname, where.port), timeout=120)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@dataclass
class Stream:
    """SendStreamingMessage on a connection of its own.

    Attributes:
        ended: When its last event was there.
    """

    url: str
    token: str
    text: str
    ended: float = 0.0
    _pieces: list[bytes] = field(default_factory=list)
    _tail: bytes = b""

    def begin(self) -> socket.socket:
        """Sends the request."""
        connection = _connect(self.url)
        connection.sendall(_request(self.url, self.token, "SendStreamingMessage", self.text, close=True))
        return connection

    def take(self, piece: bytes) -> bool:
        """Takes what was read; whether the last event is there."""
        self._pieces.append(piece)
        seen = self._tail + piece
        self._tail = seen[-len(_LAST) :]
        if _LAST in seen:
            self.ended = time.perf_counter()
        return self.ended > 0

    def finish(self, connection: socket.socket) -> None:
        """Reads the rest of the response, and hangs up."""
        connection.setblocking(True)
        while piece := connection.recv(1 << 16):
            self._pieces.append(piece)
        connection.close()

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """SSE id and `StreamResponse` of each event."""
        head, _, rest = b"".join(self._pieces).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert b"transfer-encoding: chunked" in head.lower(), head
        found = []
        for frame in _dechunked(rest).decode().replace("\r\n", "\n").split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in frame.splitlines() if not line.startswith(":"))
            if "data" in fields:
                found.append((fields.get("id", ""), json.loads(fields["data"])["result"]))
        return found


def _dechunked(body: bytes) -> bytes:
    whole, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if size == 0:
            return b"".join(whole)
        whole.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


def read_all(streams: list[Stream]) -> float:
    """Reads streams at once in this thread; seconds from the first request to the last event."""
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for stream in streams:
            selector.register(stream.begin(), selectors.EVENT_READ, stream)
        left = len(streams)
        while left:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                piece = key.fileobj.recv(1 << 18)
                assert piece, "the stream ended before the task did"
                if key.data.take(piece):
                    selector.unregister(key.fileobj)
                    left -= 1
                    key.data.finish(key.fileobj)
        return max(stream.ended for stream in streams) - began


class Unary:
    """SendMessage calls, one after the other on one connection."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._connection = _connect(url)

    def ask(self, text: str) -> float:
        """Seconds that an answer took; it must be what was asked."""
        began = time.perf_counter()
        self._connection.sendall(_request(self._url, self._token, "SendMessage", text, close=False))
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._read()
        head, _, body = received.partition(b"\r\n\r\n")
        [length] = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
        while len(body) < int(length.partition(b":")[2]):
            body += self._read()
        took = time.perf_counter() - began
        task = json.loads(body)["result"]["task"]
        assert task["status"]["state"] == _LAST.decode(), task
        assert [part["text"] for artifact in task["artifacts"] for part in artifact["parts"]] == [text], task
        return took

    def _read(self) -> bytes:
        piece = self._connection.recv(1 << 16)
        assert piece, "the server hung up"
        return piece

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()
