"""The broker's engine of a lab that was joined: its topics and groups, over a line to it.

| of the protocols | over the line |
|---|---|
| every call that asks or writes | the same call there (`core.protocol`) |
| `watch`, `watch_parent`, `when_ready` | a watch there; what a call brings about itself rings before it returns |
| `stage`, `open_body` | a body, streamed; chunks are checked here, by the CRCs that were made when it was written |
| `expire_due`, `on_due` | nothing: the other lab does that |
| `epoch` | the other lab's; a lab that joins is fenced at its door, by its session |

Where the line is down each call raises `Unreachable`, and who waits is woken to find that out.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, cast

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.blobs import CHUNK, BlobReader, BlobRef
from nbagora_lab.broker.delivery import Batch, Delivery, Given, Handle
from nbagora_lab.broker.model import split_topic
from nbagora_lab.core.errors import LeaseLost
from nbagora_lab.core.link import Link
from nbagora_lab.core.protocol import Codec, Method, methods_of
from nbagora_lab.core.remote import Remote

__all__ = ["GROUPS", "LOG", "group_methods", "log_methods", "remote_groups", "remote_log"]

LOG, GROUPS = "log", "groups"
"""What a log and its groups are called on a line."""


def _packed(batch: Batch) -> Any:
    return [(one.topic, one.offset, one.lease, one.attempt, one.stored) for one in batch], batch.held, batch.wake


def _unpacked(given: Any) -> Batch:
    deliveries, held, wake = given
    batch = Batch([Delivery(*one) for one in deliveries])
    batch.held, batch.wake = held, wake
    return batch


_BATCH = Codec(tuple[list[tuple[str, int, int, int, bytes]], dict[str, int], float | None], _packed, _unpacked)


_GIVEN = Codec(Handle, lambda given: given.handle if isinstance(given, Delivery) else given, lambda handle: handle)


@cache
def log_methods() -> Mapping[str, Method]:
    """What travels of a log."""
    return methods_of(Log, without={"close", "expire_due", "on_due", "open_body", "stage", "watch", "watch_parent"})


@cache
def group_methods() -> Mapping[str, Method]:
    """What travels of groups."""
    return methods_of(Groups, {Batch: _BATCH, Given: _GIVEN}, without={"when_ready"})


def remote_log(link: Link) -> Log:
    """The log of the lab at the other end."""
    return cast("Log", _RemoteLog(link))


def remote_groups(link: Link) -> Groups:
    """The groups of the lab at the other end."""
    return cast("Groups", _RemoteGroups(link))


class _RemoteLog(Remote):
    def __init__(self, link: Link) -> None:
        super().__init__(link, LOG, log_methods())
        self.engine: str = link.about["broker"]
        self.capabilities = frozenset({*link.about["log_capabilities"], "remote"})

    @property
    def epoch(self) -> int:
        return int(self._link.about["epoch"])

    def stage(self, chunks: Iterable[bytes]) -> BlobRef:
        return BlobRef.parse(self._link.post("bodies", chunks, "application/octet-stream"))

    def open_body(self, ref: BlobRef) -> BlobReader:
        told = json.loads(self._link.get(_body(ref)))
        return BlobReader(_RemoteFile(self._link, ref), told["size"], base64.b64decode(told["crcs"]), ref.sha256)

    def expire_due(self) -> None:
        self._link.check()

    def on_due(self, _wake: Callable[[], None]) -> None:
        return

    def watch(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        split_topic(topic)
        return self._link.watch(["topic", topic], lambda _: wake())

    def watch_parent(self, parent: str, heard: Callable[[str, int], None]) -> Callable[[], None]:
        def hear(written: list[tuple[str, int]] | None) -> None:
            for topic, offset in [(parent, -1)] if written is None else written:
                heard(topic, offset)

        return self._link.watch(["parent", parent], hear)

    def close(self) -> None:
        self._link.close()


class _RemoteGroups(Remote):
    def __init__(self, link: Link) -> None:
        super().__init__(link, GROUPS, group_methods())
        self.capabilities = frozenset(link.about["group_capabilities"])

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return super()._call(name, *args, **options)
        except LeaseLost as error:
            error.handles = [Handle.parse(str(handle)) for handle in error.handles]
            raise

    def subscribe(
        self,
        group: str,
        client: str,
        patterns: Collection[str],
        *,
        durable: bool = False,
        evicted: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._link.on_evicted(group, client, evicted)
        self._call("subscribe", group, client, patterns, durable=durable)

    def unsubscribe(self, group: str, client: str, patterns: Collection[str] | None = None) -> None:
        self._call("unsubscribe", group, client, patterns)
        if patterns is None:
            self._link.on_evicted(group, client, None)

    def when_ready(self, group: str, client: str, wake: Callable[[], None]) -> Callable[[], None]:
        return self._link.watch(["ready", group, client], lambda _: wake(), once=True)


class _RemoteFile(io.RawIOBase):
    """A body of the other lab, a chunk at a time."""

    def __init__(self, link: Link, ref: BlobRef) -> None:
        self._link = link
        self._ref = ref
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + (0, self._at, self._ref.size)[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        size = CHUNK if size < 0 else size
        found = self._link.get(f"{_body(self._ref)}/bytes?start={self._at}&size={size}")
        self._at += len(found)
        return found


def _body(ref: BlobRef) -> str:
    return f"bodies/{ref.sha256}"
