"""What an engine must be: versions that never change, labels that move, endpoints that live by leases, and a search.

Methods stand by what ends the life of what they make. A version and a change: nothing. A label's place: the next move.
An endpoint: `deregister`, or the end of its lease. A rule, a document: the next one. What a writing method returned is
durable in the engine's mode, and one that raised wrote nothing. All methods may be called from any thread.

An engine is handed what was checked before (`Draft`, names, versions, URLs), so that each rule has one home whatever
the engine. Everything is within a kind and a namespace; a thing of another one does not exist. Whoever asks for a
change stands on its record (`by`).

Not offered here: removing a version or a thing (a task may have begun on it; `withdrawn` is as far as it goes); a call
that waits (a watch is made of `changed_since` and a notice, for every engine); roles, rules' meaning and probes, which
stand above.
"""

from __future__ import annotations

from typing import Any, Protocol

from nbagora_lab.registry.change import Change, Seal, Verdict
from nbagora_lab.registry.model import (
    LOCAL,
    AgentVersion,
    By,
    Draft,
    Endpoint,
    EndpointState,
    Found,
    Kind,
    Published,
    Query,
    State,
)

__all__ = ["CAPABILITIES", "Catalog"]

CAPABILITIES = {
    "access": "owners, private things, documents and refusals: `own`, `put`, `document`, `documents`, `refuse`",
    "audit": "a sealed audit: `verify`",
    "changes": "`revision` and `changed_since`",
    "kinds": "MCP servers and prompts",
    "labels": "labels beside ``latest``, `unlabel` and `rollback`",
    "links": "`users`",
    "rules": "`set_rule` and `rule`",
    "states": "drafts, deprecated and withdrawn versions: `set_state`",
    "text": "search by text, filters, and `counts`",
}
"""What an engine may lack, and the methods that it then refuses with a `UsageError`."""


