"""Large bodies of sessions: stored beside the records that refer to them, found by their SHA-256 and the context."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from nbagora_lab.a2a.sessions import parse_context_key, session_topic
from nbagora_lab.broker.blobs import CHUNK, BlobReader, BlobRef
from nbagora_lab.core.errors import TopicNotFound
from nbagora_lab.core.events import Flags, RecordType, encode

if TYPE_CHECKING:
    from nbagora_lab.a2a.tasklog import TaskLog

__all__ = ["Bodies"]


class Bodies:
    """The large bodies of all sessions. May be used from any thread.

    Args:
        tasks: The task log.

    Attributes:
        url: The lab's, below which callers find them; while it is empty, they travel within events.
    """

    def __init__(self, tasks: TaskLog) -> None:
        self.url = ""
        self._tasks = tasks

    def stage(self, topic: str, pieces: Iterable[bytes], media_type: str) -> tuple[str, tuple[str, bytes]]:
        """Stores a body, in pieces of any size.

        Returns:
            Its URL, and the record by which a session refers to it, to be appended with what speaks of it.
        """
        ref = self._tasks.log.stage(pieces)
        return self.url_of(topic, ref.sha256), self._entry(topic, ref, media_type)

    def url_of(self, topic: str, sha256: str) -> str:
        """Where callers find a body that a session refers to."""
        context_id = parse_context_key(topic.partition("/")[2])[1]
        return f"{self.url}/blobs/{sha256}?context={quote(context_id, safe='')}"

    def keep(self, owner: str, context_id: str, ref: BlobRef, media_type: str) -> None:
        """Has a context refer to a staged body; it comes into being by that.

        Raises:
            BadName: The context can't be called so.
        """
        try:
            self._tasks.log.append([self._entry(session_topic(owner, context_id), ref, media_type)])
        except BaseException:
            self._tasks.log.unstage(ref)
            raise

    def _entry(self, topic: str, ref: BlobRef, media_type: str) -> tuple[str, bytes]:
        now, epoch = self._tasks.clock.now(), self._tasks.log.epoch
        kind = media_type.encode("utf-8", "replace")[:255]
        return topic, encode(
            RecordType.BLOB, ref.body(), flags=Flags.REFERENCE, time=now, epoch=epoch, datacontenttype=kind
        )

    def open(self, owner: str, context_id: str, sha256: str) -> tuple[BlobReader, str]:
        """A body that an owner's context refers to, and its media type.

        Raises:
            TopicNotFound: The owner has no such context, or it refers to no such body.
        """
        with self._tasks.lock:
            found = self._tasks.session(owner, context_id).blobs.get(sha256)
        if found is None:
            raise TopicNotFound(f"no blob {sha256[:12]}… in that context", "it has expired, or is another's")
        return self._tasks.log.open_body(BlobRef(sha256, found[0])), found[1]

    def open_url(self, owner: str, url: str) -> BlobReader | None:
        """An owner's body by its URL; None where that leads elsewhere."""
        base = f"{self.url}/blobs/"
        if not self.url or not url.startswith(base):
            return None
        sha256, _, context = url.removeprefix(base).partition("?context=")
        return self.open(owner, unquote(context), sha256)[0]

    def lighten(self, owner: str, content: dict[str, Any], raws: list[bytes], context_id: str) -> dict[int, bytes]:
        """Puts links in place of the large files of a user's message, which may get a context by that.

        Args:
            owner: Whose message it is.
            content: The message as ProtoJSON; changed.
            raws: The bytes of each of its parts; empty where a part is no file.
            context_id: The context that it belongs to; empty for a new one.

        Returns:
            The bytes of the parts that are links now, by the part's number, for `stage`.

        Raises:
            BadName: The context can't be called so.
        """
        large = {number: raw for number, raw in enumerate(raws) if len(raw) > CHUNK and self.url}
        for number, raw in large.items():
            if not context_id:
                context_id = content["contextId"] = f"ctx-{self._tasks.ids.new('context')}"
            part = content["parts"][number]
            del part["raw"]
            part["url"] = self.url_of(session_topic(owner, context_id), hashlib.sha256(raw).hexdigest())
        return large
