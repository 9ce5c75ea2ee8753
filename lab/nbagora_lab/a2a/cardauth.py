"""Showing who calls, as a card asks for it: in headers, query or cookie, by secrets given or tokens fetched for them.

A card names alternatives; the first of them that what was given can meet is met. Nothing is shown that no card asks
for. A client's secret goes to the token's place that the card names, by https or on this machine, and to no other than
the issuer that the user wrote down, if one was.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote_plus

import httpx

from nbagora_lab.a2a.keyring import Credential
from nbagora_lab.core.errors import LabError, Unauthorized, UsageError

__all__ = ["HOW_TO_GIVE", "CardAuth", "OwnToken", "in_words", "wanted"]

_EARLY = 10.0  # seconds before its end that a token is taken for old
HOW_TO_GIVE = "give it as credentials=, or keep it: lab.keyring.keep(agent, …); %agent login does so, too"
"""The hint of errors that name what a card asks for."""

_WRITTEN = {
    "apikey": "'apikey KEY'",
    "bearer": "'bearer TOKEN'",
    "basic": "'basic USER:PASSWORD'",
    "oauth2": "'oauth2 CLIENT:SECRET'",
    "oidc": "'oauth2 CLIENT:SECRET'",
    "mtls": "a client certificate, which can't be given here",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One thing that a card asks for.

    Attributes:
        kind: ``apikey``, ``bearer``, ``basic``, ``oauth2``, ``oidc``, ``mtls``, or what else HTTP has.
        place: Where an API key stands; where a token is to be had, or is told of.
        name: The key's name there.
        scopes: What the token is to allow.
        more: What of that only some skills want.
    """

    kind: str
    place: str = ""
    name: str = ""
    scopes: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def words(self) -> str:
        """For messages."""
        scopes = f" with {' '.join(self.scopes)}" if self.scopes else ""
        match self.kind:
            case "apikey":
                what = f"an API key in the {self.place} {self.name}"
            case "oauth2" | "oidc":
                named = "OAuth 2" if self.kind == "oauth2" else "OpenID Connect"
                what = f"a token by {named} from {self.place or 'nowhere that client credentials lead to'}{scopes}"
            case "mtls":
                what = "a client certificate"
            case _:
                what = f"HTTP {self.kind}{scopes}"
        return f"{what} ({_WRITTEN[self.kind]})" if self.kind in _WRITTEN else what

    def met_by(self, given: Sequence[Credential]) -> Credential | None:
        """What of it can be shown for this: the kind that it is of, or else a token that somebody has fetched."""
        kinds = ["oauth2"] * bool(self.place) + ["bearer"] if self.kind in {"oauth2", "oidc"} else [self.kind]
        return next((one for kind in kinds for one in given if one.kind == kind), None)


def wanted(card: Mapping[str, Any]) -> list[list[_Asked]]:
    """What a card asks for: alternatives, each of things that are all wanted. None: it asks for nothing.

    Schemes that it declares without requiring any count as one alternative each.

    Args:
        card: An AgentCard in ProtoJSON.
    """
    schemes: dict[str, Any] = card.get("securitySchemes", {})
    by_skills: dict[str, set[str]] = {}
    for skill in card.get("skills", []):
        for requirement in skill.get("securityRequirements", []):
            for name, listed in requirement.get("schemes", {}).items():
                by_skills.setdefault(name, set()).update(listed.get("list", []))
    required = [one.get("schemes", {}) for one in card.get("securityRequirements", [])] or [
        {name: {}} for name in schemes
    ]
    return [
        [
            _asked(schemes.get(name, {}), listed.get("list", []), by_skills.get(name, set()))
            for name, listed in one.items()
        ]
        for one in required
    ]


def in_words(alternatives: Sequence[Sequence[_Asked]]) -> str:
    """What a card asks for, for messages; empty for nothing."""
    return ", or ".join(" and ".join(thing.words() for thing in asked) for asked in alternatives)


