"""The card: its fields are the library's, all its problems are told at once, and its hash is of what it means."""

from __future__ import annotations

import copy
import hashlib
import json
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cards import card, skill
from nbagora_lab.core.errors import BadName, TooLarge, UsageError
from nbagora_lab.registry.card import CARD_LIMIT, card_problems, content_hash, difference, read_card

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test looks at the time it takes


WHOLE: dict[str, Any] = card(
    version="1.2.0",
    supportedInterfaces=[{"url": "http://a/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    provider={"url": "https://a.example", "organization": "A"},
    documentationUrl="https://a.example/doc",
    iconUrl="https://a.example/icon",
    capabilities={
        "streaming": False,
        "extensions": [{"uri": "urn:x", "required": True, "params": {"deep": [1, 2.5, None, {"a": True}]}}],
    },
    securitySchemes={
        "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
        "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
        "tls": {"mtlsSecurityScheme": {}},
        "oauth": {
            "oauth2SecurityScheme": {
                "flows": {
                    "clientCredentials": {"tokenUrl": "https://a.example/t", "scopes": {"read": "reads", "x": ""}}
                }
            }
        },
    },
    securityRequirements=[{"schemes": {"key": {"list": ["a"]}, "tls": {}}}],
    skills=[skill("forecast", tags=["travel"], examples=["Rain?"], inputModes=["text/plain"])],
    signatures=[{"protected": "e30", "signature": "c2ln", "header": {"kid": "1"}}],
)


def problems(value: object) -> dict[str, str]:
    found = card_problems(value)
    assert len({problem.pointer for problem in found}) == len(found)
    return {problem.pointer: problem.text for problem in found}


def test_the_shapes_are_those_of_the_library() -> None:
    from a2a.types import a2a_pb2
    from google.protobuf.descriptor import FieldDescriptor

    from nbagora_lab.registry.shapes import _LEGACY, _SHAPES

    wells = {"google.protobuf.Struct": "object"}
    kinds = {FieldDescriptor.TYPE_STRING: "string", FieldDescriptor.TYPE_BOOL: "bool"}

    def kind(field: Any) -> str:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            return "{" + kind(message.fields_by_name["value"]).rstrip("!?") + "}"
        base = wells.get(message.full_name, message.name) if message is not None else kinds[field.type]
        if field.is_repeated:
            return f"[{base}]"
        required = "REQUIRED" in str(field.GetOptions())
        if message is None and required and (field.containing_type.name, field.name) != ("AgentCard", "version"):
            return f"{base}!"
        return f"{base}?" if message is None and field.has_presence and field.containing_oneof is not None else base

    seen: dict[str, dict[str, str]] = {}
    waiting = [a2a_pb2.AgentCard.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name in seen or message.full_name in wells:
            continue
        if not message.GetOptions().map_entry:
            seen[message.name] = {field.json_name: kind(field) for field in message.fields}
        waiting += [field.message_type for field in message.fields if field.message_type is not None]
    own = {"McpServer", "McpCommand", "McpTool", "Prompt", "PromptVariable"}
    assert seen == {shape: fields for shape, fields in _SHAPES.items() if shape not in own}
    assert own <= _SHAPES.keys()
    for shape, legacy in _LEGACY.items():
        assert not legacy & _SHAPES[shape].keys()


def test_what_the_library_writes_is_a_whole_card_with_the_same_content() -> None:
    from a2a.server.request_handlers.response_helpers import agent_card_to_dict
    from a2a.types import AgentCard
    from google.protobuf.json_format import MessageToDict, ParseDict

    message = ParseDict(WHOLE, AgentCard())
    assert content_hash(MessageToDict(message)) == content_hash(WHOLE)
    assert card_problems(agent_card_to_dict(message)) == []
    stored = read_card(WHOLE).card
    served = ParseDict(
        {name: WHOLE[name] for name in ("version", "supportedInterfaces", "signatures")} | stored, AgentCard()
    )
    assert MessageToDict(served) == MessageToDict(message)


def test_all_problems_are_told_at_once_with_their_pointers() -> None:
    bad = {
        "name": "a/b",
        "version": "v1",
        "skils": [],
        "capabilities": {"streaming": "yes", "extensions": {}},
        "defaultInputModes": ["text/plain", 7],
        "skills": [{"id": "", "name": "n", "description": 5, "tags": "travel"}, None, {"id": "x", "name": "x~/y"}],
        "provider": {"organization": "A", "a/b~c": 1},
        "securitySchemes": {"k": {"apiKeySecurityScheme": {"name": None}}},
        "supportedInterfaces": [{"url": "http://a/"}],
    }
    found = problems(bad)
    assert found.keys() == {
        "/name",
        "/version",
        "/skils",
        "/description",
        "/capabilities/streaming",
        "/capabilities/extensions",
        "/defaultInputModes/1",
        "/skills/0/id",
        "/skills/0/description",
        "/skills/0/tags",
        "/skills/1",
        "/skills/2/description",
        "/provider/url",
        "/provider/a~1b~0c",
        "/securitySchemes/k/apiKeySecurityScheme/name",
        "/securitySchemes/k/apiKeySecurityScheme/location",
        "/supportedInterfaces/0/protocolBinding",
        "/supportedInterfaces/0/protocolVersion",
    }
    assert found["/skils"] == "is no field of AgentCard; did you mean 'skills'?"
    assert found["/skills/0/tags"] == "is a string; it takes a list"
    assert found["/skills/1"] == "is null; it takes an object"
    assert found["/description"] == "is missing"
    with pytest.raises(UsageError) as raised:
        read_card(bad)
    assert "18 problems" in raised.value.what
    assert "/capabilities/streaming is a string; it takes true or false" in raised.value.what
    assert "and 8 more" in raised.value.what
    assert len(raised.value._render_traceback_()) == 2


@pytest.mark.parametrize("value", [None, "card", 5, [], [card()], b"{}"])
def test_what_is_no_object_is_no_card(value: Any) -> None:
    assert list(problems(value)) == [""]
    with pytest.raises(UsageError, match="the card is "):
        read_card(value)


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"x": float("nan")}, "/x"),
        ({"x": [float("inf")]}, "/x/0"),
        ({"x": 2**53}, "/x"),
        ({"x": 10**5000}, "/x"),
        ({"x": b"bytes"}, "/x"),
        ({"x": {1: "one"}}, "/x"),
        ({"x": "\ud800"}, "/x"),
        ({"\udfff": 1}, ""),
        ({"x": {"y": object()}}, "/x/y"),
    ],
)
def test_free_json_is_json(params: dict[Any, Any], pointer: str) -> None:
    found = problems(card(capabilities={"extensions": [{"params": params}]}))
    assert list(found) == [f"/capabilities/extensions/0/params{pointer}"]
    "".join(found.values()).encode()


