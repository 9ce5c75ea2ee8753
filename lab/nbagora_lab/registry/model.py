"""What the registry's faces speak of: agents' versions, labels, endpoints, findings, changes; and the rules for them.

An agent is named by namespace and name, a version of it by its number as well. Names keep the rules that topics keep
(1 to 512 bytes of UTF-8 without control characters or ``/``). A version begins with a digit and a label with a letter,
so that one argument can take either.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from nbagora_lab.core.errors import BadName, UsageError

__all__ = [
    "LATEST",
    "NAMESPACE",
    "AgentVersion",
    "Change",
    "Draft",
    "Endpoint",
    "Found",
    "Published",
    "Query",
    "TextField",
    "Why",
    "automatic_number",
    "check_endpoint",
    "check_label",
    "check_version",
    "is_version",
]

NAMESPACE = "public"
"""The namespace of whatever names none."""

LATEST = "latest"
"""The label that each new version takes over."""

TextField = Literal["name", "skill", "tag", "description", "example"]
"""A part of the card whose texts are searched."""

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_~-]{0,63}\Z")
_LABEL = re.compile(r"[\w.-]{1,64}\Z")
_AUTOMATIC = re.compile(r"0\.0\.(0|[1-9][0-9]{0,17})\Z")
_TRANSPORT = re.compile(r"[!-~]{1,64}\Z")
_LONGEST_URL = 2048


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Draft(NamedTuple):
    """A card that was checked and may be published; `card.read_card` makes it.

    Attributes:
        namespace: Where it goes.
        name: The agent's name.
        card: What its hash covers: the card without version, interfaces and signatures, in canonical form.
        version: The version that the card itself names, or None.
        hash: SHA-256 of the canonical JSON of `card`, in hex.
    """

    namespace: str
    name: str
    card: dict[str, Any]
    version: str | None
    hash: str


class Published(_Frozen):
    """What became of a publication.

    Attributes:
        namespace: Namespace of the agent.
        name: The agent's name.
        version: The version that has this content.
        hash: Hash of the content.
        new: Whether this call made the version; False where it was there already, equal.
    """

    namespace: str
    name: str
    version: str
    hash: str
    new: bool


class AgentVersion(_Frozen):
    """One version of an agent. It never changes; the labels that point at it do.

    Attributes:
        namespace: Namespace of the agent.
        name: The agent's name.
        version: Number of the version.
        hash: SHA-256 of its content, in hex.
        card: The A2A 1.0 AgentCard as ProtoJSON, with this version and without interfaces and signatures, which are
            put in when it is served.
        published: Seconds since the Unix epoch.
        labels: Labels that point at it now, in order.
    """

    namespace: str
    name: str
    version: str
    hash: str
    card: dict[str, Any] = Field(repr=False)
    published: float
    labels: tuple[str, ...] = ()

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


class Query(_Frozen):
    """What to look for among the versions that `latest` points at; all that is given must hold.

    Attributes:
        namespace: Where to look.
        text: Words in any order, in any script; one of them is enough, more of them rank higher.
        name: An agent's name, or a pattern of one with ``*`` and ``?``; a backslash takes their meaning away.
        skill: Id or name of a skill, in whole, whatever its case.
        tag: A skill's tag, in whole, whatever its case.
        limit: Number of results at most.
    """

    namespace: str = NAMESPACE
    text: str | None = None
    name: str | None = None
    skill: str | None = None
    tag: str | None = None
    limit: int = Field(20, ge=1, le=10_000)


class Why(_Frozen):
    """One reason why a version was found.

    Attributes:
        field: The part of the card that matched.
        text: What in it matched, as the card has it.
    """

    field: TextField
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


class Change(_Frozen):
    """One change of the registry.

    Attributes:
        revision: Its place among all changes, dense from 1.
        time: Seconds since the Unix epoch.
        type: What changed.
        namespace: Namespace of the agent.
        name: The agent's name.
        version: The version that was published, that the label points at now, or that the endpoint serves.
        detail: ``label.moved``: ``label`` and, unless it is new, ``from`` (a version). ``endpoint.up``: ``id``,
            ``url``, ``transport`` and, where it took the place of one with an older lease, ``replaces`` (its id).
            ``endpoint.down``: ``id``, ``url``, ``transport`` and ``reason`` (``deregistered`` or ``expired``).
    """

    revision: int
    time: float
    type: Literal["published", "label.moved", "endpoint.up", "endpoint.down"]
    namespace: str
    name: str
    version: str
    detail: dict[str, str] = {}


def is_version(text: str) -> bool:
    """Whether `text` can only be a version: it begins with a digit.

    Example:
        >>> is_version("1.0.0"), is_version("latest")
        (True, False)
    """
    return text[:1].isascii() and text[:1].isdigit()


def check_version(version: str) -> str:
    """Returns `version` if it keeps the rule for versions.

    Raises:
        BadName: It does not.
    """
    if not _VERSION.match(version):
        raise BadName(
            f"{_shown(version)} is no version",
            "a version begins with a digit and has 1 to 64 of the characters 0-9 A-Z a-z . + _ ~ -, such as 1.0.0",
        )
    return version


def check_label(label: str) -> str:
    """Returns `label` if it keeps the rule for labels.

    Raises:
        BadName: It does not.
    """
    if not (_LABEL.match(label) and label[0].isalpha()):
        raise BadName(
            f"{_shown(label)} is no label",
            "a label begins with a letter and has 1 to 64 letters, digits, '.', '_' or '-', such as stable",
        )
    return label


def automatic_number(version: str) -> int | None:
    """The N of a version ``0.0.N``, None of any other.

    Example:
        >>> automatic_number("0.0.12"), automatic_number("1.0.0")
        (12, None)
    """
    found = _AUTOMATIC.match(version)
    return int(found[1]) if found else None


def check_endpoint(url: str, transport: str, lease: float) -> None:
    """Checks the parts of an endpoint; A2A's two HTTP transports need an http or https URL.

    Raises:
        UsageError: One of them does not fit.
    """
    if not _TRANSPORT.match(transport):
        raise UsageError(f"{_shown(transport)} is no transport", "A2A has JSONRPC, HTTP+JSON and GRPC")
    problem = ""
    if not url or len(url) > _LONGEST_URL or any(letter.isspace() or not letter.isprintable() for letter in url):
        problem = f"it takes 1 to {_LONGEST_URL} characters without blanks"
    elif transport in {"JSONRPC", "HTTP+JSON"}:
        try:
            parts = urlsplit(url)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        problem = (
            "" if good else f"{transport} takes an http or https URL, such as http://127.0.0.1:8000/agents/weather"
        )
    if problem:
        raise UsageError(f"{_shown(url)} is no URL of an endpoint", problem)
    if not (math.isfinite(lease) and lease > 0):
        raise UsageError(f"a lease of {lease!r} s", "a lease takes a number of seconds above 0")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")
