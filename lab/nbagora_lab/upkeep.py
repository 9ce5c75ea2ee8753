"""Upkeep: endpoints that answer elsewhere are looked at from time to time, and so are cards at their well-known places.

A look at an agent's endpoint fetches its card, then calls its protocol; one at an MCP server's lists its tools with the
official client, where that is installed. What it finds goes to the registry, which takes down what does not answer and
puts up what does again; a card, or tools, that are no longer what was registered are told in the lab's log, once. This
lab's own endpoints are not looked at: they live by their leases, and by the same process; nor are MCP servers that run
on a command, which a look would start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from nbagora_lab.a2a.wire import BINDINGS
from nbagora_lab.core.errors import EndpointNotFound, LabError, StoreClosed, UsageError
from nbagora_lab.core.log import logger
from nbagora_lab.discovery import Discovery, drift_of
from nbagora_lab.mcp_servers import look_at_server
from nbagora_lab.registry import Endpoint, Registry, card_problems
from nbagora_lab.registry.card import difference
from nbagora_lab.registry.model import Kind
from nbagora_lab.wellknown import WellKnown

if TYPE_CHECKING:
    import httpx

__all__ = ["Round", "Upkeep"]

_AT_ONCE = 16  # endpoints that are looked at side by side
_SERVERS = 2  # MCP servers: a look at one that hangs keeps a worker's thread
_PATIENCE = 5.0  # seconds
_KINDS: tuple[Kind, ...] = ("agent", "mcp")


class Round(NamedTuple):
    """What a round of looks did.

    Attributes:
        found: By the endpoints' ids, whether card and protocol answer there, or an MCP server's tools.
        places: Number of well-known places that were read again.
    """

    found: dict[str, bool]
    places: int


class Upkeep:
    """Looks at what is elsewhere. Lives on the service loop.

    Args:
        registry: The registry.
        discovery: Reads well-known places again.
        http: Gives the HTTP client.
        url: URL of the lab, whose own endpoints are left alone.
        interval: Seconds from one round to the next.
    """

    def __init__(
        self,
        registry: Registry,
        discovery: Discovery,
        http: Callable[[], httpx.AsyncClient],
        url: str,
        interval: float,
    ) -> None:
        self._registry = registry
        self._discovery = discovery
        self._http = http
        self._home = f"{url}/"
        self._interval = interval
        self._cards = WellKnown(http, private=True)  # who may register an endpoint there may have it looked at
        self._drift: dict[str, tuple[str, ...]] = {}
        self.on_round: Callable[[Round], None] = lambda _round: None
        """Is told of every round."""

    async def run(self) -> None:
        """A round at once and whenever one is due, until it is cancelled, or the registry is closed."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._interval
            try:
                self.on_round(await self.run_once())
            except StoreClosed:
                return
            except LabError as error:
                logger.warning("endpoints can't be looked at: %s", error.what)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def run_once(self) -> Round:
        """One round: every endpoint elsewhere, and every well-known place that was ever looked at."""
        found: dict[str, bool] = {}
        live: set[str] = set()
        for kind in _KINDS:
            every = await asyncio.to_thread(self._registry.all_endpoints, kind=kind)
            live |= {one.id for one in every}
            found |= await self._look_at([one for one in every if not one.url.startswith(self._home)], kind)
        self._drift = {place: drift for place, drift in self._drift.items() if place in live}
        return Round(found, await self._discovery.poll())

    async def probe(self, name: str, kind: Kind = "agent") -> dict[str, bool]:
        """Looks at every endpoint of a thing now; by their ids, whether it answers there."""
        return await self._look_at(await asyncio.to_thread(self._registry.endpoints, name, kind=kind), kind)

    async def _look_at(self, endpoints: list[Endpoint], kind: Kind) -> dict[str, bool]:
        transports, look, at_once = (
            (BINDINGS, self._look, _AT_ONCE) if kind == "agent" else (None, self._look_at_server, _SERVERS)
        )
        gate = asyncio.Semaphore(at_once)

        async def look_and_tell(endpoint: Endpoint) -> tuple[str, bool | None]:
            async with gate:
                ok, reason = await look(endpoint)
            if ok is not None:
                with contextlib.suppress(EndpointNotFound):  # it left while we looked
                    await asyncio.to_thread(self._registry.probed, endpoint, ok=ok, reason=reason, kind=kind)
            return endpoint.id, ok

        wanted = [
            one
            for one in endpoints
            if one.state != "draining"
            and (one.transport in transports if transports else one.url.startswith(("http://", "https://")))
        ]
        looked = await asyncio.gather(*map(look_and_tell, wanted))
        return {place: ok for place, ok in looked if ok is not None}

    async def _look_at_server(self, endpoint: Endpoint) -> tuple[bool | None, str]:
        """Whether an MCP server answers; None where nobody here can tell."""
        try:
            described = await look_at_server(endpoint.url)
        except UsageError:  # there is no client
            return None, ""
        except LabError as error:
            return False, error.what[:200]
        known = await asyncio.to_thread(
            self._registry.get, endpoint.name, endpoint.version, kind="mcp", namespace=endpoint.namespace
        )
        drift = difference({"tools": known.card.get("tools", [])}, {"tools": described["tools"]})
        self._tell(endpoint, f"the tools at {endpoint.url} are", tuple(drift))
        return True, "its tools are listed"

    async def _look(self, endpoint: Endpoint) -> tuple[bool, str]:
        """Whether an agent's card and protocol answer."""
        import httpx

        try:
            card, _ = await self._cards.fetch(endpoint.url.partition("?")[0])
            if endpoint.transport != "JSONRPC":
                return self._hold(endpoint, card), "its card answers"
            pinned = await self._cards.pin(endpoint.url)
            answer = await self._http().post(
                pinned.url,
                json={"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "probe"}},
                headers={"A2A-Version": "1.0"} | pinned.headers,
                extensions=pinned.extensions,
                timeout=_PATIENCE,
            )
            if answer.status_code >= 500 or "jsonrpc" not in answer.json():
                return False, f"a ping answers {answer.status_code}"
        except LabError as error:
            return False, error.what
        except (httpx.HTTPError, TypeError, ValueError) as error:
            return False, f"{type(error).__name__}: {error}"[:200]
        return self._hold(endpoint, card), "card and ping answer"

    def _hold(self, endpoint: Endpoint, card: dict[str, object]) -> bool:
        """Says once where a card differs from the version that it should be; True, for it answers all the same."""
        problems = tuple(map(str, card_problems(card)))
        drift = problems or drift_of(self._registry, card, endpoint.version) or ()
        self._tell(endpoint, f"the card at {endpoint.url} is", drift)
        return True

    def _tell(self, endpoint: Endpoint, what: str, drift: tuple[str, ...]) -> None:
        """Says once where what is found differs from what was registered."""
        if drift and drift != self._drift.get(endpoint.id):
            logger.warning("%s not '%s' %s: %s", what, endpoint.name, endpoint.version, "; ".join(drift[:3]))
        self._drift[endpoint.id] = drift
