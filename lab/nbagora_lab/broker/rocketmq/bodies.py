"""Large bodies on RocketMQ: a lite topic each, named by the SHA-256, of chunks and, at the end, their CRCs."""

from __future__ import annotations

import hashlib
import io
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from nbagora_lab.broker.blobs import CHUNK, BlobReader, BlobRef
from nbagora_lab.broker.rocketmq.cluster import Cluster
from nbagora_lab.broker.rocketmq.packing import stored_of
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.core.errors import BodyNotFound, TooLarge
from nbagora_lab.core.events import Record, decode, encode

__all__ = ["Bodies"]

_CHUNK, _END = "blob.chunk", "blob.end"


class Bodies:
    """The large bodies of a lab.

    They are not counted by who refers to them: the servers remove them with their oldest messages.

    Args:
        parent: Gives the parent of their topics.
        store: Sends records below a parent.
        cluster: The servers.
        limit: Largest body, in bytes.
        spool: Folder where a body waits until it is known whole, for only then is its name; None: the system's.
    """

    def __init__(
        self,
        parent: Callable[[], Parent],
        store: Callable[[list[tuple[Parent, str, bytes]]], list[int]],
        cluster: Cluster,
        *,
        limit: int,
        spool: Path | None,
    ) -> None:
        self._parent = parent
        self._store = store
        self._cluster = cluster
        self._limit = limit
        self._spool = spool

    def stage(self, chunks: Iterable[bytes]) -> BlobRef:
        """Stores a body; memory holds one chunk.

        Raises:
            TooLarge: It is above the limit; nothing is kept.
            QuotaExceeded: Its broker holds as many lite topics as it may.
        """
        digest, size = hashlib.sha256(), 0
        crcs: list[int] = []
        with tempfile.TemporaryFile(dir=self._spool) as file:
            for piece in chunks:
                size += len(piece)
                if size > self._limit:
                    raise TooLarge(
                        f"a body of more than {self._limit} bytes",
                        "raise the setting stored_body_limit, or send it in parts",
                    )
                digest.update(piece)
                file.write(piece)
            ref = BlobRef(digest.hexdigest(), size)
            if self._end(ref) is not None:
                return ref
            parent = self._parent()
            queue = parent.queue(ref.sha256)
            if not self._cluster.ends(queue)[1]:
                self._cluster.check_room(queue)
            file.seek(0)
            while chunk := file.read(CHUNK):
                self._store([(parent, ref.sha256, encode(_CHUNK, chunk, id=str(len(crcs)).encode()))])
                crcs.append(zlib.crc32(chunk))
        self._store([(parent, ref.sha256, encode(_END, struct.pack(f">{len(crcs)}I", *crcs)))])
        return ref

    def open(self, ref: BlobRef) -> BlobReader:
        """A body, to be read in pieces.

        Raises:
            BodyNotFound: It was never whole there, or the servers have removed it.
        """
        end = self._end(ref)
        if end is None:
            raise BodyNotFound(
                f"no body {ref.sha256[:12]}… is stored", "the servers remove bodies with their oldest messages"
            )
        return BlobReader(_Chunks(lambda index: self._chunk(ref, index)), ref.size, end.body, ref.sha256)

    def _end(self, ref: BlobRef) -> Record | None:
        """The last record of a body that is whole."""
        queue = self._parent().queue(ref.sha256)
        _, end = self._cluster.ends(queue)
        if not end:
            return None
        messages = self._cluster.pull(queue, end - 1).messages
        record = decode(stored_of(messages[-1]), "", end - 1) if messages else None
        return record if record is not None and record.type == _END else None

    def _chunk(self, ref: BlobRef, index: int) -> bytes:
        queue, at = self._parent().queue(ref.sha256), index
        while messages := self._cluster.pull(queue, at, limit=1).messages:
            record = decode(stored_of(messages[0]), "", at)
            if record.type == _CHUNK and record.id == str(index):
                return record.body
            at += 1  # a chunk that was sent twice, or by two at once, moves those behind it
        return b""


class _Chunks(io.RawIOBase):
    """As a file, for `BlobReader`, which asks for whole chunks."""

    def __init__(self, load: Callable[[int], bytes]) -> None:
        self._load = load
        self._index = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        assert whence == io.SEEK_SET
        self._index = offset // CHUNK
        return offset

    def read(self, size: int = -1, /) -> bytes:
        return self._load(self._index)[: None if size < 0 else size]