def test_what_is_nested_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    bottom = deep
    for _ in range(100_000):
        bottom["x"] = {}
        bottom = bottom["x"]
    circular: dict[str, Any] = {}
    circular["x"] = circular
    for params in (deep, circular):
        [text] = problems(card(capabilities={"extensions": [{"params": params}]})).values()
        assert text == "is nested more than 64 deep"
    while deep:  # taken apart by hand: the interpreter would do it by recursion
        deep = deep.pop("x")


def test_a_card_above_its_limit_is_too_large() -> None:
    with pytest.raises(TooLarge, match="'weather'"):
        read_card(card(description="x" * CARD_LIMIT))
    read_card(card(description="x" * (CARD_LIMIT - 1000)))


def test_a_bad_namespace_is_refused() -> None:
    with pytest.raises(BadName, match="namespace"):
        read_card(card(), "a/b")


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2.0.0"},
        {"version": ""},
        {"supportedInterfaces": []},
        {"supportedInterfaces": [{"url": "http://b/", "protocolBinding": "GRPC", "protocolVersion": "1.0"}]},
        {"signatures": []},
        {"url": "http://b/", "preferredTransport": "JSONRPC", "protocolVersion": "0.3.0", "additionalInterfaces": []},
        {"securityRequirements": [{"schemes": {"tls": {"list": []}, "key": {"list": ["a"]}}}]},
        {"documentationUrl": "https://a.example/doc"},
    ],
)
def test_what_a_server_puts_in_and_how_it_is_written_are_no_content(change: dict[str, Any]) -> None:
    assert content_hash(WHOLE | change) == content_hash(WHOLE)


