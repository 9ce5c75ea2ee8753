"""What a request asks for: whether all is there that A2A requires, told as the SDK tells it."""

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.a2a.requests import validated

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
