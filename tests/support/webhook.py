"""A webhook on loopback that keeps what it is told and answers as it is bid."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Told", "Webhook", "webhook"]


@dataclass(frozen=True)
class Told:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body, parsed."""
        return json.loads(self.body)


class Webhook:
    """What was told; from any thread.

    Attributes:
        url: Where it is.
        answer: Gives the status, and perhaps headers, for a request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[Told], tuple[int, dict[str, str]]] = lambda _told: (200, {})
        self.told: list[Told] = []
        self._changed = threading.Condition()

    def take(self, told: Told) -> tuple[int, dict[str, str]]:
        """Answers first, so that an answer can wait, and keeps the request."""
        answer = self.answer(told)
        with self._changed:
            self.told.append(told)
            self._changed.notify_all()
        return answer

    def wait_for(self, count: int, timeout: float = 30.0) -> list[Told]:
        """Waits until so many requests have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= count, timeout), f"only {len(self.told)} came"
            return list(self.told)


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A webhook on a free port."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(size)
            if len(body) < size:  # who told was killed in the middle of it
                return
            status, headers = hook.take(Told(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
