"""A body is shown as what it is, whatever its producer calls it, and shown text can always be sent."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.core.events import Record
from nbagora_lab.inspect.payload import PICTURES, TEXT_BYTES, preview, shown

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def test_json_stands_on_indented_lines_with_its_numbers_as_they_were_written():
    found = shown(b'{"a":[1.50,1e400,-0,{"b":"\\u5317\\u4eac"}],"c":{},"d":[],"e":null}', "text/plain")
    assert found.kind == "json"
    lines = ["{", '  "a": [', "    1.50,", "    1e400,", "    -0,", "    {", '      "b": "北京"', "    }", "  ],"]
    assert found.text.splitlines() == [*lines, '  "c": {},', '  "d": [],', '  "e": null', "}"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
).filter(lambda value: isinstance(value, list | dict))


@given(JSON, st.booleans())
def test_indented_json_is_the_same_json(value, ascii_):
    body = json.dumps(value, ensure_ascii=ascii_).encode()
    found = shown(body, "application/json")
    assert found.kind == "json"
    assert json.loads(found.text) == value


@pytest.mark.parametrize("body", [b"{", b"[1,]", b'{"a"', b"{} x", b"[" * 5000, b'"a"', b"12", b""])
def test_what_is_no_json_object_or_array_is_text(body):
    assert shown(body, "application/json") == ("text", body.decode(), "application/json", False)


def test_half_a_surrogate_pair_can_be_sent_on():
    found = shown(b'{"a":"\\ud800"}', "application/json")
    assert found.kind == "json"
    found.text.encode()


@given(st.binary(max_size=300), st.sampled_from(["", "text/plain", "application/json", *PICTURES]))
def test_any_body_is_shown_and_can_be_sent(body, media):
    found = shown(body, media)
    assert found.kind in {"json", "text", "bytes", "image"}
    found.text.encode()
    if found.kind == "text":
        assert found.text.encode() == body


def test_bytes_are_hexadecimal_beside_their_letters():
    found = shown(bytes(range(60, 80)) + b"\x00\xff", "application/octet-stream")
    assert found.kind == "bytes"
    first, second = found.text.splitlines()
    assert first == "00000000  3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK"
    assert second.split() == ["00000010", "4c", "4d", "4e", "4f", "00", "ff", "LMNO.."]


def test_of_long_bodies_the_beginning_is_shown():
    text = shown("北".encode() * TEXT_BYTES, "text/plain")  # the cut falls into a character
    assert (text.kind, text.cut) == ("text", True)
    assert set(text.text) == {"北"}
    assert len(text.text.encode()) in range(TEXT_BYTES - 2, TEXT_BYTES + 1)
    large = shown(b'{"a":"' + b"x" * TEXT_BYTES + b'"}', "application/json")
    assert (large.kind, large.cut) == ("text", True)
    binary = shown(b"\xff" * (1 << 20), "")
    assert binary.cut
    assert len(binary.text.splitlines()) == 256


def test_a_picture_must_begin_like_one_of_its_kind():
    found = shown(PNG, "image/png; x=1")
    assert (found.kind, found.media) == ("image", "image/png")
    assert base64.b64decode(found.text) == PNG
    assert shown(PNG, "image/gif").kind == "bytes"
    assert shown(b"<script>", "image/png").kind == "text"
    assert shown(PNG + bytes(4 << 20), "image/png").kind == "bytes"


def test_svg_is_text():
    body = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    assert shown(body, "image/svg+xml")[:2] == ("text", body.decode())


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Record("message", "去北京".encode()), "去北京"),
        (Record("message", b"\x00\xff"), "00 ff"),
        (Record("photo", PNG, datacontenttype="image/png"), "image/png"),
        (Record("a2a.message", b'{"message":{"parts":[{"text":"hello"}]}}'), "hello"),
        (Record("a2a.message", b"not json"), "not json"),
        (Record("a2a.status", b"[]"), "[]"),
        (Record("a2a.artifact", b'{"artifactUpdate":3}'), '{"artifactUpdate":3}'),
        (Record("task.log", b"7"), "7"),
        (Record("a2a.message", b"[" * 5000), "[" * 1024),
    ],
)
def test_a_preview_says_what_is_in_it_also_under_a_false_type(record, words):
    assert preview(record) == words
