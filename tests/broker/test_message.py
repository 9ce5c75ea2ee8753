"""What a producer says of a message is packed as it was said, or refused in two lines before anything is written."""

from __future__ import annotations

import io
from typing import Any

import pytest

from nbagora_lab.broker.blobs import CHUNK
from nbagora_lab.broker.message import encode_message, pieces_of
from nbagora_lab.core.errors import TooLarge, UsageError
from nbagora_lab.core.events import PLAIN, SCHEDULED_AT, Scheduling, decode


def record(body: Any = b"", **said: Any) -> Any:
    return decode(encode_message(body, time=1.5, epoch=2, **said), "chat/a", 0)


@pytest.mark.parametrize("body", [b"x", bytearray(b"x"), memoryview(b"x"), "x"])
def test_bytes_stay_as_they_are_and_text_is_utf_8(body: Any) -> None:
    one = record(body)
    assert (one.body, one.type, one.time, one.epoch) == (b"x", "message", 1.5, 2)
    assert one.datacontenttype == ("text/plain; charset=utf-8" if body == "x" else "application/octet-stream")


def test_attributes_are_cloudevents_own() -> None:
    one = record(
        "你好", type="chat.said", subject="会话", source="/a", id="7", traceparent="00-1", datacontenttype="text/x"
    )
    assert (one.type, one.subject, one.source, one.id) == ("chat.said", "会话", "/a", "7")
    assert (one.traceparent, one.datacontenttype) == ("00-1", "text/x")


def test_only_what_is_scheduled_takes_room_for_it() -> None:
    assert encode_message(b"", time=0, epoch=0)[SCHEDULED_AT] == 0
    assert record().scheduling == PLAIN
    assert record(priority=7, tenant="租户", cost=2, deadline=9.0).scheduling == Scheduling(7, "租户", 2.0, 9.0)


@pytest.mark.parametrize(
    "said",
    [
        {"body": {"a": 1}},
        {"body": 7},
        {"body": "\ud800"},
        {"colour": "red"},
        {"subject": "\ud800"},
        {"priority": -1},
        {"priority": 256},
        {"priority": 1.5},
        {"priority": "high"},
        {"cost": -1},
        {"cost": float("nan")},
        {"tenant": 5},
        {"tenant": "\ud800"},
        {"deadline": -1},
        {"deadline": 1e300},
    ],
)
def test_what_does_not_fit_is_refused_in_two_lines(said: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        record(**said)
    assert len(caught.value._render_traceback_()) == 2


@pytest.mark.parametrize("said", [{"tenant": "x" * 239}, {"subject": "x" * 65536}, {"id": "x" * 256}])
def test_what_has_no_room_is_too_large(said: dict[str, Any]) -> None:
    with pytest.raises(TooLarge):
        record(**said)


def test_what_is_stored_apart_comes_in_pieces() -> None:
    large = b"x" * (CHUNK + 1)
    for body in (b"x" * CHUNK, "x" * CHUNK, {"a": 1}, 7):
        assert pieces_of(body) is None
    for body in (large, bytearray(large), large.decode(), io.BytesIO(large), iter([large[:5], large[5:]])):
        pieces = pieces_of(body)
        assert pieces is not None
        assert b"".join(pieces) == large
    for broken in (io.StringIO("text"), [b"x", "y"]):
        with pytest.raises(UsageError):
            list(pieces_of(broken) or ())
