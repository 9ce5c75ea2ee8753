"""A record's body as a person reads it: JSON on indented lines, text, a picture, or bytes in hexadecimal.

What a body is shown as is found by looking at it; its media type alone is the producer's word. Nothing of it is
executed or loaded. Of what is long the beginning is shown.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from typing import Any, NamedTuple

from nbagora_lab.core.events import Record
from nbagora_lab.inspect.tasks import event_row

__all__ = ["PICTURES", "TEXT_BYTES", "Shown", "preview", "shown"]

TEXT_BYTES = 128 << 10
"""Bytes of a text that are shown at most."""

PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""Media types that are shown as pictures, with how their bytes begin. SVG is text: it can hold scripts and links."""

_PICTURE_BYTES = 2 << 20
_HEX_BYTES = 4 << 10
_PREVIEW_BYTES = 1 << 10
_EVENT_BYTES = 64 << 10  # larger events are not parsed to be one line of a table

# A string, a bracket, a separator, or a literal, which is kept as it is written: 1.0 and 1e400 too.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},:]|[^][{},:"\s]+', re.DOTALL)


class Shown(NamedTuple):
    """A body as it is shown.

    Attributes:
        kind: ``json``, ``text``, ``image`` or ``bytes``.
        text: Lines to read; of an image its bytes in Base64.
        media: The media type; of an image one of `PICTURES`.
        cut: Whether it is only the beginning.
    """

    kind: str
    text: str
    media: str
    cut: bool


def shown(body: bytes, media: str) -> Shown:
    """What a body is shown as.

    Args:
        body: The bytes.
        media: What its producer says that they are.
    """
    named = _media(media)
    if named in PICTURES and body.startswith(PICTURES[named]) and len(body) <= _PICTURE_BYTES:
        return Shown("image", base64.b64encode(body).decode(), named, cut=False)
    cut = len(body) > TEXT_BYTES
    text = _text(body[:TEXT_BYTES], whole=not cut)
    if text is not None and not cut and (lines := _json(text)) is not None:
        return Shown("json", lines, media, cut=False)
    if text is None or _odd(text):
        return Shown("bytes", _hexadecimal(body[:_HEX_BYTES]), media, len(body) > _HEX_BYTES)
    return Shown("text", text, media, cut)


def preview(record: Record) -> str:
    """What a record says, in a few words: an event of a task in words, any other's first ones."""
    body = record.body
    if record.type.startswith(("a2a.", "task.")) and len(body) <= _EVENT_BYTES:
        try:
            row = event_row(record)
            return _sound(f"{row.state} {row.text}".strip())
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
            pass  # anybody may write under these types; then it is shown like any other
    media = _media(record.datacontenttype)
    if media in PICTURES and body.startswith(PICTURES[media]):
        return media
    text = _text(body[:_PREVIEW_BYTES], whole=len(body) <= _PREVIEW_BYTES)
    return body[:48].hex(" ") if text is None or _odd(text) else text


def _media(content: str) -> str:
    """A media type without its parameters."""
    return content.partition(";")[0].strip().lower()


def _text(start: bytes, *, whole: bool) -> str | None:
    """The beginning of a body as text; None where it is no UTF-8."""
    try:
        return start.decode()
    except UnicodeDecodeError as error:
        if whole or len(start) - error.start > 3:  # a character may be cut in two at the end of what was taken
            return None
        return start[: error.start].decode()


def _odd(text: str) -> bool:
    """Whether it has what no text has, though it is UTF-8."""
    return any(unicodedata.category(letter) == "Cc" and letter not in "\t\n\r\f\x1b" for letter in text[:1000])


def _sound(text: str) -> str:
    """The text with halves of surrogate pairs replaced, which JSON can name and UTF-8 can't hold."""
    return text.encode("utf-8", "replace").decode()


def _json(text: str) -> str | None:
    """Indented lines of a JSON object or array, numbers as they are written; None where it is none."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        json.loads(text)
    except (RecursionError, ValueError):
        return None
    tokens: list[str] = _TOKEN.findall(text)
    parts: list[str] = []
    depth = 0
    for index, token in enumerate(tokens):
        if token in "{[":
            depth += 1
            empty = tokens[index + 1] in "}]"
            parts.append(token if empty else f"{token}\n{'  ' * depth}")
        elif token in "}]":
            depth -= 1
            parts.append(token if tokens[index - 1] in "{[" else f"\n{'  ' * depth}{token}")
        elif token == ",":
            parts.append(f",\n{'  ' * depth}")
        elif token == ":":
            parts.append(": ")
        else:
            parts.append(_readable(token) if token[0] == '"' else token)
    return "".join(parts)


def _readable(token: str) -> str:
    r"""A JSON string with its letters as letters, where they stand as ``\u5317``."""
    if "\\u" not in token:
        return token
    plain: Any = json.loads(token, strict=False)
    return _sound(json.dumps(plain, ensure_ascii=False))


def _hexadecimal(start: bytes) -> str:
    lines = []
    for at in range(0, len(start), 16):
        row = start[at : at + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {letters}")
    return "\n".join(lines)
