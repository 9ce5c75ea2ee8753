"""Watching: changes as they come, from any revision on, to as many watchers as there are.

A watcher is a revision and nothing else: it reads what is past it, from the newest changes that the feed keeps in
memory, or from the engine where it lies further back. So one that never reads costs nothing, one that was cut resumes
where it was, and a thousand cost the engine one read. Writers of this process wake the feed; changes of other processes
on the same store are seen within `PULSE` seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

from nbagora_lab.core.service import waker
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.change import Change

__all__ = ["PULSE", "Feed"]

PULSE = 0.25
"""Seconds between two looks for changes of other processes, while somebody watches."""

_KEPT = 4096  # newest changes that stay in memory
_PAGE = 512


class Feed:
    """The changes of a registry, for its watchers. Methods may be called from any thread.

    Args:
        catalog: The engine.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._changes: deque[Change] = deque(maxlen=_KEPT)
        self._texts: dict[int, bytes] = {}
        self._last = -1  # revision up to which the deque is filled; below 0: not begun
        self._woken = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()
        self._looked = 0.0

    def wake(self) -> None:
        """Tells the watchers that something was written. Costs nothing where nobody watches."""
        if self._last >= 0:
            self.refresh()

    def refresh(self) -> None:
        """Takes in what is new, and wakes the watchers if that is anything."""
        with self._woken:
            self._looked = time.monotonic()
            if self._last < 0:
                self._last = max(0, self._catalog.revision() - _PAGE)
            before = self._last
            while page := self._catalog.changed_since(self._last, limit=_PAGE):
                self._changes.extend(page)
                self._last = page[-1].revision
            if self._last == before:
                return
            first = self._changes[0].revision
            for revision in [known for known in self._texts if known < first]:
                del self._texts[revision]
            self._woken.notify_all()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def _pulse(self) -> None:
        """Looks for changes of other processes, unless another watcher did just now."""
        if time.monotonic() - self._looked >= PULSE * 0.9:
            self.refresh()

    def since(self, revision: int, limit: int = _PAGE) -> list[Change]:
        """The changes past `revision` that are known, oldest first."""
        with self._woken:
            if self._changes and revision >= self._changes[0].revision - 1:
                start = max(0, revision - self._changes[0].revision + 1)
                return list(itertools.islice(self._changes, start, start + limit))
            if revision >= self._last:
                return []
        return self._catalog.changed_since(revision, limit=limit)

    def text(self, change: Change) -> bytes:
        """A change in JSON; made once for all watchers."""
        text = self._texts.get(change.revision)
        if text is None:
            text = change.model_dump_json().encode()
            if len(self._texts) < 2 * _KEPT:
                self._texts[change.revision] = text
        return text

    def watch(
        self,
        after: int,
        wanted: Callable[[Change], bool],
        *,
        timeout: float | None = None,
    ) -> Iterator[Change]:
        """The changes past `after`, then those to come, until `timeout` seconds bring none that is wanted."""
        self.refresh()
        ends = None if timeout is None else time.monotonic() + timeout
        while True:
            page = self.since(after)
            for change in page:
                after = change.revision
                if wanted(change):
                    yield change
                    ends = None if timeout is None else time.monotonic() + timeout
            if page:
                continue
            left = PULSE if ends is None else min(PULSE, ends - time.monotonic())
            if left <= 0:
                return
            with self._woken:
                woken = self._last > after or self._woken.wait(left)
            if not woken:
                self._pulse()

    async def stream(self, after: int, wanted: Callable[[Change], bool]) -> AsyncIterator[Change | None]:
        """The same on an event loop, without end; None now and then where nothing came, as a sign of life."""
        listen = waker(woken := asyncio.Event())
        with self._woken:
            self._listeners.add(listen)
        try:
            self.refresh()
            silent = 0.0
            while True:
                woken.clear()
                page = self.since(after)
                for change in page:
                    after = change.revision
                    if wanted(change):
                        yield change
                        silent = 0.0
                if page:
                    continue
                try:
                    await asyncio.wait_for(woken.wait(), PULSE)
                except TimeoutError:
                    self._pulse()
                    silent += PULSE
                    if silent >= 15:
                        yield None
                        silent = 0.0
        finally:
            with self._woken:
                self._listeners.discard(listen)
