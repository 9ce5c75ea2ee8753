"""Cards: what an agent says of itself, from what was typed to what is served."""

import pytest
from a2a.compat.v0_3.types import AgentCard as AgentCard03
from a2a.types import a2a_pb2 as pb
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.json_format import ParseDict

from nbagora_lab.a2a.cards import build_card, card_v03, parse_skill, with_interfaces
from nbagora_lab.agents.options import AgentOptions
from nbagora_lab.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "identifier", "description"),
    [
        ("forecast: the weather of a city: on a day", "forecast", "the weather of a city: on a day"),
        ("forecast", "forecast", "forecast"),
        (" 预报 : 天气 ", "预报", "天气"),
        ("forecast:", "forecast", "forecast"),
    ],
)
def test_a_skill_as_typed(text, identifier, description):
    skill = parse_skill(text, [])
    assert (skill["id"], skill["name"], skill["description"]) == (identifier, identifier, description)
    assert skill["tags"] == [identifier]
    assert parse_skill(text, ["travel", "city"])["tags"] == ["travel", "city"]


@pytest.mark.parametrize("text", ["", " ", ": the weather", " : "])
def test_a_skill_without_an_id_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_skill(text, [])
    assert "--skill" in caught.value.hint


@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize("skills", [(), ("a: b",), ("a", "b: c")])
def test_a_card_is_whole(token, skills):
    card = build_card("weather", "", AgentOptions(version="0.0.1", skills=skills, tags=("travel",)), token=token)
    message = ParseDict(with_interfaces(card, "http://127.0.0.1:1/agents/weather"), pb.AgentCard())
    validate_proto_required_fields(message)  # which the SDK leaves out of what it signs where they are empty
    assert (message.name, message.description, message.version) == ("weather", "weather", "0.0.1")
    assert all((one.id, one.name, one.description, list(one.tags)) for one in message.skills)
    assert len(message.skills) == (len(skills) or 1)
    assert message.default_input_modes
    assert message.default_output_modes
    assert [one.protocol_binding for one in message.supported_interfaces] == ["JSONRPC", "HTTP+JSON"]
    assert bool(message.security_requirements) == bool(message.security_schemes) == token
    assert "supportedInterfaces" not in card


def test_a_card_of_0_3_says_the_same():
    skills, tags = ("forecast: the weather",), ("travel",)
    card = build_card("天气", "Tells the weather.", AgentOptions(version="0.0.1", skills=skills, tags=tags), token=True)
    old = AgentCard03.model_validate(card_v03(card, "http://127.0.0.1:1/agents/x"))
    assert (old.name, old.description, old.version, old.url) == (
        "天气", "Tells the weather.", "0.0.1", "http://127.0.0.1:1/agents/x",
    )  # fmt: skip
    assert [(one.id, one.description, one.tags) for one in old.skills] == [("forecast", "the weather", ["travel"])]
    assert old.capabilities.streaming
    assert old.security == [{"token": []}]
