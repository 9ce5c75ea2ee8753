"""Agents, MCP servers and prompts: kept apart by kind, and linked by what uses what."""

from __future__ import annotations

import pytest

from cards import card, draft
from nbagora_lab.core.errors import AgentNotFound
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.card import read_content, with_links
from nbagora_lab.registry.model import Draft, Link, Query

PROMPT = {
    "name": "weather",
    "description": "How to tell it.",
    "template": "Tell the weather of {{city}}.",
    "tags": ["旅行"],
}
SERVER = {"name": "weather", "description": "Sky tools.", "tools": [{"name": "look_up", "description": "看天空"}]}


def using(name: str, *links: Link) -> Draft:
    return read_content("agent", with_links(card(name), list(links)))


@pytest.fixture
def kinds(catalog: Catalog) -> Catalog:
    """An agent, a server and a prompt of one name."""
    catalog.publish(draft())
    catalog.publish(read_content("mcp", SERVER), version="1.0")
    catalog.publish(read_content("prompt", PROMPT), version="2.0")
    return catalog


def test_things_of_one_name_and_other_kinds_are_others(kinds: Catalog) -> None:
    for kind, version in (("agent", "0.0.1"), ("mcp", "1.0"), ("prompt", "2.0")):
        found = kinds.get("public", "weather", "latest", kind=kind)  # type: ignore[arg-type]
        assert (found.kind, found.version) == (kind, version)
        assert [one.version for one in kinds.ls("public", kind=kind)] == [version]  # type: ignore[arg-type]
    assert kinds.label("public", "weather", "stable", "1.0", kind="mcp") is True
    assert kinds.labels("public", "weather") == {"latest": "0.0.1"}
    with pytest.raises(AgentNotFound, match="no prompt 'other'"):
        kinds.get("public", "other", "latest", kind="prompt")


def test_tools_and_templates_are_searched(kinds: Catalog) -> None:
    assert [found.agent.kind for found in kinds.find(Query(kind="mcp", skill="look_up"))] == ["mcp"]
    assert [found.agent.kind for found in kinds.find(Query(kind="mcp", text="天"))] == ["mcp"]
    assert [found.agent.kind for found in kinds.find(Query(kind="prompt", text="city", tag="旅行"))] == ["prompt"]
    assert kinds.find(Query(skill="look_up")) == []


def test_a_server_s_endpoint_is_its_own(kinds: Catalog) -> None:
    endpoint = kinds.register("public", "weather", "1.0", "http://127.0.0.1:1/mcp", "HTTP+JSON", 30, kind="mcp")
    assert kinds.endpoints("public", "weather") == []
    assert kinds.endpoints("public", "weather", kind="mcp") == [endpoint]


def test_who_uses_a_thing_is_known_while_a_label_points_at_the_user(kinds: Catalog) -> None:
    kinds.publish(using("trip", Link("prompt", "weather", "stable"), Link("mcp", "weather", "1.0")))
    kinds.publish(using("guide", Link("prompt", "weather", "latest")))
    users = kinds.users("public", "weather", kind="prompt")
    assert [(user.name, ref) for user, ref in users] == [("guide", "latest"), ("trip", "stable")]
    assert [(user.name, ref) for user, ref in kinds.users("public", "weather", kind="mcp")] == [("trip", "1.0")]
    kinds.publish(using("trip"))  # a version that uses nothing takes over the label
    assert [user.name for user, _ in kinds.users("public", "weather", kind="prompt")] == ["guide"]
    assert kinds.users("elsewhere", "weather", kind="prompt") == []
