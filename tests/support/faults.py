"""A log whose writes fail or are interrupted when a test wants it; everything enters by the engine's one seam."""

from __future__ import annotations

from typing import Any

from nbagora_lab.broker.embedded import EmbeddedLog

__all__ = ["FULL", "FaultyLog"]

FULL = Exception("IO error: No space left on device: While appending to file: 000004.log: No space left on device")
"""What rocksdict raises where the disk is full."""


class FaultyLog(EmbeddedLog):
    """An `EmbeddedLog` with faults.

    Attributes:
        writes: Number of writes so far.
        before: Errors by the number of the write that raises them instead of writing.
        after: Errors by the number of the write that raises them once it has written.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.writes = 0
        self.before: dict[int, BaseException] = {}
        self.after: dict[int, BaseException] = {}
        super().__init__(*args, **options)

    def fail(self, nth: int, error: BaseException, *, written: bool = False) -> None:
        """Has the `nth` write from now on (1 is the next) raise `error`, before or after it has written."""
        (self.after if written else self.before)[self.writes + nth] = error

    def _write(self, what: Any) -> None:
        self.writes += 1
        if (error := self.before.pop(self.writes, None)) is not None:
            raise error
        super()._write(what)
        if (error := self.after.pop(self.writes, None)) is not None:
            raise error
