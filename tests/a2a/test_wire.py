"""A2A's JSON as bytes: what is written is JSON, protobuf reads it, a splice keeps it so, and nothing splits a line."""

import json
import math
from pathlib import Path

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import Parse
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from nbagora_lab.a2a import wire
from nbagora_lab.core.errors import BadYield
from nbagora_lab.inspect.fold import LOG_EXTENSION

AWKWARD = st.sampled_from('\x00\x1f\r\n\x85\u2028\u2029"\\}{é北🌞a')
# any text of Python, lone surrogates included, and often what is awkward in lines, JSON and splices
texts = st.text(AWKWARD | st.characters(exclude_categories=())) | st.just("}}}}")
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | floats | texts
data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
metadata = st.none() | st.dictionaries(names | st.just(LOG_EXTENSION), data, max_size=3)
topics = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(lambda name: f"sessions/{name}")
parts = st.lists(texts.map(lambda text: {"text": text}), max_size=3)
messages = st.fixed_dictionaries(
    {"messageId": names, "role": st.just("ROLE_AGENT"), "parts": parts},
    optional={"metadata": st.dictionaries(names, data, max_size=2)},
)


def written(text):
    """What a text becomes: half a surrogate pair can't be written."""
    return text.encode("utf-8", "replace").decode()


