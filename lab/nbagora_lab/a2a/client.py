"""An A2A client that resumes: the official SDK's transports inside, the cut connection's repair around them.

It names the context of each message itself, so that a message whose answer was lost can be sent again and finds the
task that it opened. It remembers the last offset, sees an end that was none (no terminal or asking state before it),
backs off, and subscribes again after that offset; each event is given on exactly once. With peers that don't know the
log extension it falls back on the specification: subscribe's snapshot, and GetTask. Peers that don't stream are polled,
or waited for where they push. Where the task's log is at hand, as
of labs that are together, it reads there what a cut stream did not give.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import httpx
from a2a.client import A2ACardResolver, A2AClientError, Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError, TaskNotFoundError, UnsupportedOperationError

from nbagora_lab.a2a.cardauth import HOW_TO_GIVE, CardAuth, in_words, wanted
from nbagora_lab.a2a.polling import Patience, polled
from nbagora_lab.a2a.protojson import filled, written
from nbagora_lab.a2a.pushed import Pushed
from nbagora_lab.a2a.task import Task, TaskEvent, event_of
from nbagora_lab.a2a.wire import BINDINGS, unstructured
from nbagora_lab.core.errors import LabError, RemoteError, TaskNotFound, Unauthorized, Unreachable
from nbagora_lab.core.log import logger
from nbagora_lab.inspect.fold import TaskFold

__all__ = ["AgentClient", "collect", "mapped"]

_TRACES = 10_000  # tasks whose trace is remembered
_log = logger.getChild("client")


class AgentClient:
    """A client for one agent. Lives on one event loop.

    Args:
        name: The agent's name, for messages.
        url: Where its doors are.
        http: The HTTP client; `auth` is its own, where that is given.
        patience: How long a cut stream is mended.
        on_cut: Told of each cut that is about to be mended.
        auth: What shows who calls, as the card asks.
        card: Its card, in ProtoJSON; None: the one that is served at `url`.
        trust: Refuses a card that is not to be believed, given with the URL that the agent was looked for at.
        pushed: Where a peer that pushes instead of streaming can be told to.
        recorded: Gives what a log that is at hand here has of a task past an offset, as a subscription would; a cut
            stream goes on with that, whether or not the peer can be reached.
    """

    def __init__(
        self,
        name: str,
        url: str,
        http: httpx.AsyncClient,
        *,
        patience: Patience | None = None,
        on_cut: Callable[[str], None] | None = None,
        auth: CardAuth | None = None,
        card: dict[str, Any] | None = None,
        trust: Callable[[dict[str, Any], str], Awaitable[None]] | None = None,
        pushed: Pushed | None = None,
        recorded: Callable[[str, int], Sequence[TaskEvent]] = lambda _task_id, _after: (),
    ) -> None:
        self._recorded = recorded
        self._auth = auth
        self._card = card
        self._trust = trust
        self._pushed = pushed
        self._capabilities: dict[str, Any] = {}
        self._traces: dict[str, str] = {}  # traceparents, by task
        self._wanted = ""  # what the card asks for, in words
        self.name = name
        self.url = url.rstrip("/")
        self._http = http
        self._patience = patience or Patience()
        self._on_cut = on_cut
        self._client: Client | None = None

    async def connect(self) -> Client:
        """The SDK's client, made from the card on first use."""
        if self._client is None:
            if self._card is not None:
                card = filled(self._card, pb.AgentCard())
            else:
                card = await self._guarded(A2ACardResolver(self._http, self.url).get_agent_card())
            self._wanted = in_words(wanted(plain := _plain(card)))
            self._capabilities = plain.get("capabilities", {})
            if self._trust is not None:
                await self._trust(plain, self.url)
            if self._auth is not None:
                self._auth.settle(plain)
            try:
                config = ClientConfig(httpx_client=self._http, supported_protocol_bindings=[*BINDINGS])
                self._client = ClientFactory(config).create(card)
            except ValueError as error:
                raise RemoteError(
                    f"the card of {self.name} at {self.url} offers no way in: {error}",
                    "it must name an interface of JSONRPC or HTTP+JSON, 1.0 or 0.3",
                ) from None
        return self._client

    async def card(self) -> dict[str, Any]:
        """The agent's card as it is served now, in ProtoJSON."""
        resolver = A2ACardResolver(self._http, self.url)
        card: dict[str, Any] = _plain(await self._guarded(resolver.get_agent_card()))
        return card

    async def stream(
        self, message: dict[str, Any], *, headers: dict[str, str] | None = None
    ) -> AsyncGenerator[TaskEvent]:
        """Sends a message and gives its events until the task ends or asks for something.

        Args:
            message: The message as ProtoJSON; it should name its context.
            headers: Headers of the call, such as ``traceparent``.

        Raises:
            RemoteError: The peer refused it.
            Unreachable: The connection could not be mended.
        """
        client = await self.connect()
        if not self._capabilities.get("streaming"):
            async with contextlib.aclosing(self._waited(message, headers)) as events:  # its door closes with it
                async for event in events:
                    yield event
            return
        request = filled({"message": message}, pb.SendMessageRequest(), strict=True)
        headers = self._traced(message, headers)

        def send(cursor: int) -> Any:  # noqa: ARG001 -- a message has no cursor yet
            return client.send_message(request, context=ClientCallContext(service_parameters=headers, timeout=None))

        trace = headers["traceparent"]
        async for event in self._mended(send, "", -1, trace):
            yield event

    async def follow(self, task_id: str, *, after: int = -1) -> AsyncGenerator[TaskEvent]:
        """A task's events past an offset (or from a snapshot on), until it ends.

        Raises:
            TaskNotFound: The peer knows no such task.
        """
        client = await self.connect()
        if not self._capabilities.get("streaming"):
            async for event in polled(lambda: self._look(client, task_id), None, self._patience):
                yield event
            return
        async for event in self._mended(lambda cursor: self._subscribe(client, task_id, cursor), task_id, after):
            yield event

    async def _waited(self, message: dict[str, Any], headers: dict[str, str] | None) -> AsyncGenerator[TaskEvent]:
        """Sends a message to a peer that does not stream, and asks how its task stands, or is told when to ask."""
        client = await self.connect()
        pushes = self._pushed is not None and self._capabilities.get("pushNotifications")
        with self._pushed.door(self.url) if self._pushed and pushes else contextlib.nullcontext() as door:
            task, knocked = None, door.knocked if door is not None else None
            if door is not None:
                try:
                    task = await self.send(message, headers=headers, push=door.config)
                except (Unauthorized, Unreachable):
                    raise
                except RemoteError:  # it does not push there
                    knocked = None
            task = task or await self.send(message, headers=headers)
            yield task.events[-1]
            look = functools.partial(self._look, client, task.id)
            async for event in polled(look, task.events[-1], self._patience, knocked):
                yield event

    def _subscribe(self, client: Client, task_id: str, cursor: int) -> Any:
        context = self._context(task_id, {"Last-Event-ID": str(cursor)} if cursor >= 0 else {})
        return client.subscribe(pb.SubscribeToTaskRequest(id=task_id), context=context)

    def _traced(self, message: dict[str, Any], headers: dict[str, str] | None) -> dict[str, str]:
        """Headers of a message; it begins a trace of its own where it is not part of one."""
        name = hashlib.sha256(str(message.get("messageId", "")).encode()).hexdigest()
        trace = self._traces.get(message.get("taskId", ""), f"00-{name[:32]}-{name[32:48]}-01")
        return {"traceparent": trace} | (headers or {})

    def _context(self, task_id: str, headers: dict[str, str] | None = None) -> ClientCallContext:
        """A later call for a task, in the trace of the message that began it."""
        trace = {"traceparent": self._traces[task_id]} if task_id in self._traces else {}
        return ClientCallContext(service_parameters=trace | (headers or {}))

    def _remember(self, task_id: str, trace: str) -> None:
        if len(self._traces) >= _TRACES:
            self._traces.pop(next(iter(self._traces)))
        self._traces[task_id] = trace

    async def _mended(
        self, start: Callable[[int], Any], task_id: str, cursor: int, trace: str = ""
    ) -> AsyncGenerator[TaskEvent]:
        """The events of a stream that is started again after `cursor` whenever it is cut."""
        waited, pause = 0.0, self._patience.first
        client = await self.connect()
        while True:
            cut, silent = "the stream ended before the task did", True
            stream = start(cursor)
            try:
                async for response in stream:
                    silent = False
                    event = event_of(_plain(response))
                    if 0 <= event.offset <= cursor:
                        continue
                    cursor = max(cursor, event.offset)
                    waited, pause = 0.0, self._patience.first
                    if not task_id and (task_id := _task_id(event)):
                        self._remember(task_id, trace)
                    yield event
                    if event.last:
                        return
            except (A2AClientError, httpx.TransportError) as error:
                if (refused := self._refusal(error)) is not None:
                    raise refused from None
                cut, silent = self._first_line(error), False
            except UnsupportedOperationError as error:
                if not task_id:
                    raise mapped(self.name, error) from None
                if (event := await self._look(client, task_id)).last:
                    yield event
                    return
                cut, silent = "the peer lets nobody subscribe", False
            except A2AError as error:
                raise mapped(self.name, error) from None
            finally:
                await stream.aclose()
            if silent and task_id and (await self._look(client, task_id)).ended:
                return  # nothing follows the cursor
            for event in self._recorded(task_id, cursor) if task_id else ():
                cursor, waited, pause = event.offset, 0.0, self._patience.first
                yield event
                if event.last:
                    return
            if waited >= self._patience.total:
                raise Unreachable(
                    f"{self.name} at {self.url} stayed cut off: {cut}", "is its lab running? the task may go on there"
                )
            _log.info("the stream of %s %s was cut after %d: %s", self.name, task_id, cursor, cut)
            if self._on_cut is not None:
                self._on_cut(cut)
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, self._patience.longest)
            if task_id:
                start = functools.partial(self._subscribe, client, task_id)

    async def _look(self, client: Client, task_id: str) -> TaskEvent:
        return event_of(
            {
                "task": _plain(
                    await self._guarded(client.get_task(pb.GetTaskRequest(id=task_id), context=self._context(task_id)))
                )
            }
        )

    async def send(
        self, message: dict[str, Any], *, headers: dict[str, str] | None = None, push: dict[str, Any] | None = None
    ) -> Task:
        """Sends a message and returns at once with the task as it was opened.

        Args:
            message: As for `stream`.
            headers: As for `stream`.
            push: Where notifications go, as A2A's `TaskPushNotificationConfig`.
        """
        client = await self.connect()
        configuration = {"returnImmediately": True} | ({"taskPushNotificationConfig": push} if push else {})
        request = filled({"message": message, "configuration": configuration}, pb.SendMessageRequest(), strict=True)
        headers = self._traced(message, headers)
        raw = await self._guarded(
            client._transport.send_message(  # type: ignore[attr-defined]  # noqa: SLF001 -- the face always streams
                request, context=ClientCallContext(service_parameters=headers)
            )
        )
        answer = _plain(raw)
        if "task" in answer:
            self._remember(answer["task"]["id"], headers["traceparent"])
        if "message" in answer:
            return collect(self.name, [event_of(answer)])
        return Task(self.name, answer["task"], (event_of(answer),))

    async def get(self, task_id: str) -> Task:
        """A task as it stands now.

        Raises:
            TaskNotFound: The peer knows no such task.
        """
        client = await self.connect()
        raw = _plain(
            await self._guarded(client.get_task(pb.GetTaskRequest(id=task_id), context=self._context(task_id)))
        )
        return Task(self.name, raw, (event_of({"task": raw}),))

    async def cancel(self, task_id: str) -> Task:
        """Cancels a task.

        Raises:
            RemoteError: It has ended.
        """
        client = await self.connect()
        raw = _plain(
            await self._guarded(client.cancel_task(pb.CancelTaskRequest(id=task_id), context=self._context(task_id)))
        )
        return Task(self.name, raw, (event_of({"task": raw}),))

    async def _guarded(self, call: Any) -> Any:
        """Awaits a call of the SDK's with its errors made ours."""
        try:
            return await call
        except (A2AClientError, httpx.TransportError) as error:  # before the class that the first of them is of
            if (refused := self._refusal(error)) is not None:
                raise refused from None
            if isinstance(error.__cause__ or error, httpx.HTTPError):
                what = f"{self.name} at {self.url} can't be reached: {self._first_line(error)}"
                raise Unreachable(what, "is its lab running?") from None
            what = f"{self.name} at {self.url} answers what is no A2A: {self._first_line(error)}"
            raise RemoteError(what, "is that the address of an agent?") from None
        except A2AError as error:
            raise mapped(self.name, error) from None

    def _first_line(self, error: Exception) -> str:
        line = str(error).partition("\n")[0].rstrip(": ") or type(error).__name__
        return self._auth.hidden(line) if self._auth is not None else line

    def _refusal(self, error: Exception) -> LabError | None:
        """A refusal for good among the SDK's errors for HTTP; None where another try may help."""
        cause = error.__cause__
        status = cause.response.status_code if isinstance(cause, httpx.HTTPStatusError) else 0
        status = status or int(getattr(error, "status_code", 0) or 0)
        if status in {401, 403} and self._auth is not None:
            return Unauthorized(
                f"{self.name} refused what was shown: {self._auth.words()} (HTTP {status})",
                "is it right, not out of date, and allowed to do that?",
            )
        if status in {401, 403} and self._wanted:
            return Unauthorized(f"{self.name} wants {self._wanted} (HTTP {status})", HOW_TO_GIVE)
        if status in {401, 403}:
            what = f"{self.name} refused the token (HTTP {status})"
            return Unauthorized(what, "use the token of that lab: see its lab.json")
        if 400 <= status < 500:
            return RemoteError(f"{self.name} refused: HTTP {status}", "see that lab's %lab status")
        return None


