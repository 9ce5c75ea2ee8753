"""What a request asks for: whether all is there that A2A requires, told as the SDK tells it; when its turn is, how long
its caller waits, where it goes on, and what it may use."""

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError, InvalidRequestError
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.a2a.requests import (
    check_output_modes,
    check_scopes,
    content_of,
    cursor_of,
    limits_of,
    plan_of,
    trace_of,
    validated,
)
from nbagora_lab.a2a.wire import DEEPEST, INBOX_EXTENSION
from nbagora_lab.core.events import PLAIN, Scheduling
from nbagora_lab.inspect.directory import LEVELS
from task_logs import as_owner, user_says

REQUESTS = (
    pb.SendMessageRequest,
    pb.GetTaskRequest,
    pb.ListTasksRequest,
    pb.CancelTaskRequest,
    pb.SubscribeToTaskRequest,
    pb.TaskPushNotificationConfig,
    pb.GetTaskPushNotificationConfigRequest,
    pb.ListTaskPushNotificationConfigsRequest,
    pb.DeleteTaskPushNotificationConfigRequest,
    pb.AgentCard,  # no request, but it has maps of messages, and messages in messages
    pb.Task,
)


def fill(message, draw, depth=0):
    """Sets each field of a protobuf message, and of those within it, or leaves it out."""
    for field in message.DESCRIPTOR.fields:
        if depth > 4 or not draw(st.integers(0, 7)):
            continue
        held = field.message_type
        if held is not None and held.GetOptions().map_entry:
            value = held.fields_by_name["value"]
            if value.message_type is None:
                getattr(message, field.name)["k"] = "v"
            else:
                fill(getattr(message, field.name)["k"], draw, depth + 1)
        elif held is not None and held.file.package != message.DESCRIPTOR.file.package:
            getattr(message, field.name).SetInParent() if not field.is_repeated else None
        elif held is not None:
            inner = getattr(message, field.name)
            inner.SetInParent() if not field.is_repeated else None
            fill(inner.add() if field.is_repeated else inner, draw, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).append("x" if field.type == Field.TYPE_STRING else 1)
        elif field.type in {Field.TYPE_STRING, Field.TYPE_BYTES}:
            setattr(message, field.name, "x" if field.type == Field.TYPE_STRING else b"x")
        else:
            setattr(message, field.name, 1)


def refusal(check, message):
    try:
        check(message)
    except InvalidParamsError as error:
        return error.data
    return None


@given(st.sampled_from(REQUESTS), st.data())
def test_what_is_missing_is_told_as_the_sdk_tells_it(kind, data):
    message = kind()
    fill(message, data.draw)
    assert refusal(validated, message) == refusal(validate_proto_required_fields, message)


def test_a_message_that_lacks_nothing_is_given_back():
    message = pb.Message(message_id="m", role=pb.ROLE_USER, parts=[pb.Part(text="x")])
    request = pb.SendMessageRequest(message=message)
    assert validated(request) is request
    message.ClearField("parts")
    with pytest.raises(InvalidParamsError):
        validated(pb.SendMessageRequest(message=message))


def message(**fields):
    return ParseDict(user_says("x", **fields), pb.Message())


def plan(owner="", said=None, tenant="", **headers):
    metadata = {} if said is None else {INBOX_EXTENSION: said}
    params = pb.SendMessageRequest(message=message(metadata=metadata), tenant=tenant)
    return plan_of(params, as_owner(**headers), owner)


def test_a_turn_is_told_by_metadata_before_the_tenant_of_a2a_before_headers():
    assert plan() is PLAIN
    assert plan(nbagora_priority="3", nbagora_tenant="a", nbagora_cost="0") == Scheduling(3, "a", 0.0)
    assert plan(tenant="b", nbagora_tenant="a") == Scheduling(tenant="b")
    assert plan(said={"tenant": "c", "priority": 7.0}, tenant="b", nbagora_priority="3") == Scheduling(7, "c")
    assert plan(said={"deadline": "2026-01-01T00:00:00Z"}).deadline == plan(said={"deadline": 1767225600}).deadline


def test_a_caller_with_a_name_is_its_own_tenant_whatever_it_says():
    assert plan("bob") == Scheduling(tenant="bob")
    assert plan("bob", {"tenant": "acme"}, tenant="acme", nbagora_tenant="acme") == Scheduling(tenant="bob")
    assert [plan("bob", {"cost": cost}).cost for cost in (0, 1e-9, 1, 7)] == [1, 1, 1, 7]  # else its share had no end
    assert plan(said={"cost": 0}).cost == 0


