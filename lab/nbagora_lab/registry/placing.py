"""Placing: where versions answer, and who is led where, as people use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbagora_lab.core.errors import AgentNotFound, EndpointNotFound, LabError
from nbagora_lab.registry.governed import Governed
from nbagora_lab.registry.model import LATEST, NAMESPACE, By, Endpoint, Kind, Thing
from nbagora_lab.registry.names import check_endpoint, check_label, check_version, is_version
from nbagora_lab.registry.routing import Outcome, Resolution
from nbagora_lab.registry.rules import Caller, DryRun, Rule, make_rule, rule_of, share_of

__all__ = ["Placing"]


class Placing(Governed):
    """The part of the registry's face that knows endpoints and rules."""

    def register_endpoint(
        self,
        name: str,
        version: str,
        url: str,
        transport: str = "JSONRPC",
        *,
        lease: float = 30.0,
        weight: float = 1.0,
        zone: str = "",
        tenant: str = "",
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
    ) -> Endpoint:
        """Has a version answer at a place until its lease runs out.

        Registering a place again takes it over: the former id is dead, whoever still holds it.

        Args:
            name: The agent's name.
            version: The version that answers there.
            url: Where, with TLS, path and query; for A2A's two HTTP transports an http or https URL.
            transport: ``JSONRPC``, ``HTTP+JSON``, ``GRPC`` or a custom binding.
            lease: Seconds that it lives without `renew`.
            weight: Its share of the load, beside others of its version.
            zone: Where it runs.
            tenant: A2A's tenant there.
            kind: What answers.
            namespace: Namespace of the agent.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version.
            UsageError: The URL, transport, lease or weight does not fit.
            Forbidden: The caller may not, or the host is none that the namespace allows.
        """
        thing = self._thing(kind, namespace, name)
        check_endpoint(url, transport, lease, weight=weight)
        check_version(version)
        by = self._may("registering an endpoint", thing, "operate", own="publish")
        try:
            self._access.check_host(self._access.policy(namespace), url)
        except LabError as error:
            self._refuse(thing, "registering an endpoint", error.what, error.hint)
        endpoint = self.catalog.register(
            namespace, name, version, url, transport, float(lease), kind=kind, weight=float(weight), zone=zone,
            tenant=tenant, by=by,
        )  # fmt: skip
        self._feed.wake()
        return endpoint

    def renew(
        self, endpoint_id: str, *, name: str | None = None, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> Endpoint:
        """Starts an endpoint's lease anew. Who came with a token names the agent, too.

        Raises:
            EndpointNotFound: It is no longer live: its lease ran out, or its place was taken over.
        """
        self._of(endpoint_id, name, kind, namespace, "renewing a lease")
        return self.catalog.renew(endpoint_id)

    def deregister(
        self, endpoint_id: str, *, name: str | None = None, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> bool:
        """Ends an endpoint; one that is gone already does nothing. Who came with a token names the agent, too.

        Returns:
            Whether it was live.
        """
        by = self._of(endpoint_id, name, kind, namespace, "ending an endpoint")
        ended = self.catalog.deregister(endpoint_id, by=by)
        self._feed.wake()
        return ended

    def drain(
        self, endpoint_id: str, *, name: str | None = None, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> bool:
        """Has an endpoint take no new calls, while those that run go on; end it when its load is gone.

        Returns:
            Whether that changed anything.

        Raises:
            EndpointNotFound: It is no longer live.
        """
        by = self._of(endpoint_id, name, kind, namespace, "draining an endpoint")
        changed = self.catalog.mark(endpoint_id, "draining", self.why or "is leaving", by=by)
        self._feed.wake()
        return changed

    def _of(self, endpoint_id: str, name: str | None, kind: Kind, namespace: str, action: str) -> By:
        """Whom a change of an endpoint is to be put down to: it must be the thing's that the caller names."""
        if self._everywhere:
            return By(self.principal.name, self.why)
        if name is None:
            raise EndpointNotFound(f"{endpoint_id} is nobody's endpoint", "name the agent whose endpoint it is")
        thing = self._thing(kind, namespace, name)
        by = self._may(action, thing, "operate", own="publish")
        if endpoint_id not in {one.id for one in self.catalog.endpoints(namespace, name, kind=kind)}:
            raise EndpointNotFound(f"'{name}' has no endpoint {endpoint_id}", "%registry endpoints lists those it has")
        return by

    def endpoints(
        self, name: str, version: str | None = None, *, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> list[Endpoint]:
        """An agent's live endpoints, the one registered last first.

        Raises:
            AgentNotFound: No such agent.
        """
        thing = self._thing(kind, namespace, name)
        self._see(thing)
        return self.catalog.endpoints(namespace, name, None if version is None else check_version(version), kind=kind)

    def all_endpoints(self, *, kind: Kind = "agent") -> list[Endpoint]:
        """All live endpoints of all things of a kind that the caller may see, the one registered last first."""
        return [one for one in self.catalog.all_endpoints(kind=kind) if self._sees((kind, one.namespace, one.name))]

    def endpoint_at(
        self, name: str, version: str, below: str, *, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> Endpoint | None:
        """A version's endpoint whose URL begins with `below`, None where it has none; quick, for whoever asks often."""
        try:
            return self._router.at((kind, namespace, name), version, below)
        except AgentNotFound:
            return None

    def resolve(
        self,
        name: str,
        key: str | None = None,
        *,
        tenant: str = "",
        user: str = "",
        metadata: Mapping[str, str] | None = None,
        zone: str = "",
        ref: str | None = None,
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
    ) -> Resolution:
        """Where to send a message for an agent, and why there.

        The agent's rule leads to a version, ``latest`` where it has none; of its endpoints that are up, the one with
        the fewest open calls for its weight is taken, in the caller's zone if there is one.

        Args:
            name: The agent's name.
            key: The conversation that the answer is for: the same key is led to the same version for as long as the
                rule stands.
            tenant: The caller's tenant; a rule may stick to it instead.
            user: The caller; a rule may stick to them instead.
            metadata: Headers or metadata of the message, for a rule's matches.
            zone: Where the caller runs.
            ref: A version or label that goes before the rule.
            kind: What to call.
            namespace: Namespace of the agent.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: The rule, or `ref`, leads to no version.
            WrongState: The version was withdrawn.
            EndpointNotFound: The version answers nowhere, or all that answer are draining.
        """
        thing = self._thing(kind, namespace, name)
        self._see(thing)
        if ref is not None:
            (check_version if is_version(ref) else check_label)(ref)
        return self._router.resolve(thing, Caller(key or "", tenant, user, metadata or {}, zone), ref)

    def began(self, endpoint: Endpoint) -> None:
        """Tells that a call to an endpoint has begun: it counts as its load until `report`."""
        self._router.began(endpoint.id)

    def report(self, endpoint: Endpoint, *, ok: bool, seconds: float | None, kind: Kind = "agent") -> str | None:
        """Tells what became of a call that `began`.

        Five failures in a row take the endpoint down, one success brings it back; a rule's budget that is spent takes
        the release back.

        Args:
            endpoint: Where the call went.
            ok: Whether it did what it was to.
            seconds: How long it took; None where that says nothing: it waited for somebody, say.
            kind: What was called.

        Returns:
            Why a release was taken back by this, or None.
        """
        thing: Thing = (kind, endpoint.namespace, endpoint.name)
        self._may("reporting a call", thing, "operate", own="publish")
        return self._router.report(endpoint, thing, Outcome(ok, seconds))

    def probed(self, endpoint: Endpoint, *, ok: bool, reason: str = "", kind: Kind = "agent") -> bool:
        """Tells what a probe of an endpoint found.

        Returns:
            Whether that changed its state.

        Raises:
            EndpointNotFound: It is no longer live.
        """
        self._may("reporting a probe", (kind, endpoint.namespace, endpoint.name), "operate", own="publish")
        return self._router.probed(endpoint.id, ok, reason)

    def rule(self, name: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> Rule:
        """How callers of an agent are led to its versions."""
        thing = self._thing(kind, namespace, name)
        self._see(thing)
        return rule_of(self.catalog.rule(namespace, name, kind=kind))

    def set_rule(
        self,
        name: str,
        rule: Rule | Mapping[str, Any] | None,
        *,
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
    ) -> bool:
        """Sets how callers of an agent are led to its versions; None: all to ``latest``.

        Returns:
            Whether that changed anything.

        Raises:
            UsageError: The rule does not fit; weights that sum to 0, say.
            VersionNotFound: It leads to a version or label that there is not.
            WrongState: It leads to a draft, or to what is withdrawn.

        Example:
            >>> lab.registry.set_rule("weather", {"weights": {"stable": 90, "canary": 10}})
            True
        """
        thing = self._thing(kind, namespace, name)
        self._need("rules")
        made = None if rule is None else make_rule(rule.model_dump() if isinstance(rule, Rule) else rule)
        by = self._may("setting a rule", thing, "operate", own="publish")
        if made is not None:
            made = made.following(rule_of(self.catalog.rule(namespace, name, kind=kind)))
        changed = self.catalog.set_rule(namespace, name, made.stored() if made else None, kind=kind, by=by)
        self._feed.wake()
        return changed

    def dry_run(
        self,
        name: str,
        rule: Rule | Mapping[str, Any],
        callers: Iterable[Caller | str],
        *,
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
    ) -> DryRun:
        """What a rule would do with callers, past contexts, say, and how many it would move. Changes nothing.

        Raises:
            UsageError: The rule does not fit.
        """
        made = make_rule(rule.model_dump() if isinstance(rule, Rule) else rule)
        before = self.rule(name, kind=kind, namespace=namespace)
        every = (caller if isinstance(caller, Caller) else Caller(caller) for caller in callers)
        return share_of(made, before, every)

    def canary(
        self,
        name: str,
        version: str,
        weight: float,
        *,
        label: str = "canary",
        rest: str = LATEST,
        errors: float | None = None,
        latency: float | None = None,
        calls: int = 20,
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
    ) -> Rule:
        """Leads a share of all conversations to a version, which is taken back by itself if it costs too much.

        Args:
            name: The agent's name.
            version: The version that is tried.
            weight: Its share, in percent.
            label: The label that it gets.
            rest: Where the others go.
            errors: Largest share of failed calls, 0 to 1.
            latency: Largest 95th percentile of the calls' seconds.
            calls: Number of calls before it is judged.
            kind: What it is.
            namespace: Its namespace.

        Returns:
            The rule that stands now.
        """
        budget = {"label": label, "errors": errors, "latency": latency, "calls": calls}
        guarded = errors is not None or latency is not None
        rule = make_rule(
            {"weights": {label: weight, rest: 100 - weight}, "otherwise": rest, "budget": budget if guarded else None}
        )
        thing = self._thing(kind, namespace, name)
        by = self._may("setting a rule", thing, "operate", own="publish")
        self.catalog.label(namespace, name, check_label(label), check_version(version), kind=kind, by=by)
        self.set_rule(name, rule, kind=kind, namespace=namespace)
        return self.rule(name, kind=kind, namespace=namespace)

    def expire(self) -> float | None:
        """Takes away the endpoints whose lease ran out, so that watchers hear of it; readers never see them.

        Returns:
            Seconds until the next lease runs out, or None if none runs.
        """
        left = self.catalog.expire()
        self._feed.wake()
        return left
