"""What the registry does over HTTP: the bodies, and the table of doors that `http` makes routes of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from nbagora_lab.core.errors import EndpointNotFound, UsageError
from nbagora_lab.core.openapi import JSON
from nbagora_lab.registry.access import Policy, Role
from nbagora_lab.registry.ard import (
    PLURALS,
    Catalogue,
    ExploreRequest,
    ExploreResponse,
    ListResponse,
    SearchRequest,
    SearchResponse,
    entry_of,
    query_of,
)
from nbagora_lab.registry.change import Change
from nbagora_lab.registry.http import Call, Door
from nbagora_lab.registry.model import AgentVersion, Endpoint, Kind, Published, State
from nbagora_lab.registry.prompt import render
from nbagora_lab.registry.rules import Caller, Rule

__all__ = [
    "DOORS",
    "DryRunOf",
    "Explain",
    "GrantTo",
    "Publish",
    "PutLabel",
    "Register",
    "Render",
    "Report",
    "Resolve",
    "SetState",
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Publish(_Body):
    """A card, a server's description, or a prompt, to be published."""

    card: dict[str, Any]
    version: str | None = None
    state: State = "published"
    private: bool = False


class SetState(_Body):
    """How far a version is to be in its life."""

    state: State


class PutLabel(_Body):
    """Where a label is to point."""

    version: str


class Register(_Body):
    """A place where a version answers."""

    version: str
    url: str
    transport: str = "JSONRPC"
    lease: float = 30.0
    weight: float = 1.0
    zone: str = ""
    tenant: str = ""


class Report(_Body):
    """What became of a call, or what a probe found."""

    ok: bool
    seconds: float = Field(0.0, ge=0)
    probe: bool = False
    reason: str = ""


class Resolve(_Body):
    """Who is to be led."""

    key: str | None = None
    tenant: str = ""
    user: str = ""
    metadata: dict[str, str] = {}
    zone: str = ""
    ref: str | None = None


class DryRunOf(_Body):
    """A rule to be tried, and on whom: contexts' ids."""

    rule: dict[str, Any]
    callers: list[str] = Field(max_length=1_000_000)


class Explain(_Body):
    """A query, and the thing of which it is asked why it was found or not."""

    query: dict[str, Any]
    name: str


class Render(_Body):
    """Values for a prompt's variables."""

    ref: str = "latest"
    values: dict[str, Any] = {}


class GrantTo(_Body):
    """Whom a token is for."""

    who: str
    role: Role = "read"
    namespace: str = ""
    lifetime: float | None = None


def _version(call: Call) -> Any:
    version = call.registry.get(call.name, call.path("ref"), **call.where)
    tag = f'"{version.hash}"'
    given = call.request.headers.get("if-none-match", "")
    if tag in {part.strip().removeprefix("W/") for part in given.split(",")}:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(version.model_dump_json(), media_type="application/json", headers={"ETag": tag})


def _set_state(call: Call) -> Any:
    act: dict[State, Callable[..., bool]] = {
        "published": call.registry.restore,
        "deprecated": call.registry.deprecate,
        "withdrawn": call.registry.withdraw,
    }
    if call.body.state not in act:
        raise UsageError("nothing becomes a draft again", f"it becomes {' or '.join(act)}")
    return {"changed": act[call.body.state](call.name, call.path("ref"), **call.where)}


def _named(call: Call) -> Endpoint:
    """The endpoint that the path names."""
    for endpoint in call.registry.endpoints(call.name, **call.where):
        if endpoint.id == call.path("id"):
            return endpoint
    raise EndpointNotFound(f"'{call.name}' has no live endpoint {call.path('id')}", "register the place again")


def _report(call: Call) -> Any:
    endpoint = _named(call)
    if call.body.probe:
        return {"changed": call.registry.probed(endpoint, ok=call.body.ok, reason=call.body.reason, kind=call.kind)}
    taken_back = call.registry.report(endpoint, ok=call.body.ok, seconds=call.body.seconds, kind=call.kind)
    return {"taken_back": taken_back}


def _resolve(call: Call) -> Any:
    query = call.request.query_params
    return call.registry.resolve(
        call.name, query.get("key"), tenant=query.get("tenant", ""), user=query.get("user", ""),
        zone=query.get("zone", ""), ref=query.get("ref"), metadata=dict(call.request.headers), **call.where,
    )  # fmt: skip


