"""Cards at their well-known places: fetched only if they changed, from the very address that was looked at.

Whoever gives a URL could have this machine read its inner network. So a host's addresses are looked up once and looked
at, and the connection goes to one of these: a name that points elsewhere a moment later (DNS rebinding) leads nowhere.
Its TLS certificate must still be the name's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from nbagora_lab.a2a.webhooks import is_public
from nbagora_lab.core.errors import TooLarge, Unreachable, UsageError

if TYPE_CHECKING:
    import httpx

__all__ = ["Pinned", "WellKnown"]

_LARGEST = 2 << 20  # bytes of a card
_PATIENCE = 10.0  # seconds
_KNOWN = 1000  # cards that are kept with their ETag


class Pinned(NamedTuple):
    """A URL whose host was looked up, as httpx is to ask for it.

    Attributes:
        url: The URL, at an address.
        headers: Headers that name the host.
        extensions: httpx's, which check the certificate against the host.
    """

    url: str
    headers: dict[str, str]
    extensions: dict[str, Any]


class WellKnown:
    """Fetches cards. Its coroutines are the service loop's.

    Args:
        http: Gives the HTTP client.
        private: Whether private addresses other than this machine's own may be asked.
    """

    def __init__(self, http: Callable[[], httpx.AsyncClient], *, private: bool = False) -> None:
        self._http = http
        self._private = private
        self._fetched: dict[str, tuple[str, dict[str, Any]]] = {}  # by URL: its ETag and the card

    async def fetch(self, url: str) -> tuple[dict[str, Any], str]:
        """The card at a URL, at the well-known place below it unless it names a JSON file; only if it changed.

        Returns:
            The card, and its place.

        Raises:
            UsageError: What is there is no JSON object, or it is at a private address.
            Unreachable: Nothing answers there.
            TooLarge: What answers is too large for a card.
        """
        import httpx

        place = url if url.endswith(".json") else f"{url.rstrip('/')}/.well-known/agent-card.json"
        pinned = await self.pin(place, private=self._private)
        tag, known = self._fetched.get(place, ("", {}))
        headers = pinned.headers | ({"If-None-Match": tag} if tag else {})
        try:
            async with self._http().stream(
                "GET", pinned.url, headers=headers, extensions=pinned.extensions, timeout=httpx.Timeout(_PATIENCE)
            ) as answer:
                if answer.status_code == 304:
                    return known, place
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
        card = _object(body, place)
        if tag:
            if len(self._fetched) >= _KNOWN:
                self._fetched.clear()
            self._fetched[place] = (tag, card)
        return card, place

    async def inside(self, url: str) -> str:
        """The first address of a URL's host that is not public; empty where all are, or private ones are allowed.

        Raises:
            Unreachable: The host has no address.
        """
        if self._private:
            return ""
        return next((str(ip) for ip in await _addresses(url) if not is_public(str(ip))), "")

    async def pin(self, url: str, *, private: bool = True) -> Pinned:
        """A URL at one of the addresses that its host has now.

        Args:
            url: An http or https URL.
            private: Whether one that is neither public nor this machine's own will do.

        Raises:
            UsageError: One of the addresses is private.
            Unreachable: The host has no address.
        """
        import httpx

        addresses = await _addresses(url)
        parsed = httpx.URL(url)
        host = parsed.host
        for ip in addresses:
            if not (private or ip.is_loopback or is_public(str(ip))):
                raise UsageError(
                    f"{host} is at the private address {ip}",
                    "fetch it yourself and give the card, or allow it with the setting private_cards",
                )
        if _is_address(host):
            return Pinned(url, {}, {})
        first = next((ip for ip in addresses if ip.version == 4), addresses[0])
        # no later request may use this connection: to httpx it is the address's, whatever name its certificate bears
        headers = {"Host": parsed.netloc.decode("ascii").rpartition("@")[2], "Connection": "close"}
        name = parsed.raw_host.decode("ascii")
        return Pinned(str(parsed.copy_with(host=str(first))), headers, {"sni_hostname": name})


async def _addresses(url: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    import httpx

    try:
        found = await asyncio.to_thread(socket.getaddrinfo, httpx.URL(url).host, None, type=socket.SOCK_STREAM)
    except (httpx.InvalidURL, OSError, UnicodeError, ValueError):
        raise Unreachable(f"the host of {url} has no address", "check the URL") from None
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _object(body: bytes, place: str) -> dict[str, Any]:
    try:
        card = json.loads(body)
    except (RecursionError, ValueError):
        raise UsageError(f"what {place} holds is no JSON", "give the URL of an agent") from None
    if not isinstance(card, dict):
        raise UsageError(f"what {place} holds is no card but a {type(card).__name__}", "give the URL of an agent")
    return card


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
