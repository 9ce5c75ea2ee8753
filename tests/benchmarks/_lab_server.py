"""The lab under test, in a process of its own: says as JSON where it is, and serves until its input ends."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from _flood import chunks

from nbagora import Lab


def main(store: str) -> None:
    """Serves the agents `flood`, `echo` and `hold`."""
    with Lab(store=store) as lab:

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
        said = {"urls": urls, "token": lab.token, "durability": lab.settings.durability, "loop": loop}
        print(json.dumps(said), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
