"""Filters: whole values of every field of a card, and of what the registry knows of it, joined as one likes."""

from __future__ import annotations

from typing import Any

import pytest

from cards import draft, skill
from nbagora_lab.core.errors import UsageError
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.model import Query, Why

PNG = skill("image-generation", tags=["art", "picture"], outputModes=["image/png"])
KEY = {"key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}}}
BEARER = {"token": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}
ACME = {"organization": "Acme 公司", "url": "https://acme.example"}
MEMORY = {"streaming": True, "extensions": [{"uri": "urn:x:memory"}]}
HERE = "http://127.0.0.1:8001/"


@pytest.fixture
def agora(catalog: Catalog) -> Catalog:
    catalog.publish(draft("painter", skills=[PNG], provider=ACME, securitySchemes=KEY))
    catalog.publish(
        draft("sketcher", skills=[PNG], capabilities={"pushNotifications": True}, defaultInputModes=["a/b"])
    )
    catalog.publish(draft("poet", capabilities=MEMORY, skills=[skill("verse", tags=["art"])], securitySchemes=BEARER))
    painter = catalog.register("public", "painter", "0.0.1", HERE, "JSONRPC", 30)
    catalog.register("public", "poet", "0.0.1", HERE, "GRPC", 30)
    catalog.mark(painter.id, "down", "probe failed")
    return catalog


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"capability": "streaming", "skill": "image-generation"}, ["painter"]),
        ({"capability": "STREAMING"}, ["painter", "poet"]),
        ({"provider": "acme 公司"}, ["painter"]),
        ({"provider": "https://acme.example"}, ["painter"]),
        ({"provider": "acme*"}, ["painter"]),
        ({"input": "a/b"}, ["sketcher"]),
        ({"output": "image/png"}, ["painter", "sketcher"]),
        ({"output": ("image/png", "text/plain")}, ["painter", "sketcher"]),
        ({"scheme": "apiKey"}, ["painter"]),
        ({"scheme": "bearer"}, ["poet"]),
        ({"scheme": "http"}, ["poet"]),
        ({"extension": "urn:x:*"}, ["poet"]),
        ({"transport": "grpc"}, ["poet"]),
        ({"transport": "jsonrpc"}, ["painter"]),
        ({"health": "up"}, ["poet"]),
        ({"health": "down"}, ["painter"]),
        ({"health": "none"}, ["sketcher"]),
        ({"tag": ("art", "picture")}, ["painter", "sketcher"]),
        ({"where": "tag=art and not skill=verse"}, ["painter", "sketcher"]),
        ({"where": "health=none or provider='Acme 公司'"}, ["painter", "sketcher"]),
        ({"where": "not (tag=picture or health=up)"}, []),
        ({"where": "skill=image* capability=push*"}, ["sketcher"]),
        ({"tag": "art", "where": "transport=GRPC"}, ["poet"]),
        ({"text": "verse", "where": "health=up"}, ["poet"]),
        ({"text": "verse", "capability": "pushNotifications"}, []),
        ({"label": "stable"}, []),
        ({"state": "draft"}, []),
    ],
)
def test_filters_narrow(agora: Catalog, query: dict[str, Any], expected: list[str]) -> None:
    assert sorted(found.agent.name for found in agora.find(Query(**query))) == expected


def test_a_filter_is_a_reason(agora: Catalog) -> None:
    [found] = agora.find(Query(capability="streaming", skill="image*", health="down"))
    assert found.why == (
        Why(field="skill", text="image-generation"),
        Why(field="capability", text="streaming"),
        Why(field="health", text="down"),
    )


def test_counts_tell_what_could_be_asked_next(agora: Catalog) -> None:
    counts = agora.counts(Query(tag="art", limit=1))
    assert counts["tag"] == {"art": 3, "picture": 2}
    assert counts["capability"] == {"streaming": 2, "pushnotifications": 1}
    assert agora.counts(Query(skill="nothing")) == {}
    assert agora.counts(Query(text="verse"))["skill"] == {"verse": 1}
    assert agora.counts(Query(text="?")) == {}


@pytest.mark.parametrize(
    "text", ["", "tag", "tag=", "tag=a or", "(tag=a", "tag=a)", "colour=red", "and", "tag=a ==", "(" * 40]
)
def test_a_filter_that_is_none_is_refused(agora: Catalog, text: str) -> None:
    with pytest.raises(UsageError):
        agora.find(Query(where=text))
