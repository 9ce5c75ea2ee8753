"""What a registry view shows and what it may ask for: snapshots and commands, as in `inspect.model`.

A snapshot holds one page of what a search finds, the facets that would narrow it, the one thing that is looked at, and
the newest changes; its size follows what is shown, not what there is.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nbagora_lab.inspect.model import Bye, Command, Hello, Snapshot, first_words

__all__ = [
    "CHANGES",
    "FACETS",
    "FOUND",
    "LINES",
    "VERSIONS",
    "ChangeRow",
    "Choose",
    "Compare",
    "Difference",
    "EndpointRow",
    "Facet",
    "FacetValue",
    "FoundRow",
    "LabelRow",
    "Point",
    "RegistryCommand",
    "RegistrySnapshot",
    "RollBack",
    "Search",
    "ThingDetail",
    "VersionRow",
]

FOUND = 50
"""Results of a snapshot at most."""

FACETS = 8
"""Values of one facet at most, the most frequent ones."""

VERSIONS = 50
"""Versions of a thing at most, the newest ones."""

CHANGES = 40
"""Changes at most, the newest ones."""

LINES = 60
"""Places of a difference at most."""

_Line = Annotated[str, BeforeValidator(lambda text: first_words(" ".join(str(text).split()), 240))]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class FoundRow(_Model):
    """One thing that a search found.

    Attributes:
        name: Its name.
        version: The version that ``latest`` points at.
        description: What it says of itself.
        health: ``up``, ``draining``, ``down``, or ``none`` where it answers nowhere; the best of its endpoints.
        endpoints: Number of its live endpoints.
        why: Why it was found.
    """

    name: str
    version: str
    description: _Line
    health: str
    endpoints: int
    why: _Line = ""


class FacetValue(_Model):
    """One value of a filter, and how many of what is found have it."""

    value: str
    count: int
    chosen: bool = False


class Facet(_Model):
    """A filter that would narrow the search."""

    field: str
    values: tuple[FacetValue, ...]


class VersionRow(_Model):
    """A version of the thing that is looked at.

    Attributes:
        version: Its number.
        state: How far it is in its life.
        published: Seconds since the Unix epoch.
        labels: Labels that point at it.
        share: Percent of all conversations that the rule leads to it; None where the rule has no shares.
        hash: The first twelve letters of its content's hash.
    """

    version: str
    state: str
    published: float
    labels: tuple[str, ...]
    share: float | None = None
    hash: str


class LabelRow(_Model):
    """A label, and the version that it points at."""

    label: str
    version: str


class EndpointRow(_Model):
    """A place where a version answers."""

    id: str
    version: str
    url: _Line
    transport: str
    state: str
    reason: _Line = ""
    weight: float
    zone: str
    expires: float


class Difference(_Model):
    """Where the cards of two versions differ.

    Attributes:
        before: The one version.
        after: The other.
        lines: The places, `LINES` at most.
        more: Number of places that are left out.
    """

    before: str
    after: str
    lines: tuple[_Line, ...]
    more: int = 0


class ThingDetail(_Model):
    """The thing that is looked at.

    Attributes:
        name: Its name.
        owner: Whose it is.
        description: What its latest version says of itself.
        rule: How its callers are led, in a sentence.
        labels: Its labels.
        versions: The newest of its versions.
        endpoints: Where they answer.
        difference: Where two of its versions differ, if that is asked.
    """

    name: str
    owner: str
    description: str
    rule: str
    labels: tuple[LabelRow, ...]
    versions: tuple[VersionRow, ...]
    endpoints: tuple[EndpointRow, ...]
    difference: Difference | None = None


class ChangeRow(_Model):
    """A change of the registry."""

    revision: int
    time: float
    type: str
    name: str
    version: str
    text: _Line
    who: str


class RegistrySnapshot(Snapshot):
    """What a registry view shows.

    Attributes:
        kind: ``agent``, ``mcp`` or ``prompt``.
        text: The words that are searched for.
        filters: The filters that are chosen, ``field=value`` each.
        total: Number of things that are found; `FOUND` of them are rows.
        rows: What is found, the best first.
        facets: What would narrow the search.
        selected: What is looked at.
        changes: The newest changes, newest first.
        problem: Why the search can't be done.
    """

    kind: str = "agent"
    text: str = ""
    filters: tuple[str, ...] = ()
    total: int = Field(0, ge=0)
    rows: tuple[FoundRow, ...] = ()
    facets: tuple[Facet, ...] = ()
    selected: ThingDetail | None = None
    changes: tuple[ChangeRow, ...] = ()
    problem: str = ""


class Search(Command):
    """Asks for what fits words and filters."""

    do: Literal["search"] = "search"
    kind: Literal["agent", "mcp", "prompt"]
    text: str = Field(max_length=2000)
    filters: tuple[str, ...] = Field((), max_length=32)


class Choose(Command):
    """Asks for one thing's versions and endpoints; None for none's."""

    do: Literal["choose"] = "choose"
    name: str | None


class Compare(Command):
    """Asks where two versions of the chosen thing differ; empty for no comparison."""

    do: Literal["compare"] = "compare"
    before: str
    after: str


class Point(Command):
    """Points a label of the chosen thing at a version."""

    do: Literal["point"] = "point"
    name: str
    label: str
    version: str


class RollBack(Command):
    """Points a label back at the version that it pointed at before."""

    do: Literal["roll-back"] = "roll-back"
    name: str
    label: str


RegistryCommand = Annotated[Hello | Bye | Search | Choose | Compare | Point | RollBack, Field(discriminator="do")]
"""What a registry view may send."""