def _list(call: Call) -> ListResponse:
    size = call.number("pageSize", 20, 100) or 1
    where = call.query("filter") or None
    if where is None:
        page = call.registry.ls(**call.where, after=call.query("pageToken"), limit=size)
        token = page[-1].name if len(page) == size else None
        return ListResponse(items=[entry_of(one, call.base) for one in page], pageToken=token)
    start = call.number("pageToken", 0, 9000)
    query = call.registry.query({**call.where, "where": where, "limit": start + size + 1})
    found = call.registry.search(query)[start:]
    items = [entry_of(one.agent, call.base) for one in found[:size]]
    return ListResponse(items=items, pageToken=str(start + size) if len(found) > size else None)


def _search(call: Call) -> SearchResponse:
    asked: SearchRequest = call.body
    given, _ = query_of(asked.query)
    start = int(asked.pageToken or 0)
    limit = min(start + asked.pageSize + 1, 10_000)
    found = call.registry.search(call.registry.query({**given, "namespace": call.namespace, "limit": limit}))
    top = found[0].score if found and found[0].score > 0 else 0.0
    page = found[start : start + asked.pageSize]
    results = [
        entry_of(one.agent, call.base, score=max(0, min(100, round(100 * one.score / top))) if top else 100)
        for one in page
    ]
    more = str(start + asked.pageSize) if len(found) > start + asked.pageSize else None
    return SearchResponse(results=results, pageToken=more)


def _explore(call: Call) -> ExploreResponse:
    asked: ExploreRequest = call.body
    given, _ = query_of(asked.query)
    counts = call.registry.counts(call.registry.query({**given, "namespace": call.namespace}))
    facets = {}
    for one in asked.resultType.facets:
        field = {"tags": "tag", "capabilities": "skill"}.get(one.field, one.field).removeprefix("metadata.")
        values = [(value, count) for value, count in counts.get(field, {}).items() if count >= one.minCount]
        buckets = [{"value": value, "count": count} for value, count in values[: one.limit]]
        facets[one.field] = {"buckets": buckets, "otherCount": sum(count for _, count in values[one.limit :])}
    return ExploreResponse.model_validate({"facets": facets})


def _catalogue(call: Call) -> Catalogue:
    entries = [
        entry_of(one, call.base)
        for kind in PLURALS
        for one in call.registry.ls(kind=kind, namespace=call.namespace, limit=1000)
    ]
    return Catalogue(host={"displayName": "nbagora registry", "identifier": call.base}, entries=entries)


def _door(
    method: str, path: str, summary: str, run: Callable[[Call], Any], *, query: tuple[str, ...] = (), **more: Any
) -> Door:
    """A door below the registry's root; all take a namespace, and answer with JSON of some kind."""
    asked = {name: {"type": "string"} for name in ("namespace", *query)}
    results: dict[str, Any] = {} if more.get("result") else {JSON: {}}
    return Door(method=method, path=f"/registry{path}", summary=summary, run=run, query=asked, results=results, **more)


