"""Who speaks to the registry: what each face of it checks before a call reaches the engine, and tells afterwards."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.clock import Clock, SystemClock
from nbagora_lab.core.errors import AgentNotFound, Forbidden, UsageError
from nbagora_lab.registry.access import ADMIN, Access, Grant, Policy, Principal, Role, Verifier
from nbagora_lab.registry.api import CAPABILITIES, Catalog
from nbagora_lab.registry.change import Change
from nbagora_lab.registry.model import NAMESPACE, NOUNS, AgentVersion, By, Kind, Thing
from nbagora_lab.registry.routing import Router
from nbagora_lab.registry.watch import Feed

__all__ = ["Embedder", "Governed"]

Embedder = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Gives each text a vector; texts that mean the same get vectors that point the same way."""


class Governed:
    """The part of the registry's face that knows who calls.

    Args:
        catalog: The engine.
        clock: Time of tokens and leases.
        verify: Checks cards' signatures, for policies that ask for them.
        embed: Gives texts vectors, so that a search finds by meaning, too.

    Attributes:
        catalog: The engine.
        principal: Who calls.
        why: The reason that they give.
        on_render: Is told of every version of a prompt that was written out.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        clock: Clock | None = None,
        verify: Verifier | None = None,
        embed: Embedder | None = None,
    ) -> None:
        self.catalog = catalog
        self.principal: Principal = ADMIN
        self.why = ""
        self.on_render: Callable[[AgentVersion], None] = lambda _version: None
        self._clock = clock or SystemClock()
        self._access = Access(catalog, self._clock.now, verify)
        self._feed = Feed(catalog)
        self._router = Router(catalog, self._clock.now, self._feed.wake)
        self._embed = embed
        self._vectors: dict[str, Sequence[float]] = {}

    def because(self, why: str) -> Self:
        """The same registry, for calls whose records say why: ``registry.because("ticket 7").label(…)``."""
        twin = copy.copy(self)
        twin.why = why
        return twin

    def acting(self, who: str, role: Role = "admin", namespace: str = "", *, why: str = "") -> Self:
        """The same registry, for calls in somebody's name. Only whoever has the lab in their hands may do that.

        Args:
            who: Their name.
            role: What they may.
            namespace: Where; empty: everywhere.
            why: The reason for what they do.

        Raises:
            Forbidden: The caller came with a token.
        """
        if self.principal.role != "admin" or self.principal.namespace:
            raise Forbidden(f"{self.principal.name} may not act in another's name", "use the lab's own registry")
        twin = self.because(why)
        twin.principal = Principal(check_name(who, "principal"), role, namespace)
        return twin

    def with_token(self, token: str, *, why: str = "") -> Self:
        """The same registry, for whoever bears a token.

        Raises:
            Forbidden: It is none, was taken back, or ran out.
        """
        twin = self.because(why)
        twin.principal = self._access.principal(token)
        return twin

    def grant(self, who: str, role: Role = "read", *, namespace: str = "", lifetime: float | None = None) -> Grant:
        """Hands out a token; this is the only time that it is told.

        Args:
            who: Its bearer's name, as it stands in the audit.
            role: ``read``, ``publish``, ``operate`` or ``admin``.
            namespace: Where; empty: everywhere.
            lifetime: Seconds that it holds; None: until it is taken back.
        """
        self._need("access")
        by = self._may("handing out tokens", ("agent", namespace, ""), "admin")
        granted = self._access.grant(Principal(who, role, namespace), lifetime, by)
        self._feed.wake()
        return granted

    def admits(self, token: str) -> bool:
        """Whether a token is one of this registry's: what it may is another question, which each call asks."""
        return token.startswith("nba_") and self._access.knows(token)

    def revoke(self, who: str) -> int:
        """Takes back all tokens of somebody; how many there were."""
        self._need("access")
        return self._access.revoke(who, self._may("taking back tokens", ("agent", "", ""), "admin"))

    def policy(self, namespace: str = NAMESPACE) -> Policy:
        """What may be published in a namespace."""
        return self._access.policy(namespace)

    def set_policy(self, policy: Mapping[str, Any] | None, *, namespace: str = NAMESPACE) -> bool:
        """Sets what may be published in a namespace; None: everything. Whether that changed anything."""
        self._need("access")
        by = self._may("setting a policy", ("agent", namespace, ""), "admin")
        return self._access.set_policy(namespace, policy, by)

    def give(
        self,
        name: str,
        owner: str | None = None,
        *,
        private: bool | None = None,
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
    ) -> bool:
        """Gives a thing to another owner, hides it, or shows it. Whether that changed anything."""
        thing = self._thing(kind, namespace, name)
        by = self._may("giving it away", thing, "admin", own="publish")
        changed = self.catalog.own(namespace, name, kind=kind, owner=owner, private=private, by=by)
        self._feed.wake()
        return changed

    @property
    def _everywhere(self) -> bool:
        return self.principal.role == "admin" and not self.principal.namespace

    def _thing(self, kind: Kind, namespace: str, name: str) -> Thing:
        """Checks the names of a thing."""
        if kind not in NOUNS:
            raise UsageError(f"no kind '{kind}'", f"there are: {', '.join(NOUNS)}")
        check_name(namespace, "namespace")
        check_name(name, "agent")
        if kind != "agent":
            self._need("kinds")
        return kind, namespace, name

    def _need(self, capability: str) -> None:
        if capability not in self.catalog.capabilities:
            raise UsageError(
                f"the {self.catalog.engine} registry has no {CAPABILITIES[capability]}", "use the embedded registry"
            )

    def _may(self, action: str, thing: Thing, role: Role, *, own: Role | None = None) -> By:
        """Whom a change is to be put down to.

        Args:
            action: What is to be done.
            thing: With what.
            role: The role that it takes.
            own: The role that it takes with a thing of one's own.

        Raises:
            Forbidden: The caller may not; a line in the audit says so.
        """
        by = By(self.principal.name, self.why)
        _, namespace, name = thing
        if self.principal.may(role, namespace):
            return by
        mine = own is not None and self.principal.may(own, namespace) and self._owner(thing) == self.principal.name
        if not mine:
            theirs = f", and '{name}' is not theirs" if own is not None and self.principal.may(own, namespace) else ""
            reason = f"{self.principal.name} has the role {self.principal.role}{theirs}; {action} takes {role}"
            if self.principal.namespace not in {"", namespace}:
                reason = f"{self.principal.name} has a role in '{self.principal.namespace}' alone"
            self._refuse(thing, action, reason)
        return by

    def _refuse(self, thing: Thing, action: str, reason: str, hint: str = "ask an admin for the role") -> None:
        """Refuses a call, and writes that down."""
        if "access" in self.catalog.capabilities:
            self.catalog.refuse(*thing, action, reason, by=By(self.principal.name, self.why))
            self._feed.wake()
        raise Forbidden(reason, hint)

    def _owner(self, thing: Thing) -> str | None:
        kind, namespace, name = thing
        try:
            return self.catalog.versions(namespace, name, kind=kind)[0].owner
        except AgentNotFound:
            return None

    def _see(self, thing: Thing) -> None:
        """Refuses to show what the caller may not see: it is as if it were not there."""
        if self._everywhere:
            return
        kind, _, name = thing
        self._may("reading", thing, "read")
        if not self._sees(thing):
            raise AgentNotFound(f"no {NOUNS[kind]} '{name}'", "registry.ls() shows what there is")

    def _sees(self, thing: Thing) -> bool:
        kind, namespace, name = thing
        if self._everywhere or self.principal.may("admin", namespace):
            return True
        if not self.principal.may("read", namespace):
            return False
        try:
            newest = self.catalog.versions(namespace, name, kind=kind)[0]
        except AgentNotFound:
            return True
        return not newest.private or newest.owner == self.principal.name

    def _shows(self, change: Change) -> bool:
        """Whether the caller may hear of a change."""
        if self._everywhere:
            return True
        if change.type in {"access.changed", "refused"}:
            return bool(change.namespace) and self.principal.may("admin", change.namespace)
        return self._sees((change.kind, change.namespace, change.name))