def collect(agent: str, events: list[TaskEvent]) -> Task:
    """The task that a list of its events tells."""
    fold = TaskFold("", "")
    raw: dict[str, Any] = {}
    place: dict[str, Any] = {}
    for event in events:
        [(member, body)] = event.raw.items()
        place = body.get("metadata", {}) or place
        if member == "message":
            answer = {**body, "role": "ROLE_AGENT"}
            status = {"state": "TASK_STATE_COMPLETED", "message": answer}
            return Task(
                agent, {"id": "", "contextId": body.get("contextId", ""), "status": status}, tuple(events), True
            )
        if member == "task":
            raw = body
            fold = TaskFold(body["id"], body.get("contextId", ""))
            fold.load(body)
        else:
            fold.apply("a2a.status" if member == "statusUpdate" else "a2a.artifact", event.raw)
    metadata = {**raw.get("metadata", {}), **fold.as_json().get("metadata", {}), **place}
    return Task(agent, {**fold.as_json(), "metadata": metadata}, tuple(events))


def _plain(message: Any) -> dict[str, Any]:
    """A protobuf message as ProtoJSON, whole numbers as int."""
    content: dict[str, Any] = unstructured(written(message))
    return content


def _task_id(event: TaskEvent) -> str:
    [body] = event.raw.values()
    return str(body.get("id", "")) if event.kind == "task" else str(body.get("taskId", ""))


def mapped(agent: str, error: A2AError) -> LabError:
    """The lab's error for one of the protocol's."""
    if isinstance(error, TaskNotFoundError):
        return TaskNotFound(f"{agent}: {error.message}", "see %task ls")
    return RemoteError(f"{agent} refused: {error.message}", f"({type(error).__name__} of the A2A protocol)")
