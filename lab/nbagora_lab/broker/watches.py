"""Who waits for which topic: notices that are never stored, told in the appender's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

__all__ = ["Heard", "Wake", "Watches"]

Wake = Callable[[], None]
"""Called after an append; must be quick and must not raise."""

Heard = Callable[[str, int], None]
"""The same, with the topic and the first offset that was written."""


class Watches:
    """The watches of a log.

    They have a lock of their own, held for no longer than a dictionary takes, so that a door's loop can begin and end
    a watch while a write waits for the disk. All methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._wakes: dict[str, dict[object, Wake]] = {}
        self._heard: dict[str, dict[object, Heard]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of watches."""
        with self._lock:
            return sum(map(len, self._wakes.values())) + sum(map(len, self._heard.values()))

    def add(self, topic: str, wake: Wake) -> Callable[[], None]:
        """Has `wake` called for `topic` from now on.

        Returns:
            What ends the watch; calling it twice does no harm.
        """
        token = object()
        with self._lock:
            self._wakes.setdefault(topic, {})[token] = wake

        def remove() -> None:
            with self._lock:
                wakes = self._wakes.get(topic, {})
                wakes.pop(token, None)
                if not wakes:
                    self._wakes.pop(topic, None)

        return remove

    def add_parent(self, parent: str, heard: Heard) -> Callable[[], None]:
        """Has `heard` called for all lite topics of a parent, from now on; ends as `add` does."""
        token = object()
        with self._lock:
            self._heard.setdefault(parent, {})[token] = heard

        def remove() -> None:
            with self._lock:
                self._heard.get(parent, {}).pop(token, None)
                if not self._heard.get(parent, True):
                    del self._heard[parent]

        return remove

    def tell_written(self, entries: Sequence[tuple[str, bytes]], offsets: Sequence[int]) -> None:
        """Tells who hears of whole parents what was written where."""
        if not self._heard:
            return
        first: dict[str, int] = {}
        for (topic, _), offset in zip(entries, offsets, strict=True):
            first.setdefault(topic, offset)
        with self._lock:
            calls = [
                (heard, topic, offset)
                for topic, offset in first.items()
                for heard in self._heard.get(topic.partition("/")[0], {}).values()
            ]
        for heard, topic, offset in calls:
            heard(topic, offset)

    def tell(self, topics: Iterable[str]) -> None:
        """Wakes who waits for any of `topics`."""
        if not self._wakes:
            return
        with self._lock:
            wakes = [wake for topic in topics for wake in self._wakes.get(topic, {}).values()]
        for wake in wakes:
            wake()

    def tell_all(self) -> None:
        """Wakes everybody, for their next read to say why."""
        with self._lock:
            wakes = [wake for topic in self._wakes.values() for wake in topic.values()]
            calls = [(heard, parent) for parent, every in self._heard.items() for heard in every.values()]
        for wake in wakes:
            wake()
        for heard, parent in calls:
            heard(parent, -1)
