"""Signed bearer tokens (JWT, RFC 7519 and 9068) of an issuer, checked against the keys that it publishes (JWKS)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from nbagora_lab.core.log import logger

if TYPE_CHECKING:
    import httpx

__all__ = ["Issuer"]

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""None that a caller could sign with a published key."""
_FRESH = 3600.0  # seconds that keys are believed
_AGAIN = 10.0  # seconds between two looks for a key that is not known
_LEEWAY = 30  # seconds that clocks may differ
_LARGEST = 1 << 20  # bytes of what an issuer publishes
_METADATA = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
_log = logger.getChild("a2a")


class Issuer:
    """Whose tokens are taken. On the service loop.

    Args:
        url: As tokens name it.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._keys: dict[str, Any] = {}
        self._read = -_FRESH
        self._lock = asyncio.Lock()

    async def claims(self, token: str, audiences: list[str]) -> dict[str, Any] | None:
        """What a token says; None where it is not this issuer's, not for any of the audiences, or out of date."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=audiences,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return claims if str(claims["iss"]).rstrip("/") == self.url else None

    async def _key(self, kid: str) -> Any:
        async with self._lock:
            now = time.monotonic()
            if now - self._read > _FRESH or (kid not in self._keys and now - self._read > _AGAIN):
                self._read = now
                try:
                    self._keys = await self._fetch()
                except (OSError, ValueError, LookupError, TypeError) as error:
                    _log.warning("the keys of %s can't be read: %r", self.url, error)
            if not kid and len(self._keys) == 1:
                return next(iter(self._keys.values()))
            return self._keys.get(kid)

    async def _fetch(self) -> dict[str, Any]:
        import httpx
        import jwt

        async with httpx.AsyncClient(timeout=5.0, trust_env=False, follow_redirects=False) as http:
            metadata: dict[str, Any] = {}
            for path in _METADATA:
                if isinstance(found := await _get(http, self.url + path), dict):
                    metadata = found
                    break
            if str(metadata.get("issuer", "")).rstrip("/") != self.url:
                raise ValueError(f"its metadata is of {metadata.get('issuer')!r}")
            published = await _get(http, metadata["jwks_uri"])
        keys = {}
        for one in published["keys"]:
            if one.get("kty") in {"RSA", "EC", "OKP"} and one.get("use", "sig") == "sig":
                keys[str(one.get("kid", ""))] = jwt.PyJWK(one)
        return keys


async def _get(http: httpx.AsyncClient, url: str) -> Any:
    import httpx

    try:
        response = await http.get(url, headers={"Accept": "application/json"})
    except httpx.HTTPError as error:
        raise OSError(repr(error)) from None
    if response.status_code != 200 or len(response.content) > _LARGEST:
        return None
    return response.json()
