"""What this lab's user shows to the agents of others: given once, for an agent or for a call, and never on record.

| written | is shown where a card asks for |
|---|---|
| ``bearer TOKEN`` | an HTTP bearer token, or a token of an OAuth 2 or OpenID issuer, which this is then |
| ``basic USER:PASSWORD`` | HTTP basic |
| ``apikey KEY`` | an API key, in the header, query or cookie that the card names |
| ``oauth2 CLIENT:SECRET [ISSUER]`` | OAuth 2 or OpenID Connect: a token is fetched, of ISSUER alone if given |

``env:NAME`` in a secret's place stands for what that environment variable holds: ``bearer env:WEATHER_TOKEN``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from nbagora_lab.core.errors import NotFound, UsageError, did_you_mean
from nbagora_lab.core.vault import Vault

__all__ = ["Credential", "Keyring", "parse_credential", "parse_credentials"]

_KEPT = "keyring"
_HINT = "write 'bearer TOKEN', 'basic USER:PASSWORD', 'apikey KEY' or 'oauth2 CLIENT:SECRET [ISSUER]'"


@dataclass(frozen=True, slots=True)
class Credential:
    """One thing that can be shown.

    Attributes:
        kind: Which.
        user: The user of ``basic``, the client of ``oauth2``.
        secret: The token, password, key or client's secret; or ``env:`` and the variable that holds it.
        issuer: URL of the only one who may be told the secret of ``oauth2``; empty: whom the card names.
    """

    kind: Literal["bearer", "basic", "apikey", "oauth2"]
    user: str = ""
    secret: str = field(default="", repr=False)
    issuer: str = ""

    def value(self) -> str:
        """The secret itself.

        Raises:
            UsageError: The variable that is to hold it is not set, or holds what no header can.
        """
        name = self.secret.removeprefix("env:")
        if name == self.secret:
            return self.secret
        value = os.environ.get(name, "").strip()
        if not value or not value.isprintable():
            raise UsageError(f"no secret in the environment variable {name}", f"set it to that of your '{self.kind}'")
        return value


def parse_credential(text: str) -> Credential:
    """Reads what a person wrote.

    Example:
        >>> parse_credential("basic 小明:env:PASSWORD")
        Credential(kind='basic', user='小明', issuer='')

    Raises:
        UsageError: It is none; the text itself is not repeated.
    """
    kind, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if kind == "basic" and ":" in rest:
        user, _, secret = rest.partition(":")
        return _checked(Credential("basic", user, secret))
    words = rest.split()
    if kind in {"bearer", "apikey"} and len(words) == 1:
        return _checked(Credential("bearer" if kind == "bearer" else "apikey", secret=rest))
    if kind == "oauth2" and len(words) in {1, 2} and ":" in words[0]:
        client, _, secret = words[0].partition(":")
        issuer = words[1] if len(words) == 2 else ""
        if not issuer or issuer.startswith(("http://", "https://")):
            return _checked(Credential("oauth2", client, secret, issuer.rstrip("/")))
    known = {"bearer", "basic", "apikey", "oauth2"}
    raise UsageError(f"no credentials{f' of the kind {kind!r}' if kind in known else ''}", _HINT)


def _checked(credential: Credential) -> Credential:
    if not credential.secret or not (credential.secret + credential.user).isprintable():
        raise UsageError(f"no secret in these credentials '{credential.kind}'", _HINT)
    return credential


def parse_credentials(given: str | Sequence[str] | None) -> tuple[Credential, ...]:
    """What a person gave: one, several of which the card may choose, or none."""
    texts = (given,) if isinstance(given, str) else given or ()
    return tuple(parse_credential(text) for text in texts)


class Keyring:
    """What is shown to which agents, kept in the store's key file. May be used from any thread.

    Args:
        vault: Where it is kept.

    Example:
        lab.keyring.keep("https://weather.example", "apikey env:WEATHER_KEY")
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def keep(self, agent: str, credentials: str | Sequence[str]) -> None:
        """Shows these to an agent from now on, in place of what was shown before.

        Args:
            agent: Its name, its URL, or a URL below which all agents are meant.
            credentials: One or several, written as the module's table has it; the card chooses.

        Raises:
            UsageError: They are none.
        """
        texts = [credentials] if isinstance(credentials, str) else list(credentials)
        if not agent or not parse_credentials(texts):
            raise UsageError(f"no credentials for '{agent}'", _HINT)
        self._vault.put(_KEPT, agent.rstrip("/"), texts)

    def forget(self, agent: str) -> None:
        """Shows an agent nothing any more.

        Raises:
            NotFound: It was shown nothing.
        """
        kept = self._vault.all(_KEPT)
        if agent.rstrip("/") not in kept:
            raise NotFound(f"nothing is kept for '{agent}'", did_you_mean(agent, kept))
        self._vault.drop(_KEPT, agent.rstrip("/"))

    def kept(self) -> dict[str, list[str]]:
        """The kinds of what is kept, by agent; no secret is told."""
        kept = self._vault.all(_KEPT)
        return {agent: [one.kind for one in parse_credentials(texts)] for agent, texts in sorted(kept.items())}

    def find(self, agent: str, url: str) -> tuple[Credential, ...]:
        """What an agent is shown, by its name or by what of its URL is kept, the longest first."""
        kept = self._vault.all(_KEPT)
        fitting = [place for place in kept if place == agent or f"{url.rstrip('/')}/".startswith(f"{place}/")]
        return parse_credentials(kept[max(fitting, key=len)]) if fitting else ()
