"""Large bodies of the embedded engine: files named by their SHA-256, counted by the records that refer to them.

| step | on disk | a crash leaves |
|---|---|---|
| stage | `incoming/<sha256>.<n>`, written in chunks | a file that the next opening removes |
| append of the reference | in `blobs`: references, size, chunks' CRCs; in one batch with the record | both or nothing |
| settle | the file moves to `<sha256>` | a file that the next opening moves |
| the last reference goes | the key, in one batch with the record; then the file | a file that is removed the same way |

Memory holds one chunk, whatever the size. Each chunk is checked against its CRC when it is read, a range costs no more
than its chunks.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nbagora_lab.core.errors import BodyNotFound, StoreCorrupt, TooLarge, UsageError

if TYPE_CHECKING:
    from nbagora_lab.broker.rocks import Rocks

__all__ = ["CHUNK", "BlobReader", "BlobRef", "Blobs"]

CHUNK = 1 << 20
"""Bytes of a chunk; a larger body is stored apart from its record."""

_COUNT = struct.Struct(">QQ")  # references, size; then a u32 CRC for each chunk


class BlobRef(NamedTuple):
    """Where a large body is.

    Attributes:
        sha256: Hexadecimal digest of the body, and its name.
        size: Bytes.
    """

    sha256: str
    size: int

    def body(self) -> bytes:
        """What a record holds in place of the body."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def parse(cls, body: bytes) -> BlobRef:
        """Reads what `body` wrote.

        Raises:
            UsageError: It is no reference.
        """
        try:
            told = json.loads(body)
            return cls(bytes.fromhex(told["sha256"]).hex(), int(told["size"]))
        except (ValueError, KeyError, TypeError):
            raise UsageError("a record refers to no body", "send large bodies with Broker.send, which refers") from None


class Blobs:
    """The large bodies of a store.

    Args:
        folder: Where the files are.
        rocks: The open store.
        sync: Whether files are on the disk before their records are.
        limit: Largest body, in bytes.
    """

    def __init__(self, folder: Path, rocks: Rocks, *, sync: bool, limit: int) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._rocks = rocks
        self._sync = sync
        self._limit = limit
        self._numbers = itertools.count()
        self._crcs: dict[str, bytes] = {}  # of what is staged
        self._staged: Counter[str] = Counter()
        if self._incoming.exists():
            for path in self._incoming.iterdir():
                if self._value(path.stem) is not None and not (folder / path.stem).exists():
                    path.replace(folder / path.stem)
                else:
                    path.unlink()
            for path in folder.iterdir():
                if path.is_file() and self._value(path.name) is None:
                    path.unlink()

    def stage(self, chunks: Iterable[bytes]) -> BlobRef:
        """Writes a body, in pieces of any size; it is kept once a record that refers to it is appended.

        Raises:
            TooLarge: It is above the limit; nothing is kept.
        """
        digest, crcs, size = hashlib.sha256(), [], 0
        edge = self._rocks.edge  # around our own writing alone: what `chunks` raises is its sender's
        part = self._incoming / f"part.{next(self._numbers)}"
        try:
            with edge:
                self._incoming.mkdir(parents=True, exist_ok=True)
                file = part.open("xb", buffering=0)
            with file, ThreadPoolExecutor(1, thread_name_prefix="nbagora-digest") as beside:
                for chunk in _chunks(chunks):
                    size += len(chunk)
                    self._check(size)
                    digested = beside.submit(digest.update, chunk)  # which takes as long as all the rest
                    crcs.append(zlib.crc32(chunk))
                    with edge:
                        file.write(chunk)
                    digested.result()
                with edge:
                    if self._sync:
                        os.fsync(file.fileno())
            name = digest.hexdigest()
            self._crcs[name] = struct.pack(f">{len(crcs)}I", *crcs)
            self._staged[name] += 1
            with edge:
                part.replace(self._incoming / f"{name}.{next(self._numbers)}")
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return BlobRef(name, size)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(f"a body of more than {self._limit} bytes", "raise the setting stored_body_limit")

    def drop(self, name: str) -> None:
        """Forgets what was staged, where its record was not written. Under the lock."""
        if self._value(name) is not None:  # it was, by this sender before an interruption or by another one
            self.settle(name, kept=True)
            return
        self._staged[name] -= 1
        if self._staged[name] <= 0:  # nobody else sends the same
            del self._staged[name]
            self._crcs.pop(name, None)
            for path in self._incoming.glob(f"{name}.*"):
                path.unlink(missing_ok=True)

    def counted(self, ref: BlobRef, change: int) -> bytes | None:
        """What `blobs` has for a body with so many references more; None where none is left. Under the lock.

        Raises:
            UsageError: Nothing is staged or stored under that name.
        """
        value = self._value(ref.sha256)
        if value is None and ref.sha256 not in self._crcs:
            raise UsageError(f"no body {ref.sha256[:12]}… is stored", "send large bodies with Broker.send")
        count, size = _COUNT.unpack_from(value) if value is not None else (0, ref.size)
        crcs = value[_COUNT.size :] if value is not None else self._crcs[ref.sha256]
        return _COUNT.pack(count + change, size) + crcs if count + change > 0 else None

    def settle(self, name: str, *, kept: bool) -> None:
        """Brings the files of a body to where its references are, once these are written. Under the lock."""
        for path in sorted(self._incoming.glob(f"{name}.*")):
            if kept and not (self._folder / name).exists():
                path.replace(self._folder / name)
            else:
                path.unlink()
        self._crcs.pop(name, None)
        self._staged.pop(name, None)
        if not kept:
            (self._folder / name).unlink(missing_ok=True)

    def open(self, name: str) -> BlobReader:
        """A body, to be read in pieces or from any place.

        Raises:
            BodyNotFound: No record refers to it.
            StoreCorrupt: One does, and its file is missing.
        """
        with self._rocks.edge:
            value = self._value(name)
        if value is None:
            raise BodyNotFound(f"no body {name[:12]}… is stored", "its records have expired, or never were")
        try:
            file = (self._folder / name).open("rb", buffering=0)
        except OSError:
            with self._rocks.edge:
                gone = self._value(name) is None
            if gone:  # its last record went meanwhile
                return self.open(name)
            raise StoreCorrupt(f"the body {name[:12]}… is missing", "restore the store from a copy") from None
        _, size = _COUNT.unpack_from(value)
        return BlobReader(file, size, value[_COUNT.size :], name)

    def _value(self, name: str) -> bytes | None:
        value: bytes | None = self._rocks.families["blobs"].get(name.encode())
        return value


