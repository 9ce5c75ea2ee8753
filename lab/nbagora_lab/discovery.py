"""Discovery: the three ways to an agent's card, and what the lab does for a registry that opens no connection itself.

The registry knows no A2A. Here its endpoints are probed, calls go where it leads them and tell
it what became of them, cards are fetched from where agents keep them, and signatures are checked.

| `discover` | finds the card |
|---|---|
| a dict, a file, ``env:NAME`` | as it was configured |
| a URL | at its well-known place, fetched again only if it changed; differences to the registered card are told |
| a name | in the registry |
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from nbagora_lab.a2a.cards import read_card
from nbagora_lab.a2a.live import current_task
from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.calls import Calls
from nbagora_lab.core.errors import EndpointNotFound, LabError, TooLarge, Unreachable, UsageError
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.registry import AgentVersion, Registry, Resolution, card_problems

if TYPE_CHECKING:
    import httpx
    from starlette.types import ASGIApp, Receive, Scope, Send

    from nbagora_lab.a2a.client import AgentClient

__all__ = ["Discovered", "Discovery", "RoutedCalls", "registry_app", "verify_signatures"]

_LARGEST = 2 << 20  # bytes of a card that is fetched


class Discovered(NamedTuple):
    """A card, and how it was found.

    Attributes:
        card: The AgentCard, in ProtoJSON.
        way: ``configured``, ``well-known`` or ``registry``.
        where: The file, URL, or ``name version`` that it is from.
        drift: Where it differs from the card that the registry has of that name, one line a place; None where the
            registry has none.
        signed: Whether it carries signatures. With keys given they were checked, and hold.
    """

    card: dict[str, Any]
    way: str
    where: str
    drift: tuple[str, ...] | None
    signed: bool


class RoutedCalls(Calls):
    """Calls to agents that go where the registry leads them, and tell it what became of them.

    A task's later calls go where its first one went, whatever the rules say by then.

    Args:
        registry: The registry.
        service: The service loop.
        url: The lab's own URL.
        token: The lab's own token.
        ids: What makes message and context ids.
        local: Gives a task of this lab by its id, None for others'.

    Attributes:
        refresh: Registers what this lab hosts under a name anew, where its leases ran out; whether it hosts that.
    """

    def __init__(
        self,
        registry: Registry,
        service: ServiceLoop,
        url: str,
        token: str,
        ids: Ids,
        local: Callable[[str], Task | None],
    ) -> None:
        super().__init__(service, url, token, ids, lambda name: registry.resolve(name).url, local)
        self._registry = registry
        self.refresh: Callable[[str], bool] = lambda _name: False
        self._of_task: dict[str, str] = {}  # where the tasks are that others than this lab may have

    def client(self, agent: str, key: str = "", task_id: str = "") -> AgentClient:
        """See `Calls.client`; of the same context, or for the same task, the same one."""
        return self._led(agent, key, task_id)[0]

    def _led(self, agent: str, key: str, task_id: str = "") -> tuple[AgentClient, Resolution | None]:
        from nbagora_lab.a2a.client import AgentClient

        resolution = None
        url = agent if agent.startswith(("http://", "https://")) else self._of_task.get(task_id, "")
        if not url:
            resolution = self._resolved(agent, key)
            url = resolution.url
        client = self._clients.get(url)
        if client is None or client.name != agent:
            client = self._clients[url] = AgentClient(
                agent, url, self.http(), patience=self._patience, on_cut=lambda cut: self.on_cut and self.on_cut(cut)
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
        began, ok = time.monotonic(), None
        if resolution is not None:
            self._registry.began(resolution.endpoint)
        try:
            async for event in client.stream(message, headers=headers):
                self._remember(event.raw, client.url)
                if event.last:
                    ok = event.state != "FAILED"
                yield event
        except LabError:
            ok = False
            raise
        finally:
            if resolution is not None:  # one that was left early says nothing ill of whom it left
                self._tell(resolution, ok is not False, time.monotonic() - began)

    def _tell(self, resolution: Resolution, ok: bool, seconds: float) -> None:
        try:
            self._registry.report(resolution.endpoint, ok=ok, seconds=seconds)
        except LabError as error:
            logger.warning("what became of a call to %s is not on record: %s", resolution.endpoint.name, error.what)

    def _remember(self, raw: dict[str, Any], url: str) -> None:
        if (task := raw.get("task")) is not None and not url.startswith(self._url):
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


class Discovery:
    """Finds cards. Its coroutines are the service loop's.

    Args:
        registry: The registry.
        http: Gives the HTTP client.
        private: Whether cards may be fetched from private addresses other than this machine's own.
    """

    def __init__(self, registry: Registry, http: Callable[[], httpx.AsyncClient], *, private: bool = False) -> None:
        registry.on_render = _note_prompt
        self._registry = registry
        self._http = http
        self._private = private
        self._fetched: dict[str, tuple[str, dict[str, Any]]] = {}  # by URL: its ETag and the card

    async def discover(
        self,
        what: Mapping[str, Any] | str | Path,
        *,
        ref: str = "latest",
        keys: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Discovered:
        """Finds an agent's card.

        Args:
            what: A card; a file that holds one, ending in ``.json``; ``env:`` and the variable that does; the URL of
                an agent; or a name.
            ref: The version or label meant, of a name.
            keys: Public keys, as JWKs by their ids; the card must be signed by one of them.

        Raises:
            UsageError: What is there is no card, is at a private address, or its signature doesn't hold.
            Unreachable: Nothing answers at that URL.
            TooLarge: What answers there is too large for a card.
            AgentNotFound: No agent of that name is registered.
        """
        if str(what)[:8].startswith(("http://", "https://")):
            found = self._checked(*await self._fetch(str(what)))
        else:
            found = await asyncio.to_thread(self._at_hand, what, ref)
        if keys is not None:
            verify_signatures(found.card, keys)
        return found

    def _at_hand(self, what: Mapping[str, Any] | str | Path, ref: str) -> Discovered:
        """A card that no connection is needed for."""
        if isinstance(what, Mapping):
            return self._checked(dict(what), "configured", "a card in hand")
        if isinstance(what, str) and what.startswith("env:"):
            return self._checked(_from_environment(what[4:]), "configured", what)
        if isinstance(what, Path) or what.endswith(".json"):
            return self._checked(read_card(Path(what)), "configured", str(what))
        version = self._registry.get(what, ref)
        return Discovered(version.card, "registry", f"{what} {version.version}", (), signed=False)

    async def probe(self, name: str) -> dict[str, bool]:
        """Looks at every endpoint of an agent; by their ids, whether card and protocol answer there."""
        found = {}
        for endpoint in await asyncio.to_thread(self._registry.endpoints, name):
            if endpoint.transport in {"JSONRPC", "HTTP+JSON"} and endpoint.state != "draining":
                ok, reason = await _looks_well(self._http(), endpoint.url, endpoint.transport)
                found[endpoint.id] = ok
                with contextlib.suppress(EndpointNotFound):  # it left while we looked
                    await asyncio.to_thread(self._registry.probed, endpoint, ok=ok, reason=reason)
        return found

    def _checked(self, card: dict[str, Any], way: str, where: str) -> Discovered:
        """A card that fits, and how it differs from the registry's."""
        if problems := card_problems(card):
            raise UsageError(
                f"{where} is no card: {'; '.join(map(str, problems[:10]))}", "a card is A2A's AgentCard in JSON"
            )
        return Discovered(card, way, where, self._drift(card), bool(card.get("signatures")))

    def _drift(self, card: dict[str, Any]) -> tuple[str, ...] | None:
        from nbagora_lab.registry.card import difference
        from nbagora_lab.registry.card import read_card as read_content

        try:
            known = self._registry.get(card["name"])
        except LabError:  # unknown here, or called what nothing here can be called
            return None
        return tuple(difference(known.card, read_content(card).card | {"version": known.version}))

    async def _fetch(self, url: str) -> tuple[dict[str, Any], str, str]:
        """The card at a URL, at the well-known place below it unless it names a JSON file; only if it changed."""
        import httpx

        place = url if url.endswith(".json") else f"{url.rstrip('/')}/.well-known/agent-card.json"
        await self._check_address(place)
        tag, known = self._fetched.get(place, ("", {}))
        try:
            async with self._http().stream(
                "GET", place, headers={"If-None-Match": tag} if tag else {}, timeout=httpx.Timeout(10.0)
            ) as answer:
                if answer.status_code == 304:
                    return known, "well-known", place
                if answer.status_code != 200:
                    raise Unreachable(f"{place} answers {answer.status_code}", "check the URL; it may want a token")
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _LARGEST:
                        raise TooLarge(f"what {place} holds is larger than {_LARGEST} bytes", "a card is smaller")
                tag = answer.headers.get("etag", "")
        except httpx.HTTPError as error:
            raise Unreachable(f"{place} can't be read: {str(error) or type(error).__name__}", "check the URL") from None
        try:
            card = json.loads(body)
        except ValueError:
            raise UsageError(f"what {place} holds is no JSON", "give the URL of an agent") from None
        if not isinstance(card, dict):
            raise UsageError(f"what {place} holds is no card but a {type(card).__name__}", "give the URL of an agent")
        if tag:
            if len(self._fetched) >= 1000:
                self._fetched.clear()
            self._fetched[place] = (tag, card)
        return card, "well-known", place

    async def _check_address(self, url: str) -> None:
        """Refuses what is neither public nor this machine's own: whoever gives a URL could read the inner network."""
        try:
            host = urlsplit(url).hostname or ""
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, ValueError, UnicodeError):
            raise Unreachable(f"the host of {url} has no address", "check the URL") from None
        for *_, address in found:
            ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if not (ip.is_loopback or ip.is_global or self._private):
                raise UsageError(
                    f"{host} is at the private address {ip}", "fetch it yourself and give the card, or the file"
                )


