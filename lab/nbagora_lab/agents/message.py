"""Messages and files as an agent's code sees them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from nbagora_lab.a2a.live import current_task
from nbagora_lab.a2a.wire import part_of, text_of
from nbagora_lab.core.errors import UsageError

__all__ = ["File", "Message", "parts_of"]


@dataclass(frozen=True, slots=True)
class File:
    """A file part.

    Attributes:
        name: Its file name, or empty.
        media_type: Its media type, or empty.
        content: Its bytes; None where it is only a link.
        url: Where it is; empty where it came with the message.
    """

    name: str = ""
    media_type: str = ""
    content: bytes | None = field(default=None, repr=False)
    url: str = ""

    def open(self) -> IO[bytes]:
        """The file to be read, in pieces where it is large; of a link, only where it leads to this lab.

        Raises:
            UsageError: It is a link to elsewhere.
        """
        if self.content is not None:
            return io.BytesIO(self.content)
        live = current_task.get()
        reader = live.bodies.open_url(live.owner, self.url) if live is not None else None
        if reader is None:
            raise UsageError(f"the file {self.name or self.url} is elsewhere", "fetch its .url, if you trust it")
        return io.BufferedReader(reader)

    def read(self) -> bytes:
        """All of it."""
        with self.open() as file:
            return file.read()


@dataclass(frozen=True, slots=True)
class Message:
    """An A2A message.

    Attributes:
        raw: The message as A2A 1.0's ProtoJSON.
    """

    raw: dict[str, Any]

    @property
    def id(self) -> str:
        """The sender's id for it."""
        return str(self.raw.get("messageId", ""))

    @property
    def role(self) -> str:
        """``user`` or ``agent``."""
        return str(self.raw.get("role", "")).removeprefix("ROLE_").lower()

    @property
    def context_id(self) -> str:
        """Id of its context."""
        return str(self.raw.get("contextId", ""))

    @property
    def task_id(self) -> str:
        """Id of its task; empty where it has none."""
        return str(self.raw.get("taskId", ""))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """Its parts, as ProtoJSON."""
        return list(self.raw.get("parts", []))

    @property
    def text(self) -> str:
        """Its text parts, joined."""
        return text_of(self.parts)

    @property
    def data(self) -> list[Any]:
        """The values of its data parts."""
        return [part["data"] for part in self.parts if "data" in part]

    @property
    def files(self) -> list[File]:
        """Its files, sent along or linked."""
        return _files_of(self.parts)

    def __str__(self) -> str:
        return self.text


def _files_of(parts: list[dict[str, Any]]) -> list[File]:
    """The files among A2A parts."""
    return [
        File(
            part.get("filename", ""),
            part.get("mediaType", ""),
            base64.b64decode(part["raw"]) if "raw" in part else None,
            part.get("url", ""),
        )
        for part in parts
        if "raw" in part or "url" in part
    ]


def parts_of(content: object) -> list[dict[str, Any]]:
    """A2A parts for what a person passes as a message.

    Args:
        content: str, dict, pydantic model, bytes, `Path`, a `Message`, an object with ``.raw_parts``, or a list of
            these.

    Raises:
        BadYield: A value of another type.
    """
    if isinstance(content, Message):
        return content.parts
    if isinstance(content, Sequence) and not isinstance(content, str | bytes | bytearray):
        return [part for one in content for part in parts_of(one)]
    return [part_of(content)]
