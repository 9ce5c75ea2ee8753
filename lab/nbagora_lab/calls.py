"""Calls to agents: from people, and from agents to one another; `routed` says where they go.

All of it but `call` lives on the service loop; that one on the agents'.

The client and its HTTP stack take a quarter of a second to import, so they are loaded by the first call.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbagora_lab.a2a.keyring import Credential
from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.pushed import Pushed
from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.a2a.wire import message_of
from nbagora_lab.agents.message import parts_of
from nbagora_lab.core.errors import LabError, LimitReached, TimedOut, Unreachable, UsageError
from nbagora_lab.core.events import RecordType
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.inspect.directory import LEVELS
from nbagora_lab.registry import card_problems

if TYPE_CHECKING:
    import httpx

    from nbagora_lab.a2a.client import AgentClient
    from nbagora_lab.a2a.direct import DirectClient

__all__ = ["TIMEOUT", "Calls"]

TIMEOUT = "nbagora-timeout"
"""The header that says how many seconds a caller waits; the task that it opens is cancelled then."""
_FAREWELL = 10.0  # seconds that a remote has to cancel what nobody waits for any more


class Calls:
    """Sends messages to agents and follows their tasks.

    Args:
        service: The service loop.
        url: The lab's own URL.
        token: The lab's own token.
        ids: What makes message and context ids.
        local: Gives a task of this lab by its id, None for others'.

    Attributes:
        members: Gives the URLs of the labs that are together with this one, its own among them.
        pushed: Where peers that don't stream can be told to push.
        trust: Refuses the card of an agent elsewhere that is not to be believed.
        recorded: Gives what the log here has of a task, asked of the doors at a URL, past an offset.
    """

    def __init__(
        self,
        service: ServiceLoop,
        url: str,
        token: str,
        ids: Ids,
        local: Callable[[str], Task | None],
    ) -> None:
        self._service = service
        self._url = url
        self._token = token
        self._ids = ids
        self._local = local
        self._clients: dict[tuple[str, tuple[Credential, ...]], AgentClient] = {}
        self._cards: dict[str, dict[str, Any]] = {}  # those that were given, by their agents' URLs
        self._http: httpx.AsyncClient | None = None
        self._leaving: set[asyncio.Task[None]] = set()  # what cancels tasks that nobody waits for any more
        self.on_cut: Callable[[str], None] | None = None
        self.members: Callable[[], Collection[str]] = lambda: [url]
        self.pushed = Pushed(url)
        self.trust: Callable[[dict[str, Any], str], Awaitable[None]] | None = None
        self.recorded: Callable[[str, str, int], Sequence[TaskEvent]] = lambda _url, _task_id, _after: ()

    def http(self) -> httpx.AsyncClient:
        """The one HTTP client; streams may be silent for as long as an agent thinks."""
        if self._http is None:
            import httpx

            from nbagora_lab.a2a.cardauth import OwnToken

            limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
            self._transport = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
            self._http = self._connections(OwnToken(self.members, self._token))
        return self._http

    def _connections(self, auth: httpx.Auth) -> httpx.AsyncClient:
        """An HTTP client of the one pool of connections."""
        import httpx

        timeout = httpx.Timeout(None, connect=5.0)
        return httpx.AsyncClient(auth=auth, timeout=timeout, transport=self._transport, trust_env=False)

    async def close(self) -> None:
        """Closes every connection."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_FAREWELL)
        if self._http is not None:
            await self._http.aclose()  # and with it the pool
        self._http = None
        self._clients.clear()

    def client(
        self, agent: str, key: str = "", task_id: str = "", given: tuple[Credential, ...] = ()
    ) -> AgentClient | DirectClient:
        """The client for an agent, by name or URL; of the same context, or for the same task, the same one.

        Args:
            agent: Its name, or the URL of its doors.
            key: Id of the context.
            task_id: Id of the task, where there is one.
            given: What is shown; nothing: what the task was shown before, or what the keyring has.

        Raises:
            AgentNotFound: No agent of that name is registered.
        """
        raise NotImplementedError

    def introduce(self, card: Mapping[str, Any]) -> str:
        """Has an agent called by a card that is at hand, in place of the one that it serves; its URL from now on.

        Raises:
            UsageError: That is no card, or names no address.
        """
        if problems := card_problems(dict(card)):
            what = f"that is no card: {'; '.join(map(str, problems[:10]))}"
            raise UsageError(what, "a card is A2A's AgentCard in JSON")
        places = [str(one.get("url", "")) for one in card.get("supportedInterfaces", [])]
        if not places or not places[0].startswith(("http://", "https://")):
            raise UsageError(f"the card of '{card['name']}' names no address", "it needs a supportedInterfaces entry")
        url = places[0].rstrip("/")
        if self._cards.get(url) != card:
            self._cards[url] = dict(card)
            self.forget(url)
        return url

    def _client(self, agent: str, url: str, given: tuple[Credential, ...] = ()) -> AgentClient:
        """The client for an agent by HTTP; it shows what was given, or the lab's token to whom it is for."""
        from nbagora_lab.a2a.cardauth import CardAuth
        from nbagora_lab.a2a.client import AgentClient

        client = self._clients.get((url, given))
        if client is None or client.name != agent:
            http, auth = self.http(), CardAuth(agent, url, given) if given else None
            if auth is not None:
                http = self._connections(auth)
            client = self._clients[url, given] = AgentClient(
                agent,
                url,
                http,
                on_cut=lambda cut: self.on_cut and self.on_cut(cut),
                auth=auth,
                card=self._cards.get(url),
                trust=None if self.is_ours(url) else self.trust,
                pushed=self.pushed,
                recorded=functools.partial(self.recorded, url),
            )
        return client

    def is_ours(self, url: str) -> bool:
        """Whether a lab of this one's has its doors there: its tasks are on this log."""
        return any(url.startswith(f"{member}/") for member in self.members())

    def forget(self, url: str) -> None:
        """Has the next call to `url` read its card anew."""
        for known in [known for known in self._clients if known[0] == url]:
            del self._clients[known]

    def message(self, content: object, *, context_id: str = "", task_id: str = "") -> dict[str, Any]:
        """A user's message; it names its context, so that it can be sent again if its answer is lost."""
        parts = parts_of(content)
        if not parts or parts == [{"text": ""}]:
            raise UsageError("an empty message", "say something: lab.ask('weather', 'Beijing, tomorrow?')")
        context_id = context_id or f"ctx-{self._ids.new('context')}"
        message_id = self._ids.new("message", context_id)
        return message_of("ROLE_USER", message_id, parts, task_id=task_id, context_id=context_id)

    def events(
        self,
        agent: str,
        message: dict[str, Any],
        headers: dict[str, str] | None = None,
        given: tuple[Credential, ...] = (),
    ) -> AsyncGenerator[TaskEvent]:
        """Sends a message; its events until the task ends or asks for something. Arguments as for `client`."""
        raise NotImplementedError

    async def stream(
        self, agent: str, message: dict[str, Any], *, given: tuple[Credential, ...] = ()
    ) -> AsyncGenerator[TaskEvent]:
        """Sends a message; its events until the task ends or asks for something. Arguments as for `ask`."""
        events = self.events(agent, message, given=given)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def ask(
        self,
        agent: str,
        message: dict[str, Any],
        *,
        abandon: bool = False,
        within: float | None = None,
        given: tuple[Credential, ...] = (),
    ) -> Task:
        """Sends a message and waits until its task ends or asks for something.

        Args:
            agent: Its name, or the URL of its doors.
            message: The message.
            abandon: Whether the task is cancelled when this is.
            within: Seconds that the task may take, wherever it runs; None: as long as it likes.
            given: What is shown, for this call and those that the task needs later; nothing: what the keyring has.
        """
        headers, began = {TIMEOUT: f"{within:g}"} if within is not None else None, time.monotonic()
        task = await self._finish(agent, self.events(agent, message, headers, given), abandon=abandon)
        return _in_time(task, within, began)

    async def send(self, agent: str, message: dict[str, Any], *, given: tuple[Credential, ...] = ()) -> Task:
        """Sends a message; the task as it was opened."""
        raise NotImplementedError

    async def wait(self, agent: str, task_id: str) -> Task:
        """Waits until a task ends or asks for something."""
        return await self._finish(agent, self.client(agent, task_id=task_id).follow(task_id))

    async def follow(self, task: Task) -> AsyncGenerator[TaskEvent]:
        """What follows on the events that a task is known to have, until it ends or asks for something."""
        client = self.client(task.agent, task_id=task.id)
        async for event in client.follow(task.id, after=task.events[-1].offset):
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
        return await self.client(agent, task_id=task_id).cancel(task_id)

    async def call(
        self,
        live: LiveTask,
        agent: str,
        content: object,
        *,
        key: str = "",
        levels: int | None = None,
        within: float | None = None,
        to: Task | None = None,
    ) -> Task:
        """Calls an agent for another's task: in a child context and the same trace, intent and result on record; or
        answers what the task `to`, which it called before, asked back.

        A call that is cancelled, or runs out of time, cancels the task that it called, wherever that is; and it has no
        more time than is left to the task that makes it. On the agents' loop: what the calling task's records say of
        the call stands before what it does next, and before what ends it.

        Raises:
            LimitReached: No levels of calls are left.
            TaskFailed: The called task ended FAILED, REJECTED or CANCELED.
            TimedOut: `within` seconds ran out.
        """
        left = live.levels if levels is None else min(live.levels, levels)
        if left <= 0:
            raise LimitReached(
                f"'{agent}' can't be called: no levels of calls are left", f"an agent calls itself? {LEVELS} at most"
            )
        if key:  # the same call has the same ids, in whichever process it is made
            named = hashlib.sha256(f"{live.id}/{key}".encode()).hexdigest()
            context_id, message_id = f"ctx-{named[:12]}", named[12:24]
        else:
            context_id = "" if to is not None else f"ctx-{self._ids.new('context', live.id)}"
            message_id = self._ids.new("message", live.id)
        task_id = ""
        if to is not None:
            task_id, context_id = to.id, to.context_id
        message = message_of("ROLE_USER", message_id, parts_of(content), task_id=task_id, context_id=context_id)
        trace = live.traceparent.split("-")
        span = hashlib.sha256(message_id.encode()).hexdigest()[:16]
        headers = {"nbagora-parent-task": live.id, "nbagora-levels": str(left - 1)}
        if len(trace) == 4:
            headers["traceparent"] = f"{trace[0]}-{trace[1]}-{span}-{trace[3]}"
        if live.until is not None:
            time_left = max(0.0, live.until - live.clock.now())
            within = time_left if within is None else min(within, time_left)
        if within is not None:
            headers[TIMEOUT] = f"{within:g}"
        told = {"agent": agent, "context": context_id} | ({"step": key} if key else {})
        live.note(RecordType.CALL, told | {"message": message_id})
        try:
            task: Task = await asyncio.wrap_future(self._service.submit(self._called, agent, message, headers, within))
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

    async def _called(self, agent: str, message: dict[str, Any], headers: dict[str, str], within: float | None) -> Task:
        """The task of a call once it has ended or asks for something; TimeoutError where its time runs out before."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            task = await self._finish(agent, self.events(agent, message, headers), abandon=True)
        return _in_time(task, within, began)

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


def _in_time(task: Task, within: float | None, began: float) -> Task:
    """The task; `TimeoutError` where its time ran out where it runs before that was noticed here."""
    if within is not None and task.state == "CANCELED" and time.monotonic() - began >= within:
        raise TimeoutError
    return task