def _of_kind(kind: Kind) -> list[Door]:
    """The doors of one kind of thing."""
    root = f"/{PLURALS[kind]}"
    one = f"{root}/{{name}}"
    place = f"{one}/endpoints/{{id}}"

    def op(method: str, path: str, summary: str, run: Callable[[Call], Any], **more: Any) -> Door:
        return _door(method, path, summary, run, kind=kind, **more)

    def publish(call: Call) -> Published:
        body: Publish = call.body
        return call.registry.publish(
            body.card, version=body.version, state=body.state, private=body.private, **call.where
        )

    def register(call: Call) -> Endpoint:
        return call.registry.register_endpoint(call.name, **call.body.model_dump(), **call.where)

    return [
        op("GET", root, "Lists the latest versions", _list, result=ListResponse,
           query=("filter", "pageSize", "pageToken")),
        op("POST", root, "Publishes a version", publish, body=Publish, result=Published),
        op("GET", f"{one}/versions", "Lists all versions", lambda c: c.registry.versions(c.name, **c.where)),
        op("GET", f"{one}/versions/{{ref}}", "Gives a version, by number or label", _version,
           result=AgentVersion, quick=True),
        op("PUT", f"{one}/versions/{{ref}}/state", "Moves a version along its life", _set_state, body=SetState),
        op("GET", f"{one}/diff/{{before}}/{{after}}", "Says where two versions differ",
           lambda c: c.registry.diff(c.name, c.path("before"), c.path("after"), **c.where)),
        op("GET", f"{one}/labels", "Lists the labels", lambda c: c.registry.labels(c.name, **c.where), quick=True),
        op("PUT", f"{one}/labels/{{label}}", "Points a label at a version",
           lambda c: {"changed": c.registry.label(c.name, c.path("label"), c.body.version, **c.where)}, body=PutLabel),
        op("DELETE", f"{one}/labels/{{label}}", "Takes a label away",
           lambda c: {"changed": c.registry.unlabel(c.name, c.path("label"), **c.where)}),
        op("POST", f"{one}/labels/{{label}}/rollback", "Points a label at what it pointed at before",
           lambda c: c.registry.rollback(c.name, c.path("label"), **c.where), result=Change),
        op("GET", f"{one}/rule", "Gives the rule", lambda c: c.registry.rule(c.name, **c.where), result=Rule),
        op("PUT", f"{one}/rule", "Sets the rule",
           lambda c: {"changed": c.registry.set_rule(c.name, c.body, **c.where)}, body=Rule),
        op("DELETE", f"{one}/rule", "Takes the rule away",
           lambda c: {"changed": c.registry.set_rule(c.name, None, **c.where)}),
        op("POST", f"{one}/rule/dry-run", "Tries a rule on callers",
           lambda c: c.registry.dry_run(c.name, c.body.rule, map(Caller, c.body.callers), **c.where), body=DryRunOf),
        op("GET", f"{one}/endpoints", "Lists the live endpoints",
           lambda c: c.registry.endpoints(c.name, c.request.query_params.get("version"), **c.where),
           query=("version",)),
        op("POST", f"{one}/endpoints", "Registers an endpoint", register, body=Register, result=Endpoint),
        op("PUT", f"{place}/lease", "Starts its lease anew",
           lambda c: c.registry.renew(c.path("id"), name=c.name, **c.where),
           result=Endpoint),
        op("POST", f"{place}/drain", "Has it take no new calls",
           lambda c: {"changed": c.registry.drain(c.path("id"), name=c.name, **c.where)}),
        op("POST", f"{place}/report", "Tells what became of a call, or of a probe", _report, body=Report),
        op("DELETE", place, "Ends it",
           lambda c: {"changed": c.registry.deregister(c.path("id"), name=c.name, **c.where)}),
        op("GET", f"{one}/resolve", "Leads a caller; its headers are what a rule's matches see", _resolve,
           query=("key", "tenant", "user", "zone", "ref"), quick=True),
        op("POST", f"{one}/resolve", "Leads a caller",
           lambda c: c.registry.resolve(c.name, **c.body.model_dump(), **c.where), body=Resolve, quick=True),
        op("GET", f"{one}/impact", "Says what breaks if it changes",
           lambda c: c.registry.impact(c.name, c.request.query_params.get("version"), **c.where), query=("version",)),
        op("GET", f"{one}/audit", "Says who changed it, when and why", lambda c: c.registry.audit(c.name, **c.where)),
    ]  # fmt: skip


def _rendered(call: Call) -> str:
    return render(call.registry.get(call.name, call.body.ref, **call.where).card, call.body.values)


def _changes(call: Call) -> Any:
    return call.registry.changed_since(call.number("after", 0, 2**53), limit=call.number("limit", 1000, 10_000))


DOORS: tuple[Door, ...] = (
    *(door for kind in PLURALS for door in _of_kind(kind)),
    _door("POST", "/prompts/{name}/render", "Writes a prompt with its values",
              lambda c: {"text": _rendered(c)},
              body=Render, kind="prompt"),
    _door("POST", "/search", "Searches, by words and filters", _search, body=SearchRequest, result=SearchResponse),
    _door("POST", "/explore", "Counts what a search finds", _explore, body=ExploreRequest, result=ExploreResponse),
    _door("POST", "/explain", "Says why something was found, or was not",
              lambda c: c.registry.explain(c.registry.query({"namespace": c.namespace} | c.body.query), c.body.name),
              body=Explain),
    _door("GET", "/catalogue", "Gives all as a catalogue", _catalogue, result=Catalogue),
    _door("GET", "/changes", "Gives the changes past a revision", _changes, query=("after", "limit")),
    _door("GET", "/audit/verify", "Checks that nobody altered the audit", lambda c: c.registry.verify()),
    _door("POST", "/tokens", "Hands out a token", lambda c: c.registry.grant(
        c.body.who, c.body.role, namespace=c.body.namespace, lifetime=c.body.lifetime), body=GrantTo),
    _door("DELETE", "/tokens/{who}", "Takes back somebody's tokens",
              lambda c: {"revoked": c.registry.revoke(c.path("who"))}),
    _door("GET", "/policy", "Gives the policy", lambda c: c.registry.policy(c.namespace), result=Policy),
    _door("PUT", "/policy", "Sets the policy", lambda c: {
        "changed": c.registry.set_policy(c.body.model_dump(), namespace=c.namespace)}, body=Policy),
)  # fmt: skip
"""Everything that can be asked over HTTP, beside the watch."""