def _note_prompt(version: AgentVersion) -> None:
    """Has all that an agent's task writes from now on name the prompt's version, where it wrote the prompt out."""
    if (live := current_task.get()) is not None:
        live.use_prompt(version.name, version.version)


def _from_environment(name: str) -> dict[str, Any]:
    """The card in an environment variable."""
    try:
        card = json.loads(os.environ[name])
    except KeyError:
        raise UsageError(f"no environment variable {name}", "set it to a card in JSON") from None
    except ValueError as error:
        raise UsageError(f"{name} holds no JSON: {error}", "set it to a card in JSON") from None
    if not isinstance(card, dict):
        raise UsageError(f"{name} holds no card but a {type(card).__name__}", "set it to a card in JSON")
    return card


def verify_signatures(card: Mapping[str, Any], keys: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks that a card is signed by one of the keys.

    Args:
        card: An AgentCard in ProtoJSON.
        keys: Public keys as JWKs, by their key ids.

    Raises:
        UsageError: It carries no signature, none by these keys, or none that holds.
    """
    from a2a.types import a2a_pb2 as pb
    from a2a.utils.signing import SignatureVerificationError, create_signature_verifier
    from google.protobuf.json_format import ParseDict, ParseError
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    def key_of(kid: str | None, _: str | None) -> PyJWK:
        if kid is None or kid not in keys:
            raise PyJWTError(f"no key {kid!r} is trusted")
        return PyJWK.from_dict(dict(keys[kid]))

    hint = "sign it with a key that is trusted here, or trust its key"
    try:
        message = ParseDict(dict(card), pb.AgentCard(), ignore_unknown_fields=True)
        create_signature_verifier(key_of, ["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"])(message)
    except SignatureVerificationError as error:
        what = "carries no signature" if not card.get("signatures") else "has no signature by a trusted key that holds"
        raise UsageError(f"the card of '{card.get('name', '')}' {what}", f"{hint} ({error})") from None
    except (ParseError, PyJWTError, ValueError) as error:
        raise UsageError(f"the signatures of '{card.get('name', '')}' can't be checked: {error}", hint) from None


def registry_app(registry: Registry, url: str, token: str) -> ASGIApp:
    """The registry's HTTP face; it is built by the first request, so that a lab that starts need not wait for it."""
    built: list[ASGIApp] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not built:
            from nbagora_lab.registry.http import build_app

            built.append(await asyncio.to_thread(build_app, registry, url, token))
        await built[0](scope, receive, send)

    return app


async def _looks_well(http: httpx.AsyncClient, url: str, transport: str) -> tuple[bool, str]:
    import httpx

    base = url.partition("?")[0].rstrip("/")
    try:
        card = await http.get(f"{base}/.well-known/agent-card.json", timeout=5.0)
        if card.status_code != 200:
            return False, f"its card answers {card.status_code}"
        if transport != "JSONRPC":
            return True, "its card answers"
        call = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "probe"}}
        answer = await http.post(url, json=call, headers={"A2A-Version": "1.0"}, timeout=5.0)
        if answer.status_code >= 500 or "jsonrpc" not in answer.json():
            return False, f"a ping answers {answer.status_code}"
    except (httpx.HTTPError, ValueError) as error:
        return False, f"{type(error).__name__}: {error}"[:200]
    return True, "card and ping answer"
