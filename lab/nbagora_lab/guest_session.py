"""A guest's session: what it watches, what it is to be told, and what dies with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nbagora_lab.core.errors import LabError, UsageError
from nbagora_lab.core.events import Flags, RecordType, decode, head_of
from nbagora_lab.inspect.directory import DIRECTORY
from nbagora_lab.registry.card import read_content
from nbagora_lab.registry.model import Draft

__all__ = ["Session", "Told", "check"]

_MOST = 100  # notices that an answer's header takes; more go the other way
_here = threading.local()  # `.told`: what the call that this thread runs has brought about for its own guest


class Told(NamedTuple):
    """What a guest is to be told."""

    heard: dict[int, dict[str, int] | None]
    evicted: list[tuple[str, str, list[str]]]
    members: list[list[str]]

    def __bool__(self) -> bool:
        return bool(self.heard or self.evicted or self.members)

    def hear(self, number: int, topic: str, offset: int) -> None:
        """Adds a notice; of a topic that was written twice, where that began."""
        if not topic:
            self.heard.setdefault(number, None)
        else:
            written = self.heard.get(number) or {}
            written.setdefault(topic, offset)
            self.heard[number] = written

    def json(self) -> str:
        """It, on a line of ASCII."""
        heard = [[number, None if written is None else list(written.items())] for number, written in self.heard.items()]
        told: dict[str, Any] = {"heard": heard, "evicted": self.evicted}
        return json.dumps(told | ({"members": self.members[-1]} if self.members else {}))


def _nothing() -> Told:
    return Told({}, [], [])


class Session:
    """A guest. All of it may be used from any thread but `arrived`, which is the service loop's."""

    def __init__(self, url: str) -> None:
        self.id = secrets.token_urlsafe(16)
        self.url = url
        self.watches: dict[int, Callable[[], None]] = {}
        self.clients: set[tuple[str, str]] = set()
        self.endpoints: set[str] = set()
        self.tasks: set[str] = set()
        self.lines = 0  # long answers that it had so far; the newest is the one that counts
        self.arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._told = _nothing()
        self._lock = threading.Lock()

    def tell(self, add: Callable[[Told], None]) -> None:
        """Adds to what it is told: with the answer to its own call where that brought it about."""
        own: tuple[Session, Told] | None = getattr(_here, "told", None)
        if own is not None and own[0] is self and len(own[1].heard) < _MOST:
            add(own[1])
            return
        with self._lock:
            add(self._told)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the session with it
            self._loop.call_soon_threadsafe(self.arrived.set)

    def take(self) -> Told:
        """What it is to be told now."""
        with self._lock:
            told, self._told = self._told, _nothing()
        return told

    @contextlib.contextmanager
    def calling(self) -> Iterator[Told]:
        """Gathers what this thread brings about for this guest, for the answer."""
        told = _nothing()
        _here.told = self, told
        try:
            yield told
        finally:
            del _here.told

    def note(self, name: str, given: Mapping[str, Any], result: Any) -> None:
        """Notes what dies with the guest, of a call that was made.

        Args:
            name: The call's.
            given: Its arguments.
            result: What it gave.
        """
        for topic, stored in _written(given):
            head = head_of(stored)
            if head.flags & Flags.CLAIM:
                self.tasks.add(head.subject.decode())
            elif topic == DIRECTORY and decode(stored, topic, 0).type == RecordType.TASK_ENDED:
                self.tasks.discard(head.subject.decode())
        if name == "subscribe" and not given["durable"]:
            self.clients.add((given["group"], given["client"]))
        elif name == "register":
            self.endpoints.add(result.id)
        elif name == "deregister":
            self.endpoints.discard(given["id"])


def check(given: Mapping[str, Any]) -> None:
    """Looks at what a call would store: the faces check it, and what comes over a line has passed another lab's alone.

    Raises:
        UsageError: A record or a draft that no face makes.
    """
    for _, stored in _written(given):
        try:
            head_of(stored)
        except LabError as error:
            raise UsageError(f"no record: {error.what}", "records are made by core.events.encode") from None
    draft = given.get("draft")
    if isinstance(draft, Draft) and not _is_read(draft):
        raise UsageError("a draft of other content than its card", "drafts are made by registry.card.read_content")


def _is_read(draft: Draft) -> bool:
    """Whether a draft is what is read of its card, and of its signed card where it has one.

    Raises:
        LabError: No draft is read of one of them.
    """
    if read_content(draft.kind, draft.card, draft.namespace) != draft._replace(version=None, signed=None):
        return False
    if draft.signed is None:
        return True
    of = read_content(draft.kind, draft.signed, draft.namespace)
    return (of.hash, of.signed) == (draft.hash, draft.signed)


def _written(given: Mapping[str, Any]) -> Iterable[tuple[str, bytes]]:
    """The records that a call appends."""
    return given.get("entries") or given.get("send") or ()
