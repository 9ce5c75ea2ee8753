"""A2A's messages from and to JSON: as protobuf's own `json_format` has it, in all and for everything."""

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError, SerializeToJsonError
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.a2a.protojson import filled, written

texts = st.sampled_from(["", "a", "你好", "ROLE_USER", "2026-11-28T10:00:00Z", "eA==", "7"]) | st.text(max_size=3)
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.just(1 << 40) | st.floats(allow_nan=False) | texts
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)


def either(likely, odd=anything):
    """What mostly is `likely`."""
    return st.one_of(likely, likely, likely, odd)


def members(**kinds):
    """An object with some of these members, and now and then with one that is not known."""
    known = st.fixed_dictionaries({}, optional={name: either(kind) for name, kind in kinds.items()})
    return st.one_of(known, known, known, st.builds(lambda a, b: a | b, known, st.dictionaries(texts, scalars)))


data = st.dictionaries(texts, anything, max_size=2)
parts = members(text=texts, raw=texts, url=texts, data=anything, filename=texts, mediaType=texts, metadata=data)
messages = members(
    messageId=texts,
    message_id=texts,  # protobuf takes its own names, too
    contextId=texts,
    taskId=texts,
    role=st.sampled_from(["ROLE_USER", "ROLE_AGENT", "ROLE_NONE", 1, 7]),
    parts=st.lists(either(parts), max_size=2),
    metadata=data,
    extensions=st.lists(texts, max_size=2),
    referenceTaskIds=st.lists(texts, max_size=2),
)
configurations = members(
    acceptedOutputModes=st.lists(either(texts), max_size=2),
    historyLength=st.integers(-2, 9) | st.just(1 << 31) | st.just(3.0),
    returnImmediately=st.booleans(),
    taskPushNotificationConfig=members(url=texts, id=texts, token=texts, authentication=members(scheme=texts)),
)
sends = members(message=messages, configuration=configurations, metadata=data, tenant=texts)
tasks = members(
    id=texts,
    contextId=texts,
    status=members(state=st.just("TASK_STATE_WORKING"), timestamp=texts, message=messages),
    history=st.lists(messages, max_size=2),
    artifacts=st.lists(members(artifactId=texts, name=texts, parts=st.lists(parts, max_size=2)), max_size=1),
    metadata=data,
)
cards = members(
    name=texts,
    skills=st.lists(members(id=texts, tags=st.lists(texts, max_size=2)), max_size=2),
    securitySchemes=st.dictionaries(texts, members(apiKeySecurityScheme=members(name=texts)), max_size=1),
    capabilities=members(streaming=st.booleans()),
)
kinds = [(sends, pb.SendMessageRequest), (tasks, pb.Task), (messages, pb.Message), (cards, pb.AgentCard)]
pairs = st.one_of([content.map(lambda one, kind=kind: (one, kind)) for content, kind in kinds])


def outcome(read, content, *options):
    """The message, or the words in which it is refused."""
    try:
        return read(content, *options)
    except (ParseError, ValueError, TypeError, AttributeError) as error:
        return type(error), str(error)


@given(pairs, st.booleans())
def test_it_reads_what_protobuf_reads_and_refuses_what_it_refuses(pair, strict):
    content, kind = pair
    ours = outcome(lambda one: filled(one, kind(), strict=strict), content)
    assert ours == outcome(lambda one: ParseDict(one, kind(), ignore_unknown_fields=not strict), content)


@given(pairs)
def test_it_writes_what_protobuf_writes_in_the_same_order(pair):
    content, kind = pair
    try:
        message = ParseDict(content, kind(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError):
        return
    try:
        expected = MessageToDict(message)
    except SerializeToJsonError:
        with pytest.raises(SerializeToJsonError):
            written(message)
        return
    assert written(message) == expected
    assert str(written(message)) == str(expected)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_has_not_is_refused_in_protobufs_words(number):
    message = pb.Message(message_id="m", parts=[pb.Part(text="x")])
    message.metadata.fields["number"].number_value = number
    with pytest.raises(SerializeToJsonError) as expected:
        MessageToDict(message)
    with pytest.raises(SerializeToJsonError) as refused:
        written(message)
    assert str(refused.value) == str(expected.value)


@pytest.mark.parametrize("value", [None, [], "x", 3, {"message": None}, {"message": {"role": None, "parts": None}}])
def test_what_is_no_object_or_says_nothing(value):
    ours = outcome(lambda one: filled(one, pb.SendMessageRequest(), strict=True), value)
    assert ours == outcome(lambda one: ParseDict(one, pb.SendMessageRequest()), value)


def test_a_plain_message_never_comes_to_json_format(monkeypatch):
    def surprised(*_args, **_options):
        raise AssertionError("it was plain")

    monkeypatch.setattr("nbagora_lab.a2a.protojson.ParseDict", surprised)
    monkeypatch.setattr("nbagora_lab.a2a.protojson.MessageToDict", surprised)
    said = {"messageId": "m-1", "contextId": "课", "role": "ROLE_USER", "parts": [{"text": "你好"}, {"raw": "eA=="}]}
    plain = {"message": {**said, "parts": said["parts"][:1]}, "configuration": {"acceptedOutputModes": ["a"]}}
    assert written(filled(plain, pb.SendMessageRequest())) == plain
    raw = pb.Message(message_id="m-1", context_id="课", role="ROLE_USER", parts=[{"text": "你好"}, {"raw": b"x"}])
    assert written(raw) == said
