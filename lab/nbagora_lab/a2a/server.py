"""The HTTP server: one port on loopback with every agent's doors below ``/agents/{name}``.

Agents come and go while it runs. Routing is a look-up by name, so ten thousand agents cost what one costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from nbagora_lab.a2a.security import Guard, problem
from nbagora_lab.a2a.signing import JWKS_PATH
from nbagora_lab.core.errors import PortInUse, did_you_mean
from nbagora_lab.core.settings import Settings

if TYPE_CHECKING:
    from nbagora_lab.a2a.gate import Gate, Tickets
    from nbagora_lab.a2a.grpc_doors import GrpcDoors
    from nbagora_lab.a2a.handler import LogRequestHandler
    from nbagora_lab.a2a.pushed import Pushed
    from nbagora_lab.a2a.signing import Signer
    from nbagora_lab.a2a.tasklog import TaskLog
    from nbagora_lab.broker.broker import Broker
    from nbagora_lab.core.clock import Clock

__all__ = ["Server", "bind"]

_SENT_AHEAD = 256 << 10
"""Bytes that the system takes of an answer before its reader does; by itself it takes 4 MiB, so that 500 readers that
stand still would hold 2 GiB, and the first event of each would cost as much as ten thousand."""


def bind(host: str, port: int, former: int = 0) -> socket.socket:
    """A bound socket for the doors.

    Args:
        host: Address to listen on.
        port: Port that must be had; 0 where any will do.
        former: Port to try first where any will do, so that clients outside find the lab again.

    Raises:
        PortInUse: `port` is taken, or the address is not this machine's.
    """
    for number in [port] if port else [former, 0] if former else [0]:
        # without IPPROTO_TCP asyncio leaves Nagle's algorithm on, which costs 44 ms a request
        listener = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
        )
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_AHEAD)  # what it accepts has the same
        try:
            listener.bind((host, number))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if not port and number:
                continue
            raise PortInUse(
                f"can't listen on {host}:{number}: {error.strerror}", "choose another --port, or 0"
            ) from None
        return listener
    raise AssertionError("port 0 is always to be had")  # pragma: no cover


@dataclass(slots=True)
class _Doors:
    app: ASGIApp
    gate: Gate | None = None
    handler: LogRequestHandler | None = None


class _Uvicorn(uvicorn.Server):
    """Uvicorn without signal handlers: the kernel's are not ours to take."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """The lab's one HTTP server. Lives on the service loop; `mount` and `unmount` may be called from any thread.

    Args:
        settings: Hosts, origins and limits.
        token: Bearer token; empty lets everybody in.

    Attributes:
        root: Name of the agent whose doors are at ``/``, too.
        grpc: Address of the gRPC doors, ``host:port``; empty without them.
    """

    def __init__(self, settings: Settings, token: str) -> None:
        self._agents: dict[str, _Doors] = {}
        self._mounts: dict[str, ASGIApp] = {}
        self.root: str | None = None
        self.root_card = ""  # path in front of the well-known one, of the card that is at /
        self._raw: list[Callable[[str], bool]] = []  # which paths take bodies of any type
        self._app = Guard(
            self._route,
            token=token,
            hosts=settings.allowed_hosts,
            origins=settings.allowed_origins,
            body_limit=settings.body_limit,
            depth_limit=settings.depth_limit,
        )
        self._app.takes = lambda path: settings.stored_body_limit if any(one(path) for one in self._raw) else 0
        self._settings = settings
        self.grpc = ""
        self._grpc: GrpcDoors | None = None
        self._uvicorn: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def app(self) -> ASGIApp:
        """The whole application, guard included."""
        return self._app

    def mount(
        self, name: str, app: ASGIApp, gate: Gate | None = None, handler: LogRequestHandler | None = None
    ) -> None:
        """Puts an agent's doors at ``/agents/{name}``, in place of those that were there.

        Args:
            name: The agent's.
            app: Its doors.
            gate: Who is let in beside the lab's own user; None: nobody.
            handler: Its operations, for gRPC.
        """
        self._agents[name] = _Doors(app, gate, handler)

    def gate(self, path: str) -> tuple[Gate, str] | None:
        """The gate before what is at a path, and the path's rest behind it."""
        _, rest, doors = self._doors(path)
        return (doors.gate, rest) if doors is not None and doors.gate is not None else None

    def serve_blobs(self, tasks: TaskLog, url: str) -> None:
        """Puts large bodies at ``/blobs``; they are taken as they come."""
        from nbagora_lab.a2a.blobs import BlobDoors

        tasks.bodies.url = url
        self._mounts["blobs"] = BlobDoors(tasks)
        self._raw.append(lambda path: path.split("/")[1] == "blobs")

    def serve_callers(self, tickets: Tickets, signer: Signer, pushed: Pushed) -> None:
        """Lets in whom agents' gates let in; puts tickets, notifications and the lab's key beside the agents."""
        from nbagora_lab.a2a.identity import Callers

        gates = lambda: [doors.gate for doors in self._agents.values() if doors.gate is not None]  # noqa: E731
        self._app.identity = callers = Callers(self.gate, gates, tickets, signer, pushed)
        self._mounts["pushed"] = pushed
        self._mounts["tickets"] = callers.tickets
        self._mounts[JWKS_PATH] = callers.keys

    def unmount(self, name: str) -> None:
        """Takes an agent's doors away."""
        self._agents.pop(name, None)

    def mount_path(self, prefix: str, app: ASGIApp) -> None:
        """Puts an app at ``/{prefix}``, beside the agents."""
        self._mounts[prefix] = app

    def serve_broker(self, broker: Broker, clock: Clock, url: str) -> None:
        """Puts the broker's doors at ``/broker``; records of any media type may be appended there.

        They are built by the first request, so that a lab that starts need not wait for them.
        """
        built: list[ASGIApp] = []

        def build() -> ASGIApp:
            from nbagora_lab.broker.http import Doors

            return Doors(broker, clock, url)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if not built:
                built.append(await asyncio.to_thread(build))
            await built[0](scope, receive, send)

        self._mounts["broker"] = app
        self._raw.append(lambda path: path.startswith("/broker/topics/") and path.endswith("/records"))

    def serve_engines(self, app: ASGIApp) -> None:
        """Puts the doors of labs that join at ``/engine``; calls are read there, not here."""
        self._mounts["engine"] = app
        self._raw.append(lambda path: path.startswith("/engine/"))

    def serve_registry(self, app: ASGIApp, admits: Callable[[str], bool]) -> None:
        """Puts the registry's app at ``/registry`` and at its well-known place.

        Args:
            app: The app; it says itself what whom it lets in may.
            admits: Whether a bearer token that is not the lab's own is let in there.
        """
        for place in ("registry", ".well-known/ai-catalog.json"):
            self._mounts[place] = app
        self._app.admits = lambda path, token: path.split("/")[1] == "registry" and admits(token)

    async def start(self, listener: socket.socket) -> None:
        """Serves on a bound socket, and gRPC where it is asked for; returns once requests are answered."""
        if (port := self._settings.grpc) is not None:
            from nbagora_lab.a2a.grpc_doors import GrpcDoors

            self._grpc = GrpcDoors(self._app, self._handler, self._settings.body_limit)
            self.grpc = await self._grpc.start(self._settings.host, port)
        config = uvicorn.Config(
            self._app, lifespan="off", log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1
        )
        self._uvicorn = server = _Uvicorn(config)
        self._task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            if self._task.done():
                await self._task  # raises what ended it
                raise RuntimeError("the server ended as it started")
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Closes the port and every connection; tells streams nothing, they resume."""
        if self._grpc is not None:
            await self._grpc.stop()
            self._grpc = None
        if self._uvicorn is None or self._task is None:
            return
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
        for connection in list(self._uvicorn.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        for task in list(self._uvicorn.server_state.tasks):
            task.cancel()
        await self._task
        self._uvicorn = self._task = None

    def _handler(self, name: str) -> LogRequestHandler | None:
        return doors.handler if (doors := self._agents.get(name)) is not None else None

    def _mounted(self, path: str) -> ASGIApp | None:
        parts = [*path.split("/", 3), ""]  # a target may be "*"
        if len(parts) > 3 and parts[1] == "agents":
            return None
        return self._mounts.get(path[1:]) or self._mounts.get(parts[1])

    def _doors(self, path: str) -> tuple[str, str, _Doors | None]:
        """The agent at a path, the path's rest, and the agent's doors."""
        parts = [*path.split("/", 3), ""]
        if len(parts) > 3 and parts[1] == "agents":
            return parts[2], "/" + parts[3], self._agents.get(parts[2])
        if self.root is None or self._mounted(path) is not None:
            return "", path, None
        rest = self.root_card + path if path.startswith("/.well-known/") else path
        return self.root, rest, self._agents.get(self.root)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/healthz":
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        if (mounted := self._mounted(path)) is not None:
            await mounted(scope, receive, send)
            return
        name, rest, doors = self._doors(path)
        if doors is None:
            what = f"no agent '{name}'" if name else f"nothing is at {path}"
            response: Response = problem(404, "Not found", f"{what}; {did_you_mean(name, self._agents)}")
            await response(scope, receive, send)
            return
        await doors.app({**scope, "path": rest, "raw_path": None, "root_path": ""}, receive, send)
