"""A registry's HTTP face and, beside it on the same server, a plain dict look-up: the peer of `registry`.

It says its URL once it listens, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nbagora_lab.a2a.server import bind
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.http import build_app


async def main(path: str) -> None:
    catalog = EmbeddedCatalog(Path(path), clock=SystemClock(), ids=RandomIds())
    registry = Registry(catalog)
    listener = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = build_app(registry, url, "")
    names = [version.name for version in registry.ls(limit=500) if version.name != "watched"]
    places = {name: registry.resolve(name).endpoint.model_dump() for name in names}

    async def look_up(request: Request) -> Response:
        return JSONResponse({"endpoint": places[request.path_params["name"]], "ref": "latest", "why": ["a dict"]})

    async def flip(_: Request) -> Response:
        registry.rollback("watched")
        return JSONResponse({"revision": registry.revision})

    app.routes.insert(0, Route("/dict/agents/{name}/resolve", look_up))
    app.routes.insert(0, Route("/flip", flip, methods=["POST"]))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", backlog=2048))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.001)
    print(json.dumps({"url": url, "places": len(places)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = server.force_exit = True
    await serving
    catalog.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
