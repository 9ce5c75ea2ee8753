"""A2A 0.3 and 1.0: one content in either form, there and back."""

from __future__ import annotations

from typing import Any

import pytest

from cards import card, skill
from nbagora_lab.registry import Registry, card_problems, content_hash
from nbagora_lab.registry.card import read_card
from nbagora_lab.registry.normal import is_legacy, to_legacy, upgraded

OLD: dict[str, Any] = {
    "name": "painter",
    "description": "Draws.",
    "version": "1.0.0",
    "protocolVersion": "0.3.0",
    "url": "https://a.example/a2a",
    "preferredTransport": "JSONRPC",
    "additionalInterfaces": [{"url": "https://a.example/grpc", "transport": "GRPC"}],
    "capabilities": {"streaming": True, "stateTransitionHistory": True},
    "supportsAuthenticatedExtendedCard": True,
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["image/png"],
    "securitySchemes": {
        "key": {"type": "apiKey", "in": "header", "name": "X-Key", "description": "A key."},
        "token": {"type": "http", "scheme": "Bearer", "bearerFormat": "JWT"},
        "login": {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": "https://a.example/token", "scopes": {"draw": "May draw."}}},
        },
        "open": {"type": "openIdConnect", "openIdConnectUrl": "https://a.example/oidc"},
        "mtls": {"type": "mutualTLS", "description": "By certificate."},
    },
    "security": [{"key": []}, {"login": ["draw"], "token": []}],
    "skills": [
        {"id": "draw", "name": "draw", "description": "Draws.", "tags": ["art"], "security": [{"login": ["draw"]}]}
    ],
}


def test_a_card_of_0_3_goes_to_1_0_and_back_without_loss() -> None:
    new = upgraded(OLD)
    assert not is_legacy(new)
    assert new["supportedInterfaces"] == [
        {"url": "https://a.example/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "0.3.0"},
        {"url": "https://a.example/grpc", "protocolBinding": "GRPC", "protocolVersion": "0.3.0"},
    ]
    assert new["securityRequirements"][1]["schemes"]["login"] == {"list": ["draw"]}
    assert new["securitySchemes"]["key"]["apiKeySecurityScheme"]["location"] == "header"
    assert new["capabilities"] == {"streaming": True, "stateTransitionHistory": True, "extendedAgentCard": True}
    assert to_legacy(new) == OLD
    assert upgraded(to_legacy(new)) == new


def test_what_0_3_requires_is_there_even_where_it_is_empty() -> None:
    from a2a.compat.v0_3.types import AgentCard as Old

    content = read_card(card("bare", skills=[skill(tags=[])])).card
    assert "tags" not in content["skills"][0]
    old = to_legacy({**content, "version": "1"}) | {"url": "https://a.example"}
    assert Old.model_validate(old).skills[0].tags == []
    assert read_card(old).hash == read_card(content).hash


def test_the_library_reads_the_same_of_both_forms() -> None:
    from a2a.compat.v0_3.conversions import to_core_agent_card
    from a2a.compat.v0_3.types import AgentCard as Old
    from a2a.types import a2a_pb2 as pb
    from google.protobuf.json_format import MessageToDict, ParseDict

    theirs = MessageToDict(to_core_agent_card(Old.model_validate(OLD)))
    ours = MessageToDict(ParseDict(upgraded(OLD), pb.AgentCard(), ignore_unknown_fields=True))
    for card_ in (theirs, ours):
        card_.pop("supportedInterfaces")
    assert ours == theirs


def test_one_content_in_two_forms_is_one_version(registry: Registry) -> None:
    assert content_hash(OLD) == content_hash(upgraded(OLD))
    assert registry.publish(OLD).new
    again = registry.publish(upgraded(OLD))
    assert (again.version, again.new) == ("1.0.0", False)
    assert [found.agent.name for found in registry.find(scheme="apiKey", capability="extendedAgentCard")] == ["painter"]


def test_what_a_card_has_in_both_forms_is_1_0_s() -> None:
    both = card(security=[{"old": []}], securityRequirements=[{"schemes": {"new": {}}}])
    assert upgraded(both)["securityRequirements"] == [{"schemes": {"new": {}}}]
    assert upgraded(card()) == card()


@pytest.mark.parametrize(
    "broken",
    [
        {"securitySchemes": {"key": {"type": "apiKey", "name": "X"}}},
        {"security": 5},
        {"security": [5]},
        {"url": "x", "additionalInterfaces": [{}]},
        {"securitySchemes": {"x": {"type": "apiKey", "in": 5, "name": "X"}}},
        {"supportsAuthenticatedExtendedCard": True, "capabilities": {"extensions": []}, "url": 5},
    ],
)
def test_a_card_of_0_3_that_does_not_fit_is_refused(broken: dict[str, Any]) -> None:
    assert card_problems(card(**broken))
