"""The lab under test as `nbagora serve` runs it, in a process of its own: says as JSON where it is, and serves until
its input ends."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from _flood import chunks

from nbagora import Lab
from nbagora_lab.serve import serve


def main(store: str) -> None:
    """Serves the agents `flood`, `echo` and `hold`."""
    said: dict[str, Any] = {}

    def load(lab: Lab) -> None:
        @lab.agent
        async def flood(message: Any, task: Any) -> AsyncIterator[str]:
            for chunk in chunks(int(message.text)):
                yield chunk

        @lab.agent
        async def echo(message: Any, task: Any) -> str:
            return str(message.text)

        @lab.agent
        async def hold(message: Any, task: Any) -> AsyncIterator[Any]:
            yield task.status("waiting")
            await asyncio.Event().wait()

        urls = {info.name: f"{info.url}/" for info in lab.agents()}
        loop = type(lab.service.call(asyncio.get_running_loop)).__module__.partition(".")[0]
        said.update(urls=urls, token=lab.token, durability=lab.settings.durability, loop=loop)

    serve(load, say=lambda _: print(json.dumps(said)), store=store)


if __name__ == "__main__":
    main(sys.argv[1])
