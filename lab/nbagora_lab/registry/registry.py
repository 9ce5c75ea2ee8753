"""The registry as people use it: publish, get, find, label, resolve, watch, on whatever engine is behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import InUse, LabError
from nbagora_lab.registry.card import difference, read_content
from nbagora_lab.registry.change import Change, Seal, Verdict
from nbagora_lab.registry.finding import Finding
from nbagora_lab.registry.model import LATEST, NAMESPACE, AgentVersion, Kind, Published, State
from nbagora_lab.registry.names import check_label, check_version, is_version
from nbagora_lab.registry.placing import Placing
from nbagora_lab.registry.prompt import render

__all__ = ["Registry"]


class Registry(Finding, Placing):
    """Agents, MCP servers and prompts by name, version and skill, and where they answer.

    All methods may be called from any thread, and what they write is durable when they return. Arguments that all have:
    `kind` is ``agent``, ``mcp`` or ``prompt``, `namespace` where to look. Who is not the lab's own caller may get a
    `Forbidden` from each of them.

    Example:
        >>> skill = {"id": "forecast", "name": "forecast", "description": "the weather of a city on a day"}
        >>> card = {"name": "weather", "description": "Tells the weather.", "skills": [skill]}
        >>> lab.registry.publish(card).version
        '0.0.1'
        >>> endpoint = lab.registry.register_endpoint("weather", "0.0.1", "http://127.0.0.1:8000/agents/weather")
        >>> [found.agent.name for found in lab.registry.find(skill="forecast")]
        ['weather']
        >>> lab.registry.resolve("weather", key="ctx-1").url
        'http://127.0.0.1:8000/agents/weather'
    """

    # -- versions --------------------------------------------------------------------------------------------------

    def publish(
        self,
        card: Mapping[str, Any],
        *,
        version: str | None = None,
        state: State = "published",
        private: bool = False,
        kind: Kind = "agent",
        namespace: str = NAMESPACE,
    ) -> Published:
        """Makes a version of a card, and points ``latest`` at it.

        What is there already, equal, stays as it is: a card without a version that is what ``latest`` points at, or a
        version that is there with this content. Content is the card without version, interfaces and signatures.

        Args:
            card: An A2A 1.0 AgentCard as ProtoJSON; an MCP server's description, or a prompt, where `kind` says so.
            version: The version; None takes the one that the card names, and if it names none the next ``0.0.N``.
            state: ``draft`` makes a version that nobody is led to until it is approved.
            private: Whether a new thing is seen by its owner and by admins alone.
            kind: What it is.
            namespace: Where to publish it.

        Raises:
            UsageError: The card does not fit; names all problems, each with its JSON pointer.
            TooLarge: The card is above its limit.
            VersionExists: That version has other content; names the difference.
            Forbidden: The caller may not, or the namespace's policy does not let it in.
        """
        draft = read_content(kind, card, namespace)
        thing = self._thing(kind, namespace, draft.name)
        by = self._may("publishing", thing, "publish")
        policy = self._access.policy(namespace)
        if kind == "agent":
            try:
                self._access.check_card(policy, card)
            except LabError as error:
                self._refuse(thing, "publishing", error.what, error.hint)
        wanted = draft.version if version is None else check_version(version)
        mine = not self.principal.may("admin", namespace)
        if mine and self._owner(thing) not in {None, self.principal.name}:
            who = f"{self.principal.name} has the role {self.principal.role}"
            self._refuse(thing, "publishing", f"{who}, and '{draft.name}' is not theirs", "ask its owner")
        published = self.catalog.publish(
            draft,
            version=wanted,
            state="draft" if policy.approval or state == "draft" else "published",
            private=private,
            as_owner=mine,
            by=by,
        )
        self._feed.wake()
        return published

    def get(
        self, name: str, version_or_label: str = LATEST, *, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> AgentVersion:
        """A version of an agent.

        Args:
            name: The agent's name.
            version_or_label: ``1.0.0`` or ``latest``.
            kind: What it is.
            namespace: Where to look.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version or label.
        """
        thing = self._thing(kind, namespace, name)
        (check_version if is_version(version_or_label) else check_label)(version_or_label)
        self._see(thing)
        return self.catalog.get(namespace, name, version_or_label, kind=kind)

    @property
    def shared(self) -> bool:
        """Whether a server keeps it, so that others read a card there who may not reach its agent's lab."""
        return not self.catalog.engine.startswith(("embedded", "joined"))

    def signed(self, name: str, version_or_label: str = LATEST, *, namespace: str = NAMESPACE) -> dict[str, Any] | None:
        """The card that a version of an agent was published with last, verbatim, where it was signed.

        A version's content leaves out what a signature covers: the interfaces, and the signatures themselves.
        """
        version = self.get(version_or_label=version_or_label, name=name, namespace=namespace)
        return self.catalog.signed(namespace, name, version.version)

    def versions(self, name: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> list[AgentVersion]:
        """All versions of an agent, the one published last first.

        Raises:
            AgentNotFound: No such agent.
        """
        self._see(self._thing(kind, namespace, name))
        return self.catalog.versions(namespace, name, kind=kind)

    def ls(
        self, *, kind: Kind = "agent", namespace: str = NAMESPACE, after: str = "", limit: int = 1000
    ) -> list[AgentVersion]:
        """The agents' latest versions by name, `limit` at most, past the name `after`."""
        check_name(namespace, "namespace")
        self._may("listing", (kind, namespace, ""), "read")
        every = self.catalog.ls(namespace, after=after, limit=limit, kind=kind)
        if self.principal.may("admin", namespace):
            return every
        return [one for one in every if not one.private or one.owner == self.principal.name]

    def diff(
        self, name: str, before: str, after: str = LATEST, *, kind: Kind = "agent", namespace: str = NAMESPACE
    ) -> list[str]:
        """Where two versions of an agent differ, one line a place."""
        one, two = (self.get(name, ref, kind=kind, namespace=namespace).card for ref in (before, after))
        return [line for line in difference(one, two) if not line.startswith("/version:")]

    # -- life ------------------------------------------------------------------------------------------------------

    def approve(self, name: str, version: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> bool:
        """Makes a draft a published version that has ``latest``. Where the policy asks for it, by somebody else.

        Returns:
            Whether it was a draft.

        Raises:
            WrongState: It is past that.
        """
        thing = self._thing(kind, namespace, name)
        self._may("approving", thing, "operate")
        if self._access.policy(namespace).approval:
            changes = self.catalog.changed_since(0, limit=100_000, whose=thing)
            if self.principal.name in {one.who for one in changes if (one.type, one.version) == ("published", version)}:
                self._refuse(thing, "approving", f"{self.principal.name} published {version} themselves", "ask another")
        return self._set_state(name, version, "published", kind, namespace)

    def deprecate(self, name: str, version: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> bool:
        """Says that a version is on its way out; it is found and led to as before, and resolving says so."""
        return self._set_state(name, version, "deprecated", kind, namespace)

    def restore(self, name: str, version: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> bool:
        """Takes a deprecation back."""
        if self.get(name, check_version(version), kind=kind, namespace=namespace).state == "draft":
            return self.approve(name, version, kind=kind, namespace=namespace)
        return self._set_state(name, version, "published", kind, namespace)

    def withdraw(self, name: str, version: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> bool:
        """Ends a version for good: nobody is led to it; it can still be read.

        Returns:
            Whether it was not withdrawn before.

        Raises:
            InUse: A label or the agent's rule leads to it.
        """
        return self._set_state(name, version, "withdrawn", kind, namespace)

    def _set_state(self, name: str, version: str, state: State, kind: Kind, namespace: str) -> bool:
        thing = self._thing(kind, namespace, name)
        self._need("states")
        check_version(version)
        by = self._may(f"making it {state}", thing, "operate", own="publish")
        changed = self.catalog.set_state(namespace, name, version, state, kind=kind, by=by)
        self._feed.wake()
        return changed

    # -- labels ----------------------------------------------------------------------------------------------------

    def label(self, name: str, label: str, version: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> bool:
        """Points a label at a version: ``label("weather", "latest", "1.0.0")`` takes a newer one back.

        Returns:
            Whether it moved; False where it points there already.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version.
            BadName: The label or version breaks the rules for them.
            WrongState: The version is a draft, or withdrawn.
        """
        thing = self._thing(kind, namespace, name)
        check_label(label)
        check_version(version)
        by = self._may("labelling", thing, "operate", own="publish")
        moved = self.catalog.label(namespace, name, label, version, kind=kind, by=by)
        self._feed.wake()
        return moved

    def unlabel(self, name: str, label: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> bool:
        """Takes a label away; ``latest`` stays.

        Returns:
            Whether it was there.

        Raises:
            InUse: It is ``latest``, or the agent's rule leads to it.
        """
        thing = self._thing(kind, namespace, name)
        check_label(label)
        if label == LATEST:
            raise InUse(f"every caller without another rule goes to {LATEST}", "move it instead")
        by = self._may("taking a label away", thing, "operate", own="publish")
        gone = self.catalog.unlabel(namespace, name, label, kind=kind, by=by)
        self._feed.wake()
        return gone

    def rollback(self, name: str, label: str = LATEST, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> Change:
        """Points a label at the version that it pointed at before; a second rollback undoes the first.

        Returns:
            The change, with the version that it points at now.

        Raises:
            VersionNotFound: It never pointed at another.
            WrongState: That version was withdrawn since.
        """
        thing = self._thing(kind, namespace, name)
        check_label(label)
        by = self._may("rolling back", thing, "operate", own="publish")
        change = self.catalog.rollback(namespace, name, label, kind=kind, by=by)
        self._feed.wake()
        return change

    def labels(self, name: str, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> dict[str, str]:
        """An agent's labels and the version that each points at.

        Raises:
            AgentNotFound: No such agent.
        """
        self._see(self._thing(kind, namespace, name))
        return self.catalog.labels(namespace, name, kind=kind)

    # -- prompts and links -----------------------------------------------------------------------------------------

    def prompt(
        self, name: str, ref: str = LATEST, *, unless: str = "", namespace: str = NAMESPACE
    ) -> AgentVersion | None:
        """A version of a prompt, or None where its hash is `unless`: what the caller has already."""
        version = self.get(name, ref, kind="prompt", namespace=namespace)
        return None if version.hash == unless else version

    def render(self, name: str, ref: str = LATEST, *, namespace: str = NAMESPACE, **values: Any) -> str:
        """A prompt's text with the values of its variables.

        Raises:
            UsageError: A value is missing, of another type, or of no variable; names all of them.
        """
        version = self.get(name, ref, kind="prompt", namespace=namespace)
        text = render(version.card, values)
        self.on_render(version)
        return text

    # -- changes ---------------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Number of changes so far."""
        return self.catalog.revision()

    def changed_since(self, revision: int, *, limit: int = 1000) -> list[Change]:
        """The changes past `revision` that the caller may hear of, oldest first, `limit` at most."""
        return [change for change in self.catalog.changed_since(revision, limit=limit) if self._shows(change)]

    def watch(
        self,
        after: int | None = None,
        *,
        name: str | None = None,
        kind: Kind | None = None,
        timeout: float | None = None,
    ) -> Iterator[Change]:
        """The changes past a revision, then those to come; resume with the revision of the last one that came.

        Args:
            after: Revision to begin after; None: now.
            name: Only this thing's.
            kind: Only this kind's.
            timeout: Seconds without a change after which it ends; None: never.
        """
        start = self.revision if after is None else after
        return self._feed.watch(start, self._wanted(name, kind), timeout=timeout)

    def stream(
        self, after: int | None = None, *, name: str | None = None, kind: Kind | None = None
    ) -> AsyncIterator[Change | None]:
        """`watch` on an event loop, without end; None where nothing came for a while, as a sign of life."""
        start = self.revision if after is None else after
        return self._feed.stream(start, self._wanted(name, kind))

    def as_json(self, change: Change) -> bytes:
        """A change in JSON, made once for all watchers."""
        return self._feed.text(change)

    def _wanted(self, name: str | None, kind: Kind | None) -> Callable[[Change], bool]:
        def wanted(change: Change) -> bool:
            fits = change.type != "refused" and name in {None, change.name} and kind in {None, change.kind}
            return fits and self._shows(change)

        return wanted

    def audit(self, name: str | None = None, *, kind: Kind = "agent", namespace: str = NAMESPACE) -> list[Change]:
        """Who changed what, when and why, refused calls too: of one thing, or of all. Newest last, 100,000 at most."""
        whose = None if name is None else self._thing(kind, namespace, name)
        every = self.catalog.changed_since(0, limit=100_000, whose=whose)
        return [change for change in every if self._shows(change)]

    def verify(self, kept: Seal | None = None) -> Verdict:
        """Checks that nobody altered the audit; with a seal that was kept, that it has that past."""
        self._need("audit")
        return self.catalog.verify(kept)
