"""The peer of `stream`: the official SDK's own handler and in-memory store behind the same uvicorn, set the same."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from importlib.util import find_spec

import anyio
import uvicorn
from _flood import chunks
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import a2a_pb2 as pb
from starlette.applications import Starlette


class _Base(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Opens the task, answers, and ends it; straight into the queue, which is the least that the SDK can do."""
        assert context.task_id
        assert context.context_id
        ids = {"task_id": context.task_id, "context_id": context.context_id}
        opened = pb.Task(
            id=context.task_id,
            context_id=context.context_id,
            status=pb.TaskStatus(state=pb.TASK_STATE_SUBMITTED),
            history=[context.message],
        )
        await event_queue.enqueue_event(opened)
        status = pb.TaskStatus(state=pb.TASK_STATE_WORKING)
        await event_queue.enqueue_event(pb.TaskStatusUpdateEvent(**ids, status=status))
        texts = self.texts(context.get_user_input())
        for number, text in enumerate(texts):
            artifact = pb.Artifact(artifact_id="a", parts=[pb.Part(text=text)])
            await event_queue.enqueue_event(
                pb.TaskArtifactUpdateEvent(
                    **ids, artifact=artifact, append=number > 0, last_chunk=number == len(texts) - 1
                )
            )
        status = pb.TaskStatus(state=pb.TASK_STATE_COMPLETED)
        await event_queue.enqueue_event(pb.TaskStatusUpdateEvent(**ids, status=status))

    def texts(self, asked: str) -> list[str]:
        """The chunks of the answer."""
        raise NotImplementedError

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Nobody cancels here."""
        raise NotImplementedError


class _Flood(_Base):
    def texts(self, asked: str) -> list[str]:
        return chunks(int(asked))


class _Echo(_Base):
    def texts(self, asked: str) -> list[str]:
        return [asked]


async def main() -> None:
    """Serves the agents `flood` and `echo` until its input ends."""
    logging.getLogger("a2a").setLevel(logging.CRITICAL)  # it warns of every stream that its reader leaves
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    root = f"http://127.0.0.1:{listener.getsockname()[1]}"
    routes, urls = [], {}
    for name, executor in (("flood", _Flood()), ("echo", _Echo())):
        urls[name] = f"{root}/agents/{name}/"
        interface = pb.AgentInterface(url=urls[name], protocol_binding="JSONRPC", protocol_version="1.0")
        card = pb.AgentCard(
            name=name,
            description="The peer.",
            version="1",
            supported_interfaces=[interface],
            skills=[pb.AgentSkill(id="answer", name="answer", description="Answers.", tags=["bench"])],
            capabilities=pb.AgentCapabilities(streaming=True),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
        )
        handler = DefaultRequestHandler(executor, InMemoryTaskStore(), card)
        routes += create_jsonrpc_routes(handler, f"/agents/{name}/")
        routes += create_agent_card_routes(card, card_url=f"/agents/{name}/.well-known/agent-card.json")
    config = uvicorn.Config(
        Starlette(routes=routes),
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    print(json.dumps({"urls": urls, "token": "", "loop": loop}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})  # as the lab's service loop is run
