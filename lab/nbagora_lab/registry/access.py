"""Access: who may do what with the registry, and what may be published at all.

| role | may, within its namespace |
|---|---|
| `read` | see what is public, and its own |
| `publish` | also make things of its own, and do with these all that `operate` may |
| `operate` | also label, roll back, set rules, approve drafts, end versions, and lease endpoints of all things |
| `admin` | also publish others' things, give them away, hand out tokens and set policies |

Whoever has the lab in their hands, in its process or by its own token, is `local`, an admin of everything. The others
come with tokens, of which the registry keeps digests alone. A refused call leaves a line in the audit.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import Forbidden, LabError, UsageError, did_you_mean
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.fields import values_of
from nbagora_lab.registry.model import LOCAL, By
from nbagora_lab.registry.words import fold

__all__ = ["ADMIN", "ROLES", "Access", "Grant", "Policy", "Principal", "Role", "Verifier"]

Role = Literal["read", "publish", "operate", "admin"]
"""What a principal may do; each role may what those before it may."""

ROLES: tuple[Role, ...] = get_args(Role)
"""All roles, the least first."""


class Principal(NamedTuple):
    """Who calls.

    Attributes:
        name: Their name, as it stands in the audit.
        role: What they may.
        namespace: Where; empty: everywhere.
    """

    name: str
    role: Role
    namespace: str = ""

    def may(self, role: Role, namespace: str) -> bool:
        """Whether they have a role, or more, in a namespace."""
        return self.namespace in {"", namespace} and ROLES.index(self.role) >= ROLES.index(role)


ADMIN = Principal(LOCAL.who, "admin")
"""Whoever has the lab in their hands."""


class Grant(NamedTuple):
    """A token that was handed out; the only time that it is told.

    Attributes:
        token: The token.
        principal: Whom it makes its bearer.
        expires: Seconds since the Unix epoch; None: never.
    """

    token: str
    principal: Principal
    expires: float | None


class Policy(BaseModel):
    """What may be published in a namespace.

    Attributes:
        signed: Whether a card must carry a signature by one of `keys`.
        keys: Public keys, as JWKs by their key ids.
        schemes: A card must declare one of these security schemes, by name or kind; empty: any, or none.
        hosts: Hosts at which its endpoints may be, or patterns of them; empty: any.
        approval: Whether what is published is a draft until somebody else, who may operate, approves it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    signed: bool = False
    keys: dict[str, dict[str, Any]] = {}
    schemes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    approval: bool = False


Verifier = Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], None]
"""Checks a card's signatures by public keys; raises a `LabError` that says what is wrong."""


class Access:
    """Tokens and policies, on whatever engine keeps them.

    Args:
        catalog: The engine.
        now: Gives seconds since the Unix epoch.
        verify: Checks signatures; the registry itself knows none.
    """

    def __init__(self, catalog: Catalog, now: Callable[[], float], verify: Verifier | None = None) -> None:
        self._catalog = catalog
        self._now = now
        self.verify = verify

    def grant(self, principal: Principal, lifetime: float | None, by: By) -> Grant:
        """Hands out a token.

        Raises:
            UsageError: No such role, or a lifetime that is none.
            BadName: The name or namespace breaks the rules for names.
        """
        check_name(principal.name, "principal")
        if principal.namespace:
            check_name(principal.namespace, "namespace")
        if principal.role not in ROLES:
            raise UsageError(f"no role '{principal.role}'", did_you_mean(principal.role, ROLES))
        if lifetime is not None and not 0 < lifetime < float("inf"):
            raise UsageError(f"a token that lives {lifetime!r} s", "a lifetime is a number of seconds above 0")
        expires = None if lifetime is None else self._now() + lifetime
        token = f"nba_{secrets.token_urlsafe(32)}"
        value = {**principal._asdict(), "expires": expires}
        self._catalog.put("token", "", _digest(token), value, told=value, by=by)
        return Grant(token, principal, expires)

    def revoke(self, name: str, by: By) -> int:
        """Takes back all tokens of a principal; how many there were."""
        taken = 0
        for (_, key), value in self._catalog.documents("token", "").items():
            if value["name"] == name:
                taken += self._catalog.put("token", "", key, None, told={"name": name, "revoked": True}, by=by)
        return taken

    def knows(self, token: str) -> bool:
        """Whether a token was handed out and not taken back; it may have run out."""
        return self._catalog.document("token", "", _digest(token)) is not None

    def principal(self, token: str) -> Principal:
        """Whom a token makes its bearer.

        Raises:
            Forbidden: It is none of this registry's, was taken back, or ran out.
        """
        value = self._catalog.document("token", "", _digest(token)) if token else None
        if value is None:
            raise Forbidden("the token is none of this registry's, or was taken back", "ask an admin for another")
        if value["expires"] is not None and value["expires"] <= self._now():
            raise Forbidden(f"the token of {value['name']} ran out", "ask an admin for another")
        return Principal(value["name"], value["role"], value["namespace"])

    def set_policy(self, namespace: str, given: Mapping[str, Any] | None, by: By) -> bool:
        """Sets what may be published in a namespace; None: everything.

        Raises:
            UsageError: It is no policy; names all that does not fit.
        """
        check_name(namespace, "namespace")
        value = None
        if given is not None:
            try:
                policy = Policy.model_validate(dict(given))
            except ValidationError as error:
                problems = "; ".join(f"/{'/'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
                raise UsageError(
                    f"a policy that does not fit: {problems}", "give signed, keys, schemes, hosts, approval"
                ) from None
            value = policy.model_dump(mode="json")
        return self._catalog.put("policy", namespace, "", value, told={"to": value}, by=by)

    def policy(self, namespace: str) -> Policy:
        """What may be published in a namespace."""
        value = self._catalog.document("policy", namespace, "") if "access" in self._catalog.capabilities else None
        return Policy() if value is None else Policy.model_validate(value)

    def check_card(self, policy: Policy, card: Mapping[str, Any]) -> None:
        """Refuses a card that a policy does not let in.

        Raises:
            Forbidden: Says by which of its rules.
        """
        if policy.signed:
            if self.verify is None:
                raise Forbidden("only signed cards may be published here, and nothing here can check one", "use a lab")
            try:
                self.verify(card, policy.keys)
            except LabError as error:
                raise Forbidden(f"only signed cards may be published here: {error.what}", error.hint) from None
        if policy.schemes:
            declared = {fold(scheme) for scheme in values_of(dict(card), "scheme")}
            if not declared & {fold(scheme) for scheme in policy.schemes}:
                raise Forbidden(
                    f"a card here must declare one of the schemes {', '.join(policy.schemes)}",
                    "add it to securitySchemes",
                )
        for interface in card.get("supportedInterfaces", ()):
            if isinstance(interface, Mapping) and interface.get("url"):
                self.check_host(policy, str(interface["url"]))

    def check_host(self, policy: Policy, url: str) -> None:
        """Refuses a place that a policy does not let in.

        Raises:
            Forbidden: Its host is none of those allowed.
        """
        if not policy.hosts:
            return
        try:
            host = urlsplit(url).hostname or url.partition(":")[0]
        except ValueError:
            host = ""
        if not any(fnmatchcase(host.lower(), pattern.lower()) for pattern in policy.hosts):
            raise Forbidden(
                f"'{host}' is none of the hosts allowed here", f"endpoints may be at {', '.join(policy.hosts)}"
            )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
