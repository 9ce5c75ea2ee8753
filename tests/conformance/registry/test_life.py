"""The life of a catalog: what was written is there when it is opened again, and a closed one says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cards import draft, skill
from nbagora_lab.core.errors import StoreClosed
from nbagora_lab.registry.api import CAPABILITIES, Catalog
from nbagora_lab.registry.model import Query

HERE = "http://127.0.0.1:8001/agents/weather"
CALLS: dict[str, Callable[[Catalog], object]] = {
    "publish": lambda catalog: catalog.publish(draft("fresh")),
    "get": lambda catalog: catalog.get("public", "weather", "latest"),
    "versions": lambda catalog: catalog.versions("public", "weather"),
    "signed": lambda catalog: catalog.signed("public", "weather", "latest"),
    "ls": lambda catalog: catalog.ls("public"),
    "find": lambda catalog: catalog.find(Query(text="weather")),
    "label": lambda catalog: catalog.label("public", "weather", "stable", "1"),
    "labels": lambda catalog: catalog.labels("public", "weather"),
    "register": lambda catalog: catalog.register("public", "weather", "1", HERE, "JSONRPC", 30),
    "renew": lambda catalog: catalog.renew("id"),
    "deregister": lambda catalog: catalog.deregister("id"),
    "endpoints": lambda catalog: catalog.endpoints("public", "weather"),
    "all_endpoints": lambda catalog: catalog.all_endpoints(),
    "expire": lambda catalog: catalog.expire(),
    "revision": lambda catalog: catalog.revision(),
    "changed_since": lambda catalog: catalog.changed_since(0),
    "users": lambda catalog: catalog.users("public", "weather"),
    "counts": lambda catalog: catalog.counts(Query()),
    "unlabel": lambda catalog: catalog.unlabel("public", "weather", "stable"),
    "rollback": lambda catalog: catalog.rollback("public", "weather", "latest"),
    "set_state": lambda catalog: catalog.set_state("public", "weather", "1", "deprecated"),
    "set_rule": lambda catalog: catalog.set_rule("public", "weather", None),
    "rule": lambda catalog: catalog.rule("public", "weather"),
    "mark": lambda catalog: catalog.mark("id", "draining"),
    "put": lambda catalog: catalog.put("policy", "public", "", {}, told={}),
    "document": lambda catalog: catalog.document("policy", "public", ""),
    "documents": lambda catalog: catalog.documents("policy"),
    "own": lambda catalog: catalog.own("public", "weather", owner="ann"),
    "refuse": lambda catalog: catalog.refuse("agent", "public", "weather", "label", "no role"),
    "verify": lambda catalog: catalog.verify(),
}


def test_the_calls_above_are_the_protocol() -> None:
    methods = {name for name, value in vars(Catalog).items() if callable(value) and not name.startswith("_")}
    assert CALLS.keys() == methods - {"close"}


@pytest.mark.parametrize("method", CALLS)
def test_a_closed_catalog_refuses_every_call(catalog: Catalog, method: str) -> None:
    catalog.publish(draft(), version="1")
    catalog.close()
    catalog.close()
    with pytest.raises(StoreClosed):
        CALLS[method](catalog)


def test_everything_is_there_when_it_is_opened_again(reopen: Callable[[], Catalog]) -> None:
    first = reopen()
    first.publish(draft(description="One.", skills=[skill("sun", tags=["sky"])]), version="1")
    first.publish(draft(description="Two.", skills=[skill("天气")]), version="2")
    first.label("public", "weather", "stable", "1")
    endpoint = first.register("public", "weather", "2", HERE, "JSONRPC", 30)
    versions, changes = first.versions("public", "weather"), first.changed_since(0)
    first.close()
    again = reopen()
    assert again.versions("public", "weather") == versions
    assert again.labels("public", "weather") == {"latest": "2", "stable": "1"}
    assert again.endpoints("public", "weather") == [endpoint]
    assert again.changed_since(0) == changes
    assert [found.agent.version for found in again.find(Query(text="天"))] == ["2"]


def test_an_engine_says_what_it_is_and_can(catalog: Catalog) -> None:
    assert catalog.engine
    assert catalog.capabilities <= set(CAPABILITIES)
