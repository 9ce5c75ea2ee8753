"""A task's artifacts as a person looks at them: text, JSON, pictures, bytes, links.

Nothing of a part is executed or loaded: a picture is its own bytes, and of a link its address is told.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from nbagora_lab.inspect.fold import TaskFold
from nbagora_lab.inspect.model import ArtifactRow, PartRow, first_words

__all__ = ["ARTIFACTS", "artifact_rows"]

ARTIFACTS = 20
"""Artifacts of a task that are shown at most, the first ones; and parts of each."""

_RAW = 512 << 10  # characters of Base64 that are decoded at most


def artifact_rows(fold: TaskFold) -> tuple[ArtifactRow, ...]:
    """The artifacts of a task, as they are shown; runs of text parts are one."""
    rows = []
    for artifact in fold.as_json(history=0).get("artifacts", [])[:ARTIFACTS]:
        parts: list[PartRow] = []
        texts: list[str] = []
        for part in artifact.get("parts", []):
            if "text" in part:
                texts.append(part["text"])
                continue
            if texts:
                parts.append(_text(texts))
                texts = []
            parts.append(_part(part))
        if texts:
            parts.append(_text(texts))
        kept = tuple(part for part in parts if part.kind != "text" or part.text)[:ARTIFACTS]
        rows.append(ArtifactRow(id=artifact["artifactId"], name=artifact.get("name", ""), parts=kept))
    return tuple(rows)


def _text(texts: list[str]) -> PartRow:
    text = "".join(texts)
    return PartRow(kind="text", text=first_words(text), media="text/plain", cut=len(text) > len(first_words(text)))


def _part(part: dict[str, Any]) -> PartRow:
    media, name = part.get("mediaType", ""), part.get("filename", "")
    if "url" in part:
        return PartRow(kind="link", text=part["url"], media=media, name=name)
    if "data" in part:
        text = json.dumps(part["data"], ensure_ascii=False, indent=2)
        return PartRow(kind="json", text=first_words(text), media=media or "application/json", name=name)
    raw = part.get("raw", "")
    size = len(raw) * 3 // 4 - raw[-2:].count("=")
    if len(raw) > _RAW:
        return PartRow(kind="bytes", text=f"{size:,} bytes", media=media, name=name)
    from nbagora_lab.inspect.payload import shown  # which words events by what this is part of

    try:
        kind, text, media, cut = shown(base64.b64decode(raw, validate=True), media)
    except (binascii.Error, ValueError):
        return PartRow(kind="bytes", text="no Base64", media=media, name=name)
    return PartRow(kind=kind, text=text if kind == "image" else first_words(text), media=media, name=name, cut=cut)
