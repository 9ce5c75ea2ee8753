"""A web server that hands out cards, and agents whose answers tell their versions apart."""

from __future__ import annotations

import http.server
import threading
from typing import Any

from nbagora_lab.lab import Lab

__all__ = ["Site", "define"]


def define(lab: Lab, what: str, version: str) -> None:
    """Hosts a version of ``weather`` that says `what`, or fails if that is ``broken``."""

    async def weather(message: Any, task: Any) -> str:
        """Tells the weather."""
        if what == "broken":
            raise task.fail("no sky")
        return what

    lab.define("weather", weather, version=version, description=f"Says {what}.")


class Site:
    """A web server that hands out what it was given, and answers every POST as JSON-RPC does an unknown task.

    Attributes:
        url: Where it is.
        status, body, tag: What it answers with.
        asked: Path and If-None-Match of every GET.
        hosts: The Host header of every request.
    """

    def __init__(self) -> None:
        self.status, self.body, self.tag, self.asked = 200, b"{}", "", []  # type: ignore[var-annotated]
        self.hosts: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("If-None-Match", "")
                site.hosts.append(self.headers["Host"])
                site.asked.append((self.path, given))
                fresh = not (site.tag and given == site.tag)
                self.send_response(site.status if fresh else 304)
                if site.tag:
                    self.send_header("ETag", site.tag)
                body = site.body if fresh else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                site.hosts.append(self.headers["Host"])
                self.rfile.read(int(self.headers["Content-Length"]))
                body = b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "no task"}}'
                self.send_response(site.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
