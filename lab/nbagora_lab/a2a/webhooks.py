"""Where a webhook may be, and how a request gets there and nowhere else.

A name is resolved once for each request; every address that it has must be public, or the place be on the allow-list;
and the connection goes to one of these very addresses, so that a name that is bound anew in between leads nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbagora_lab.core.errors import UsageError

if TYPE_CHECKING:
    import httpx

__all__ = ["Resolve", "Webhooks", "is_public"]

_TIMEOUT = 10.0  # seconds for a whole request
_ANSWER = 64 << 10  # bytes of an answer that are read at most; nobody looks at them
_HINT = "give a public https URL; loopback and private places must be on the setting push_allow"

Resolve = Callable[[str, int], Awaitable[list[str]]]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet, also where it is wrapped in one of IPv6.

    Example:
        >>> is_public("8.8.8.8"), is_public("127.0.0.1"), is_public("::ffff:10.0.0.1")
        (True, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        teredo = ip.teredo
        inner = ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


def _place(url: str) -> tuple[str, int]:
    """Host and port of a webhook's URL.

    Raises:
        UsageError: It is none of HTTP, or names a user.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise UsageError(f"{url[:200]!r} is no URL", _HINT) from None
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable():
        raise UsageError(f"{url[:200]!r} is no URL of HTTP", _HINT)
    if parts.username is not None or parts.password is not None:
        raise UsageError("a webhook's URL that names a user", "give credentials as authentication instead")
    return host, port


class Webhooks:
    """Posts to webhooks. On the service loop.

    Args:
        allow: Places that need not be public: ``host`` or ``host:port``.
        resolve: Gives the addresses of a name; the system's unless given.
    """

    def __init__(self, allow: Iterable[str] = (), resolve: Resolve = _resolve) -> None:
        self._allow = frozenset(one.lower() for one in allow)
        self._resolve = resolve
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Closes every connection."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def admit(self, url: str) -> None:
        """Checks that a webhook may be there; of a place that is allowed by name it asks no address yet.

        Raises:
            UsageError: As `check`.
        """
        host, port = _place(url)
        if not self._is_allowed(host, port):
            await self.check(url)

    def _is_allowed(self, host: str, port: int) -> bool:
        return bool({host.lower(), f"{host.lower()}:{port}"} & self._allow)

    async def check(self, url: str) -> str:
        """The address to connect to.

        Raises:
            UsageError: The URL is none of HTTP, names a user, does not resolve, or leads to a place that is not public.
        """
        host, port = _place(url)
        try:
            addresses = await self._resolve(host, port)
        except OSError:
            addresses = []
        if not addresses:
            raise UsageError(f"the host {host} of the webhook does not resolve", _HINT)
        if not self._is_allowed(host, port):
            for address in addresses:
                if not is_public(address):
                    raise UsageError(f"the webhook's host {host} is at {address}, which is not public", _HINT)
        return addresses[0]

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Posts a body; the answer's status and headers, without its content. Follows no redirect.

        Raises:
            UsageError: The URL leads where it may not.
            OSError: Nothing answered.
            TimeoutError: Nothing answered in time.
        """
        import httpx

        address = await self.check(url)
        target = httpx.URL(url)
        pinned = target.copy_with(host=address)
        named = headers | {"Host": target.netloc.decode("ascii")}
        extensions: dict[str, Any] = {"sni_hostname": target.raw_host.decode("ascii")}
        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=_TIMEOUT,
                follow_redirects=False,
                trust_env=False,
                limits=httpx.Limits(max_connections=64, max_keepalive_connections=0),  # a pinned address is for once
            )
        request = self._http.build_request("POST", pinned, content=body, headers=named, extensions=extensions)
        async with asyncio.timeout(_TIMEOUT):
            try:
                response = await self._http.send(request, stream=True)
            except httpx.HTTPError as error:
                raise OSError(repr(error)) from None
            try:
                size = 0
                async for piece in response.aiter_raw():
                    size += len(piece)
                    if size > _ANSWER:
                        break
            finally:
                await response.aclose()
        return response
