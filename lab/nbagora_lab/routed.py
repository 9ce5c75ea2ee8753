"""Calls to agents that go where the registry leads them, and tell it what became of those that it can't see."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from nbagora_lab.a2a.keyring import Credential, Keyring
from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.calls import Calls
from nbagora_lab.core.errors import EndpointNotFound, LabError
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.outcomes import Outcomes
from nbagora_lab.registry import Registry, Resolution
from nbagora_lab.tasks import Tasks

if TYPE_CHECKING:
    from nbagora_lab.a2a.client import AgentClient
    from nbagora_lab.a2a.direct import DirectClient

__all__ = ["RoutedCalls"]


class _Known(NamedTuple):
    """What later calls for a task need to know of its first one.

    Attributes:
        url: Where the task is, if others than this lab may have it.
        given: What was shown.
    """

    url: str = ""
    given: tuple[Credential, ...] = ()


class RoutedCalls(Calls):
    """Calls to agents that go where the registry leads them.

    A task's later calls go where its first one went, whatever the rules say by then. What becomes of a call to another
    lab's agent is told to the registry here; of one to this lab's own the log tells.

    Args:
        registry: The registry.
        keyring: What agents are shown.
        outcomes: What tells of this lab's own tasks; it is up to date when a call returns.
        tasks: Finds this lab's tasks.
        service: The service loop.
        url: The lab's own URL.
        token: The lab's own token.
        ids: What makes message and context ids.

    Attributes:
        direct: Gives the way to an agent of this process by its URL; None for others.
        refresh: Registers what this lab hosts under a name anew, where its leases ran out; whether it hosts that.
    """

    def __init__(
        self,
        registry: Registry,
        keyring: Keyring,
        outcomes: Outcomes,
        tasks: Tasks,
        service: ServiceLoop,
        url: str,
        token: str,
        ids: Ids,
    ) -> None:
        super().__init__(service, url, token, ids, tasks.local)
        self._registry = registry
        self._keyring = keyring
        self._outcomes = outcomes
        self.direct: Callable[[str], DirectClient | None] = lambda _url: None
        self.refresh: Callable[[str], bool] = lambda _name: False
        self._home, self.recorded = tasks.home, tasks.recorded
        self._known: dict[str, _Known] = {}  # by task

    def client(
        self, agent: str, key: str = "", task_id: str = "", given: tuple[Credential, ...] = ()
    ) -> AgentClient | DirectClient:
        """See `Calls.client`."""
        return self._led(agent, key, task_id, given)[0]

    def _led(
        self, agent: str, key: str, task_id: str, given: tuple[Credential, ...]
    ) -> tuple[AgentClient | DirectClient, Resolution | None]:
        resolution = None
        known = self._known.get(task_id, _Known())
        url = agent if agent.startswith(("http://", "https://")) else known.url or self._home(task_id)
        if not url:
            resolution = self._resolved(agent, key)
            url = resolution.url
        given = given or known.given or self._keyring.find(agent, url)
        if not given and (direct := self.direct(url)) is not None:
            return direct, resolution
        return self._client(agent, url, given), resolution

    def _resolved(self, agent: str, key: str) -> Resolution:
        try:
            return self._registry.resolve(agent, key)
        except EndpointNotFound:
            if not self.refresh(agent):
                raise
            return self._registry.resolve(agent, key)

    async def events(
        self,
        agent: str,
        message: dict[str, Any],
        headers: dict[str, str] | None = None,
        given: tuple[Credential, ...] = (),
    ) -> AsyncGenerator[TaskEvent]:
        """See `Calls.events`; the registry is told how they ended."""
        client, resolution = self._led(agent, message.get("contextId", ""), message.get("taskId", ""), given)
        ours = self.is_ours(client.url)
        began, ok, heard = time.monotonic(), None, False
        if resolution is not None and not ours:
            self._registry.began(resolution.endpoint)
        try:
            async with contextlib.aclosing(client.stream(message, headers=headers)) as stream:
                async for event in stream:
                    if event.kind == "task":
                        self._remember(event.raw["task"]["id"], client.url, given)
                    heard = True
                    if event.last:
                        ok = event.state != "FAILED"
                        if ours:
                            self._outcomes.refresh()  # before whoever called can call again
                    yield event
        except LabError:
            ok = False
            raise
        finally:
            if resolution is not None and not ours:  # one that was left early says nothing ill of whom it left
                self._tell(resolution, ok is not False, time.monotonic() - began)
            elif resolution is not None and ok is False and not heard:  # its doors failed: no task is on the log
                self._registry.began(resolution.endpoint)
                self._tell(resolution, False, time.monotonic() - began)

    def _tell(self, resolution: Resolution, ok: bool, seconds: float) -> None:
        try:
            self._registry.report(resolution.endpoint, ok=ok, seconds=seconds)
        except LabError as error:
            logger.warning("what became of a call to %s is not on record: %s", resolution.endpoint.name, error.what)

    def _remember(self, task_id: str, url: str, given: tuple[Credential, ...]) -> None:
        ours, before = self.is_ours(url), self._known.get(task_id, _Known())
        if not task_id or (ours and not given):
            return  # there is no task; or the directory knows, and the lab's token will do
        if len(self._known) >= 10_000:
            self._known.pop(next(iter(self._known)))
        self._known[task_id] = _Known("" if ours else url, given or before.given)

    async def send(self, agent: str, message: dict[str, Any], *, given: tuple[Credential, ...] = ()) -> Task:
        """See `Calls.send`."""
        client, _ = self._led(agent, message.get("contextId", ""), message.get("taskId", ""), given)
        task = await client.send(message)
        self._remember(task.id, client.url, given)
        return task
