"""Calls to agents that go where the registry leads them, and tell it what became of those that it can't see."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.calls import Calls
from nbagora_lab.core.errors import EndpointNotFound, LabError
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.outcomes import Outcomes
from nbagora_lab.registry import Registry, Resolution

if TYPE_CHECKING:
    from nbagora_lab.a2a.client import AgentClient
    from nbagora_lab.a2a.direct import DirectClient

__all__ = ["RoutedCalls"]


class RoutedCalls(Calls):
    """Calls to agents that go where the registry leads them.

    A task's later calls go where its first one went, whatever the rules say by then. What becomes of a call to another
    lab's agent is told to the registry here; of one to this lab's own the log tells.

    Args:
        registry: The registry.
        outcomes: What tells of this lab's own tasks; it is up to date when a call returns.
        service: The service loop.
        url: The lab's own URL.
        token: The lab's own token.
        ids: What makes message and context ids.
        local: Gives a task of this lab by its id, None for others'.
        home: Gives the URL of the doors of a task that a lab of this one's runs; empty where the registry knows best.
        recorded: Gives what the log here has of a task, asked of the doors at a URL, past an offset.

    Attributes:
        direct: Gives the way to an agent of this process by its URL; None for others.
        refresh: Registers what this lab hosts under a name anew, where its leases ran out; whether it hosts that.
    """

    def __init__(
        self,
        registry: Registry,
        outcomes: Outcomes,
        service: ServiceLoop,
        url: str,
        token: str,
        ids: Ids,
        local: Callable[[str], Task | None],
        home: Callable[[str], str] = lambda _task_id: "",
        recorded: Callable[[str, str, int], Sequence[TaskEvent]] = lambda _url, _task_id, _after: (),
    ) -> None:
        super().__init__(service, url, token, ids, lambda name: registry.resolve(name).url, local)
        self._registry = registry
        self._outcomes = outcomes
        self.direct: Callable[[str], DirectClient | None] = lambda _url: None
        self.refresh: Callable[[str], bool] = lambda _name: False
        self._home = home
        self._recorded = recorded
        self._of_task: dict[str, str] = {}  # where the tasks are that others than this lab may have

    def client(self, agent: str, key: str = "", task_id: str = "") -> AgentClient | DirectClient:
        """See `Calls.client`; of the same context, or for the same task, the same one."""
        return self._led(agent, key, task_id)[0]

    def _led(self, agent: str, key: str, task_id: str = "") -> tuple[AgentClient | DirectClient, Resolution | None]:
        from nbagora_lab.a2a.client import AgentClient

        resolution = None
        url = agent if agent.startswith(("http://", "https://")) else self._of_task.get(task_id) or self._home(task_id)
        if not url:
            resolution = self._resolved(agent, key)
            url = resolution.url
        if (direct := self.direct(url)) is not None:
            return direct, resolution
        client = self._clients.get(url)
        if client is None or client.name != agent:
            client = self._clients[url] = AgentClient(
                agent,
                url,
                self.http(),
                patience=self._patience,
                on_cut=lambda cut: self.on_cut and self.on_cut(cut),
                recorded=functools.partial(self._recorded, url),
            )
        return client, resolution

    def _resolved(self, agent: str, key: str) -> Resolution:
        try:
            return self._registry.resolve(agent, key)
        except EndpointNotFound:
            if not self.refresh(agent):
                raise
            return self._registry.resolve(agent, key)

    async def events(
        self, agent: str, message: dict[str, Any], headers: dict[str, str] | None = None
    ) -> AsyncGenerator[TaskEvent]:
        """See `Calls.events`; the registry is told how they ended."""
        client, resolution = self._led(agent, message.get("contextId", ""), message.get("taskId", ""))
        ours = self._is_ours(client.url)
        began, ok, heard = time.monotonic(), None, False
        if resolution is not None and not ours:
            self._registry.began(resolution.endpoint)
        try:
            async for event in client.stream(message, headers=headers):
                self._remember(event.raw, client.url)
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

    def _is_ours(self, url: str) -> bool:
        """Whether a lab of this one's has its doors there: its tasks are on this log."""
        return any(url.startswith(f"{member}/") for member in self.members())

    def _tell(self, resolution: Resolution, ok: bool, seconds: float) -> None:
        try:
            self._registry.report(resolution.endpoint, ok=ok, seconds=seconds)
        except LabError as error:
            logger.warning("what became of a call to %s is not on record: %s", resolution.endpoint.name, error.what)

    def _remember(self, raw: dict[str, Any], url: str) -> None:
        if (task := raw.get("task")) is not None and not self._is_ours(url):
            if len(self._of_task) >= 10_000:
                self._of_task.pop(next(iter(self._of_task)))
            self._of_task[task["id"]] = url

    async def send(self, agent: str, message: dict[str, Any]) -> Task:
        """See `Calls.send`."""
        client, _ = self._led(agent, message.get("contextId", ""), message.get("taskId", ""))
        task = await client.send(message)
        self._remember({"task": {"id": task.id}}, client.url)
        return task

    async def wait(self, agent: str, task_id: str) -> Task:
        """See `Calls.wait`."""
        return await self._finish(agent, self.client(agent, task_id=task_id).follow(task_id))

    async def follow(self, task: Task) -> AsyncGenerator[TaskEvent]:
        """See `Calls.follow`."""
        client = self.client(task.agent, task_id=task.id)
        async for event in client.follow(task.id, after=task.events[-1].offset):
            yield event

    async def cancel(self, agent: str, task_id: str) -> Task:
        """See `Calls.cancel`."""
        return await self.client(agent, task_id=task_id).cancel(task_id)
