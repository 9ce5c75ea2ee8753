"""Who calls: credentials that the lab gave out, tokens of issuers, and tickets, as an agent's schemes ask for them.

Whoever shows the lab's own token is its own user, who may do everything. Every other caller has a name (the owner of
what it sends, whom nobody else can see) and scopes. Secrets are kept as digests, passwords by scrypt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Scope

from nbagora_lab.a2a.schemes import Scheme
from nbagora_lab.a2a.tokens import Issuer
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.vault import Vault

__all__ = ["Caller", "Credentials", "Gate", "Tickets"]

_GIVEN = "credentials"
_SCRYPT: dict[str, Any] = {"n": 1 << 14, "r": 8, "p": 1}
_LONGEST = 3600.0  # seconds that a ticket may be good for


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        owner: Its name; empty for the lab's own user.
        scopes: What it may do; None for everything.
    """

    owner: str
    scopes: frozenset[str] | None = None

    @property
    def is_authenticated(self) -> bool:
        """For the SDK: whoever got here is."""
        return True

    @property
    def display_name(self) -> str:
        """For the SDK: who owns what is sent."""
        return self.owner


class Credentials:
    """What the lab has given out. May be used from any thread.

    Args:
        vault: Where it is kept.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def grant(
        self, owner: str, kind: str = "bearer", *, scopes: Iterable[str] = (), password: str | None = None
    ) -> str:
        """Gives a caller credentials.

        Args:
            owner: Name of the caller.
            kind: ``bearer``, ``apikey`` or ``basic``.
            scopes: What it may do.
            password: Of ``basic``; made unless given.

        Returns:
            The secret, which is told this once.

        Raises:
            UsageError: A name or kind that does not fit.
        """
        if kind not in {"bearer", "apikey", "basic"} or not owner or ":" in owner or not owner.isprintable():
            raise UsageError(f"no credentials '{kind}' for {owner!r}", "give a name, and bearer, apikey or basic")
        secret = password if kind == "basic" and password else secrets.token_urlsafe(32)
        kept: dict[str, Any] = {"owner": owner, "scopes": sorted(set(scopes))}
        if kind == "basic":
            salt = secrets.token_bytes(16)
            kept |= {"salt": salt.hex(), "scrypt": hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT).hex()}
            self._vault.put(_GIVEN, f"basic {owner}", kept)
        else:
            self._vault.put(_GIVEN, f"{kind} {_digest(secret)}", kept)
        return secret

    def revoke(self, owner: str) -> int:
        """Takes all credentials of a caller back; their number."""
        names = [name for name, kept in self._vault.all(_GIVEN).items() if kept["owner"] == owner]
        for name in names:
            self._vault.drop(_GIVEN, name)
        return len(names)

    def of_secret(self, kind: str, secret: str) -> Caller | None:
        """Who has been given a key or token."""
        kept = self._vault.get(_GIVEN, f"{kind} {_digest(secret)}")
        return Caller(kept["owner"], frozenset(kept["scopes"])) if kept is not None else None

    def of_password(self, user: str, password: str) -> Caller | None:
        """Who has that password. Takes as long for a user that there is not."""
        kept = self._vault.get(_GIVEN, f"basic {user}")
        salt = bytes.fromhex(kept["salt"]) if kept is not None else bytes(16)
        digest = hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT).hex()
        if kept is None or not hmac.compare_digest(digest, kept["scrypt"]):
            return None
        return Caller(kept["owner"], frozenset(kept["scopes"]))


class Tickets:
    """Short-lived leave to read one place, for an EventSource or a link, which can't set headers.

    Args:
        vault: Where the key is kept.
        clock: Time.
    """

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._clock = clock
        key = vault.get("tickets", "key")
        if key is None:
            key = secrets.token_hex(32)
            vault.put("tickets", "key", key)
        self._key = bytes.fromhex(key)

    def issue(self, caller: Caller, path: str, seconds: float = 60.0) -> str:
        """A ticket for GET requests to `path` and what lies below it.

        Raises:
            UsageError: A path or time that does not fit.
        """
        if not path.startswith("/") or not 0 < seconds <= _LONGEST:
            raise UsageError(f"no ticket for {path[:80]!r} and {seconds} s", f"give a path and up to {_LONGEST:g} s")
        scopes = sorted(caller.scopes) if caller.scopes is not None else None
        claims = json.dumps([caller.owner, scopes, path, self._clock.now() + seconds], separators=(",", ":"))
        packed = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
        return f"{packed}.{self._sign(packed)}"

    def read(self, ticket: str, path: str) -> Caller | None:
        """Who was given a ticket that is good for `path` now."""
        packed, _, mac = ticket.partition(".")
        if not hmac.compare_digest(self._sign(packed).encode(), mac.encode()):
            return None
        owner, scopes, place, until = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        below = path == place or path.startswith((place.rstrip("/") + "/", f"{place}:"))
        if not below or self._clock.now() > until:
            return None
        return Caller(owner, frozenset(scopes) if scopes is not None else None)

    def _sign(self, packed: str) -> str:
        mac = hmac.digest(self._key, packed.encode(), "sha256")
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


class Gate:
    """Lets in who shows what the agent's schemes ask for.

    Args:
        schemes: The schemes; any one of them will do.
        credentials: What the lab has given out.
        audiences: Names of this agent, one of which a signed token must be for.
        issuers: Those that are known, by URL; shared, so that keys are read once.
    """

    def __init__(
        self,
        schemes: Sequence[Scheme],
        credentials: Credentials,
        audiences: Sequence[str],
        issuers: dict[str, Issuer],
    ) -> None:
        self.schemes = tuple(schemes)
        self._credentials = credentials
        self._audiences = list(audiences)
        self._issuers = {
            one.issuer: issuers.setdefault(one.issuer, Issuer(one.issuer)) for one in schemes if one.issuer
        }

    @property
    def challenge(self) -> str:
        """The WWW-Authenticate of a refusal."""
        kinds = {"Basic" if one.kind == "basic" else "Bearer" for one in self.schemes if one.kind != "apikey"}
        return ", ".join(f'{kind} realm="nbagora"' for kind in sorted(kinds)) or 'ApiKey realm="nbagora"'

    async def caller(self, scope: Scope, headers: Headers) -> Caller | None:
        """Who calls; None where nothing that is shown will do."""
        import asyncio

        way, _, shown = headers.get("authorization", "").partition(" ")
        way, shown = way.lower(), shown.strip()
        for scheme in self.schemes:
            found: Caller | None = None
            if scheme.kind == "bearer" and way == "bearer":
                found = self._credentials.of_secret("bearer", shown)
            elif scheme.kind == "basic" and way == "basic":
                found = await asyncio.to_thread(self._basic, shown)
            elif scheme.kind == "apikey":
                key = _key_at(scheme, scope, headers)
                found = self._credentials.of_secret("apikey", key) if key else None
            elif scheme.issuer and way == "bearer":
                found = await self._signed(scheme, shown)
            if found is not None:
                return found
        return None

    def _basic(self, shown: str) -> Caller | None:
        try:
            user, colon, password = base64.b64decode(shown, validate=True).decode().partition(":")
        except ValueError:
            return None
        return self._credentials.of_password(user, password) if colon else None

    async def _signed(self, scheme: Scheme, token: str) -> Caller | None:
        issuer = self._issuers[scheme.issuer]
        claims = await issuer.claims(token, self._audiences)
        if claims is None:
            return None
        scopes = frozenset(_scopes(claims))
        if not scopes.issuperset(scheme.scopes):
            return None
        return Caller(f"{claims['sub']}@{issuer.url}", scopes)


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """RFC 9068's ``scope``, or the ``scp`` of some issuers."""
    said = claims.get("scope", claims.get("scp", ""))
    return said.split() if isinstance(said, str) else [str(one) for one in said] if isinstance(said, list) else []


def _key_at(scheme: Scheme, scope: Scope, headers: Headers) -> str:
    if scheme.place == "header":
        return headers.get(scheme.parameter, "")
    if scheme.place == "query":
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return str(query.get(scheme.parameter, [""])[0])
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(scheme.parameter)
    except CookieError:
        return ""
    return str(found.value) if found is not None else ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
