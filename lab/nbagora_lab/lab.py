"""The lab: wires registry, broker, doors and agents together, starts them, stops them.

The face for notebooks and scripts. It only hands over: the program is the rooms below.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from nbagora_lab.a2a.cards import read_card
from nbagora_lab.a2a.outbox import Outbox
from nbagora_lab.a2a.server import Server, bind
from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.a2a.tasklog import SESSIONS, TaskLog
from nbagora_lab.a2a.webhooks import Webhooks
from nbagora_lab.agents import prints
from nbagora_lab.agents.options import AgentOptions
from nbagora_lab.agents.runner import Runs
from nbagora_lab.broker import EVENTS, Broker
from nbagora_lab.broker.keeper import keep
from nbagora_lab.broker.topics import settings_of
from nbagora_lab.core.clock import Clock, SystemClock, VirtualClock
from nbagora_lab.core.errors import NotStarted, TimedOut
from nbagora_lab.core.ids import Ids, RandomIds, SeededIds
from nbagora_lab.core.log import LogLine, RingLog, logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.core.settings import Settings
from nbagora_lab.core.vault import Vault
from nbagora_lab.discovery import Discovered, Discovery, registry_app, verify_signatures
from nbagora_lab.engines import open_catalog, open_groups, open_log
from nbagora_lab.hosting import Hosting
from nbagora_lab.inspect.lanesview import StepRow
from nbagora_lab.inspect.status import AgentInfo, LabStatus
from nbagora_lab.keys import read_lab, remove_lab, store_token, write_lab
from nbagora_lab.outcomes import Outcomes
from nbagora_lab.registry import Registry
from nbagora_lab.routed import RoutedCalls
from nbagora_lab.tasks import Tasks
from nbagora_lab.upkeep import Upkeep
from nbagora_lab.views import LanesViewSource, ViewSource
from nbagora_lab.wellknown import WellKnown

__all__ = ["Lab"]

_running: list[Lab] = []


class Lab:
    """A registry, a broker and A2A agents in this process.

    It runs once constructed, and until `stop`, the end of its ``with``, or of the process.

    Args:
        clock: Time: a clock, or the setting of that name, ``system`` or ``virtual``.
        ids: Identifiers; overrides the setting `seed`.
        settings: Fields of `nbagora_lab.core.settings.Settings`.

    Attributes:
        settings: The settings in force.
        url: Where the doors are, ``http://127.0.0.1:port``.
        token: Their bearer token; empty for none.
        epoch: How often the store was opened.
        broker: Its topics.
        registry: Its agents, versions and endpoints.
        discovery: Finds cards.
        upkeep: Looks at endpoints and cards that are elsewhere.
        settled: Ids of tasks that an earlier process left WORKING and that were ended FAILED.

    Raises:
        StoreError: The store can't be opened; says why.
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
        self.store = Path(settings.store).absolute()
        self._ring = RingLog()
        self._ring.install()
        stops.callback(self._ring.uninstall)
        log = open_log(self.store, self.clock, settings)
        stops.callback(log.close)
        self.epoch = log.epoch
        self.token = store_token(self.store) if settings.token is None else settings.token
        self.vault = Vault(self.store / "keys.json")
        ids = ids or (RandomIds() if settings.seed is None else SeededIds(settings.seed, log.epoch))
        catalog = open_catalog(self.store, self.clock, ids, settings)
        stops.callback(catalog.close)
        groups = open_groups(log)
        self.broker = Broker(log, self.clock, groups, ids)
        self.registry = Registry(catalog, clock=self.clock, verify=verify_signatures)
        tasklog = TaskLog(log, self.clock, ids)
        self.settled = tasklog.settle()

        former = urlsplit(str(read_lab(self.store).get("url", ""))).port or 0
        listener = bind(settings.host, settings.port, former)
        stops.callback(listener.close)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{listener.getsockname()[1]}"

        self.service = ServiceLoop("nbagora-service")
        self.service.start()
        stops.callback(self.service.stop)
        self._tasks = Tasks(tasklog, log, self.url)
        outcomes = Outcomes(log, self.registry, self.url)
        self._calls = RoutedCalls(self.registry, outcomes, self.service, self.url, self.token, ids, self._tasks.local)
        http = self._calls.http
        self.discovery = Discovery(self.registry, WellKnown(http, private=settings.private_cards))
        self.upkeep = Upkeep(self.registry, self.discovery, http, self.url, settings.probe)
        self._runs = Runs(tasklog, groups, self._calls.call, settings.cancel_grace)
        server = Server(settings, self.token)
        server.serve_broker(self.broker, self.clock, self.url)
        server.serve_registry(registry_app(self.registry, self.url, self.token), self.registry.admits)
        outbox = Outbox(tasklog, groups, self.vault, Webhooks(settings.push_allow))
        tasklog.due = outbox.due
        self._hosting = Hosting(settings, self.url, self.token, self.registry, tasklog, server, self._runs, outbox)
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
        if settings.probe:
            self.service.submit(self.upkeep.run)
        outbox.start(self.service)
        write_lab(self.store, url=self.url, token=self.token)
        stops.callback(remove_lab, self.store)

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
        return f"<Lab {self.url} {'running' if self.running else 'stopped'}, store {self.store}>"

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
                ``concurrency``, ``resumable``.

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
        """The agents that this lab hosts, by name."""
        self._check_running()
        return self._hosting.infos()

    def card(self, agent: str) -> dict[str, Any]:
        """An agent's card as it is served.

        Args:
            agent: The agent's name, the URL of its doors, or a file that holds a card.

        Raises:
            AgentNotFound: No agent of that name is registered.
            Unreachable: Nothing answers at that URL.
        """
        if agent.endswith(".json"):
            return read_card(Path(agent))
        card: dict[str, Any] = self._wait(self._calls.card, agent)
        return card

    def remove(self, name: str) -> None:
        """Stops hosting an agent; its published versions stay in the registry.

        Raises:
            AgentNotFound: It hosts none of that name.
        """
        self._check_running()
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

    def ask(
        self,
        agent: str,
        message: object,
        *,
        context: Task | str | None = None,
        timeout: float | None = None,
        cancel: bool = False,
        check: bool = True,
    ) -> Task:
        """Sends a message and waits until its task ends or asks for something.

        Args:
            agent: The agent's name, or the URL of its doors.
            message: str, dict, pydantic model, bytes, `Path`, or a list of these.
            context: The conversation to go on with: a task of it, its id, or ``last``.
            timeout: Seconds to wait at most; the task goes on, unless `cancel` is set.
            cancel: Whether the task is cancelled, wherever it runs, when the wait ends before it: by the time-out, or
                by Ctrl-C.
            check: Whether a task that failed is raised.

        Raises:
            AgentNotFound: No agent of that name is registered.
            TaskFailed: It ended FAILED, REJECTED or CANCELED, and `check` is set.
            TimedOut: `timeout` ran out.
        """
        sent = self._message(message, context)
        ask = functools.partial(self._calls.ask, abandon=cancel)
        return self._checked(self._wait(ask, agent, sent, timeout=timeout), check)

    def stream(self, agent: str, message: object, *, context: Task | str | None = None) -> Iterator[TaskEvent]:
        """Sends a message; gives its events as they come, until the task ends or asks for something.

        The stream resumes by itself over a cut connection; each event comes once. Arguments as for `ask`.
        """
        return self.service.iterate(self._calls.stream(agent, self._message(message, context)))

    def send(
        self, agent: str, message: object, *, context: Task | str | None = None, timeout: float | None = None
    ) -> Task:
        """Sends a message and returns once its task is opened. Arguments as for `ask`."""
        task: Task = self._wait(self._calls.send, agent, self._message(message, context), timeout=timeout)
        return task

    def wait(self, task: Task | str, *, timeout: float | None = None, check: bool = True) -> Task:
        """Waits until a task ends or asks for something. Arguments as for `ask`."""
        known = task if isinstance(task, Task) else self.task(task)
        if known.plain:
            return known
        return self._checked(self._wait(self._calls.wait, known.agent, known.id, timeout=timeout), check)

    def answer(self, task: Task | str, message: object, *, timeout: float | None = None, check: bool = True) -> Task:
        """Answers a task that asks for something, and waits until it ends or asks again. Arguments as for `ask`."""
        known = task if isinstance(task, Task) else self.task(task)
        sent = self._calls.message(message, context_id=known.context_id, task_id=known.id)
        return self._checked(self._wait(self._calls.ask, known.agent, sent, timeout=timeout), check)

    def cancel(self, task: Task | str) -> Task:
        """Cancels a task.

        Raises:
            RemoteError: It has ended.
        """
        known = task if isinstance(task, Task) else self.task(task)
        canceled: Task = self._wait(self._calls.cancel, known.agent, known.id)
        return canceled

    def _message(self, content: object, context: Task | str | None) -> dict[str, Any]:
        self._check_running()
        return self._calls.message(content, context_id=self._tasks.context_of(context))

    def _wait(self, function: Callable[..., Any], *args: Any, timeout: float | None = None) -> Any:
        self._check_running()
        try:
            return self.service.call(function, *args, timeout=timeout)
        except TimedOut:
            raise
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout} s", "the task goes on: %task ls shows it") from None

    @staticmethod
    def _checked(task: Task, check: bool) -> Task:
        return task.check() if check else task

    def task(self, id: str) -> Task:  # noqa: A002 -- the word of every face
        """A task of this lab as it stands now, by its id, a part of it that is unique, or ``last``.

        Raises:
            TaskNotFound: There is none, or more than one.
        """
        self._check_running()
        return self._tasks.get(id)

    def tasks(
        self, *, agent: str | None = None, context: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[Task]:
        """Tasks of this lab, newest first.

        Args:
            agent: Only this agent's.
            context: Only this context's.
            state: Only those in this state, such as ``WORKING``.
            limit: Number of tasks at most.
        """
        self._check_running()
        return self._tasks.ls(agent=agent, context=context, state=state, limit=limit)

    def steps(self, task: Task | str) -> list[StepRow]:
        """The steps of a task and of those that it called, in the order in which they began."""
        known = task if isinstance(task, Task) else self.task(task)
        return self._tasks.lanes().steps(known.id)

    def lanes_source(self, task: Task | str) -> LanesViewSource:
        """What a view of the steps of one task reads from."""
        known = task if isinstance(task, Task) else self.task(task)
        return LanesViewSource(self.service, self._tasks.lanes(), known.id)

    def view_source(self) -> ViewSource:
        """What a live view of this lab reads from and hands its commands to."""
        return ViewSource(self.service, self._tasks.inspector(), self._calls, self._tasks)

    def status(self) -> LabStatus:
        """What the lab says of itself."""
        self._check_running()
        return LabStatus(
            url=self.url,
            store=str(self.store),
            epoch=self.epoch,
            engines={"broker": self.broker.log.engine, "registry": "embedded"},
            agents=tuple(self.agents()),
            open_tasks=self._tasks.open(),
            sessions=sum(name != EVENTS for name in self.broker.ls(SESSIONS, limit=1001)),
            settled=tuple(self.settled),
            log=tuple(self.log()[-20:]),
        )

    def log(self) -> list[LogLine]:
        """The lab's log, oldest line first."""
        return self._ring.lines()

    def _check_running(self) -> None:
        if not self.running:
            raise NotStarted("this lab has been stopped", "start one with %lab start")
