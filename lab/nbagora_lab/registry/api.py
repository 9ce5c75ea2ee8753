"""What an engine must be: versions that never change, labels that move, endpoints that live by leases, and a search.

Methods stand by what ends the life of what they make. A version and a change: nothing. A label's place: the next move.
An endpoint: `deregister`, or the end of its lease. What a writing method returned is durable in the engine's mode, and
one that raised wrote nothing. All methods may be called from any thread.

An engine is handed what was checked before (`Draft`, names, versions, URLs), so that each rule has one home whatever
the engine. Everything is within a namespace; an agent of another one does not exist.

Not offered here: removing a version or an agent (a label may point at it, a task may have begun on it); a call that
waits (a watch is made of `changed_since` and a notice, for every engine); access rules and probes, which stand above.
"""

from __future__ import annotations

from typing import Protocol

from nbagora_lab.registry.model import AgentVersion, Change, Draft, Endpoint, Found, Published, Query

__all__ = ["Catalog"]


class Catalog(Protocol):
    """An engine of the registry.

    Every method may raise `StoreClosed`, and `StoreError` where the engine's store can't serve.

    Attributes:
        engine: ``embedded`` or the name of another engine, with the version that it answers.
        capabilities: What this engine can of the following: ``labels`` (labels beside ``latest``), ``text`` (search by
            text), ``changes`` (`revision` and `changed_since`). What it lacks it refuses with a `UsageError`.
    """

    engine: str
    capabilities: frozenset[str]

    def publish(self, draft: Draft, *, version: str | None = None) -> Published:
        """Makes a version of a card and points ``latest`` at it, both or neither.

        Without a version it is the next ``0.0.N``; where ``latest`` has this content already, nothing happens. With
        one that is there already with this content, nothing happens either, and ``latest`` stays where it is.

        Raises:
            VersionExists: That version has other content; names the difference.
        """
        ...

    def get(self, namespace: str, name: str, ref: str) -> AgentVersion:
        """The version that `ref`, a version or a label, names.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version or label.
        """
        ...

    def versions(self, namespace: str, name: str) -> list[AgentVersion]:
        """All versions of an agent, the one published last first.

        Raises:
            AgentNotFound: No such agent.
        """
        ...

    def ls(self, namespace: str, *, after: str = "", limit: int = 1000) -> list[AgentVersion]:
        """The agents' latest versions in the order of their names' UTF-8, past the name `after`."""
        ...

    def find(self, query: Query) -> list[Found]:
        """The latest versions that fulfil a query: the best first where it has a text, otherwise by name."""
        ...

    def label(self, namespace: str, name: str, label: str, version: str) -> bool:
        """Points a label at a version; where it points there already, nothing happens.

        Returns:
            Whether it moved.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version.
        """
        ...

    def labels(self, namespace: str, name: str) -> dict[str, str]:
        """An agent's labels and the version that each points at.

        Raises:
            AgentNotFound: No such agent.
        """
        ...

    def register(self, namespace: str, name: str, version: str, url: str, transport: str, lease: float) -> Endpoint:
        """Has a version answer at a place for `lease` seconds from now.

        Who registers a place again (same version, URL and transport) takes it over under a new id; the former id is
        dead from then on.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version.
        """
        ...

    def renew(self, id: str) -> Endpoint:  # noqa: A002 -- the endpoint's own word
        """Starts an endpoint's lease anew from now. No change, so the revision stays.

        Raises:
            EndpointNotFound: No live endpoint has that id: its lease ran out, it was taken away or taken over. The
                place that it names stays as it is; who wants it registers it.
        """
        ...

    def deregister(self, id: str) -> bool:  # noqa: A002 -- the endpoint's own word
        """Ends an endpoint.

        Returns:
            Whether it was live; an id that is dead already does nothing.
        """
        ...

    def endpoints(self, namespace: str, name: str, version: str | None = None) -> list[Endpoint]:
        """An agent's live endpoints, the one registered last first.

        Raises:
            AgentNotFound: No such agent.
        """
        ...

    def expire(self) -> float | None:
        """Takes away the endpoints whose lease ran out. Readers never see these, called or not; watchers are told now.

        Returns:
            Seconds until the next lease runs out, or None if none runs.
        """
        ...

    def revision(self) -> int:
        """Number of changes so far; rises by one with each."""
        ...

    def changed_since(self, revision: int, *, limit: int = 1000) -> list[Change]:
        """The changes past `revision`, oldest first."""
        ...

    def close(self) -> None:
        """Gives the store back; a second call does nothing."""
        ...
