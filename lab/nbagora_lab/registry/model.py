"""What the registry's faces speak of: agents' versions, labels, endpoints, findings.

Three kinds of thing are kept: agents, MCP servers and prompts. A thing is named by kind, namespace and name, a version
of it by its number as well.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "FILTERS",
    "LATEST",
    "LOCAL",
    "NAMESPACE",
    "NOUNS",
    "AgentVersion",
    "By",
    "Draft",
    "Endpoint",
    "EndpointState",
    "Found",
    "Kind",
    "Link",
    "Published",
    "Query",
    "State",
    "TextField",
    "Thing",
    "Values",
    "Why",
]

NAMESPACE = "public"
"""The namespace of whatever names none."""

LATEST = "latest"
"""The label that each new version takes over."""

Kind = Literal["agent", "mcp", "prompt"]
"""What a thing of the registry is: an agent, an MCP server, or a prompt."""

Thing = tuple[Kind, str, str]
"""Kind, namespace and name."""

NOUNS: dict[Kind, str] = {"agent": "agent", "mcp": "MCP server", "prompt": "prompt"}
"""How people call a kind."""

State = Literal["draft", "published", "deprecated", "withdrawn"]
"""How far a version is in its life. Labels point at published and deprecated ones alone."""

EndpointState = Literal["up", "down", "draining"]
"""Whether an endpoint may be given new tasks: ``down`` failed its probe or too many calls, ``draining`` is leaving."""

TextField = Literal["name", "skill", "tag", "description", "example"]
"""A part of the card whose texts are searched."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class By(NamedTuple):
    """Who asked for a change, and why; it stands on the change's record.

    Attributes:
        who: Name of the principal.
        why: The reason that they gave, or nothing.
    """

    who: str = "local"
    why: str = ""


LOCAL = By()
"""Whoever is in this process and gave no name."""


class Link(NamedTuple):
    """What a version needs another thing for: it uses it.

    Attributes:
        kind: Kind of the thing that is used.
        name: Its name, in the same namespace.
        ref: The version or label that is used of it.
    """

    kind: Kind
    name: str
    ref: str


class Draft(NamedTuple):
    """Content that was checked and may be published; `kinds.read_content` makes it.

    Attributes:
        namespace: Where it goes.
        name: The agent's name.
        card: What its hash covers: the card without version, interfaces and signatures, in canonical form.
        version: The version that the card itself names, or None.
        hash: SHA-256 of the canonical JSON of `card`, in hex.
        kind: What it is; `card` stands for a server's description and for a prompt just so.
        links: What it uses.
        signed: A card as given, where it is signed: a signature covers what `card` leaves out.
    """

    namespace: str
    name: str
    card: dict[str, Any]
    version: str | None
    hash: str
    kind: Kind = "agent"
    links: tuple[Link, ...] = ()
    signed: dict[str, Any] | None = None


class Published(_Frozen):
    """What became of a publication.

    Attributes:
        namespace: Namespace of the agent.
        name: The agent's name.
        version: The version that has this content.
        hash: Hash of the content.
        new: Whether this call made the version; False where it was there already, equal.
        kind: What it is.
        state: ``draft`` where it waits for an approval.
    """

    namespace: str
    name: str
    version: str
    hash: str
    new: bool
    kind: Kind = "agent"
    state: State = "published"

    def __repr__(self) -> str:
        return f"{NOUNS[self.kind]} {self.name} {self.version} {self.state}{'' if self.new else ', as it was'}"


class AgentVersion(_Frozen):
    """One version of an agent, an MCP server or a prompt. It never changes; its state and labels do.

    Attributes:
        namespace: Namespace of the agent.
        name: The agent's name.
        version: Number of the version.
        hash: SHA-256 of its content, in hex.
        card: The A2A 1.0 AgentCard as ProtoJSON, with this version; interfaces and signatures are put in when served.
        published: Seconds since the Unix epoch.
        labels: Labels that point at it now, in order.
        kind: What it is; `card` is then a server's description or a prompt.
        state: How far it is in its life.
        owner: Who published the thing first, and may publish more of it.
        private: Whether only its owner and admins see it.
    """

    namespace: str
    name: str
    version: str
    hash: str
    card: dict[str, Any] = Field(repr=False)
    published: float
    labels: tuple[str, ...] = ()
    kind: Kind = "agent"
    state: State = "published"
    owner: str = LOCAL.who
    private: bool = False

    @property
    def description(self) -> str:
        """The card's description."""
        return str(self.card["description"])

    @property
    def skills(self) -> tuple[str, ...]:
        """Ids of the card's skills, in its order."""
        return tuple(skill["id"] for skill in self.card.get("skills", ()))