def _asked(scheme: Mapping[str, Any], scopes: Sequence[str], by_skills: set[str]) -> _Asked:
    for member, said in scheme.items():
        match member:
            case "apiKeySecurityScheme":
                return _Asked("apikey", said.get("location", ""), said.get("name", ""))
            case "httpAuthSecurityScheme":
                return _Asked(said.get("scheme", "").lower(), scopes=tuple(scopes))
            case "oauth2SecurityScheme":
                place = said.get("flows", {}).get("clientCredentials", {}).get("tokenUrl", "")
                return _Asked("oauth2", place, "", tuple(scopes), tuple(sorted(by_skills)))
            case "openIdConnectSecurityScheme":
                return _Asked("oidc", said.get("openIdConnectUrl", ""), "", tuple(scopes), tuple(sorted(by_skills)))
            case "mtlsSecurityScheme":
                return _Asked("mtls")
    return _Asked("something that the card does not describe")


class OwnToken(httpx.Auth):
    """Gives a lab's token to the doors of the labs that share it and to nobody else's.

    Args:
        members: Gives the labs' URLs.
        token: Their token; empty for none.
    """

    def __init__(self, members: Callable[[], Collection[str]], token: str) -> None:
        self._members = members
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Puts the token on a request, if it goes to its own doors (httpx's hook)."""
        url = request.url
        if self._token and any(_place(httpx.URL(one)) == _place(url) for one in self._members()):
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _place(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


class CardAuth(httpx.Auth):
    """Shows what one agent's card asks for. Lives on one event loop.

    Args:
        agent: The agent's name, for messages.
        url: Its URL: whom tokens are for.
        given: What can be shown.
    """

    def __init__(self, agent: str, url: str, given: Sequence[Credential]) -> None:
        self._agent = agent
        self._url = url
        self._given = tuple(given)
        self._shown: list[tuple[_Asked, Credential]] = []
        self._settled = False
        self._token = ""
        self._until = 0.0
        self._fetching = asyncio.Lock()

    def settle(self, card: Mapping[str, Any]) -> None:
        """Chooses what is shown from now on.

        Raises:
            Unauthorized: The card requires what can't be met; names all that would do.
        """
        alternatives = wanted(card)
        for asked in alternatives:
            found = [thing.met_by(self._given) for thing in asked]
            if all(found):
                self._shown = [(thing, one) for thing, one in zip(asked, found, strict=True) if one is not None]
                break
        else:
            if card.get("securityRequirements"):
                kinds = ", ".join(f"'{one.kind}'" for one in self._given)
                what = f"{self._agent} wants {in_words(alternatives)}; given is {kinds or 'nothing'}"
                raise Unauthorized(what, HOW_TO_GIVE)
        self._settled = True

    def hidden(self, text: str) -> str:
        """A text without the secrets that may stand in it."""
        secrets = [self._token]
        for credential in self._given:
            with contextlib.suppress(LabError):  # one that is not to be had stands nowhere
                secrets.append(credential.value())
        for secret in secrets:
            for written in (secret, quote_plus(secret)) if secret else ():
                text = text.replace(written, "…")
        return text

    def words(self) -> str:
        """What is shown, for messages."""
        return " and ".join(asked.words() for asked, _ in self._shown) or "nothing"

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Puts it on a request (httpx's hook); a token that is refused is fetched anew, once."""
        if not self._settled:
            response = yield request
            if response.status_code == 401 and self._challenged(request, response):
                yield request
            return
        fetched = False
        for asked, credential in self._shown:
            if credential.kind == "oauth2":
                async with self._fetching:
                    if time.monotonic() >= self._until:
                        fetched = True
                        await self._fetch(asked, credential)
                request.headers["Authorization"] = f"Bearer {self._token}"
            else:
                _show(request, asked, credential)
        used = self._token
        response = yield request
        if response.status_code == 401 and used and not fetched:
            async with self._fetching:
                if self._token == used:
                    asked, credential = next(one for one in self._shown if one[1].kind == "oauth2")
                    await self._fetch(asked, credential)
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _challenged(self, request: httpx.Request, response: httpx.Response) -> bool:
        """Puts on a request for the card itself what its refusal asks for; whether there is such a thing."""
        challenge = response.headers.get("www-authenticate", "").lower()
        for credential in self._given:
            if credential.kind in {"bearer", "basic"} and credential.kind in challenge:
                _show(request, _Asked(credential.kind), credential)
                return True
        return False

    async def _fetch(self, asked: _Asked, credential: Credential) -> None:
        """A token for a client's secret (RFC 6749, section 4.4; RFC 8707 for whom)."""
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http:
            place = asked.place if asked.kind == "oauth2" else await self._endpoint(http, asked, credential)
            self._check(place, credential)
            pair = f"{quote_plus(credential.user)}:{quote_plus(credential.value())}"
            headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
            form = {"grant_type": "client_credentials", "resource": self._url}
            for scopes in dict.fromkeys((asked.scopes + asked.more, asked.scopes)):  # more than it may have is refused
                said = form | ({"scope": " ".join(dict.fromkeys(scopes))} if scopes else {})
                told = await self._json(http.build_request("POST", place, data=said, headers=headers), http)
                if told.get("error") != "invalid_scope":
                    break
        if not isinstance(token := told.get("access_token"), str):
            raise Unauthorized(
                f"{place} gives '{credential.user}' no token for {self._agent}: {told.get('error', 'it says nothing')}",
                "check the client and its secret, and what it may be allowed",
            )
        lasting = told.get("expires_in", 60)
        self._token = token
        self._until = time.monotonic() + (float(lasting) if isinstance(lasting, int | float) else 60.0) - _EARLY

    async def _endpoint(self, http: httpx.AsyncClient, asked: _Asked, credential: Credential) -> str:
        """Where an OpenID issuer gives tokens."""
        self._check(asked.place, credential)
        return str((await self._json(http.build_request("GET", asked.place), http)).get("token_endpoint", ""))

    def _check(self, place: str, credential: Credential) -> None:
        """Lets a secret go nowhere but to the issuer that was meant, and nowhere in clear."""
        try:
            url = httpx.URL(place)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if credential.issuer and not f"{place}/".startswith(f"{credential.issuer}/"):
            raise Unauthorized(
                f"the card of {self._agent} wants the secret of '{credential.user}' told to {place}",
                f"it was given for {credential.issuer} alone: give it anew if that place is right",
            )
        if url.scheme != "https" and not (url.scheme == "http" and url.host in {"127.0.0.1", "::1", "localhost"}):
            raise Unauthorized(
                f"{self._agent} wants a token from {place or 'nowhere'}, which is not https",
                "get a token there yourself, and give it as 'bearer TOKEN'",
            )

    async def _json(self, request: httpx.Request, http: httpx.AsyncClient) -> dict[str, Any]:
        try:
            told = (await http.send(request)).json()
        except (httpx.HTTPError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise Unauthorized(f"no token for {self._agent} from {request.url}: {why}", "is that issuer up?") from None
        return told if isinstance(told, dict) else {}


def _show(request: httpx.Request, asked: _Asked, credential: Credential) -> None:
    secret = credential.value()
    if not secret.isascii() and asked.kind != "basic" and asked.place != "query":
        raise UsageError(f"your '{credential.kind}' has letters that no header can carry", "is it the right one?")
    if asked.kind == "apikey" and asked.place == "query":
        request.url = request.url.copy_set_param(asked.name, secret)
    elif asked.kind == "apikey" and asked.place == "cookie":
        cookie: SimpleCookie = SimpleCookie({asked.name: secret})
        before = request.headers.get("Cookie", "")
        request.headers["Cookie"] = "; ".join(
            [*([before] if before else []), cookie.output(header="", sep=";").strip()]
        )
    elif asked.kind == "apikey":
        request.headers[asked.name] = secret
    elif asked.kind == "basic":
        pair = base64.b64encode(f"{credential.user}:{secret}".encode()).decode()
        request.headers["Authorization"] = f"Basic {pair}"
    else:
        request.headers["Authorization"] = f"Bearer {secret}"
