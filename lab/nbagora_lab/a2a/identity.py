"""Who calls at the lab's doors, by where they lead: an agent's schemes, tickets, and what anybody may see."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from nbagora_lab.a2a.gate import Caller, Gate, Tickets
from nbagora_lab.a2a.pushed import Pushed
from nbagora_lab.a2a.security import problem
from nbagora_lab.a2a.signing import JWKS_PATH, Signer
from nbagora_lab.core.errors import UsageError

__all__ = ["Callers"]

_CARDS = ("/.well-known/agent-card.json", "/v0.3/.well-known/agent-card.json")


class Callers:
    """Finds out who calls.

    Args:
        gate: The gate of the agent whose doors a path leads to, and the path's rest; None where it has none.
        gates: All gates.
        tickets: What tickets are read with.
        signer: Whose public key anybody may see.
        pushed: Where this lab waits for notifications.
    """

    def __init__(
        self,
        gate: Callable[[str], tuple[Gate, str] | None],
        gates: Callable[[], list[Gate]],
        tickets: Tickets,
        signer: Signer,
        pushed: Pushed,
    ) -> None:
        self._gate = gate
        self._gates = gates
        self._tickets = tickets
        self._signer = signer
        self._pushed = pushed

    def is_public(self, scope: Scope) -> bool:
        """The lab's public key, and the cards of agents that say themselves how they want to be called."""
        if scope["method"] not in {"GET", "HEAD"}:
            return False
        if scope["path"] == f"/{JWKS_PATH}":
            return True
        found = self._gate(scope["path"])
        return found is not None and found[1] in _CARDS

    async def caller(self, scope: Scope, headers: Headers) -> tuple[str, Caller | None]:
        """See `security.Identity.caller`."""
        path = scope["path"]
        if scope["method"] == "GET" and b"ticket=" in scope["query_string"]:
            query = parse_qs(scope["query_string"].decode("latin-1"))
            if (found := self._tickets.read(query.get("ticket", [""])[0], path)) is not None:
                return "", found
        if self._pushed.admits(path, headers):
            return "", Caller("pushed", frozenset())
        if (gated := self._gate(path)) is not None:
            return gated[0].challenge, await gated[0].caller(scope, headers)
        if path == "/tickets" or path.startswith("/blobs"):  # every agent's callers have these in common
            for gate in self._gates():
                if (found := await gate.caller(scope, headers)) is not None:
                    return "", found
        return "", None

    async def tickets(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /tickets: a short-lived ticket for a place that the caller may read."""
        await (await self._ticket(Request(scope, receive)))(scope, receive, send)

    async def _ticket(self, request: Request) -> Response:
        if request.method != "POST":
            return problem(405, "Method not allowed", "POST a path to get a ticket for it", {"Allow": "POST"})
        try:
            asked = json.loads(await request.body() or b"null")
            path, seconds = str(asked["path"]), float(asked.get("seconds", 60.0))
        except (ValueError, TypeError, KeyError, AttributeError):
            return problem(400, "Not a request for a ticket", 'send {"path": "/agents/…", "seconds": 60}')
        caller: Any = request.scope.get("user") or Caller("")
        gated = self._gate(path)
        if caller.owner and gated is not None and await gated[0].caller(request.scope, request.headers) != caller:
            return problem(403, "Not yours", "what you show does not open that place")
        if caller.owner and gated is None and not path.startswith("/blobs/"):
            return problem(403, "Not yours", "what you show does not open that place")
        try:
            ticket = self._tickets.issue(caller, path, seconds)
        except UsageError as error:
            return problem(400, "Not a request for a ticket", f"{error.what}; {error.hint}")
        return JSONResponse({"ticket": ticket, "expiresIn": seconds}, 201, {"Cache-Control": "no-store"})

    async def keys(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /.well-known/jwks.json."""
        response = JSONResponse(self._signer.jwks(), headers={"Cache-Control": "public, max-age=3600"})
        await response(scope, receive, send)