def test_what_protojson_may_leave_out_is_no_content() -> None:
    spelled = copy.deepcopy(card())
    spelled |= {"provider": None, "securitySchemes": {}, "securityRequirements": []}
    spelled["skills"][0] |= {"examples": [], "inputModes": None}
    bare = card()
    del bare["skills"][0]["tags"]
    assert content_hash(spelled) == content_hash(bare)
    assert content_hash(card(capabilities={})) == content_hash(
        {name: value for name, value in card().items() if name != "capabilities"}
    )


def test_the_order_of_fields_is_no_content_and_that_of_lists_is() -> None:
    turned = dict(reversed(card().items()))
    assert list(turned) != list(card())
    assert content_hash(turned) == content_hash(card())
    one, two = skill("one"), skill("two")
    assert content_hash(card(skills=[one, two])) != content_hash(card(skills=[two, one]))


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Is weather. "},
        {"skills": []},
        {"capabilities": {"streaming": False}},
        {"capabilities": {}},
        {"defaultInputModes": ["text/plain", ""]},
        {"iconUrl": ""},
        {"security": [{"x": []}]},
        {"name": "Weather"},
    ],
)
def test_everything_else_is_content(change: dict[str, Any]) -> None:
    assert content_hash(card(**change)) != content_hash(card())


def test_a_number_is_what_it_is_worth() -> None:
    def hashed(number: float) -> str:
        return content_hash(card(capabilities={"extensions": [{"uri": "x", "params": {"n": number}}]}))

    assert hashed(3) == hashed(3.0)
    assert hashed(0) == hashed(-0.0)
    assert len({hashed(number) for number in (0, 1, 1.5, 1e300, True, False)}) == 6


def test_a_hash_stays_what_it_was() -> None:
    canonical = (
        '{"capabilities":{"streaming":true},"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],'
        '"description":"查天气。","name":"weather",'
        '"skills":[{"description":"Does forecast.","id":"forecast","name":"forecast"}]}'
    )
    assert content_hash(card(description="查天气。")) == hashlib.sha256(canonical.encode()).hexdigest()


def test_reading_leaves_the_card_as_it_was() -> None:
    before = copy.deepcopy(WHOLE)
    draft = read_card(WHOLE)
    draft.card["skills"].append("x")
    assert before == WHOLE


def test_reading_content_again_gives_the_same_content() -> None:
    draft = read_card(WHOLE)
    assert read_card(draft.card) == draft._replace(version=None, signed=None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(sorted(WHOLE)) | st.text(string.ascii_letters, max_size=8), json_values, max_size=6
    ),
    st.booleans(),
)
def test_any_object_is_a_card_or_has_problems(fields: dict[str, Any], with_whole: bool) -> None:
    offered = WHOLE | fields if with_whole else fields
    if card_problems(offered):
        with pytest.raises(UsageError):
            read_card(offered)
    else:
        draft = read_card(offered)
        assert json.loads(json.dumps(draft.card, allow_nan=False)) == draft.card
        assert read_card(draft.card).hash == draft.hash


@pytest.mark.parametrize(
    ("published", "offered", "places"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": "x"}, {"a": "y"}, ['/a: "x" became "y"']),
        ({"a": 1}, {"a": True}, ["/a: 1 became true"]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, ["/a/1: 2 became 3", "/a/2: 4 was added"]),
        ({"a~/": {}}, {}, ["/a~0~1: {} was taken away"]),
        ({"a": {"b": None}}, {"a": {}}, ["/a/b: null was taken away"]),
        ({"a": "天" * 100}, {"a": ""}, ['/a: "' + "天" * 56 + '... became ""']),
    ],
)
def test_a_difference_names_its_places(published: Any, offered: Any, places: list[str]) -> None:
    assert list(difference(published, offered)) == places


@unhurried
@given(json_values.filter(lambda v: v == v), json_values)
def test_there_is_a_difference_exactly_between_contents_that_differ(one: Any, two: Any) -> None:
    def read(value: Any) -> dict[str, Any] | None:
        offered = card(capabilities={"extensions": [{"uri": "x", "params": {"v": value}}]})
        return None if card_problems(offered) else read_card(offered).card

    left, right = read(one), read(two)
    if left is not None and right is not None:
        same = read_card(left).hash == read_card(right).hash
        assert (list(difference(left, right)) == []) == same
