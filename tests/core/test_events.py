"""What is packed is unpacked the same, the head agrees with the whole, and other bytes are refused."""

from __future__ import annotations

import contextlib
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nbagora_lab.core.errors import StoreCorrupt, TooLarge
from nbagora_lab.core.events import Flags, Record, RecordType, Scheduling, decode, encode, head_of

short = st.text(max_size=60).filter(lambda text: len(text.encode("utf-8", "replace")) <= 255)
texts = st.text(max_size=300)
plans = st.builds(
    Scheduling,
    priority=st.integers(0, 255),
    tenant=st.text(max_size=50),
    cost=st.floats(0, 1e300),
    deadline=st.none() | st.integers(1, 10**9).map(float),
)
records = st.builds(
    Record,
    type=short,
    body=st.binary(max_size=2000),
    source=texts,
    subject=texts,
    time=st.floats(0, 1e11, allow_nan=False),
    datacontenttype=short,
    traceparent=short,
    id=short,
    generation=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 255),
    scheduling=plans,
)


def pack(record: Record) -> bytes:
    return encode(
        record.type,
        record.body,
        source=record.source.encode(),
        subject=record.subject.encode(),
        time=record.time,
        datacontenttype=record.datacontenttype.encode(),
        traceparent=record.traceparent.encode(),
        id=record.id.encode(),
        generation=record.generation,
        epoch=record.epoch,
        flags=record.flags,
        scheduling=record.scheduling.pack(),
    )


@given(records, st.integers(0, 2**64 - 2))
def test_what_is_packed_is_unpacked(record: Record, offset: int) -> None:
    again = decode(pack(record), "chat/s-1", offset)
    assert math.isclose(again.time, record.time, abs_tol=1e-6, rel_tol=1e-15)
    assert again._replace(time=record.time) == record.at("chat/s-1", offset)


@given(records)
def test_packing_again_changes_no_byte(record: Record) -> None:
    stored = pack(record)
    again = decode(stored, "chat/s-1", 0)
    assert pack(again._replace(id=record.id)) == stored


@given(records)
def test_the_head_agrees_with_the_whole(record: Record) -> None:
    stored = pack(record)
    head, whole = head_of(stored), decode(stored, "chat/s-1", 0)
    assert (head.flags, head.epoch, head.generation) == (whole.flags, whole.epoch, whole.generation)
    assert head.time == round(whole.time * 1e6)
    assert head.subject.decode() == whole.subject
    assert stored[head.body_at :] == whole.body


@pytest.mark.parametrize(
    "body", [b"", b"\0", "天气 🌦".encode(), b"x" * (8 << 20)], ids=["none", "null", "utf-8", "8 MB"]
)
def test_a_body_is_bytes_of_any_kind_and_size(body: bytes) -> None:
    stored = encode("a2a.status", body, subject="任务".encode())
    assert decode(stored, "chat/s-1", 3).body == body
    assert stored[head_of(stored).body_at :] == body


def test_without_an_id_of_its_own_a_record_is_called_by_its_offset() -> None:
    assert decode(encode("a", b""), "chat/s-1", 12).id == "12"
    assert decode(encode("a", b"", id=b"mine"), "chat/s-1", 12).id == "mine"


def refused(stored: bytes) -> None:
    for read in (head_of, lambda stored: decode(stored, "chat/s-1", 3)):
        with pytest.raises(StoreCorrupt) as caught:
            read(stored)
        assert len(caught.value._render_traceback_()) == 2
        assert caught.value.hint


@pytest.mark.parametrize("layout", [0, 2, 255])
def test_another_layout_is_refused(layout: int) -> None:
    refused(bytes([layout]) + encode("a", b"body")[1:])
    with pytest.raises(StoreCorrupt, match=f"record 3 of chat/s-1 has layout {layout}, not 1"):
        decode(bytes([layout]) + encode("a", b"body")[1:], "chat/s-1", 3)


@given(records.map(lambda record: record._replace(body=b"")), st.data())
def test_a_record_cut_short_is_refused(record: Record, data: st.DataObject) -> None:
    stored = pack(record)
    refused(stored[: data.draw(st.integers(0, len(stored) - 1))])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(stored: bytes) -> None:
    for read in (head_of, lambda stored: decode(stored, "chat/s-1", 3)):
        with contextlib.suppress(StoreCorrupt):
            read(stored)


def test_a_name_that_is_no_utf_8_is_refused_with_the_record() -> None:
    with pytest.raises(StoreCorrupt):
        decode(encode("a", b"", subject=b"\xff"), "chat/s-1", 0)


@pytest.mark.parametrize(
    ("name", "longest"),
    [("source", 65535), ("subject", 65535), ("datacontenttype", 255), ("traceparent", 255), ("id", 255)],
)
def test_an_attribute_as_long_as_its_place_fits_and_a_longer_one_is_named(name: str, longest: int) -> None:
    assert getattr(decode(encode("a", b"", **{name: b"x" * longest}), "t/a", 0), name) == "x" * longest  # type: ignore[arg-type]
    with pytest.raises(TooLarge) as caught:
        encode("a", b"", **{name: b"x" * (longest + 1)})  # type: ignore[arg-type]
    assert caught.value.what == f"the record's {name} has {longest + 1} bytes"
    assert str(longest) in caught.value.hint


def test_a_type_that_is_too_long_is_named() -> None:
    with pytest.raises(TooLarge, match="type has 256 bytes"):
        encode("天" * 85 + "x", b"")


@pytest.mark.parametrize("time", [0.0, 0.000001, 0.000249, 0.032767, 1000.1, 1767225600.123457])
def test_a_time_is_kept_to_the_nearest_microsecond(time: float) -> None:
    assert decode(encode("a", b"", time=time), "t/a", 0).time == time  # some a hair below the whole number, times 1e6


def test_each_flag_is_a_bit_of_the_one_byte() -> None:
    bits = [value for name, value in vars(Flags).items() if name.isupper() and value]
    assert sorted(bits) == [1 << n for n in range(len(bits))]
    assert max(bits) < 256


def test_types_are_dotted_and_different() -> None:
    types = [value for name, value in vars(RecordType).items() if not name.startswith("_")]
    assert len(set(types)) == len(types)
    assert all(1 <= one.count(".") <= 2 and one == one.lower() for one in types)
