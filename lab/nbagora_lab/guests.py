"""The labs that joined this one: the doors through which they use its engines, and what becomes of what they leave.

A guest says hello and has a session from then on. On it come its calls, each a method of the log, the groups or the
registry's engine; one long answer tells it what it watches, and beats where nothing is. A guest whose answer was cut is
waited for `GRACE` seconds; then it is gone, and what died with it is ended here:

| of a guest that is gone | is |
|---|---|
| its watches | ended |
| its groups' clients | left alone: their leases end by themselves, and an attempt that killed it counts |
| those with leases of more than a day, as of inboxes | unsubscribed |
| its endpoints | taken out of the registry, so that nobody is led to it |
| the tasks that it had claimed and that are WORKING | ended FAILED, with the reason |
| its session | refused (`NotJoined`): a guest that only slept joins anew, and what it had open is over |

So a guest's writes are fenced at the door; it has this lab's epoch, and its tasks stand on this lab's topics beside all
others: there is one truth, whoever hosts an agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.remote import GROUPS, LOG, group_methods, log_methods
from nbagora_lab.core.errors import LabError, LeaseLost, NotJoined, TooLarge, Unsupported, UsageError
from nbagora_lab.core.link import BEAT, HEARD, SESSION
from nbagora_lab.core.log import logger
from nbagora_lab.core.openapi import JSON, Operation, document
from nbagora_lab.core.problem import problem_of, refuse
from nbagora_lab.core.protocol import CALL, Method
from nbagora_lab.guest_bodies import Bodies
from nbagora_lab.guest_session import Session, Told, check
from nbagora_lab.joining import House
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.remote import CATALOG, catalog_methods

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["GRACE", "Guests"]

GRACE = 3.0
"""Seconds that a guest whose line was cut is waited for."""

_DAY = 86400.0  # seconds
_LARGEST = 256 << 20  # bytes of a call
_QUICK = frozenset({"get", "groups", "info", "labels", "parents", "progress", "revision", "rule", "scan"})
"""Calls that read so little that they run on the service loop, unless what they read is on servers."""

_WHERE = "GET /engine/openapi.json tells what there is"

_log = logger.getChild("guests")


class Guests:
    """The doors at ``/engine``. Lives on the service loop.

    Args:
        log: The engine's log.
        groups: Its groups.
        catalog: The registry's engine.
        url: This lab's URL.
        house: What this lab shows of itself.
        settle: Ends the tasks of these ids that are WORKING, with the reason.
        joined: URL of the lab that this one has joined itself; it takes no guests then.
        grace: Seconds that a guest whose line was cut is waited for.

    Attributes:
        sessions: The guests that are here, by their sessions' ids.
    """

    def __init__(
        self,
        log: Log,
        groups: Groups,
        catalog: Catalog,
        url: str,
        house: House,
        settle: Callable[[Collection[str]], object] = lambda _: None,
        *,
        joined: str = "",
        grace: float = GRACE,
    ) -> None:
        self._log, self._groups, self._catalog = log, groups, catalog
        self._url = url
        self._house = house
        self._settle = settle
        self._joined = joined
        self._grace = grace
        self.sessions: dict[str, Session] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._engines: dict[str, tuple[Any, Mapping[str, Method]]] = {}
        self._app: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; the first one builds the doors."""
        if self._app is None:
            self._app = await asyncio.to_thread(self._build)
        await self._app(scope, receive, send)

    def members(self) -> frozenset[str]:
        """URLs of the labs that are here now, this one among them."""
        return frozenset({self._url, *(one.url for one in list(self.sessions.values()) if one.url)})

    def _build(self) -> Starlette:
        self._engines = {
            LOG: (self._log, log_methods()),
            GROUPS: (self._groups, group_methods()),
            CATALOG: (self._catalog, catalog_methods()),
        }
        bodies = Bodies(self._log, self._session)
        routes: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("POST", "/engine/sessions", self._hello),
            ("GET", "/engine/sessions/{session}/notices", self._notices),
            ("POST", "/engine/sessions/{session}/watches", self._watch),
            ("DELETE", "/engine/sessions/{session}/watches/{number:int}", self._unwatch),
            ("DELETE", "/engine/sessions/{session}", self._bye),
            ("GET", "/engine/agents", self._agents),
            ("DELETE", "/engine/agents/{name}", self._remove),
            ("GET", "/engine/status", self._status),
            ("POST", "/engine/stop", self._stop),
            ("POST", "/engine/bodies", bodies.stage),
            ("GET", "/engine/bodies/{sha256}", bodies.tell),
            ("GET", "/engine/bodies/{sha256}/bytes", bodies.read),
            ("POST", "/engine/{engine}/{method}", self._call),
        ]
        built = [Route(path, _guarded(answer), methods=[method]) for method, path, answer in routes]

        async def openapi(_: Request) -> Response:
            return _json(await asyncio.to_thread(document, "nbagora engines", self._operations(), url=self._url))

        return Starlette(routes=[Route("/engine/openapi.json", openapi), *built])

    def _operations(self) -> list[Operation]:
        return [
            Operation(
                method="POST",
                path=f"/engine/{engine}/{name}",
                summary=method.summary,
                bodies={CALL: method.takes},
                result=method.gives,
            )
            for engine, (_, methods) in self._engines.items()
            for name, method in methods.items()
        ]

    # -- sessions --------------------------------------------------------------------------------------------------

    async def _hello(self, request: Request) -> Response:
        if self._joined:
            raise Unsupported(f"this lab has itself joined {self._joined}", "join that one")
        asked = await _asked(request)
        url, resume = str(asked.get("url", "")), str(asked.get("resume", ""))
        session = self.sessions.get(resume)
        resumed = session is not None
        if session is None:
            session = Session(url)
            self.sessions[session.id] = session
            self._watch_over(session, 0)
            self._tell_members()
            _log.debug("the lab at %s has joined", url)
        about = {
            "broker": self._log.engine,
            "log_capabilities": sorted(self._log.capabilities),
            "group_capabilities": sorted(self._groups.capabilities),
            "registry": self._catalog.engine,
            "catalog_capabilities": sorted(self._catalog.capabilities),
            "epoch": self._log.epoch,
            "store": (await asyncio.to_thread(self._house.status)).store,
        }
        return _json({"session": session.id, "resumed": resumed, "about": about, "members": sorted(self.members())})

    async def _notices(self, request: Request) -> Response:
        session = self._session(request.path_params["session"])
        session.lines += 1
        return StreamingResponse(self._tell(session, session.lines), media_type="application/x-ndjson")

    async def _tell(self, session: Session, line: int) -> AsyncIterator[bytes]:
        try:
            yield b"\n"
            while session.id in self.sessions and session.lines == line:
                session.arrived.clear()
                if told := session.take():
                    yield f"{told.json()}\n".encode()
                    continue
                try:
                    async with asyncio.timeout(BEAT):
                        await session.arrived.wait()
                except TimeoutError:
                    yield b"\n"
        finally:
            if session.lines == line:
                self._watch_over(session, line)

    def _watch_over(self, session: Session, line: int) -> None:
        """Ends a session whose line was cut, unless its guest comes back in time."""

        async def end() -> None:
            await asyncio.sleep(self._grace)
            if session.lines == line:
                await self._end(session)

        task = asyncio.get_running_loop().create_task(end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _bye(self, request: Request) -> Response:
        await self._end(self._session(request.path_params["session"]))
        return Response(status_code=204)

    async def _end(self, session: Session) -> None:
        if self.sessions.pop(session.id, None) is None:
            return
        session.arrived.set()
        self._tell_members()
        await asyncio.to_thread(self._clear_up, session)
        _log.debug("the lab at %s has left", session.url)

    def _clear_up(self, session: Session) -> None:
        for end in session.watches.values():
            end()
        specs = self._groups.groups() if session.clients else {}
        for group, client in session.clients:
            if group in specs and specs[group].lease > _DAY:
                with contextlib.suppress(LabError):
                    self._groups.unsubscribe(group, client)
        for endpoint in session.endpoints:
            with contextlib.suppress(LabError):
                self._catalog.deregister(endpoint)
        try:
            if session.tasks:
                self._settle(session.tasks)
        except LabError as error:
            _log.warning("tasks of the lab at %s can't be ended: %s", session.url, error.what)

    def _tell_members(self) -> None:
        members = sorted(self.members())
        for session in list(self.sessions.values()):
            session.tell(lambda told: told.members.append(members))

    def _session(self, session_id: str) -> Session:
        session = self.sessions.get(session_id)
        if session is None:
            raise NotJoined(
                "no lab that has joined has this session, or it was taken for gone", "join anew, and ask again"
            )
        return session

    async def _watch(self, request: Request) -> Response:
        session, asked = self._session(request.path_params["session"]), await _asked(request)
        number = asked.get("number")
        if not isinstance(number, int):
            raise UsageError("a watch without a number", "give it one, by which it is told of and ended")
        return await asyncio.to_thread(self._begin_watch, session, number, asked.get("what"))

    def _begin_watch(self, session: Session, number: int, what: Any) -> Response:
        def ring() -> None:
            session.tell(lambda told: told.hear(number, "", 0))

        with session.calling() as told:
            match what:
                case ["topic", str() as topic]:
                    watch = self._log.watch(topic, ring)
                case ["parent", str() as parent]:
                    watch = self._log.watch_parent(
                        parent, lambda topic, offset: session.tell(lambda told: told.hear(number, topic, offset))
                    )
                case ["ready", str() as group, str() as client]:
                    watch = self._groups.when_ready(group, client, ring)
                case _:
                    raise UsageError("that can't be watched", "watch a topic, a parent, or what a client may be handed")
            if (former := session.watches.get(number)) is not None:
                former()
            session.watches[number] = watch
        return _told(told, Response(status_code=204))

    async def _unwatch(self, request: Request) -> Response:
        session = self._session(request.path_params["session"])
        end = session.watches.pop(request.path_params["number"], None)
        return await asyncio.to_thread(self._end_watch, session, end)

    def _end_watch(self, session: Session, end: Callable[[], None] | None) -> Response:
        with session.calling() as told:
            if end is not None:
                end()
        return _told(told, Response(status_code=204))

    # -- calls -----------------------------------------------------------------------------------------------------

    async def _call(self, request: Request) -> Response:
        engine, methods = self._engines.get(request.path_params["engine"], (None, {}))
        method = methods.get(request.path_params["method"])
        if engine is None or method is None:
            return refuse(404, f"nothing is at {request.url.path[:200]}", _WHERE)
        session = self._session(request.headers.get(SESSION, ""))
        body = await _read(request)
        if method.name in _QUICK and (engine is self._catalog or "remote" not in self._log.capabilities):
            told, answer = self._run(session, engine, method, body)
        else:
            told, answer = await asyncio.to_thread(self._run, session, engine, method, body)
        return _told(told, Response(answer, media_type=JSON) if isinstance(answer, bytes) else refuse(answer))

    def _run(self, session: Session, engine: Any, method: Method, body: bytes) -> tuple[Told, Any]:
        """Makes a call; what it gives, or the problem, with what it brought about."""
        with session.calling() as told:
            try:
                given = method.arguments(body)
                self._before(session, engine, method.name, given)
                result = getattr(engine, method.name)(**given)
                session.note(method.name, given, result)
                return told, method.result(result)
            except LeaseLost as error:
                return told, problem_of(error, handles=list(map(str, error.handles)))
            except LabError as error:
                return told, problem_of(error)

    def _before(self, session: Session, engine: Any, name: str, given: dict[str, Any]) -> None:
        check(given)
        if engine is self._groups and name == "subscribe":
            group, client = given["group"], given["client"]
            given["evicted"] = lambda patterns: session.tell(
                lambda told: told.evicted.append((group, client, patterns))
            )

    # -- the house -------------------------------------------------------------------------------------------------

    async def _agents(self, _: Request) -> Response:
        found = await asyncio.to_thread(self._house.hosting().infos)
        return _json([one.model_dump(mode="json") for one in found])

    async def _remove(self, request: Request) -> Response:
        await asyncio.to_thread(self._house.hosting().remove, request.path_params["name"])
        return Response(status_code=204)

    async def _status(self, _: Request) -> Response:
        return Response((await asyncio.to_thread(self._house.status)).model_dump_json(), media_type=JSON)

    async def _stop(self, _: Request) -> Response:
        self._house.stop()
        return Response(status_code=202)


def _guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The same, with its errors as problem details."""

    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except LabError as error:
            return refuse(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:  # noqa: BLE001 -- the server would answer without a word of it
            _log.exception("a fault at %s %s", request.method, request.url.path)
            return refuse(500, "a fault in nbagora", "the lab's log says where: %lab status")

    return guarded


def _told(told: Told, answer: Response) -> Response:
    if told:
        answer.headers[HEARD] = told.json()
    return answer


def _json(content: Any) -> Response:
    return Response(json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace"), media_type=JSON)


async def _asked(request: Request) -> dict[str, Any]:
    try:
        asked = json.loads(await _read(request))
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise UsageError("the body is no JSON object", _WHERE)
    return asked


async def _read(request: Request) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        pieces.append(piece)
        size += len(piece)
        if size > _LARGEST:
            raise TooLarge(f"a call of more than {_LARGEST} bytes", "write fewer records at once")
    return b"".join(pieces)