class BlobReader(io.RawIOBase):
    """A body as a binary file; holds one chunk.

    Args:
        file: The open file.
        size: Its bytes.
        crcs: A u32 for each chunk.
        name: What it is called in errors.
    """

    def __init__(self, file: io.RawIOBase, size: int, crcs: bytes, name: str) -> None:
        self._file = file
        self.size = size
        self._crcs = crcs
        self._name = name
        self._at = 0
        self._chunk: tuple[int, bytes] = (-1, b"")

    @property
    def crcs(self) -> bytes:
        """Its chunks' CRCs, a u32 for each, for who reads it from afar."""
        return self._crcs

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Goes elsewhere; costs nothing before it is read."""
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Reads up to the end of a chunk.

        Raises:
            StoreCorrupt: The chunk is not what was written.
        """
        if self._at >= self.size:
            return 0
        index, start = divmod(self._at, CHUNK)
        if self._chunk[0] != index:
            self._chunk = -1, b""  # before the next one is there
            self._chunk = index, self._load(index)
        piece = memoryview(self._chunk[1])[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, and no further than the end of a chunk; a whole chunk is given as it was read.

        Raises:
            StoreCorrupt: The chunk is not what was written.
        """
        index, start = divmod(self._at, CHUNK)
        if start or size < CHUNK or self._at >= self.size:
            return super().read(size) or b""
        chunk = self._load(index)
        self._at += len(chunk)
        return chunk

    def readall(self) -> bytes:
        """The rest of it, in one piece.

        Raises:
            StoreCorrupt: A chunk is not what was written.
        """
        pieces = []
        while self._at < self.size:
            index, start = divmod(self._at, CHUNK)
            chunk = self._load(index)
            pieces.append(chunk[start:] if start else chunk)
            self._at = index * CHUNK + len(chunk)
        return b"".join(pieces)

    def _load(self, index: int) -> bytes:
        self._file.seek(index * CHUNK)
        wanted = min(CHUNK, self.size - index * CHUNK)
        chunk = self._file.read(wanted) or b""
        while len(chunk) < wanted and (piece := self._file.read(wanted - len(chunk))):
            chunk += piece
        (crc,) = struct.unpack_from(">I", self._crcs, 4 * index)
        if zlib.crc32(chunk) != crc:
            raise StoreCorrupt(
                f"the body {self._name[:12]}… is damaged in its chunk {index}", "restore the store from a copy"
            )
        return chunk

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


def _chunks(pieces: Iterable[bytes]) -> Iterable[memoryview]:
    """The same bytes in chunks of `CHUNK`, the last one excepted, each to be used before the next one is asked for.

    Small pieces gather in one place; whole chunks of a large piece are not copied.
    """
    place, gathered = memoryview(b""), 0
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view:
            taken = view[: CHUNK - gathered]
            view = view[len(taken) :]
            if len(taken) == CHUNK:
                yield taken
                continue
            place = place or memoryview(bytearray(CHUNK))
            place[gathered : gathered + len(taken)] = taken
            gathered += len(taken)
            if gathered == CHUNK:
                yield place
                gathered = 0
    if gathered:
        yield place[:gathered]
