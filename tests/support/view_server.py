"""A loopback server of one page that mounts a view over a mock model, as it ships and in JupyterLab's own themes."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from nbagora_widgets.esm import bundle, style

__all__ = ["THEMES", "ViewServer"]

THEMES = ("light", "dark", "none")
"""JupyterLab's two, and a page without any."""

_MOCK = Path(__file__).parents[1] / "widgets" / "mock.js"
_JUPYTER = Path(sys.prefix) / "share" / "jupyter" / "lab" / "themes" / "@jupyterlab"
_KINDS = {"js": "text/javascript", "css": "text/css", "html": "text/html; charset=utf-8"}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A view</title><link rel="icon" href="data:,">
{style}<link rel="stylesheet" href="/{view}.css">
<style>body {{ background: var(--jp-layout-color0, Canvas); color: var(--jp-ui-font-color1, CanvasText) }}</style>
<main><h1 style="font-size: 14px">A view</h1><div id="view"></div></main>
<script type="module">
import view from "/{view}.js";
import {{ KernelModel, MockModel }} from "/mock.js";
window.mount = (snapshot) => {{
  window.model = new MockModel(snapshot);
  window.unmount = view.render({{ model, el: document.getElementById("view") }});
}};
window.models = {{}};
window.mountKernel = (name, state) => {{
  window.model = models[name] = new KernelModel(name, state);
  const el = document.createElement("div");
  document.getElementById("view").append(el);
  window.unmount = view.render({{ model, el }});
}};
window.ready = true;
</script></html>
"""


class ViewServer:
    """Serves ``/light.html``, ``/dark.html`` and ``/none.html``; ``mount(snapshot)`` there shows the task view.

    Below ``/topics/``, ``/registry/`` and ``/flow/`` it is these views, and ``mountKernel(name, state)`` adds one that
    asks ``window.kernel``.
    """

    def __init__(self) -> None:
        self._files = {"/mock.js": _MOCK.read_text(encoding="utf-8")}
        for view in ("tasks", "topics", "registry", "flow"):
            self._files[f"/{view}.js"] = bundle(view)
            self._files[f"/{view}.css"] = style(view)
        for theme in THEMES:
            link = ""
            if theme != "none":
                link = f'<link rel="stylesheet" href="/{theme}.css">'
                css = _JUPYTER / f"theme-{theme}-extension" / "index.css"
                self._files[f"/{theme}.css"] = css.read_text(encoding="utf-8")
            self._files[f"/{theme}.html"] = _PAGE.format(style=link, view="tasks")
            for view in ("topics", "registry", "flow"):
                self._files[f"/{view}/{theme}.html"] = _PAGE.format(style=link, view=view)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        files = self._files

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = files.get(self.path)
                self.send_response(404 if text is None else 200)
                self.send_header("Content-Type", _KINDS.get(self.path.rpartition(".")[2], "text/plain"))
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="view server", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