class Catalog(Protocol):
    """An engine of the registry.

    Every method may raise `StoreClosed`, and `StoreError` where the engine's store can't serve. Those that name a thing
    raise `AgentNotFound` where there is none, and `VersionNotFound` where it has no such version or label.

    Attributes:
        engine: ``embedded`` or the name of another engine, with the version that it answers.
        capabilities: Which of `CAPABILITIES` it has.
    """

    engine: str
    capabilities: frozenset[str]

    def publish(
        self,
        draft: Draft,
        *,
        version: str | None = None,
        state: State = "published",
        private: bool = False,
        as_owner: bool = False,
        by: By = LOCAL,
    ) -> Published:
        """Makes a version of a card and points ``latest`` at it, both or neither. Of a draft no label tells.

        Without a version it is the next ``0.0.N``; where ``latest`` has this content already, nothing happens. With
        one that is there already with this content, nothing happens either, and ``latest`` stays where it is.

        Args:
            draft: The content.
            version: Its version.
            state: ``published`` or ``draft``.
            private: Whether the thing, where it is new, is seen by its owner and by admins alone.
            as_owner: Whether a thing that is somebody else's is refused.
            by: Who asks; the owner of a new thing.

        Raises:
            VersionExists: That version has other content; names the difference.
            Forbidden: `as_owner` is set, and the thing is somebody else's.
        """
        ...

    def get(self, namespace: str, name: str, ref: str, *, kind: Kind = "agent") -> AgentVersion:
        """The version that `ref`, a version or a label, names."""
        ...

    def signed(self, namespace: str, name: str, ref: str, *, kind: Kind = "agent") -> dict[str, Any] | None:
        """The card that a version was published with, verbatim, where it was signed; None where it was not."""
        ...

    def versions(self, namespace: str, name: str, *, kind: Kind = "agent") -> list[AgentVersion]:
        """All versions of a thing, the one published last first."""
        ...

    def users(self, namespace: str, name: str, *, kind: Kind = "agent") -> list[tuple[AgentVersion, str]]:
        """The versions under a label that say they use a thing, and the version or label of it that each uses."""
        ...

    def ls(self, namespace: str, *, after: str = "", limit: int = 1000, kind: Kind = "agent") -> list[AgentVersion]:
        """The latest versions in the order of their names' UTF-8, past the name `after`."""
        ...

    def find(self, query: Query) -> list[Found]:
        """The versions that fulfil a query: the best first where it has a text, otherwise by name."""
        ...

    def counts(self, query: Query) -> dict[str, dict[str, int]]:
        """How many of all versions that fulfil a query have each value of each filter over cards."""
        ...

    def label(
        self, namespace: str, name: str, label: str, version: str, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """Points a label at a version; where it points there already, nothing happens.

        Returns:
            Whether it moved.

        Raises:
            WrongState: The version is a draft, or withdrawn.
        """
        ...

    def unlabel(self, namespace: str, name: str, label: str, *, kind: Kind = "agent", by: By = LOCAL) -> bool:
        """Takes a label away.

        Returns:
            Whether it was there.

        Raises:
            InUse: The thing's rule needs it.
        """
        ...

    def rollback(self, namespace: str, name: str, label: str, *, kind: Kind = "agent", by: By = LOCAL) -> Change:
        """Points a label at the version that it pointed at before its last move; so a second one undoes the first.

        Raises:
            VersionNotFound: It never pointed at another.
            WrongState: That version was withdrawn since.
        """
        ...

    def labels(self, namespace: str, name: str, *, kind: Kind = "agent") -> dict[str, str]:
        """A thing's labels and the version that each points at."""
        ...

    def set_state(
        self, namespace: str, name: str, version: str, state: State, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """Moves a version along its life; a draft that becomes published gets ``latest``.

        Returns:
            Whether it moved.

        Raises:
            WrongState: From where it is there is no way there.
            InUse: It is to be withdrawn, and a label or a rule leads to it.
        """
        ...

    def set_rule(
        self, namespace: str, name: str, rule: dict[str, Any] | None, *, kind: Kind = "agent", by: By = LOCAL
    ) -> bool:
        """Sets how callers of a thing are led to its versions; None: all to ``latest``.

        Args:
            namespace: Namespace of the thing.
            name: Its name.
            rule: What `rules.Rule` dumps; its ``needs`` are the versions and labels that it leads to.
            kind: Its kind.
            by: Who asks.

        Returns:
            Whether that changed anything.

        Raises:
            WrongState: It leads to a draft, or to what is withdrawn.
        """
        ...

    def rule(self, namespace: str, name: str, *, kind: Kind = "agent") -> dict[str, Any] | None:
        """The rule of a thing, None where it has none."""
        ...

    def register(
        self,
        namespace: str,
        name: str,
        version: str,
        url: str,
        transport: str,
        lease: float,
        *,
        kind: Kind = "agent",
        weight: float = 1.0,
        zone: str = "",
        tenant: str = "",
        by: By = LOCAL,
    ) -> Endpoint:
        """Has a version answer at a place for `lease` seconds from now.

        Who registers a place again (same version, URL and transport) takes it over under a new id; the former id is
        dead from then on.
        """
        ...

    def renew(self, id: str) -> Endpoint:  # noqa: A002 -- the endpoint's own word
        """Starts an endpoint's lease anew from now. No change, so the revision stays.

        Raises:
            EndpointNotFound: No live endpoint has that id: its lease ran out, it was taken away or taken over. The
                place that it names stays as it is; who wants it registers it.
        """
        ...

    def mark(self, id: str, state: EndpointState, reason: str = "", *, by: By = LOCAL) -> bool:  # noqa: A002
        """Sets an endpoint's state; from ``draining`` there is no way back.

        Returns:
            Whether that changed anything.

        Raises:
            EndpointNotFound: No live endpoint has that id.
        """
        ...

    def deregister(self, id: str, *, by: By = LOCAL) -> bool:  # noqa: A002 -- the endpoint's own word
        """Ends an endpoint.

        Returns:
            Whether it was live; an id that is dead already does nothing.
        """
        ...

    def endpoints(
        self, namespace: str, name: str, version: str | None = None, *, kind: Kind = "agent"
    ) -> list[Endpoint]:
        """A thing's live endpoints, the one registered last first."""
        ...

    def all_endpoints(self, *, kind: Kind = "agent") -> list[Endpoint]:
        """All live endpoints of all things of a kind, the one registered last first."""
        ...

    def expire(self) -> float | None:
        """Takes away the endpoints whose lease ran out. Readers never see these, called or not; watchers are told now.

        Returns:
            Seconds until the next lease runs out, or None if none runs.
        """
        ...

    def put(
        self,
        type: str,  # noqa: A002 -- the document's own word
        namespace: str,
        key: str,
        value: dict[str, Any] | None,
        *,
        told: dict[str, Any],
        by: By = LOCAL,
    ) -> bool:
        """Sets a document of those that govern access; None takes it away.

        Args:
            type: What it is: ``policy`` or ``token``.
            namespace: Where it holds; empty: everywhere.
            key: Its name.
            value: The document.
            told: What of it the change may tell.
            by: Who asks.

        Returns:
            Whether that changed anything.
        """
        ...

    def document(self, type: str, namespace: str, key: str) -> dict[str, Any] | None:  # noqa: A002
        """A document, None where it is not set."""
        ...

    def documents(self, type: str, namespace: str | None = None) -> dict[tuple[str, str], dict[str, Any]]:  # noqa: A002
        """All documents of a type by namespace and key."""
        ...

    def own(
        self,
        namespace: str,
        name: str,
        *,
        kind: Kind = "agent",
        owner: str | None = None,
        private: bool | None = None,
        by: By = LOCAL,
    ) -> bool:
        """Gives a thing to another owner, hides it or shows it.

        Returns:
            Whether that changed anything.
        """
        ...

    def refuse(self, kind: Kind, namespace: str, name: str, action: str, reason: str, *, by: By = LOCAL) -> None:
        """Writes down that a call was refused."""
        ...

    def revision(self) -> int:
        """Number of changes so far; rises by one with each."""
        ...

    def changed_since(
        self, revision: int, *, limit: int = 1000, whose: tuple[Kind, str, str] | None = None
    ) -> list[Change]:
        """The changes past `revision`, oldest first; those of one thing alone where kind, namespace and name say so."""
        ...

    def verify(self, kept: Seal | None = None) -> Verdict:
        """Checks that no change was altered, and that the past which `kept` sealed is still there."""
        ...

    def close(self) -> None:
        """Gives the store back; a second call does nothing."""
        ...
