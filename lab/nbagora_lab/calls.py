"""Calls to agents: from people, and from agents to one another. All of it but `call` lives on the service loop.

The client and its HTTP stack take a quarter of a second to import, so they are loaded by the first call.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Collection
from typing import TYPE_CHECKING, Any

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.a2a.wire import message_of
from nbagora_lab.agents.message import parts_of
from nbagora_lab.core.errors import LabError, LimitReached, TimedOut, Unreachable, UsageError
from nbagora_lab.core.events import RecordType
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.inspect.directory import LEVELS

if TYPE_CHECKING:
    import httpx

    from nbagora_lab.a2a.client import AgentClient, Patience
    from nbagora_lab.a2a.direct import DirectClient

__all__ = ["Calls"]

_FAREWELL = 10.0  # seconds that a remote has to cancel what nobody waits for any more


class Calls:
    """Sends messages to agents and follows their tasks.

    Args:
        service: The service loop.
        url: The lab's own URL.
        token: The lab's own token.
        ids: What makes message and context ids.
        resolve: Gives an agent's URL by its name.
        local: Gives a task of this lab by its id, None for others'.
        patience: How long cut streams are mended.

    Attributes:
        members: Gives the URLs of the labs that are together with this one, its own among them.
    """

    def __init__(
        self,
        service: ServiceLoop,
        url: str,
        token: str,
        ids: Ids,
        resolve: Callable[[str], str],
        local: Callable[[str], Task | None],
        patience: Patience | None = None,
    ) -> None:
        self._service = service
        self._url = url
        self._token = token
        self._ids = ids
        self._resolve = resolve
        self._local = local
        self._patience = patience
        self._clients: dict[str, AgentClient] = {}
        self._http: httpx.AsyncClient | None = None
        self._leaving: set[asyncio.Task[None]] = set()  # what cancels tasks that nobody waits for any more
        self.on_cut: Callable[[str], None] | None = None
        self.members: Callable[[], Collection[str]] = lambda: [url]

    def http(self) -> httpx.AsyncClient:
        """The one HTTP client; streams may be silent for as long as an agent thinks."""
        if self._http is None:
            import httpx

            from nbagora_lab.a2a.client import OwnToken

            self._http = httpx.AsyncClient(
                auth=OwnToken(self.members, self._token),
                timeout=httpx.Timeout(None, connect=5.0),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
                trust_env=False,
            )
        return self._http

    async def close(self) -> None:
        """Closes every connection."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_FAREWELL)
        if self._http is not None:
            await self._http.aclose()
        self._http = None
        self._clients.clear()

    def client(self, agent: str) -> AgentClient | DirectClient:
        """The client for an agent, by name or URL.

        Raises:
            AgentNotFound: No agent of that name is registered.
        """
        from nbagora_lab.a2a.client import AgentClient

        url = agent if agent.startswith(("http://", "https://")) else self._resolve(agent)
        client = self._clients.get(url)
        if client is None:
            client = self._clients[url] = AgentClient(
                agent, url, self.http(), patience=self._patience, on_cut=lambda cut: self.on_cut and self.on_cut(cut)
            )
        return client

    def forget(self, url: str) -> None:
        """Has the next call to `url` read its card anew."""
        self._clients.pop(url, None)

    def message(self, content: object, *, context_id: str = "", task_id: str = "") -> dict[str, Any]:
        """A user's message; it names its context, so that it can be sent again if its answer is lost."""
        parts = parts_of(content)
        if not parts or parts == [{"text": ""}]:
            raise UsageError("an empty message", "say something: lab.ask('weather', 'Beijing, tomorrow?')")
        context_id = context_id or f"ctx-{self._ids.new('context')}"
        message_id = self._ids.new("message", context_id)
        return message_of("ROLE_USER", message_id, parts, task_id=task_id, context_id=context_id)

    def events(
        self, agent: str, message: dict[str, Any], headers: dict[str, str] | None = None
    ) -> AsyncGenerator[TaskEvent]:
        """Sends a message; its events, as `stream`."""
        return self.client(agent).stream(message, headers=headers)

    async def stream(self, agent: str, message: dict[str, Any]) -> AsyncGenerator[TaskEvent]:
        """Sends a message; its events until the task ends or asks for something."""
        events = self.events(agent, message)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def ask(self, agent: str, message: dict[str, Any], *, abandon: bool = False) -> Task:
        """Sends a message and waits until its task ends or asks for something.

        Args:
            agent: Its name, or the URL of its doors.
            message: The message.
            abandon: Whether the task is cancelled when this is.
        """
        return await self._finish(agent, self.events(agent, message), abandon=abandon)

    async def send(self, agent: str, message: dict[str, Any]) -> Task:
        """Sends a message; the task as it was opened."""
        return await self.client(agent).send(message)

    async def wait(self, agent: str, task_id: str) -> Task:
        """Waits until a task ends or asks for something."""
        return await self._finish(agent, self.client(agent).follow(task_id))

    async def follow(self, task: Task) -> AsyncGenerator[TaskEvent]:
        """What follows on the events that a task is known to have, until it ends or asks for something."""
        async for event in self.client(task.agent).follow(task.id, after=task.events[-1].offset):
            yield event

    async def card(self, agent: str) -> dict[str, Any]:
        """An agent's card as it is served."""
        return await self.client(agent).card()

    async def keys_at(self, url: str) -> dict[str, dict[str, Any]]:
        """The public keys that are published at a URL, as JWKs by their ids.

        Raises:
            Unreachable: Nothing answers there, or no key set.
        """
        import httpx

        try:
            answer = await self.http().get(url, timeout=10.0)
            return {str(key["kid"]): key for key in answer.raise_for_status().json()["keys"]}
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            what = f"no keys are to be had at {url}: {type(error).__name__}"
            raise Unreachable(what, "check that place; the card names it") from None

    async def cancel(self, agent: str, task_id: str) -> Task:
        """Cancels a task."""
        return await self.client(agent).cancel(task_id)

    async def call(
        self,
        live: LiveTask,
        agent: str,
        content: object,
        *,
        key: str = "",
        levels: int | None = None,
        within: float | None = None,
    ) -> Task:
        """As `_call`, from the agents' loop: its connections are the service loop's."""
        left = live.levels if levels is None else min(live.levels, levels)
        if left <= 0:
            raise LimitReached(
                f"'{agent}' can't be called: no levels of calls are left", f"an agent calls itself? {LEVELS} at most"
            )
        return await asyncio.wrap_future(self._service.submit(self._call, live, agent, content, key, left - 1, within))

    async def _call(
        self, live: LiveTask, agent: str, content: object, key: str, levels: int, within: float | None
    ) -> Task:
        """Calls an agent for another's task: in a child context and the same trace, intent and result on record.

        A call that is cancelled, or runs out of time, cancels the task that it called, wherever that is.

        Raises:
            TaskFailed: The called task ended FAILED, REJECTED or CANCELED.
            TimedOut: `within` seconds ran out.
        """
        if key:  # the same call has the same ids, in whichever process it is made
            named = hashlib.sha256(f"{live.id}/{key}".encode()).hexdigest()
            context_id, message_id = f"ctx-{named[:12]}", named[12:24]
        else:
            context_id, message_id = f"ctx-{self._ids.new('context', live.id)}", self._ids.new("message", live.id)
        message = message_of("ROLE_USER", message_id, parts_of(content), context_id=context_id)
        trace = live.traceparent.split("-")
        span = hashlib.sha256(message_id.encode()).hexdigest()[:16]
        headers = {"nbagora-parent-task": live.id, "nbagora-levels": str(levels)}
        if len(trace) == 4:
            headers["traceparent"] = f"{trace[0]}-{trace[1]}-{span}-{trace[3]}"
        told = {"agent": agent, "context": context_id} | ({"step": key} if key else {})
        live.note(RecordType.CALL, told | {"message": message_id})
        try:
            async with asyncio.timeout(within):
                task = await self._finish(agent, self.events(agent, message, headers), abandon=True)
        except LabError as error:
            live.note(RecordType.RETURN, told | {"error": error.what})
            raise
        except TimeoutError:
            live.note(RecordType.RETURN, told | {"error": f"no answer within {within} s"})
            raise TimedOut(f"{agent} gave no answer within {within} s", "its task was cancelled") from None
        except asyncio.CancelledError:
            live.note(RecordType.RETURN, told | {"error": "the call was cancelled"})
            raise
        live.note(RecordType.RETURN, told | {"task": task.id, "state": task.state})
        return task.check()

    async def _finish(self, agent: str, events: AsyncGenerator[TaskEvent], *, abandon: bool = False) -> Task:
        """The task at the end of a stream, with all its events where this lab has them.

        Args:
            agent: Whose it is.
            events: The stream.
            abandon: Whether the task is cancelled when this is.
        """
        from nbagora_lab.a2a.client import collect

        seen: list[TaskEvent] = []
        first = asyncio.ensure_future(anext(events, None))  # whose it is to tell which task it is, also when we go
        try:
            event = await asyncio.shield(first)
            while event is not None:
                seen.append(event)
                if event.last:
                    break
                event = await anext(events, None)
        except asyncio.CancelledError:
            if abandon:
                leaving = asyncio.ensure_future(self._abandon(agent, first))  # which our cancellation does not reach
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
            else:
                first.cancel()
            raise
        finally:
            if first.done():
                await events.aclose()
        task = collect(agent, seen)
        return (self._local(task.id) if task.id else None) or task

    async def _abandon(self, agent: str, first: asyncio.Future[TaskEvent | None]) -> None:
        """Cancels the task that nobody waits for any more, if its agent can be reached and it has not ended.

        Args:
            agent: Whose it is.
            first: The event that names it, which may be on its way still.
        """
        with contextlib.suppress(LabError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                event = await first
                body = next(iter(event.raw.values())) if event is not None else {}
                if task_id := body.get("taskId") or body.get("id"):
                    await self.cancel(agent, task_id)
