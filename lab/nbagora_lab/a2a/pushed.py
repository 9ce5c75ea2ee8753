"""Notifications that this lab waits for: a door for each, which the peer that was told of it may knock at.

What is pushed only wakes: whoever waits asks the peer how its task stands, so a notification that comes twice, late,
never or from somebody else tells nothing wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["Door", "Pushed"]

_PLACE = "/pushed/"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Door:
    """One that is open.

    Attributes:
        config: What a peer is told: A2A's `TaskPushNotificationConfig` in ProtoJSON.
        knocked: Set by each notification.
    """

    def __init__(self, url: str) -> None:
        token = secrets.token_urlsafe(24)
        self.knocked = asyncio.Event()
        self.config: dict[str, Any] = {
            "url": url,
            "token": token,
            "authentication": {"scheme": "Bearer", "credentials": token},
        }

    def admits(self, headers: Headers) -> bool:
        """Whether that comes from who was told of the door."""
        shown = headers.get("x-a2a-notification-token") or headers.get("authorization", "").partition(" ")[2].strip()
        return hmac.compare_digest(shown.encode(), str(self.config["token"]).encode())


class Pushed:
    """The doors at ``/pushed``. Lives on the service loop.

    Args:
        url: The lab's own URL.

    Attributes:
        public: URL at which agents elsewhere reach the lab; empty: only those of this machine do.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.public = ""
        self._doors: dict[str, Door] = {}

    @contextlib.contextmanager
    def door(self, peer: str) -> Iterator[Door | None]:
        """A door for a peer to knock at, open until the context ends; None where it can't reach this lab.

        Args:
            peer: The peer's URL.
        """
        base = self.public.rstrip("/") or (self._url if urlsplit(peer).hostname in _LOOPBACK else "")
        if not base:
            yield None
            return
        name = secrets.token_urlsafe(12)
        self._doors[name] = door = Door(f"{base}{_PLACE}{name}")
        try:
            yield door
        finally:
            del self._doors[name]

    def admits(self, path: str, headers: Headers) -> bool:
        """Whether somebody who was told of the door at a path knocks there."""
        door = self._doors.get(path.removeprefix(_PLACE)) if path.startswith(_PLACE) else None
        return door is not None and door.admits(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST: a notification."""
        status = 405
        if scope["method"] == "POST":
            status = 404
            if self.admits(scope["path"], Headers(scope=scope)):
                self._doors[scope["path"].removeprefix(_PLACE)].knocked.set()
                status = 204
        await Response(status_code=status)(scope, receive, send)
