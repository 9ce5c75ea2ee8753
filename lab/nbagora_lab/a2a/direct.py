"""The way to an agent of one's own process: the operations themselves, without HTTP; the same semantics as `client`.

What the doors would have read from headers, the trace and the task that calls, goes along as it would there. Who may
call is the doors' business: whoever is in this process is the lab's own user.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError
from google.protobuf.json_format import ParseError

from nbagora_lab.a2a.client import collect, mapped
from nbagora_lab.a2a.frames import Frame
from nbagora_lab.a2a.handler import LogRequestHandler
from nbagora_lab.a2a.protojson import filled, written
from nbagora_lab.a2a.requests import validated
from nbagora_lab.a2a.task import Task, TaskEvent, event_of
from nbagora_lab.a2a.wire import unstructured
from nbagora_lab.core.errors import RemoteError

__all__ = ["DirectClient"]


class DirectClient:
    """A client for an agent of this process; the methods are `AgentClient`'s. Lives on the service loop.

    Args:
        name: The agent's name, for messages.
        url: Where its doors are, for whoever asks.
        handler: Its operations.
        card: Gives its card as it is served, in ProtoJSON.
    """

    def __init__(self, name: str, url: str, handler: LogRequestHandler, card: Callable[[], dict[str, Any]]) -> None:
        self.name = name
        self.url = url
        self.handler = handler
        self._card = card

    async def card(self) -> dict[str, Any]:
        """The agent's card as it is served now."""
        return self._card()

    async def stream(
        self, message: dict[str, Any], *, headers: dict[str, str] | None = None
    ) -> AsyncGenerator[TaskEvent]:
        """See `AgentClient.stream`."""
        try:
            request = validated(self._request(message))
        except A2AError as error:
            raise mapped(self.name, error) from None
        async for event in self._events(self.handler.stream_batches(request, _context(headers))):
            yield event
            if event.last:
                return

    async def follow(self, task_id: str, *, after: int = -1) -> AsyncGenerator[TaskEvent]:
        """See `AgentClient.follow`."""
        context = _context({"last-event-id": str(after)} if after >= 0 else None)
        batches = self.handler.subscribe_batches(pb.SubscribeToTaskRequest(id=task_id), context)
        try:
            async for event in self._events(batches):
                yield event
                if event.last:
                    return
        except RemoteError:  # nobody subscribes to a task that has ended
            task = await self.get(task_id)
            if not task.events[0].ended:
                raise
            yield task.events[0]

    async def send(self, message: dict[str, Any], *, headers: dict[str, str] | None = None) -> Task:
        """See `AgentClient.send`."""
        request = self._request(message)
        request.configuration.return_immediately = True
        try:
            answer = await self.handler.send_json(validated(request), _context(headers))
        except A2AError as error:
            raise mapped(self.name, error) from None
        if "message" in answer:
            return collect(self.name, [event_of(answer)])
        return Task(self.name, answer["task"], (event_of(answer),))

    async def get(self, task_id: str) -> Task:
        """See `AgentClient.get`."""
        try:
            raw = await self.handler.get_json(pb.GetTaskRequest(id=task_id), _context(None))
        except A2AError as error:
            raise mapped(self.name, error) from None
        return Task(self.name, raw, (event_of({"task": raw}),))

    async def cancel(self, task_id: str) -> Task:
        """See `AgentClient.cancel`."""
        try:
            answer = await self.handler.on_cancel_task(pb.CancelTaskRequest(id=task_id), _context(None))
        except A2AError as error:
            raise mapped(self.name, error) from None
        raw: dict[str, Any] = unstructured(written(answer))
        return Task(self.name, raw, (event_of({"task": raw}),))

    async def _events(self, batches: AsyncGenerator[list[Frame]]) -> AsyncGenerator[TaskEvent]:
        try:
            async for batch in batches:
                for frame in batch:
                    yield event_of(json.loads(frame.body))
        except A2AError as error:
            raise mapped(self.name, error) from None
        finally:
            await batches.aclose()

    def _request(self, message: dict[str, Any]) -> pb.SendMessageRequest:
        try:
            return filled({"message": message}, pb.SendMessageRequest(), strict=True)
        except ParseError as error:
            raise RemoteError(f"{self.name} can't be sent that: {error}", "a message is A2A's Message") from None


def _context(headers: dict[str, str] | None) -> ServerCallContext:
    """The call's context, as the doors make one of a request of the lab's own user."""
    return ServerCallContext(state={"headers": {name.lower(): value for name, value in (headers or {}).items()}})
