"""A page of an allowed origin, in a real Chromium: it calls an agent, and its EventSource resumes over a cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from a2a_agents import define_agents
from cutting_proxy import CuttingProxy
from nbagora_lab.lab import Lab
from raw_http import RawExchange, get

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

CALLS = """
async ({lab, agent, token, message}) => {
  const call = async (path, body) => {
    const headers = {"Authorization": `Bearer ${token}`, "A2A-Version": "1.0", "Content-Type": "application/json"};
    return await (await fetch(lab + path, {method: "POST", headers, body: JSON.stringify(body)})).json();
  };
  const params = {message, configuration: {returnImmediately: true}};
  const {result} = await call(agent, {jsonrpc: "2.0", id: 1, method: "SendMessage", params});
  const path = `${agent}/tasks/${encodeURIComponent(result.task.id)}:subscribe`;
  const {ticket} = await call("/tickets", {path: decodeURIComponent(path)});
  return {id: result.task.id, offset: result.task.metadata["urn:nbagora:a2a-log:1"].offset, path, ticket};
}
"""

LISTENS = """
(url) => new Promise((done) => {
  const told = [];
  let cuts = 0;
  const source = new EventSource(url);
  source.onmessage = (event) => told.push([event.lastEventId, event.data]);
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) done({told, cuts});
    else cuts += 1;
  };
})
"""


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>page</title><body></body>")

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_event_source_misses_nothing_over_a_cut_and_stops_at_the_end(
    tmp_path: Path, origin: str, new_tab: Any
) -> None:
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": {"chunks": 40}}]}
    with Lab(store=tmp_path, allowed_origins=origin) as lab, new_tab() as page:
        define_agents(lab)
        port = int(urlsplit(lab.url).port or 0)
        page.goto(origin)
        asked = {"lab": lab.url, "agent": "/agents/chunks", "token": lab.token, "message": message}
        opened = page.evaluate(CALLS, asked)
        lab.wait(opened["id"])
        query = f"A2A-Version=1.0&lastEventId={opened['offset']}&ticket={quote(opened['ticket'])}"
        with RawExchange(port, get(f"{opened['path']}?{query}")) as exchange:
            whole = [[event.id, event.data] for event in exchange.read().events()]
        with CuttingProxy(port) as proxy:
            proxy.cuts += [4000]
            found = page.evaluate(LISTENS, f"http://127.0.0.1:{proxy.port}{opened['path']}?{query}")
            assert proxy.made == 1
        assert len(whole) > 40
        assert found["told"] == whole
        assert found["cuts"] == 2  # the one that was made, and the end, after which 204 tells it to stop
