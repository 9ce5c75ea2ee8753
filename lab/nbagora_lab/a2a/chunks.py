"""Chunks of text that arrive while an append is in flight become one event.

Where an append goes over a network it takes milliseconds, and an agent that streams words would be held up by each. So
a chunk that finds none in flight is appended by a thread of its own and the agent goes on; what it says meanwhile is
put together and follows as one chunk. Nothing is reordered: whatever else a task writes waits until its chunks are on
record. What is not yet on record nobody has seen; a crash takes at most that with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Chunks"]

_ROOM = 64 << 10  # characters that may wait: beyond them the agent does


class Chunks:
    """The chunks of a task that are on their way. Any thread may call.

    Args:
        write: Appends a text to an artifact; returns once it is durable.
    """

    def __init__(self, write: Callable[[bytes, str], object]) -> None:
        self._write = write
        self._artifact = b""
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._size = 0
        self._flying = False
        self._error: BaseException | None = None

    def put(self, artifact: bytes, text: str) -> None:
        """Takes a chunk of an artifact; returns at once, unless much waits already, or chunks of another one.

        Raises:
            LabError: One before it could not be written.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._flying or (artifact == self._artifact and self._size < _ROOM))
            self._raise()
            self._artifact = artifact
            self._waiting.append(text)
            self._size += len(text)
            if not self._flying:
                self._flying = True
                threading.Thread(target=self._fly, name="nbagora-chunks", daemon=True).start()

    def flush(self) -> None:
        """Returns once all are on record.

        Raises:
            LabError: One could not be written; those behind it were dropped.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._flying)
            self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _fly(self) -> None:
        while True:
            with self._changed:
                text, self._waiting, self._size = "".join(self._waiting), [], 0
                self._changed.notify_all()
                if not text:
                    self._flying = False
                    return
            try:
                self._write(self._artifact, text)
            except BaseException as error:  # noqa: BLE001 -- told to the agent, with its next word
                with self._changed:
                    self._waiting, self._size, self._flying, self._error = [], 0, False, error
                    self._changed.notify_all()
                return
