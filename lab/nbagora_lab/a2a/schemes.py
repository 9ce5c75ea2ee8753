"""How an agent wants to be called: the security schemes that its card declares, from what a person writes.

| written | the caller shows |
|---|---|
| ``bearer`` | a token that the lab gave out, as ``Authorization: Bearer`` |
| ``basic`` | user and password that the lab knows, as ``Authorization: Basic`` |
| ``apikey header X-API-Key``, ``apikey query key``, ``apikey cookie sid`` | a key that the lab gave out |
| ``oauth2 ISSUER [SCOPE …]``, ``oidc ISSUER [SCOPE …]`` | its signed token for this agent, with these scopes |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nbagora_lab.core.errors import UsageError

__all__ = ["Scheme", "declared", "parse_scheme", "scopes_of"]

_HINT = "write bearer, basic, 'apikey header|query|cookie NAME', 'oauth2 ISSUER [SCOPE …]' or 'oidc ISSUER [SCOPE …]'"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to show who calls.

    Attributes:
        kind: Which.
        place: Where an API key stands: ``header``, ``query`` or ``cookie``.
        parameter: Its name there.
        issuer: URL of who signs tokens.
        scopes: What such a token must allow.
    """

    kind: Literal["bearer", "basic", "apikey", "oauth2", "oidc"]
    place: str = ""
    parameter: str = ""
    issuer: str = ""
    scopes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name on the card."""
        return f"{self.kind}-{self.place}-{self.parameter}" if self.kind == "apikey" else self.kind

    def declaration(self) -> dict[str, Any]:
        """As A2A 1.0's `SecurityScheme` in ProtoJSON."""
        match self.kind:
            case "apikey":
                return {"apiKeySecurityScheme": {"location": self.place, "name": self.parameter}}
            case "oidc":
                url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
                return {"openIdConnectSecurityScheme": {"openIdConnectUrl": url}}
            case "oauth2":
                issuer = self.issuer.rstrip("/")
                flow = {"tokenUrl": f"{issuer}/token", "scopes": dict.fromkeys(self.scopes, "")}
                metadata = f"{issuer}/.well-known/oauth-authorization-server"
                return {"oauth2SecurityScheme": {"flows": {"clientCredentials": flow}, "oauth2MetadataUrl": metadata}}
        return {"httpAuthSecurityScheme": {"scheme": self.kind.capitalize()}}


def parse_scheme(text: str) -> Scheme:
    """Reads what a person wrote.

    Example:
        >>> parse_scheme("apikey header X-API-Key").name
        'apikey-header-X-API-Key'

    Raises:
        UsageError: It is none.
    """
    kind, *rest = text.split() or [""]
    if kind in {"bearer", "basic"} and not rest:
        return Scheme("bearer" if kind == "bearer" else "basic")
    if kind == "apikey" and len(rest) == 2 and rest[0] in {"header", "query", "cookie"} and rest[1].isascii():
        return Scheme("apikey", rest[0], rest[1])
    if kind in {"oauth2", "oidc"} and rest and rest[0].startswith(("http://", "https://")):
        return Scheme("oauth2" if kind == "oauth2" else "oidc", issuer=rest[0], scopes=tuple(rest[1:]))
    raise UsageError(f"no way to show who calls: '{text}'", _HINT)


def declared(schemes: Sequence[Scheme], *, token: bool) -> dict[str, Any]:
    """The members of a card that say how to show who calls; any one of them will do.

    Args:
        schemes: The agent's own.
        token: Whether the lab's own token is asked for; where there are schemes, it will do as well.
    """
    named: dict[str, Scheme] = {}
    for scheme in schemes:
        named[scheme.name if scheme.name not in named else f"{scheme.name}-{len(named)}"] = scheme
    shown = {name: scheme.declaration() for name, scheme in named.items()}
    required = [
        {"schemes": {name: {"list": list(scheme.scopes)} if scheme.scopes else {}}} for name, scheme in named.items()
    ]
    if token and not named:
        shown["token"] = {"httpAuthSecurityScheme": {"scheme": "Bearer"}}
        required.append({"schemes": {"token": {}}})
    return {"securitySchemes": shown, "securityRequirements": required} if shown else {}


def scopes_of(lines: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The scopes that skills want, written ``forecast: weather.read weather.plan``.

    Raises:
        UsageError: A line without a skill or a scope.
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        skill, _, scopes = line.partition(":")
        if not skill.strip() or not scopes.split():
            raise UsageError(f"no scopes of a skill: '{line}'", "write --scope 'forecast: weather.read'")
        found[skill.strip()] = tuple(scopes.split())
    return found