def replaced(value):
    """The same for all texts of a JSON value."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def spliced(body, topic, offset, generation):
    """The event after a splice, checked as JSON, as protobuf, and as one line."""
    out = wire.splice(body, offset, generation)
    assert len(out.decode().splitlines()) == 1
    event = json.loads(out, object_pairs_hook=no_name_twice)
    [inner] = event.values()
    assert inner["metadata"].pop(LOG_EXTENSION) == {
        "topic": topic, "offset": str(offset), "generation": str(generation),
    }  # fmt: skip
    parsed = Parse(out, pb.StreamResponse())
    place = getattr(parsed, parsed.WhichOneof("payload")).metadata[LOG_EXTENSION]
    assert (place["offset"], place["generation"]) == (str(offset), str(generation))
    return event


def no_name_twice(pairs):
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


offsets = st.integers(0, 2**64 - 1)
generations = st.integers(0, 2**32 - 1)


@given(names, names, topics, offsets, generations)
def test_a_task_body(task_id, context_id, topic, offset, generation):
    body = wire.task_body(task_id, context_id, wire.SUBMITTED, "2026-01-01T00:00:00.000Z", topic)
    task = spliced(body, topic, offset, generation)["task"]
    status = {"state": "TASK_STATE_SUBMITTED", "timestamp": "2026-01-01T00:00:00.000Z"}
    assert task == {"id": task_id, "contextId": context_id, "status": status, "metadata": {}}


@given(names, st.none() | messages, metadata, topics, offsets, generations)
def test_a_status_body(task_id, message, own, topic, offset, generation):
    ids = b'"taskId":%b,"contextId":%b,' % (wire.dumps(task_id), wire.dumps("c"))
    body = wire.status_body(ids, wire.WORKING, "2026-01-01T00:00:00.000Z", topic, message, own)
    update = spliced(body, topic, offset, generation)["statusUpdate"]
    assert (update["taskId"], update["status"]["state"]) == (task_id, "TASK_STATE_WORKING")
    assert update["status"].get("message") == replaced(message)
    assert update["metadata"] == replaced({key: value for key, value in (own or {}).items() if key != LOG_EXTENSION})


@given(st.lists(texts, min_size=1, max_size=3), st.booleans(), st.booleans(), metadata, topics, offsets, generations)
def test_an_artifact_body(said, append, last, own, topic, offset, generation):
    parts = b",".join(b'{"text":%b}' % wire.dumps(text) for text in said)
    ids = b'"taskId":"t","contextId":"c",'
    body = wire.artifact_body(ids, b'"artifactId":"a",', parts, topic, append=append, last=last, metadata=own)
    update = spliced(body, topic, offset, generation)["artifactUpdate"]
    assert [part["text"] for part in update["artifact"]["parts"]] == [written(text) for text in said]
    assert (update.get("append", False), update.get("lastChunk", False)) == (append, last)


@given(messages, topics, offsets, generations)
def test_a_message_body(message, topic, offset, generation):
    event = spliced(wire.message_body(message, topic), topic, offset, generation)
    assert event["message"] == replaced({"metadata": {}} | message)


@given(data)
def test_dumps_is_json_on_one_line(value):
    out = wire.dumps(value)
    assert len(out.decode().splitlines()) <= 1
    assert json.loads(out) == replaced(value)


@given(
    st.recursive(
        scalars | st.integers(-(2**70), 2**70) | st.sampled_from([2**63 - 1, 2**64, 1e16, 1e22, -0.0, 5e-324]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(0, 9), inner, max_size=3),
        max_leaves=8,
    )
)
def test_dumps_writes_what_the_standard_library_writes_byte_for_byte(value):
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    assert wire.dumps(value) == wire.one_line(plain).encode("utf-8", "replace")


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"a": math.nan}])
def test_dumps_refuses_what_json_has_no_word_for(value):
    with pytest.raises(ValueError, match="Out of range"):
        wire.dumps(value)


# -- parts -------------------------------------------------------------------------------------------------------------


class City(BaseModel):
    name: str
    people: int = 0


def test_parts_of_python_values(tmp_path):
    picture = tmp_path / "图.png"
    picture.write_bytes(b"\x89PNG")
    assert wire.part_of("") == {"text": ""}
    assert wire.part_of(b"\x00") == {"raw": "AA==", "mediaType": "application/octet-stream"}
    assert wire.part_of({"a": 1}) == {"data": {"a": 1}, "mediaType": "application/json"}
    assert wire.part_of(City(name="北京")) == {"data": {"name": "北京", "people": 0}, "mediaType": "application/json"}
    assert wire.part_of(picture) == {"raw": "iVBORw==", "filename": "图.png", "mediaType": "image/png"}


NO_PARTS = [None, 5, 1.5, object(), {1, 2}, (1,), City, {"a": object()}, {"a": math.nan}, Path("/no/such")]


@pytest.mark.parametrize("value", NO_PARTS, ids=lambda value: type(value).__name__)
def test_what_is_no_part_is_named(value):
    with pytest.raises(BadYield) as caught:
        wire.part_of(value)
    assert caught.value.hint


def test_data_may_nest_so_deep_and_no_deeper():
    def nested(levels):
        return {"a": nested(levels - 1)} if levels else 1

    assert wire.part_of(nested(wire.DEEPEST))
    for bad in (nested(wire.DEEPEST + 1), [nested(wire.DEEPEST)]):
        with pytest.raises(BadYield, match="deeper"):
            wire.part_of(bad)
        with pytest.raises(BadYield, match="deeper"):
            wire.status_body(b"", wire.WORKING, "", "t", None, {"own": bad})


def depth(value):
    if isinstance(value, dict | list):
        return 1 + max((depth(one) for one in (value.values() if isinstance(value, dict) else value)), default=0)
    return 0


@given(data, st.integers(0, 5))
def test_nested_deeper(value, limit):
    assert wire.nested_deeper(value, limit) == (depth(value) > limit)


@given(data)
def test_is_text(value):
    assert wire.is_text(value) == (
        not any(0xD800 <= ord(letter) < 0xE000 for letter in json.dumps(value, ensure_ascii=False))
    )


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (2.0, 2),
        (2.5, 2.5),
        (True, True),
        ([1.0, {"a": -0.0}], [1, {"a": 0}]),
        (2.0**60, 2.0**60),
        ("2.0", "2.0"),
        (None, None),
    ],
)
def test_unstructured(value, whole):
    assert repr(wire.unstructured(value)) == repr(whole)


def test_members_of_a_struct_are_in_the_order_of_their_names_those_of_a_message_as_they_were():
    told = {"parts": [{"data": {"b": 1.0, "a": [{"d": 2, "c": 3}]}}], "metadata": {"z": {"y": 1, "x": 2}}, "kind": ""}
    mended = wire.unstructured(told)
    assert json.dumps(mended) == (
        '{"parts": [{"data": {"a": [{"c": 3, "d": 2}], "b": 1}}], "metadata": {"z": {"x": 2, "y": 1}}, "kind": ""}'
    )


def test_short_names_of_states():
    assert {wire.short_state(state) for state in wire.TERMINAL_STATES} == {
        "COMPLETED",
        "FAILED",
        "CANCELED",
        "REJECTED",
    }
    assert {wire.short_state(state) for state in wire.INTERRUPTED_STATES} == {"INPUT_REQUIRED", "AUTH_REQUIRED"}
    known = set(pb.TaskState.keys())
    assert known >= wire.TERMINAL_STATES | wire.INTERRUPTED_STATES | {wire.SUBMITTED, wire.WORKING}
