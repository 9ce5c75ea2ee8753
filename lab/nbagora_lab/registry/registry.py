"""The registry as people use it: publish, get, find, label, register, resolve, on whatever engine is behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nbagora_lab.broker.model import check_name
from nbagora_lab.core.errors import EndpointNotFound, UsageError, VersionNotFound
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.card import read_card
from nbagora_lab.registry.model import LATEST, NAMESPACE, AgentVersion, Change, Endpoint, Found, Published, Query
from nbagora_lab.registry.names import check_endpoint, check_label, check_version, is_version

__all__ = ["Registry"]


class Registry:
    """Agents by name, version and skill, and where they answer.

    All methods may be called from any thread, and are durable when they return.

    Args:
        catalog: The engine.

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

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def publish(self, card: Mapping[str, Any], *, version: str | None = None, namespace: str = NAMESPACE) -> Published:
        """Makes a version of a card, and points ``latest`` at it.

        What is there already, equal, stays as it is: a card without a version that is what ``latest`` points at, or a
        version that is there with this content. Content is the card without version, interfaces and signatures.

        Args:
            card: An A2A 1.0 AgentCard as ProtoJSON.
            version: The version; None takes the one that the card names, and if it names none the next ``0.0.N``.
            namespace: Where to publish it.

        Raises:
            UsageError: The card does not fit; names all problems, each with its JSON pointer.
            TooLarge: The card is above its limit.
            VersionExists: That version has other content; names the difference.
        """
        draft = read_card(card, namespace)
        wanted = draft.version if version is None else check_version(version)
        return self.catalog.publish(draft, version=wanted)

    def get(self, name: str, version_or_label: str = LATEST, *, namespace: str = NAMESPACE) -> AgentVersion:
        """A version of an agent.

        Args:
            name: The agent's name.
            version_or_label: ``1.0.0`` or ``latest``.
            namespace: Where to look.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version or label.
        """
        _check_agent(namespace, name)
        if is_version(version_or_label):
            check_version(version_or_label)
        else:
            check_label(version_or_label)
        return self.catalog.get(namespace, name, version_or_label)

    def versions(self, name: str, *, namespace: str = NAMESPACE) -> list[AgentVersion]:
        """All versions of an agent, the one published last first.

        Raises:
            AgentNotFound: No such agent.
        """
        _check_agent(namespace, name)
        return self.catalog.versions(namespace, name)

    def ls(self, *, namespace: str = NAMESPACE, after: str = "", limit: int = 1000) -> list[AgentVersion]:
        """The agents' latest versions by name, `limit` at most, past the name `after`."""
        check_name(namespace, "namespace")
        return self.catalog.ls(namespace, after=after, limit=limit)

    def find(
        self,
        text: str | None = None,
        *,
        name: str | None = None,
        skill: str | None = None,
        tag: str | None = None,
        namespace: str = NAMESPACE,
        limit: int = 20,
    ) -> list[Found]:
        """The agents whose latest version has all that is asked for; each says why it was found.

        Args:
            text: Words in any order and script. One of them is enough, more of them, and rarer ones, rank higher.
            name: The name, or a pattern of it with ``*`` and ``?``.
            skill: Id or name of a skill, in whole, whatever its case.
            tag: A skill's tag, in whole, whatever its case.
            namespace: Where to look.
            limit: Number of results at most.

        Returns:
            The best first where a text was given, otherwise by name.

        Raises:
            UsageError: A value that does not fit.
        """
        check_name(namespace, "namespace")
        try:
            query = Query(namespace=namespace, text=text, name=name, skill=skill, tag=tag, limit=limit)
        except ValidationError as error:
            problems = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
            raise UsageError(
                f"a search that does not fit: {problems}", "give text, name, skill, tag or limit"
            ) from None
        return self.catalog.find(query)

    def label(self, name: str, label: str, version: str, *, namespace: str = NAMESPACE) -> bool:
        """Points a label at a version: ``label("weather", "latest", "1.0.0")`` takes a newer one back.

        Returns:
            Whether it moved; False where it points there already.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version.
            BadName: The label breaks the rule for labels: one that begins with a digit would read as a version.
        """
        _check_agent(namespace, name)
        return self.catalog.label(namespace, name, check_label(label), check_version(version))

    def labels(self, name: str, *, namespace: str = NAMESPACE) -> dict[str, str]:
        """An agent's labels and the version that each points at.

        Raises:
            AgentNotFound: No such agent.
        """
        _check_agent(namespace, name)
        return self.catalog.labels(namespace, name)

    def register_endpoint(
        self,
        name: str,
        version: str,
        url: str,
        transport: str = "JSONRPC",
        *,
        lease: float = 30.0,
        namespace: str = NAMESPACE,
    ) -> Endpoint:
        """Has a version answer at a place until its lease runs out.

        Registering a place again takes it over: the former id is dead, whoever still holds it.

        Args:
            name: The agent's name.
            version: The version that answers there.
            url: Where; for A2A's two HTTP transports an http or https URL.
            transport: ``JSONRPC``, ``HTTP+JSON``, ``GRPC`` or a custom binding.
            lease: Seconds that it lives without `renew`.
            namespace: Namespace of the agent.

        Raises:
            AgentNotFound: No such agent.
            VersionNotFound: It has no such version.
            UsageError: The URL, transport or lease does not fit.
        """
        _check_agent(namespace, name)
        check_endpoint(url, transport, lease)
        return self.catalog.register(namespace, name, check_version(version), url, transport, float(lease))

    def renew(self, endpoint_id: str) -> Endpoint:
        """Starts an endpoint's lease anew.

        Raises:
            EndpointNotFound: It is no longer live: its lease ran out, or its place was taken over.
        """
        return self.catalog.renew(endpoint_id)

    def deregister(self, endpoint_id: str) -> bool:
        """Ends an endpoint; one that is gone already does nothing.

        Returns:
            Whether it was live.
        """
        return self.catalog.deregister(endpoint_id)

    def endpoints(self, name: str, version: str | None = None, *, namespace: str = NAMESPACE) -> list[Endpoint]:
        """An agent's live endpoints, the one registered last first.

        Raises:
            AgentNotFound: No such agent.
        """
        _check_agent(namespace, name)
        return self.catalog.endpoints(namespace, name, None if version is None else check_version(version))

    def resolve(self, name: str, key: str | None = None, *, namespace: str = NAMESPACE) -> Endpoint:  # noqa: ARG002
        """Where to send a message for an agent: the endpoint of its latest version that was registered last.

        Args:
            name: The agent's name.
            key: Whom the answer is for, such as a context's id: the same key is sent to the same version for as long
                as the rules stand. The one rule now is ``latest``, for every key.
            namespace: Namespace of the agent.

        Raises:
            AgentNotFound: No such agent.
            EndpointNotFound: Its latest version answers nowhere.
        """
        _check_agent(namespace, name)
        labels = self.catalog.labels(namespace, name)
        if LATEST not in labels:  # another engine's agents may lack it
            raise VersionNotFound(f"'{name}' has no version labelled {LATEST}", "move the label to one of its versions")
        latest = labels[LATEST]
        live = self.catalog.endpoints(namespace, name, latest)
        if not live:
            others = sorted({endpoint.version for endpoint in self.catalog.endpoints(namespace, name)})
            raise EndpointNotFound(
                f"'{name}' {latest} has no live endpoint",
                f"other versions have: {', '.join(others)}; move the label latest to one, or start {latest}"
                if others
                else "start the agent: run its cell, or nbagora serve its file",
            )
        return live[0]

    def expire(self) -> float | None:
        """Takes away the endpoints whose lease ran out, so that watchers hear of it; readers never see them.

        Returns:
            Seconds until the next lease runs out, or None if none runs.
        """
        return self.catalog.expire()

    @property
    def revision(self) -> int:
        """Number of changes so far."""
        return self.catalog.revision()

    def changed_since(self, revision: int, *, limit: int = 1000) -> list[Change]:
        """The changes past `revision`, oldest first, `limit` at most."""
        return self.catalog.changed_since(revision, limit=limit)


def _check_agent(namespace: str, name: str) -> None:
    check_name(namespace, "namespace")
    check_name(name, "agent")
