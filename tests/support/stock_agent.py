"""An agent served by the official SDK alone, in a thread of its own: a peer that knows nothing of offsets.

with StockAgent() as agent:
    agent.url                         # its card names `agent.advertised` (a proxy's port) where that is set
    agent.go("three")                 # lets the task through that was asked to stop before its chunk "three"
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Self

import httpx
import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
    TaskStore,
)
from a2a.types import a2a_pb2 as pb
from starlette.applications import Starlette

__all__ = ["StockAgent"]


class _Executor(AgentExecutor):
    """Says the words of the message as chunks; before one that begins with ``!`` it waits, at ``?`` it asks."""

    def __init__(self) -> None:
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.reached: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Runs a task."""
        assert context.task_id
        assert context.context_id
        ids = {"task_id": context.task_id, "context_id": context.context_id}
        text = context.get_user_input()
        if text == "plain":
            said = pb.Message(message_id="m", role=pb.ROLE_AGENT, parts=[pb.Part(text="hello")])
            await event_queue.enqueue_event(said)
            return
        if context.current_task is None:
            status = pb.TaskStatus(state=pb.TASK_STATE_SUBMITTED)
            opened = pb.Task(id=context.task_id, context_id=context.context_id, status=status)
            await event_queue.enqueue_event(opened)
        await self._state(event_queue, ids, pb.TASK_STATE_WORKING)
        for number, word in enumerate(text.split()):
            if word.startswith("?"):
                await self._state(event_queue, ids, pb.TASK_STATE_INPUT_REQUIRED)
                return
            if word.startswith("!"):
                self.reached[word[1:]].set()
                await self.gates[word[1:]].wait()
            artifact = pb.Artifact(artifact_id="a", parts=[pb.Part(text=word + " ")])
            update = pb.TaskArtifactUpdateEvent(**ids, artifact=artifact, append=number > 0)
            await event_queue.enqueue_event(update)
        await self._state(event_queue, ids, pb.TASK_STATE_COMPLETED)

    @staticmethod
    async def _state(event_queue: EventQueue, ids: dict[str, str], state: pb.TaskState) -> None:
        await event_queue.enqueue_event(pb.TaskStatusUpdateEvent(**ids, status=pb.TaskStatus(state=state)))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Ends a task CANCELED."""
        ids = {"task_id": context.task_id or "", "context_id": context.context_id or ""}
        await self._state(event_queue, ids, pb.TASK_STATE_CANCELED)


class StockAgent:
    """The agent.

    Args:
        bindings: What its card offers, best first.
        streaming: Whether it offers streams.
        pushing: Whether it offers notifications.
        signed: What its card is given to before it is served.
        compat: Whether it has its 0.3 face, too.
        required: URI of an extension that its card requires of callers.
        store: Where its tasks are; in memory unless given.

    Attributes:
        store: Where its tasks are.
        advertised: Port that its card names instead of its own; 0 for its own.
    """

    def __init__(
        self,
        *bindings: str,
        streaming: bool = True,
        pushing: bool = False,
        signed: Callable[[pb.AgentCard], pb.AgentCard] = lambda card: card,
        compat: bool = False,
        required: str = "",
        store: TaskStore | None = None,
    ) -> None:
        self._bindings = bindings or ("JSONRPC", "HTTP+JSON")
        self._streaming, self._pushing, self._signed = streaming, pushing, signed
        self._compat = compat
        self.store = store or InMemoryTaskStore()
        self._extensions = [pb.AgentExtension(uri=required, required=True)] if required else []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.advertised = 0
        self._executor = _Executor()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stock-agent")
        self._started = threading.Event()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        port = self.advertised or self.port
        interfaces = [
            pb.AgentInterface(url=f"http://127.0.0.1:{port}", protocol_binding=binding, protocol_version="1.0")
            for binding in self._bindings
        ]
        card = pb.AgentCard(
            name="stock",
            description="a peer",
            version="1",
            capabilities=pb.AgentCapabilities(
                streaming=self._streaming, push_notifications=self._pushing, extensions=self._extensions
            ),
            supported_interfaces=interfaces,
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            skills=[pb.AgentSkill(id="s", name="s", description="s", tags=["s"])],
        )
        card = self._signed(card)
        configs = InMemoryPushNotificationConfigStore()
        http = httpx.AsyncClient(trust_env=False, timeout=30)
        sender = BasePushNotificationSender(http, configs) if self._pushing else None
        handler = DefaultRequestHandler(self._executor, self.store, card, push_config_store=configs, push_sender=sender)
        routes = [
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=self._compat),
            *create_rest_routes(handler),
        ]
        config = uvicorn.Config(Starlette(routes=routes), lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve([self._listener]))
        while not self._server.started:
            await asyncio.sleep(0.001)
        self._started.set()
        await serving
        await http.aclose()

    def go(self, gate: str) -> None:
        """Lets tasks through that wait before the word ``!gate``."""
        self._loop.call_soon_threadsafe(self._executor.gates[gate].set)

    def wait_for(self, gate: str) -> None:
        """Waits until a task waits before the word ``!gate``."""
        assert self._executor.reached[gate].wait(20)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        for gate in list(self._executor.gates):
            self.go(gate)
        self.kill()

    def kill(self) -> None:
        """Ends it with its tasks wherever they are."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)
        self._listener.close()