@pytest.mark.parametrize(
    "said",
    [
        {"priority": 256}, {"priority": -1}, {"priority": 1.5}, {"priority": "high"}, {"cost": -1}, {"cost": "x"},
        {"cost": "inf"}, {"cost": "nan"}, {"deadline": 0}, {"deadline": "soon"}, {"deadline": 253_402_300_800},
        {"deadline": "nan"}, {"tenant": "x" * 239}, "high", 3, [],
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_turn_that_does_not_fit_is_refused(said):
    with pytest.raises(InvalidParamsError):
        plan(said=said)


@pytest.mark.parametrize(
    ("levels", "left"),
    [
        ("3", 3),
        ("0", 0),
        ("16", LEVELS),
        ("17", LEVELS),
        ("999", LEVELS),
        ("", LEVELS),
        ("x", LEVELS),
        ("-1", LEVELS),
        ("٣", LEVELS),
        ("1000", LEVELS),
    ],
)
def test_nobody_leaves_a_task_more_levels_than_anybody_has(levels, left):
    assert limits_of(as_owner(nbagora_levels=levels), 0.0)["levels"] == left


@pytest.mark.parametrize(
    ("seconds", "until"),
    [("5", 105.0), ("0", 100.0), ("0.5", 100.5), ("-1", None), ("inf", None), ("nan", None), ("x", None)],
)
def test_until_when_a_caller_waits(seconds, until):
    assert limits_of(as_owner(nbagora_timeout=seconds), 100.0)["until"] == until


@pytest.mark.parametrize(
    ("given", "cursor"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("9" * 5000, None),
        ("-1", None),
        ("", None),
        ("1.0", None),
        ("٣", None),
        ("1_0", None),
    ],
)
def test_a_cursor_is_an_offset(given, cursor):
    assert cursor_of(as_owner(last_event_id=given)) == cursor


def test_a_trace_is_taken_whole_or_not_at_all():
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert trace_of(as_owner(traceparent=trace)) == trace
    for broken in ("", trace[:-1], f"{trace}0", f"{trace}\n", trace.upper()):
        assert trace_of(as_owner(traceparent=broken)) == ""


def skilled():
    """A card of a skill that anybody uses, one that wants a scope of two ways, and one that wants two together."""
    one_of = [{"schemes": {"a": {"list": ["read"]}}}, {"schemes": {"b": {"list": ["own"]}}}]
    both = [{"schemes": {"a": {"list": ["read", "write"]}}}]
    skills = [
        {"id": "open"},
        {"id": "either", "securityRequirements": one_of},
        {"id": "both", "securityRequirements": both},
    ]
    return ParseDict({"name": "x", "skills": skills}, pb.AgentCard())


@pytest.mark.parametrize(
    ("skill", "scopes", "lets_in"),
    [
        ("open", set(), True), ("either", {"read"}, True), ("either", {"own"}, True), ("either", {"write"}, False),
        ("both", {"read"}, False), ("both", {"write"}, False), ("both", {"read", "write"}, True),
        (None, {"read"}, False), (None, {"read", "write"}, True), (None, None, True), ("both", None, True),
    ],
)  # fmt: skip
def test_a_skill_wants_all_scopes_of_one_of_its_ways(skill, scopes, lets_in):
    context = as_owner()
    context.state["scopes"] = scopes
    asked = message(metadata={"skillId": skill} if skill else {})
    if lets_in:
        check_scopes(asked, skilled(), context)
    else:
        with pytest.raises(InvalidRequestError, match="wants the scope"):
            check_scopes(asked, skilled(), context)


def test_a_skill_that_there_is_not_is_no_way_round_scopes():
    context = as_owner()
    context.state["scopes"] = set()
    for named in ("none", "", 5):
        with pytest.raises(InvalidParamsError, match="no skill"):
            check_scopes(message(metadata={"skillId": named}), skilled(), context)


def nested(levels):
    """Data that nests so deep."""
    data = 1
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize("where", ["data", "metadata of a part", "metadata"])
def test_data_nests_so_deep_and_no_deeper(where):
    def said(levels):
        deep = nested(levels)
        match where:
            case "data":
                return message(parts=[{"data": deep}])
            case "metadata":
                return message(metadata={"x": deep})
        return message(parts=[{"text": "x", "metadata": {"x": deep}}])

    inner = DEEPEST if where == "data" else DEEPEST - 1
    assert content_of(said(inner))["parts"]
    with pytest.raises(InvalidParamsError, match="nests data deeper"):
        content_of(said(inner + 1))


def test_a_message_without_content_is_refused():
    for parts in ([], [pb.Part(text="x"), pb.Part()]):
        with pytest.raises(InvalidParamsError, match="part"):
            content_of(pb.Message(message_id="m", role="ROLE_USER", parts=parts))


@pytest.mark.parametrize(
    ("wanted", "fits"), [([], True), (["text/plain"], True), (["image/png", "text/plain"], True), (["text/*"], True),
                         (["image/png"], False), (["text/plainer"], False)]
)  # fmt: skip
def test_a_caller_accepts_one_of_what_is_offered(wanted, fits):
    config = pb.SendMessageConfiguration(accepted_output_modes=wanted)
    card = pb.AgentCard(name="x", default_output_modes=["text/plain"])
    if fits:
        check_output_modes(config, card)
    else:
        with pytest.raises(ContentTypeNotSupportedError):
            check_output_modes(config, card)
