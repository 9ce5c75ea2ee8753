"""What the lab hosts: agents with their doors, cards, endpoints and leases."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nbagora_lab.a2a.gate import Credentials, Gate
from nbagora_lab.a2a.schemes import parse_scheme
from nbagora_lab.a2a.server import Server
from nbagora_lab.a2a.signing import Signer
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.tokens import Issuer
from nbagora_lab.agents.defaults import Defaults
from nbagora_lab.agents.definition import define
from nbagora_lab.agents.inbox import inbox_name
from nbagora_lab.agents.options import AgentOptions
from nbagora_lab.agents.runner import Runner, Runs
from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import AgentNotFound, EndpointNotFound, LabError, Unreachable, did_you_mean
from nbagora_lab.core.log import logger
from nbagora_lab.core.settings import Settings
from nbagora_lab.inspect.status import AgentInfo
from nbagora_lab.registry import Registry

if TYPE_CHECKING:
    from a2a.types import a2a_pb2 as pb

    from nbagora_lab.a2a.direct import DirectClient
    from nbagora_lab.a2a.outbox import Outbox

__all__ = ["Hosting"]

_STUCK = 2.0  # seconds without an answer after which the agents' loop counts as blocked


@dataclass(slots=True)
class _Hosted:
    runner: Runner
    card: dict[str, Any]
    message: pb.AgentCard
    version: str
    url: str
    endpoint: str
    options: AgentOptions


def _warm_up() -> None:
    """Loads what the first agent and the first call need, while whoever started the lab reads its answer."""
    for name in ("nbagora_lab.a2a.doors", "nbagora_lab.a2a.client"):
        importlib.import_module(name)


class Hosting:
    """The agents of a lab. Methods may be called from any thread; `keep_alive` is the service loop's.

    Args:
        settings: Leases.
        url: Where the lab's doors are.
        token: The doors' token; cards declare it.
        registry: Where agents are published.
        tasks: The task log.
        server: Where their doors are mounted.
        runs: What runs their tasks.
        outbox: What tells webhooks of them.
        credentials: What callers have been given.
        signer: Signs their cards.
    """

    def __init__(
        self,
        settings: Settings,
        url: str,
        token: str,
        registry: Registry,
        tasks: TaskLog,
        server: Server,
        runs: Runs,
        outbox: Outbox,
        credentials: Credentials,
        signer: Signer,
    ) -> None:
        self._settings = settings
        self._url = url
        self._token = token
        self._registry = registry
        self._tasks = tasks
        self._server = server
        self._runs = runs
        self._outbox = outbox
        self._credentials = credentials
        self._signer = signer
        self._issuers: dict[str, Issuer] = {}
        self._hosted: dict[str, _Hosted] = {}
        self._former: dict[tuple[str, str], _Hosted] = {}  # earlier versions that callers may still be led to
        self._direct: dict[str, DirectClient] = {}  # by the URL of the doors
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Names of the agents."""
        return sorted(self._hosted)

    def define(
        self,
        name: str,
        target: object,
        options: AgentOptions,
    ) -> AgentInfo:
        """See `Lab.define`."""
        from a2a.types import a2a_pb2 as pb
        from google.protobuf.json_format import ParseDict

        from nbagora_lab.a2a.cards import build_card, with_interfaces

        check_name(name, "agent")
        check_name(inbox_name(name), "agent")
        definition = define(
            name,
            target,
            reply=options.reply,
            description=options.description,
            model=options.model,
            defaults=Defaults.of(self._settings, options.window),
            resumable=options.resumable,
        )
        card = build_card(name, definition.description, options, token=bool(self._token))
        url = f"{self._url}/agents/{quote(name, safe='')}"
        with self._lock:
            published = self._registry.publish(card, version=options.version)
            card = with_interfaces({**card, "version": published.version}, url, self._server.grpc)
            before = self._hosted.get(name)
            if before is not None and before.version != published.version:
                self._keep(name, before)
            elif before is not None:
                self._registry.deregister(before.endpoint)
            self._drop(name, published.version)
            concurrency = options.concurrency or self._settings.concurrency
            endpoint = self._endpoint(name, published.version, url)
            self._sign(name, card)
            message = ParseDict(card, pb.AgentCard())
            if before is not None and before.version == published.version:
                hosted = before  # tasks that run keep the definition that they began with
                hosted.runner.definition = definition
                hosted.card, hosted.message, hosted.endpoint, hosted.options = card, message, endpoint, options
            else:
                hosted = _Hosted(
                    Runner(self._runs, definition), card, message, published.version, url, endpoint, options
                )
                self._hosted[name] = hosted
            self._runs.open_inbox(name, hosted.runner.begin, concurrency)
            if hosted is not before:
                self._mount(name, name, hosted)
        logger.info("agent %s %s at %s", name, published.version, url)
        return self._info(name, hosted)

    def _mount(self, name: str, at: str, hosted: _Hosted) -> None:
        """Opens the doors of a version."""
        from nbagora_lab.a2a.cards import card_v03, extended_card
        from nbagora_lab.a2a.direct import DirectClient
        from nbagora_lab.a2a.doors import build_doors
        from nbagora_lab.a2a.handler import LogRequestHandler

        signer = self._signer

        def more() -> dict[str, Any]:
            card = extended_card(hosted.card, hosted.options)
            return signer.signed(card if card is not None else hosted.card)

        handler = LogRequestHandler(
            self._tasks, name, lambda: hosted.message, lambda: hosted.runner, self._outbox, more
        )
        doors = build_doors(handler, lambda: signer.signed(hosted.card), lambda: card_v03(hosted.card, hosted.url))
        schemes = [parse_scheme(text) for text in hosted.options.auth]
        gate = Gate(schemes, self._credentials, [hosted.url, self._url, name], self._issuers) if schemes else None
        self._server.mount(at, doors, gate, handler)
        self._direct[hosted.url] = DirectClient(name, hosted.url, handler, lambda: signer.signed(hosted.card))

    def direct(self, url: str) -> DirectClient | None:
        """The way to the agent at `url` that needs no connection; None where it is not hosted here."""
        return self._direct.get(url)

    def _keep(self, name: str, hosted: _Hosted) -> None:
        """Moves a version that is no longer the newest to doors of its own, so that callers can be led back to it.

        Kept are the one before the newest and all that a label points at.
        """
        from google.protobuf.json_format import ParseDict

        from nbagora_lab.a2a.cards import with_interfaces

        labelled = set(self._registry.labels(name).values())
        for of, version in list(self._former):
            if of == name and version not in labelled:
                self._drop(name, version)
        at = f"{name}@{hosted.version}"
        self._registry.deregister(hosted.endpoint)
        hosted.url = f"{self._url}/agents/{quote(at, safe='')}"
        hosted.card = with_interfaces(hosted.card, hosted.url, self._server.grpc)
        hosted.message = ParseDict(hosted.card, type(hosted.message)())
        hosted.endpoint = self._endpoint(name, hosted.version, hosted.url)
        self._sign(name, hosted.card)
        self._former[name, hosted.version] = hosted
        self._mount(name, at, hosted)

    def _drop(self, name: str, version: str) -> None:
        """Closes the doors of an earlier version, if it has any."""
        hosted = self._former.pop((name, version), None)
        if hosted is not None:
            self._server.unmount(f"{name}@{version}")
            self._direct.pop(hosted.url, None)
            self._registry.deregister(hosted.endpoint)

    def remove(self, name: str) -> None:
        """See `Lab.remove`."""
        with self._lock:
            hosted = self._hosted.pop(name, None)
            if hosted is None:
                raise AgentNotFound(f"no agent '{name}' here", did_you_mean(name, self._hosted))
            self._server.unmount(name)
            self._direct.pop(hosted.url, None)
            self._runs.close_inbox(name)
            self._registry.deregister(hosted.endpoint)
            for of, version in list(self._former):
                if of == name:
                    self._drop(name, version)

    def put_at_root(self, name: str, protocol: str) -> None:
        """See `Lab.put_at_root`."""
        if name not in self._hosted:
            raise AgentNotFound(f"no agent '{name}' here", did_you_mean(name, self._hosted))
        self._server.root = name
        self._server.root_card = "" if protocol == "1.0" else f"/v{protocol}"

    def infos(self) -> list[AgentInfo]:
        """The agents, by name."""
        return [self._info(name, hosted) for name, hosted in sorted(self._hosted.items())]

    def _info(self, name: str, hosted: _Hosted) -> AgentInfo:
        definition = hosted.runner.definition
        inbox = self._runs.inboxes.get(name)
        return AgentInfo(
            name=name,
            version=hosted.version,
            description=hosted.card["description"],
            skills=tuple(skill["id"] for skill in hosted.card["skills"]),
            url=hosted.url,
            kind=definition.kind,
            model=definition.model,
            reply=definition.reply,
            running=self._runs.open_tasks(name),
            queued=inbox.queued if inbox is not None else 0,
            concurrency=inbox.concurrency if inbox is not None else 0,
        )

    def close(self) -> None:
        """Deregisters all agents."""
        for name in self.names():
            try:
                self.remove(name)
            except LabError as error:
                logger.warning("could not deregister %s: %s", name, error.what)

    async def keep_alive(self) -> None:
        """Renews leases, and names the agent that blocks the others; until it is cancelled."""
        await asyncio.to_thread(_warm_up)
        while True:
            await asyncio.sleep(min(self._settings.lease / 3, _STUCK))
            self.renew()
            await self._watch()

    def renew(self) -> None:
        """Renews every endpoint's lease once; one that had lapsed, on a machine that slept, is taken anew."""
        every = [*self._hosted.items(), *((name, hosted) for (name, _), hosted in list(self._former.items()))]
        for name, hosted in every:
            try:
                self._registry.renew(hosted.endpoint)
            except EndpointNotFound:
                hosted.endpoint = self._endpoint(name, hosted.version, hosted.url)
            except Unreachable:  # the lab that was joined is away, and its line says so
                return
            except LabError as error:
                logger.warning("the lease of %s could not be renewed: %s", name, error.what)
        with contextlib.suppress(Unreachable):
            self._registry.expire()

    def refresh(self, name: str) -> bool:
        """Renews the leases if it hosts an agent; whether it does."""
        if name in self._hosted:
            self.renew()
        return name in self._hosted

    def _endpoint(self, name: str, version: str, url: str) -> str:
        return self._registry.register_endpoint(name, version, url, lease=self._settings.lease).id

    def _sign(self, name: str, card: dict[str, Any]) -> None:
        """Puts the card, as it is served and signed, beside its version, where a server keeps that for others."""
        if not self._registry.shared:
            return
        signed = self._signer.signed(card)
        known = self._registry.signed(name, card["version"])
        if known is None or _unsigned(known) != _unsigned(signed):
            self._registry.publish(signed, version=card["version"])

    async def _watch(self) -> None:
        if not self._runs.loop.running:
            return
        answer = asyncio.wrap_future(self._runs.loop.submit(lambda: None))
        done, _ = await asyncio.wait([answer], timeout=_STUCK)
        if not done and (culprit := self._runs.busy()):
            logger.warning("%s blocks the agents' loop; make its function sync, or await in it", culprit)


def _unsigned(card: dict[str, Any]) -> dict[str, Any]:
    """A card with who signed it in place of the signatures, which are others each time."""
    return card | {"signatures": [one["protected"] for one in card["signatures"]]}
