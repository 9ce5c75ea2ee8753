"""What an agent gives out, turned into events on its task's log.

A run of str chunks is one text artifact: the first chunk opens it, the others are appended, and it is closed by an
update with ``lastChunk`` when something else follows or the agent ends. A chunk is written when it is yielded and not
held back until it is known to be the last, so that a reader sees it at once; the closing update therefore carries an
empty text part of its own, except where the whole text is known (``return "…"``).
"""

from __future__ import annotations

import mimetypes
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbagora_lab.a2a.live import Entries, LiveTask
from nbagora_lab.a2a.wire import COMPLETED, WORKING, dumps, message_of, part_of, text_part
from nbagora_lab.agents.message import parts_of
from nbagora_lab.broker.blobs import CHUNK
from nbagora_lab.core.errors import BadYield
from nbagora_lab.core.ids import Ids

__all__ = ["USAGE", "Output"]

USAGE = "urn:nbagora:usage:1"
"""Key of a completed task's metadata that says what it took: ``usage`` and ``cost`` as a step's record has them."""

_CLOSING = b'{"text":""}'


class Output:
    """The events of one task, from its agent's side. Owned by the thread that runs the agent.

    Args:
        live: The task.
        ids: What makes artifact and message ids.
        reply: ``task``, ``message`` or ``either``; all but ``task`` say WORKING only with the first event.
        former: Artifacts of an earlier call that this one repeats; it writes them anew under their ids, in their order.

    Attributes:
        spent: Gives what the task took, for the status that completes it.
        before_stop: Called before a word of the agent's own that stops the task, as whoever waits for that reads the
            log at once.
    """

    def __init__(self, live: LiveTask, ids: Ids, reply: str, former: Iterable[Mapping[str, Any]] = ()) -> None:
        self._live = live
        self._ids = ids
        self._reply = reply
        self._run: bytes | None = None  # the head of the text artifact that chunks go to
        self._named: dict[str, str] = {}
        self._former: defaultdict[str, deque[str]] = defaultdict(deque)
        for artifact in former:
            self._former[artifact.get("name", "")].append(artifact["artifactId"])
        self._begun = False
        self.spent: Callable[[], dict[str, Any]] = dict
        self.before_stop: Callable[[], None] = lambda: None
        self._kept: list[dict[str, Any]] = []  # in the mode "message", all that the reply will say

    @property
    def ended(self) -> bool:
        """Whether the task has ended."""
        return self._live.ended

    def begin(self, *, again: bool = False) -> None:
        """Says WORKING, once, or `again` after an answer."""
        if again or (not self._begun and self._reply == "task"):
            self._say_working()

    def _say_working(self) -> None:
        self._begun = True
        self._live.status(WORKING)

    def _first_word(self) -> None:
        if not self._begun:
            self._say_working()

    def put(self, value: object, *, last: bool = False) -> None:
        """Takes a yielded value.

        Args:
            value: str, dict, pydantic model, bytes or `Path`.
            last: Whether the task's end follows at once: a text needs no closing update, and both are written together.

        Raises:
            BadYield: A value of another type.
            TaskEnded: The task has ended.
        """
        if self._reply == "message":
            self._kept.append(part_of(value))
            return
        if isinstance(value, str):
            if value:
                self._chunk(value, last=last)
            return
        part, blobs = self._part(value)
        self.close()
        self._first_word()
        self._live.artifact(self._head(part.get("filename", "")), dumps(part), last=True, blobs=blobs, hold=last)

    def _part(self, value: object) -> tuple[dict[str, Any], Entries]:
        """The part for a value; a large file becomes a link to where its bytes are, which memory never holds."""
        if isinstance(value, Path) and self._live.bodies.url and _size(value) > CHUNK:
            kind = mimetypes.guess_type(value.name)[0] or "application/octet-stream"
            with value.open("rb") as file:
                url, entry = self._live.bodies.stage(self._live.topic, iter(lambda: file.read(CHUNK), b""), kind)
            return {"url": url, "filename": value.name, "mediaType": kind}, (entry,)
        if isinstance(value, bytes | bytearray) and self._live.bodies.url and len(value) > CHUNK:
            kind = "application/octet-stream"
            url, entry = self._live.bodies.stage(self._live.topic, (bytes(value),), kind)
            return {"url": url, "mediaType": kind}, (entry,)
        return part_of(value), ()

    def _chunk(self, text: str, *, last: bool) -> None:
        self._first_word()
        if self._run is None:
            self._run = self._head("")
            self._live.artifact(self._run, text_part(text), last=last, hold=last)
        elif last:
            self._live.artifact(self._run, text_part(text), append=True, last=True, hold=True)
        else:
            self._live.chunk(self._run, text)
        if last:
            self._run = None

    def _head(self, name: str) -> bytes:
        """The members of a new artifact that stand before its parts."""
        named = b'"name":%b,' % dumps(name) if name else b""
        return b'"artifactId":"%b",%b' % (self._new_id(name).encode(), named)

    def _new_id(self, name: str) -> str:
        former = self._former.get(name)
        return former.popleft() if former else self._ids.new("artifact", self._live.id)

    def close(self) -> None:
        """Closes the text artifact that is open, if one is."""
        if self._run is not None:
            self._live.artifact(self._run, _CLOSING, append=True, last=True)
            self._run = None

    def status(self, text: str, metadata: dict[str, Any] | None = None) -> None:
        """Says WORKING with a text."""
        self._begun = True
        self._live.status(WORKING, self.message(text), metadata)

    def artifact(self, name: str, content: object, *, append: bool = False, last: bool = True) -> None:
        """Writes to the artifact called `name`."""
        self.close()
        self._first_word()
        known = self._named.get(name)
        if append and known is None:
            raise BadYield(f"there is no artifact '{name}' to append to", "leave out append= for its first part")
        if not append or known is None:
            known = self._named[name] = self._new_id(name)
        head = b'"artifactId":%b,"name":%b,' % (dumps(known), dumps(name))
        parts = b",".join(dumps(part) for part in parts_of(content))
        self._live.artifact(head, parts, append=append, last=last)

    def file(self, url: str, name: str, media_type: str) -> None:
        """Writes an artifact that links to a file."""
        self.close()
        self._first_word()
        part = {"url": url, "filename": name, "mediaType": media_type}
        self._live.artifact(self._head(name), dumps({key: value for key, value in part.items() if value}), last=True)

    def ask(self, state: str, question: object, metadata: dict[str, Any] | None = None) -> None:
        """Asks: the task is in `state` until somebody answers. Metadata tells a view which answers there are."""
        self.before_stop()
        self.close()
        self._begun = True
        asked = self.message(question)
        if metadata and "choices" in metadata:  # beside the words, so that they go with this question
            asked["metadata"] = {"choices": metadata["choices"]}
        self._live.status(state, asked, metadata)

    def complete(self, said: object = None) -> None:
        """Ends the task COMPLETED; in the mode ``message``, with the reply."""
        self.before_stop()
        if self._reply == "message":
            parts = self._kept + (parts_of(said) if said is not None else [])
            self.answer(parts)
            return
        self.close()
        self._first_word()
        spent = self.spent()
        message = self.message(said) if said is not None else None
        self._live.status(COMPLETED, message, {USAGE: spent} if spent else None)

    def answer(self, parts: Sequence[dict[str, Any]]) -> None:
        """Ends with a plain message in place of a task.

        Raises:
            BadYield: The agent doesn't declare that, or has said something as a task already.
        """
        if self._reply == "task":
            raise BadYield("task.message() in an agent that replies with tasks", "declare it with --reply either")
        if self._begun:
            raise BadYield("task.message() after other output", "a plain message must be the first and only word")
        self.before_stop()
        message = self.message(list(parts) or "")
        message.pop("taskId", None)
        self._live.reply(message)

    def end(self, state: str, said: object) -> bool:
        """Ends the task in `state` unless it has ended.

        Returns:
            Whether this did it.
        """
        return self._live.end_if_open(state, self.message(said))

    def message(self, content: object) -> dict[str, Any]:
        """A message of the agent's."""
        parts = content if isinstance(content, list) and all(isinstance(one, dict) for one in content) else None
        return message_of(
            "ROLE_AGENT",
            self._ids.new("message", self._live.id),
            parts if parts and _are_parts(parts) else parts_of(content),
            task_id=self._live.id,
            context_id=self._live.context_id,
        )


def _size(path: Path) -> int:
    """Bytes of a file; 0 where there is none, which `part_of` tells of."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _are_parts(values: list[dict[str, Any]]) -> bool:
    return all(values) and all(value.keys() & {"text", "raw", "url", "data"} for value in values)
