"""Who calls, by where a path leads: an agent's gate, a ticket, a door for notifications; and what anybody may see."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from nbagora_lab.a2a.gate import Caller, Tickets
from nbagora_lab.a2a.identity import Callers
from nbagora_lab.a2a.pushed import Pushed
from nbagora_lab.a2a.signing import Signer
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.vault import Vault

URL = "http://127.0.0.1:1"
BOB, EVE = Caller("bob", frozenset({"read"})), Caller("eve", frozenset())


class KnowsOne:
    """A gate that lets one caller in, whose name is the password."""

    challenge = "Bearer"

    def __init__(self, caller: Caller) -> None:
        self.one = caller

    async def caller(self, _scope: Any, headers: Headers) -> Caller | None:
        return self.one if headers.get("authorization") == self.one.owner else None


class House:
    """Callers of two agents, ``a`` and ``b``, whose gates know `BOB` and `EVE`."""

    def __init__(self, store: Path) -> None:
        gates = {"a": KnowsOne(BOB), "b": KnowsOne(EVE)}

        def gate(path: str) -> Any:
            _, agents, name, *rest = f"{path}/".split("/")
            found = gates.get(name) if agents == "agents" else None
            return (found, "/" + "/".join(rest).rstrip("/")) if found is not None else None

        vault = Vault(store / "keys.json")
        self.tickets = Tickets(vault, VirtualClock())
        self.pushed = Pushed(URL)
        self.callers = Callers(gate, lambda: list(gates.values()), self.tickets, Signer(vault, URL), self.pushed)

    def who(self, path: str, shown: str = "", *, method: str = "GET", query: str = "") -> tuple[str, Caller | None]:
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
        return asyncio.run(self.callers.caller(scope, Headers({"authorization": shown} if shown else {})))

    def ticket(self, caller: Caller | None, body: Any, *, method: str = "POST") -> tuple[int, dict[str, str], Any]:
        """The answer to who asks for a ticket: status, headers, body."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        shown = [(b"authorization", caller.owner.encode())] if caller is not None else []
        scope = {"type": "http", "method": method, "path": "/tickets", "query_string": b"", "headers": shown}
        told: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": raw}

        async def send(message: Any) -> None:
            told.append(message)

        asyncio.run(self.callers.tickets(scope | ({"user": caller} if caller is not None else {}), receive, send))
        headers = {name.decode(): value.decode() for name, value in told[0]["headers"]}
        return told[0]["status"], headers, json.loads(told[1]["body"])


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("/.well-known/jwks.json", True),
        ("/agents/a/.well-known/agent-card.json", True),
        ("/agents/a/v0.3/.well-known/agent-card.json", True),
        ("/agents/a/.well-known/jwks.json", False),
        ("/x/.well-known/jwks.json", False),
        ("/agents/none/.well-known/agent-card.json", False),
        ("/agents/a/extendedAgentCard", False),
        ("/agents/a/x/.well-known/agent-card.json", False),
        ("/agents/a", False),
        ("/blobs/1", False),
    ],
)
def test_what_anybody_may_see(house: House, path: str, public: bool) -> None:
    for method in ("GET", "HEAD"):
        assert house.callers.is_public({"method": method, "path": path}) is public
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert not house.callers.is_public({"method": method, "path": path})


def test_an_agent_knows_its_own_callers_and_bodies_and_tickets_those_of_all(house: House) -> None:
    for path in ("/agents/a", "/agents/a/tasks/1"):
        assert house.who(path, "bob") == ("Bearer", BOB)
        assert house.who(path, "eve") == ("Bearer", None)
    for path in ("/blobs", "/blobs/1", "/tickets"):
        assert [house.who(path, name)[1] for name in ("bob", "eve", "none")] == [BOB, EVE, None]
    for path in ("/broker/topics", "/registry/agents", "/ticketsx", "/agents/none", "/", "/tickets/x"):
        assert house.who(path, "bob") == ("", None)


def test_a_ticket_is_good_for_reading_one_place_as_who_was_given_it(house: House) -> None:
    query = "A2A-Version=1.0&ticket=" + house.tickets.issue(BOB, "/agents/b/tasks/1")
    assert house.who("/agents/b/tasks/1", query=query) == ("", BOB)
    assert house.who("/agents/b/tasks/1:subscribe", query=query) == ("", BOB)
    for path, method in (("/agents/b/tasks/1", "POST"), ("/agents/b/tasks/1", "HEAD"), ("/agents/b/tasks/2", "GET")):
        assert house.who(path, method=method, query=query)[1] is None
    assert house.who("/agents/b/tasks/1", "eve", query="ticket=x.y") == ("Bearer", EVE)


def test_who_was_told_of_a_door_for_notifications_may_knock_and_no_more(house: House) -> None:
    with house.pushed.door(URL) as door:
        assert door is not None
        path = str(door.config["url"]).removeprefix(URL)
        token = f"Bearer {door.config['token']}"
        assert house.who(path, token, method="POST") == ("", Caller("pushed", frozenset()))
        assert house.who(path, "Bearer x", method="POST") == ("", None)
        assert house.who("/agents/a", token, method="POST")[1] is None
    assert house.who(path, token, method="POST") == ("", None)


def test_tickets_are_given_for_what_one_may_see_oneself(house: House) -> None:
    status, headers, told = house.ticket(BOB, {"path": "/agents/a/tasks/1", "seconds": 5})
    assert (status, told["expiresIn"], headers["cache-control"]) == (201, 5, "no-store")
    assert house.who("/agents/a/tasks/1", query=f"ticket={told['ticket']}") == ("", BOB)
    assert house.ticket(BOB, {"path": "/blobs/1"})[0] == 201
    for path in ("/agents/b", "/agents/b/tasks/1", "/broker/topics", "/blobsx", "/", "/tickets"):
        assert house.ticket(BOB, {"path": path})[0] == 403
    _, _, told = house.ticket(None, {"path": "/broker/topics"})  # the lab's own user
    assert house.who("/broker/topics", query=f"ticket={told['ticket']}") == ("", Caller("", None))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", [], "x", {}, {"seconds": 5}, {"path": "/x", "seconds": "soon"}])
def test_what_is_no_request_for_a_ticket(house: House, body: Any) -> None:
    assert house.ticket(BOB, body)[0] == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_tickets_are_posted_for(house: House, method: str) -> None:
    status, headers, _ = house.ticket(BOB, {"path": "/agents/a"}, method=method)
    assert (status, headers["allow"]) == (405, "POST")