class Endpoint(_Frozen):
    """A place where a version answers, for as long as its lease runs.

    The id is the lease's own: whoever registers the same place again gets another one, and the former is dead.

    Attributes:
        id: What `renew` and `deregister` take.
        epoch: Rises with every registration in this registry; the newest endpoint has the highest.
        namespace: Namespace of the agent.
        name: The agent's name.
        version: The version that answers there.
        url: Where it answers.
        transport: A2A's protocol binding: ``JSONRPC``, ``HTTP+JSON``, ``GRPC`` or another.
        lease: Seconds that it lives after it was registered or last renewed.
        registered: Seconds since the Unix epoch.
        expires: Seconds since the Unix epoch; from then on it is gone.
        weight: Its share of the load, beside others of its version.
        zone: Where it runs; callers of the same zone prefer it.
        tenant: A2A's tenant at that place, or an empty string.
        state: Whether it may be given new tasks.
        reason: Why it is ``down`` or ``draining``.
    """

    id: str
    epoch: int
    namespace: str
    name: str
    version: str
    url: str
    transport: str
    lease: float
    registered: float
    expires: float
    weight: float = 1.0
    zone: str = ""
    tenant: str = ""
    state: EndpointState = "up"
    reason: str = ""


Values = str | tuple[str, ...]
"""What is asked of a filter: a value, or several of which all must be there."""


class Query(_Frozen):
    """What to look for among the versions that a label points at; all that is given must hold.

    A filter's values are compared in whole, whatever their case; one with ``*`` or ``?`` is a pattern.

    Attributes:
        kind: What to look for.
        namespace: Where to look.
        label: The label whose versions are meant.
        text: Words in any order, in any script; one of them is enough, more of them rank higher.
        name: A name, or a pattern of one; a backslash takes the meaning of ``*`` and ``?`` away.
        skill: Id or name of a skill.
        tag: A skill's tag.
        provider: Name or URL of who provides it.
        capability: ``streaming``, ``pushNotifications`` or ``extendedAgentCard``.
        input: A media type that it takes.
        output: A media type that it gives.
        scheme: Name or kind of a security scheme.
        extension: URI of an extension.
        transport: A transport of one of its live endpoints.
        health: ``up``, ``down`` or ``draining``: a live endpoint is that; ``none``: it has no live endpoint.
        state: How far it is in its life.
        where: Further conditions, as `where` reads them.
        seen_by: Whose private things are found besides public ones; None for all.
        limit: Number of results at most.
    """

    kind: Kind = "agent"
    namespace: str = NAMESPACE
    label: str = LATEST
    text: str | None = None
    name: str | None = None
    skill: Values | None = None
    tag: Values | None = None
    provider: Values | None = None
    capability: Values | None = None
    input: Values | None = None
    output: Values | None = None
    scheme: Values | None = None
    extension: Values | None = None
    transport: Values | None = None
    health: Values | None = None
    state: Values | None = None
    where: str | None = None
    seen_by: str | None = None
    limit: int = Field(20, ge=1, le=10_000)

    def asked(self) -> list[tuple[str, str]]:
        """Filter and value of all that its filters ask for."""
        given = ((field, getattr(self, field)) for field in FILTERS)
        return [
            (field, value)
            for field, values in given
            if values is not None
            for value in ((values,) if isinstance(values, str) else values)
        ]


FILTERS = (
    "skill", "tag", "provider", "capability", "input", "output", "scheme", "extension", "transport", "health", "state",
)  # fmt: skip
"""The fields of a `Query` that hold filters' values."""


class Why(_Frozen):
    """One reason why a version was found.

    Attributes:
        field: The part of the card, or the filter, that matched.
        text: What in it matched, as the card has it.
    """

    field: str
    text: str


class Found(_Frozen):
    """One result of a search.

    Attributes:
        agent: The version that was found.
        score: BM25 over the card's texts, higher is better; 0 where no text was asked for.
        why: What matched.
    """

    agent: AgentVersion
    score: float
    why: tuple[Why, ...]
