"""Agentic Resource Discovery: the registry's things as ARD 0.9 entries, and its questions as queries.

| ARD | here |
|---|---|
| `identifier` | ``urn:air:PUBLISHER:NAMESPACE:NAME``; the publisher is the host of the provider's URL |
| `type` | the kind, as a media type |
| `url` | where the card is read here |
| `capabilities` | ids of its skills, names of its tools |
| `representativeQueries` | its skills' examples, five at most |
| `score` | the rank's score, the best being 100 |

A filter's keys are `type`, `tags`, `capabilities`, `displayName`, and the registry's own filters, bare or below
``metadata.``; of several values one is enough.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from nbagora_lab.core.clock import rfc3339
from nbagora_lab.core.errors import UsageError, did_you_mean
from nbagora_lab.registry.model import FILTERS, NAMESPACE, AgentVersion, Kind

__all__ = [
    "PLURALS",
    "TYPES",
    "Bucket",
    "Catalogue",
    "Entry",
    "ExploreRequest",
    "ExploreResponse",
    "FacetRequest",
    "FacetResult",
    "ListResponse",
    "QueryModel",
    "ResultType",
    "SearchRequest",
    "SearchResponse",
    "entry_of",
    "host_of",
    "query_of",
]

TYPES: dict[Kind, str] = {
    "agent": "application/a2a-agent-card+json",
    "mcp": "application/mcp-server-card+json",
    "prompt": "application/vnd.nbagora.prompt+json",
}
"""The media type of each kind."""

PLURALS: dict[Kind, str] = {"agent": "agents", "mcp": "mcp-servers", "prompt": "prompts"}
"""Each kind's part of a path."""

_ALIASES = {"tags": "tag", "capabilities": "skill"}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Model):
    """A thing as others look for it; `score` and `source` in a search's results alone."""

    identifier: str
    displayName: str  # noqa: N815 -- ARD's own
    type: str
    url: str
    description: str
    version: str
    updatedAt: str  # noqa: N815
    tags: list[str]
    capabilities: list[str]
    representativeQueries: list[str]  # noqa: N815
    metadata: dict[str, Any]
    score: int | None = Field(None, ge=0, le=100)
    source: str | None = None


class QueryModel(_Model):
    """What to look for."""

    text: str | None = None
    filter: dict[str, str | list[str]] = {}


class SearchRequest(_Model):
    """A search."""

    query: QueryModel
    federation: str = Field("auto", pattern="^(auto|referrals|none)$")
    pageSize: int = Field(10, ge=1, le=100)  # noqa: N815
    pageToken: str | None = Field(None, pattern="^[0-9]{1,6}$")  # noqa: N815


class SearchResponse(_Model):
    """What a search found, the best first."""

    results: list[Entry]
    pageToken: str | None = None  # noqa: N815


class ListResponse(_Model):
    """Things in the order of their names."""

    items: list[Entry]
    pageToken: str | None = None  # noqa: N815


class FacetRequest(_Model):
    """A field to count."""

    field: str
    limit: int = Field(20, ge=1, le=1000)
    minCount: int = Field(1, ge=1)  # noqa: N815


class ResultType(_Model):
    """What is to be counted."""

    facets: list[FacetRequest] = Field(max_length=32)


class ExploreRequest(_Model):
    """A count of what a query finds."""

    query: QueryModel = QueryModel()
    resultType: ResultType  # noqa: N815


class Bucket(_Model):
    """A value, and how many have it."""

    value: str
    count: int


class FacetResult(_Model):
    """The values of a field, the most frequent first, and how many others there are."""

    buckets: list[Bucket]
    otherCount: int  # noqa: N815


class ExploreResponse(_Model):
    """What was counted."""

    resultType: str = "facets"  # noqa: N815
    facets: dict[str, FacetResult]


class Catalogue(_Model):
    """The well-known catalogue of a host."""

    specVersion: str = "1.0"  # noqa: N815
    host: dict[str, str]
    entries: list[Entry]


def host_of(card: dict[str, Any]) -> str:
    """The domain of whoever provides a thing."""
    try:
        return urlsplit(card.get("provider", {}).get("url", "")).hostname or "localhost"
    except ValueError:
        return "localhost"


def entry_of(version: AgentVersion, base: str, *, score: int | None = None) -> Entry:
    """A version as an entry.

    Args:
        version: The version.
        base: URL of the registry, without a slash at its end.
        score: Its rank's score, 0 to 100, in a search.
    """
    card = version.card
    skills = [*card.get("skills", ()), *card.get("tools", ())]
    tags = [*card.get("tags", ()), *(tag for skill in skills for tag in skill.get("tags", ()))]
    space = "" if version.namespace == NAMESPACE else f"?namespace={quote(version.namespace, safe='')}"
    name = quote(version.name, safe="")
    return Entry(
        identifier=f"urn:air:{host_of(card)}:{quote(version.namespace, safe='')}:{name}",
        displayName=version.name,
        type=TYPES[version.kind],
        url=f"{base}/{PLURALS[version.kind]}/{name}/versions/{version.version}{space}",
        description=version.description,
        version=version.version,
        updatedAt=rfc3339(version.published),
        tags=list(dict.fromkeys(tags)),
        capabilities=[skill.get("id", skill["name"]) for skill in skills],
        representativeQueries=[example for skill in skills for example in skill.get("examples", ())][:5],
        metadata={"labels": list(version.labels), "state": version.state, "hash": version.hash},
        score=score,
        source=None if score is None else f"{base}/",
    )


def query_of(asked: QueryModel) -> tuple[dict[str, Any], Kind]:
    """ARD's query as one of the registry's: what `Registry.query` takes, and the kind that it is for.

    Raises:
        UsageError: A key that is no filter.
    """
    given: dict[str, Any] = {"text": asked.text}
    conditions = []
    kind: Kind = "agent"
    for key, values in asked.filter.items():
        wanted = [values] if isinstance(values, str) else values
        field = _ALIASES.get(key, key).removeprefix("metadata.")
        if field == "type":
            kinds = [known for known, media in TYPES.items() if media in wanted]
            if len(kinds) != 1:
                raise UsageError(
                    f"type {wanted} is not one kind of thing", f"ask for one of {', '.join(TYPES.values())}"
                )
            kind = kinds[0]
        elif field == "displayName" and len(wanted) == 1:
            given["name"] = wanted[0]
        elif field in FILTERS:
            if any('"' in value and "'" in value for value in wanted):
                raise UsageError(f"a value of {key} has both kinds of quotes", "ask for it by a pattern")
            marks = [f"{field}='{value}'" if '"' in value else f'{field}="{value}"' for value in wanted]
            conditions.append(f"({' or '.join(marks)})" if marks else "(state=published and state=draft)")
        else:
            raise UsageError(
                f"no filter '{key}'", did_you_mean(key, ["type", "tags", "capabilities", "displayName", *FILTERS])
            )
    if conditions:
        given["where"] = " and ".join(conditions)
    return given | {"kind": kind}, kind
