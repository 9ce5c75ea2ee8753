"""Snapshots of sessions: what a fold starts from, so that a long session need not be read from its beginning.

They are a cache, on topics below ``snapshots`` named like the sessions': each a record that refers to a body. One is of
an offset and notes the digest of the record there; where the session's topic was removed and has begun anew, that is
another record, and the snapshot counts for nothing. One is written when a session has at least a thousand records more,
and as many bytes of them as the snapshot before had, so that all of a session's together have less than twice its
bytes.

A writer that floods its topic is left alone: a session is folded once it has been quiet for a moment, and whoever folds
rests for as long as it worked, so that those who write elsewhere meanwhile keep most of their rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import time
from typing import TYPE_CHECKING

from nbagora_lab.a2a.sessions import parse_context_key
from nbagora_lab.broker.blobs import BlobRef
from nbagora_lab.broker.model import TopicSpec, join_topic
from nbagora_lab.core.errors import BodyNotFound, LabError, StoreCorrupt, TopicNotFound
from nbagora_lab.core.events import Flags, RecordType, decode, encode
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.inspect.fold import SessionFold
from nbagora_lab.inspect.snapshot import SNAPSHOTS, restored, written

if TYPE_CHECKING:
    from nbagora_lab.a2a.tasklog import TaskLog

__all__ = ["EVERY", "Snapshots"]

EVERY = 1000
"""Records of a session between two snapshots, at least."""

_QUIET = 0.25  # seconds
_TTL = 7 * 86400.0  # seconds
_BATCH = 256  # records that are folded in one hold of the lock
_log = logger.getChild("a2a")


class Snapshots:
    """The snapshots of a task log. `note` and the reading side may be used from any thread.

    Args:
        tasks: The task log.
    """

    def __init__(self, tasks: TaskLog) -> None:
        self._tasks = tasks
        self._due: dict[str, float] = {}  # session topics, and when each was noted last
        self._noted = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    def newest(self, topic: str, up_to: int | None = None) -> SessionFold | None:
        """The newest fold of a session topic that was saved, not above the offset `up_to`; None where none fits."""
        log = self._tasks.log
        where = join_topic(SNAPSHOTS, topic.partition("/")[2])
        for offset, stored in reversed(log.scan(where)):
            record = decode(stored, where, offset)
            at, _, mark = record.id.partition(".")
            if up_to is not None and int(at) > up_to:
                continue
            kept = log.scan(topic, after=int(at) - 1, limit=1)
            if not kept or (kept[0][0] == int(at) and _mark(kept[0][1]) != mark):
                continue  # of a topic that was removed
            ref = BlobRef.parse(record.body)
            try:
                with log.open_body(ref) as body:
                    fold = restored(topic, io.BufferedReader(body))
            except (BodyNotFound, StoreCorrupt) as error:
                _log.warning("the snapshot of %s at %s is left aside: %s", topic, at, error.what)
                continue
            if fold is not None:
                fold.saved = fold.offset, ref.size
                return fold
        return None

    # -- writing ---------------------------------------------------------------------------------------------------

    def start(self, service: ServiceLoop) -> None:
        """Writes them from now on, of the sessions that are noted and of those that were."""
        service.submit(self._run)

    def note(self, topic: str) -> None:
        """Has a session that has grown looked at, once it is quiet."""
        if self._loop is None:
            self._due[topic] = 0.0
            return
        with contextlib.suppress(RuntimeError):  # the lab has stopped
            self._loop.call_soon_threadsafe(self._note, topic)

    def _note(self, topic: str) -> None:
        self._due[topic] = asyncio.get_running_loop().time()
        self._noted.set()

    async def _run(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        while True:
            if not self._due:
                self._noted.clear()
                await self._noted.wait()
            await asyncio.sleep(_QUIET)
            for topic in [topic for topic, at in self._due.items() if loop.time() - at >= _QUIET]:
                del self._due[topic]
                try:
                    await asyncio.to_thread(self.run_once, topic)
                except LabError as error:
                    _log.warning("no snapshot of %s: %s", topic, error.what)

    def run_once(self, topic: str) -> bool:
        """Folds a session up to now, and saves that if it has grown enough.

        Returns:
            Whether it was saved.

        Raises:
            TopicNotFound: It was removed.
        """
        tasks = self._tasks
        while True:
            began = time.perf_counter()
            with tasks.lock:  # in short holds: the doors want it, too
                fold = tasks.folded(topic, parse_context_key(topic.partition("/")[2])[1])
                batch = tasks.log.scan(topic, after=fold.offset, limit=_BATCH)
                fold.feed(batch)
                if len(batch) < _BATCH:
                    if fold.offset - fold.saved[0] < EVERY or fold.fed < fold.saved[1]:
                        return False
                    frozen = fold.copy()
                    break
            time.sleep(time.perf_counter() - began)
        size = self._write(frozen)
        with tasks.lock:
            fold.saved, fold.fed = (frozen.offset, size), fold.fed - frozen.fed
        return True

    def _write(self, fold: SessionFold) -> int:
        """Saves a fold that changes no more; gives its bytes."""
        log = self._tasks.log
        kept = log.scan(fold.topic, after=fold.offset - 1, limit=1)
        if not kept or kept[0][0] != fold.offset:
            raise TopicNotFound(f"{fold.topic} has no record {fold.offset}", "it was removed meanwhile")
        if SNAPSHOTS not in log.parents():
            log.create_topic(SNAPSHOTS, TopicSpec(ttl=_TTL))
        ref = log.stage(written(fold))
        record = encode(
            RecordType.SNAPSHOT,
            ref.body(),
            id=f"{fold.offset}.{_mark(kept[0][1])}".encode(),
            time=self._tasks.clock.now(),
            epoch=log.epoch,
            flags=Flags.REFERENCE,
            datacontenttype=b"application/x-ndjson",
        )
        try:
            log.append([(join_topic(SNAPSHOTS, fold.topic.partition("/")[2]), record)])
        except BaseException:
            log.unstage(ref)
            raise
        return ref.size


def _mark(stored: bytes) -> str:
    """What tells a stored record from any other."""
    return hashlib.sha256(stored).hexdigest()
