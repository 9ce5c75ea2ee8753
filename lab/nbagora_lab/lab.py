"""The lab: wires registry, broker, doors and agents together, starts them, stops them.

The face for notebooks and scripts. It only hands over: the program is the rooms below.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from nbagora_lab.a2a.gate import Credentials, Tickets
from nbagora_lab.a2a.keyring import Keyring
from nbagora_lab.a2a.outbox import Outbox
from nbagora_lab.a2a.server import Server, bind
from nbagora_lab.a2a.signing import Signer
from nbagora_lab.a2a.task import Task
from nbagora_lab.a2a.tasklog import SESSIONS, TaskLog
from nbagora_lab.a2a.webhooks import Webhooks
from nbagora_lab.agents import prints
from nbagora_lab.agents.options import AgentOptions
from nbagora_lab.agents.runner import Runs
from nbagora_lab.asking import Asking
from nbagora_lab.broker import EVENTS, Broker
from nbagora_lab.broker.keeper import keep
from nbagora_lab.broker.topics import settings_of
from nbagora_lab.core.clock import Clock, SystemClock, VirtualClock
from nbagora_lab.core.errors import NotStarted, StoreLocked
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.log import LogLine, RingLog, logger
from nbagora_lab.core.objects import read_object
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.core.settings import Settings
from nbagora_lab.core.vault import Vault
from nbagora_lab.discovery import Discovered, Discovery, registry_app, verify_signatures
from nbagora_lab.engines import open_engines
from nbagora_lab.guests import Guests
from nbagora_lab.hosting import Hosting
from nbagora_lab.inspect.status import AgentInfo, LabStatus
from nbagora_lab.joining import House, Neighbours, holder_of
from nbagora_lab.keys import read_lab, remove_lab, write_lab
from nbagora_lab.outcomes import Outcomes
from nbagora_lab.registry import Registry
from nbagora_lab.routed import RoutedCalls
from nbagora_lab.tasks import Tasks
from nbagora_lab.trust import CardTrust
from nbagora_lab.upkeep import Upkeep
from nbagora_lab.views import LanesViewSource, ViewSource
from nbagora_lab.wellknown import WellKnown

if TYPE_CHECKING:
    from nbagora_lab.cardcheck import CardCheck

__all__ = ["Lab"]

_running: list[Lab] = []


class Lab(Asking):
    """A registry, a broker and A2A agents in this process.

    It runs once constructed, and until `stop`, the end of its ``with``, or of the process.

    Args:
        clock: Time: a clock, or the setting of that name, ``system`` or ``virtual``.
        ids: Identifiers; overrides the setting `seed`.
        settings: Fields of `nbagora_lab.core.settings.Settings`.

    Attributes:
        settings: The settings in force.
        url: Where the doors are, ``http://127.0.0.1:port``.
        joined: URL of the lab that has the topics and the registry, where that is another one.
        token: Their bearer token; empty for none.
        epoch: How often the store was opened.
        broker: Its topics.
        registry: Its agents, versions and endpoints.
        discovery: Finds cards.
        credentials: What callers have been given: ``grant(owner, kind, scopes=)``, ``revoke(owner)``.
        keyring: What other agents are shown: ``keep(agent, credentials)``, ``forget(agent)``, ``kept()``.
        tickets: Short-lived leave to read a place.
        upkeep: Looks at endpoints and cards that are elsewhere.
        settled: Ids of tasks that an earlier process left WORKING and that were ended FAILED.

    Raises:
        StoreError: The store can't be opened; says why.
        Unreachable: The lab that was to be joined does not answer.
        PortInUse: The port asked for is taken.
        UsageError: A setting does not fit.

    Example:
        >>> with Lab(store="agora") as lab:
        ...     @lab.agent
        ...     async def echo(message, task):
        ...         yield message.text
        ...     lab.ask("echo", "你好").text
        '你好'
    """

    def __init__(self, *, clock: Clock | str | None = None, ids: Ids | None = None, **settings: Any) -> None:
        named = clock if isinstance(clock, str) else None
        self.settings = Settings.load(clock=named, **settings)
        given = None if isinstance(clock, str) else clock
        self.clock = given or (VirtualClock() if self.settings.clock == "virtual" else SystemClock())
        self._stops = contextlib.ExitStack()
        try:
            self._start(ids)
        except BaseException:
            self._stops.close()
            raise
        _running.append(self)
        atexit.register(self.stop)
        logger.info("started on %s, store %s, epoch %d", self.url, self.store, self.epoch)

    def _start(self, ids: Ids | None) -> None:
        settings, stops = self.settings, self._stops
        self._ring = RingLog()
        self._ring.install()
        stops.callback(self._ring.uninstall)
        former = "" if settings.join else str(read_lab(Path(settings.store)).get("url", ""))
        listener = bind(settings.host, settings.port, urlsplit(former).port or 0)
        stops.callback(listener.close)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{listener.getsockname()[1]}"

        engines = open_engines(settings, self.clock, ids, self.url, stops)
        log, ids, link = engines.log, engines.ids, engines.link
        self.store, self.token, self.epoch = engines.store, engines.token, log.epoch
        self.joined = link.url if link is not None else None
        self.vault = Vault(self.store / "keys.json")
        self.broker = Broker(log, self.clock, engines.groups, ids)
        self.registry = Registry(engines.catalog, clock=self.clock, verify=verify_signatures)
        tasklog = TaskLog(log, self.clock, ids, self.url if link is not None else "", merge=settings.merges)
        self.settled = [] if link is not None else tasklog.settle()

        self.service = ServiceLoop("nbagora-service")
        self.service.start()
        stops.callback(self.service.stop)
        house = House(lambda: self._hosting, self._own_status, self._end)
        guests = Guests(*engines[:3], self.url, house, tasklog.settle, joined=self.joined or "")
        members = guests.members if link is None else lambda: link.members
        self._neighbours = Neighbours(self.url, self.token, members)
        self._tasks = tasks = Tasks(tasklog, log, self.url, self.joined or "", members)
        outcomes = Outcomes(log, self.registry, self.url)
        self.keyring = Keyring(self.vault)
        calls = RoutedCalls(self.registry, self.keyring, outcomes, tasks, self.service, self.url, self.token, ids)
        cards = WellKnown(calls.http, private=settings.private_cards)
        calls.trust = CardTrust(settings.card_signatures, settings.card_keys, calls.keys_at, cards.inside).check
        calls.members, calls.pushed.public, self._calls = members, settings.public_url, calls
        self.discovery = Discovery(self.registry, cards)
        self.upkeep = Upkeep(self.registry, self.discovery, calls.http, self.url, settings.probe)
        self._runs = Runs(tasklog, engines.groups, self._calls.call, settings.cancel_grace)
        server = Server(settings, self.token)
        server.serve_broker(self.broker, self.clock, self.url)
        server.serve_registry(registry_app(self.registry, self.url, self.token), self.registry.admits)
        server.serve_engines(guests)
        signer = Signer(self.vault, self.url)
        self.credentials, self.tickets = Credentials(self.vault), Tickets(self.vault, self.clock)
        server.serve_callers(self.tickets, signer, calls.pushed)
        server.serve_blobs(tasklog, self.url)
        outbox = Outbox(tasklog, engines.groups, self.vault, Webhooks(settings.push_allow), signer.detached)
        self._hosting = Hosting(
            settings, self.url, self.token, self.registry, tasklog, server, self._runs, outbox, self.credentials, signer
        )
        self._calls.refresh, self._calls.direct = self._hosting.refresh, self._hosting.direct
        self.service.call(server.start, listener)
        stops.callback(self.service.call, server.stop)
        stops.callback(self.service.call, self._calls.close)
        self._runs.start()
        stops.callback(self._runs.stop)
        prints.install()
        stops.callback(prints.uninstall)
        stops.callback(self._hosting.close)
        self.service.submit(self._hosting.keep_alive)
        self.service.submit(lambda: keep(log, self.clock))
        self.service.submit(outcomes.run)
        if link is not None:
            link.lost.append(tasklog.abandon)
            link.back += [self._hosting.renew, self._runs.reopen]
            return
        if settings.probe:
            self.service.submit(self.upkeep.run)
        tasklog.snapshots.start(self.service)
        outbox.start(self.service)
        write_lab(self.store, url=self.url, token=self.token)
        stops.callback(remove_lab, self.store)

    @classmethod
    def start(cls, **settings: Any) -> Lab:
        """A lab on a store: its own, or joined to the one of the process that holds it.

        Args:
            settings: As for `Lab`.

        Raises:
            StoreLocked: Something holds the store that is no lab, or is none yet.
        """
        try:
            return cls(**settings)
        except StoreLocked as held:
            if (found := holder_of(Settings.load(**settings).store)) is None:
                raise held from None
        return cls(**settings | {"join": found.url, "token": found.token})

    @classmethod
    def current(cls) -> Lab:
        """The lab of this process that was started last.

        Raises:
            NotStarted: None runs.
        """
        if not _running:
            raise NotStarted("no lab runs in this kernel", "start one with %lab start")
        return _running[-1]

    @classmethod
    def running_labs(cls) -> list[Lab]:
        """All labs of this process that run."""
        return list(_running)

    @property
    def running(self) -> bool:
        """Whether it has not been stopped."""
        return self in _running

    def stop(self) -> None:
        """Deregisters the agents, ends what runs and closes everything; a second stop does nothing."""
        if self not in _running:
            return
        _running.remove(self)
        atexit.unregister(self.stop)
        logger.info("stopping")
        self._stops.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        joined = f" joined to {self.joined}" if self.joined else ""
        return f"<Lab {self.url}{joined} {'running' if self.running else 'stopped'}, store {self.store}>"

    def agent(self, function: Any = None, *, name: str | None = None, **options: Any) -> Any:
        """Makes a function an agent: ``@lab.agent`` or ``@lab.agent(skills=["forecast: …"])``.

        Its name is the function's, with ``-`` for ``_``, unless one is given; `options` as for `define`.
        """

        def take(target: Any) -> Any:
            self.define(
                name or str(getattr(target, "__name__", None) or target.name).replace("_", "-"), target, **options
            )
            return target

        return take if function is None else take(function)

    def define(
        self,
        name: str,
        target: object,
        **options: Any,
    ) -> AgentInfo:
        """Hosts an agent under `name`; one that is there is replaced, its running tasks end as they began.

        Args:
            name: The agent's name.
            target: A function of ``(message, task)``, or a pydantic-ai `Agent`.
            options: Fields of `AgentOptions`: ``skills``, ``tags``, ``version``, ``reply``, ``description``, ``model``,
                ``concurrency``, ``window``, ``resumable``, ``auth``, ``scopes``, ``private_skills``, ``extensions``.

        Raises:
            BadAgent: It can't be one.
            UsageError: An option that does not fit.
            VersionExists: That version is published with another card.
        """
        self._check_running()
        info = self._hosting.define(name, target, settings_of(AgentOptions, "agent", options))
        self.service.call(self._calls.forget, info.url)
        return info

    def agents(self) -> list[AgentInfo]:
        """The agents of this lab by name, those that labs host which joined it among them."""
        self._check_running()
        return sorted([*self._hosting.infos(), *self._neighbours.agents()], key=lambda info: info.name)

    def card(self, agent: str) -> dict[str, Any]:
        """An agent's card as it is served.

        Args:
            agent: The agent's name, the URL of its doors, or a file that holds a card.

        Raises:
            AgentNotFound: No agent of that name is registered.
            Unreachable: Nothing answers at that URL.
        """
        if agent.endswith(".json"):
            return read_object(Path(agent), "card")
        card: dict[str, Any] = self._wait(self._calls.card, agent)
        return card

    def check_card(self, agent: str) -> CardCheck:
        """An agent's card, held against the specification, and its signature against what its server publishes.

        Arguments and errors as for `card`.
        """
        from nbagora_lab.cardcheck import check_card

        return check_card(self.card(agent), lambda url: self._wait(self._calls.keys_at, url))

    def remove(self, name: str) -> None:
        """Stops hosting an agent; its published versions stay in the registry.

        Raises:
            AgentNotFound: It hosts none of that name.
        """
        self._check_running()
        if name in self._hosting.names() or not self._neighbours.remove(name):
            self._hosting.remove(name)

    def put_at_root(self, name: str, *, protocol: str = "1.0") -> None:
        """Has one agent's card and doors answer at ``/`` as well.

        Args:
            name: The agent's name.
            protocol: ``1.0``, or ``0.3`` for clients that look for a card of that form at the host's well-known place
                and nowhere else; the doors speak both in any case.

        Raises:
            AgentNotFound: It hosts none of that name.
        """
        self._check_running()
        self._hosting.put_at_root(name, protocol)

    def discover(self, what: Mapping[str, Any] | str | Path, **options: Any) -> Discovered:
        """Finds an agent's card by card, file, ``env:NAME``, URL or name; see `Discovery.discover`."""
        found: Discovered = self._wait(lambda: self.discovery.discover(what, **options))
        return found

    def lanes_source(self, task: Task | str) -> LanesViewSource:
        """What a view of the steps of one task reads from."""
        known = task if isinstance(task, Task) else self.task(task)
        return LanesViewSource(self.service, self._tasks.lanes(), known.id, self._begin_again)

    def view_source(self) -> ViewSource:
        """What a live view of this lab reads from and hands its commands to."""
        return ViewSource(self.service, self._calls, self._tasks, self._begin_again)

    def status(self) -> LabStatus:
        """What the lab says of itself; one that joined another says what that does, and its own log.

        Raises:
            Unreachable: The lab that it joined does not answer.
        """
        self._check_running()
        mine = self._own_status()
        if self.joined is None:
            return mine.model_copy(update={"agents": tuple(self.agents()), "guests": tuple(self._neighbours.urls())})
        theirs = self._neighbours.status(self.joined)
        return theirs.model_copy(update={"here": self.url, "agents": tuple(self.agents()), "log": mine.log})

    def _own_status(self) -> LabStatus:
        """The same without a word of the labs that are together with it."""
        return LabStatus(
            url=self.url,
            store=str(self.store),
            epoch=self.epoch,
            engines={"broker": self.broker.log.engine, "registry": self.registry.catalog.engine},
            agents=tuple(self._hosting.infos()),
            open_tasks=self._tasks.open(),
            sessions=sum(name != EVENTS for name in self.broker.ls(SESSIONS, limit=1001)),
            settled=tuple(self.settled),
            log=tuple(self.log()[-20:]),
        )

    def stop_joined(self) -> None:
        """Stops the lab that this one joined, or itself where it joined none."""
        if self.joined is None:
            self.stop()
        else:
            self._neighbours.stop(self.joined)

    def _end(self) -> None:
        """Stops, from a thread that a stop would wait for; returns at once."""
        threading.Thread(target=self.stop, name="nbagora-stop").start()

    def log(self) -> list[LogLine]:
        """The lab's log, oldest line first."""
        return self._ring.lines()
