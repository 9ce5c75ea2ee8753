"""The follower: keeps a mirror up to date with what others write at Nacos, on a thread of its own.

Nacos holds a question open until one of the files that it names has changed (long poll), and answers within some 0.1 s
of a write; what nobody here knows yet, and what becomes of endpoints, is looked for every `LOOK` seconds. Where
the long poll is not there (``/v1`` left the distribution with 3.2), the looks alone find what is new. Where the
server goes away both wait, longer each time, and take in all that was missed once it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import httpx

from nbagora_lab.core.errors import LabError, StoreClosed
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.registry.model import Kind
from nbagora_lab.registry.nacos import NacosCatalog
from nbagora_lab.registry.nacos_agents import GROUPS
from nbagora_lab.registry.nacos_http import Nacos

__all__ = ["LOOK", "Follower"]

LOOK = 1.0
"""Seconds between two looks for what is new."""

_HELD = 30.0  # seconds that a question is held open
_LONGEST = 15.0  # seconds between two tries at a server that is away
_KINDS: dict[str, Kind] = {group: kind for kind, group in GROUPS.items()}
_log = logger.getChild("registry")


class Follower:
    """Follows a Nacos for a catalog, from `start` to `stop`.

    Args:
        catalog: Whose mirror is kept.
        nacos: The server.

    Attributes:
        on_round: Is told after every look and every answer, with what was taken in by it: names of files, or nothing.
    """

    def __init__(self, catalog: NacosCatalog, nacos: Nacos) -> None:
        self._catalog = catalog
        self._nacos = nacos
        self._loop = ServiceLoop("nbagora-nacos")
        self._more: asyncio.Event | None = None
        self.on_round: Callable[[list[str]], None] = lambda _files: None

    def start(self) -> None:
        """Begins to follow; returns at once."""
        self._loop.start()
        self._loop.submit(self._run)

    def stop(self) -> None:
        """Ends; a second call does nothing."""
        self._loop.stop()

    async def _run(self) -> None:
        self._more = asyncio.Event()
        async with httpx.AsyncClient(timeout=_HELD + 15, trust_env=False) as client, asyncio.TaskGroup() as both:
            both.create_task(self._forever(self._look))
            both.create_task(self._forever(lambda: self._listen(client)))

    async def _forever(self, step: Callable[[], Awaitable[object]]) -> None:
        wait = 0.0
        while True:
            try:
                if await step() is False:
                    return
                if wait:
                    _log.warning("Nacos at %s answers again", self._nacos.url)
                wait = 0.0
            except StoreClosed:
                return
            except (LabError, httpx.HTTPError) as error:
                if not wait:
                    _log.warning("%s", error.what if isinstance(error, LabError) else f"Nacos: {error!r}")
                wait = min(_LONGEST, 2 * wait or 0.5)
                await asyncio.sleep(wait)

    async def _look(self) -> None:
        before = len(self._catalog.seen)
        await asyncio.to_thread(self._catalog.look)
        if len(self._catalog.seen) != before and self._more is not None:
            self._more.set()  # what is listened to is no longer all
        self.on_round([])
        await asyncio.sleep(LOOK)

    async def _listen(self, client: httpx.AsyncClient) -> bool:
        """Holds one question open; False where the server has no long poll."""
        assert self._more is not None
        self._more.clear()
        asked = dict(self._catalog.seen)
        more = asyncio.ensure_future(self._more.wait())
        try:
            if not asked:
                return await more
            question = asyncio.ensure_future(self._ask(client, asked))
            try:
                await asyncio.wait({question, more}, return_when=asyncio.FIRST_COMPLETED)
                if not question.done():
                    return True
            finally:
                question.cancel()
            changed = question.result()
        finally:
            more.cancel()
        if changed is None:
            return False
        for space, kind, data_id in changed:
            await asyncio.to_thread(self._catalog.take, space, self._catalog.namespace_of(space), kind, data_id)
        if changed:
            self.on_round([data_id for _, _, data_id in changed])
        return True

    async def _ask(
        self, client: httpx.AsyncClient, asked: dict[tuple[str, Kind, str], str]
    ) -> list[tuple[str, Kind, str]] | None:
        lines = [
            "\x02".join((data_id, GROUPS[kind], digest, space)) + "\x01"
            for (space, kind, data_id), digest in asked.items()
        ]
        headers = {"Long-Pulling-Timeout": f"{1000 * _HELD:.0f}"} | await asyncio.to_thread(self._nacos.headers)
        answer = await client.post(
            f"{self._nacos.url}/v1/cs/configs/listener", data={"Listening-Configs": "".join(lines)}, headers=headers
        )
        if answer.status_code in {404, 410, 501}:
            await asyncio.to_thread(self._nacos.check)  # raises where it is only starting
            _log.info("Nacos at %s has no long poll: what is new is looked for every %g s", self._nacos.url, LOOK)
            return None
        answer.raise_for_status()
        changed = []
        for line in unquote(answer.text).split("\x01"):
            parts = line.strip().split("\x02")
            if len(parts) >= 2 and parts[1] in _KINDS:
                changed.append((parts[2] if len(parts) > 2 else "public", _KINDS[parts[1]], parts[0]))
        return changed
