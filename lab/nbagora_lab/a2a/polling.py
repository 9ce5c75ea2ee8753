"""Following a task of a peer that does not stream: it is asked again, less often the longer nothing changes.

Where it pushes notifications, it is asked when one comes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from nbagora_lab.a2a.task import TaskEvent
from nbagora_lab.core.errors import Unreachable

__all__ = ["Patience", "polled"]

_PUSHED = 30.0  # seconds between looks at a task that the peer pushes news of: a notification may be lost


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a cut stream, or a peer that does not answer, is put up with.

    Attributes:
        first: Seconds before the first try.
        longest: Seconds between tries at most; they double from the first.
        total: Seconds without an event after which it gives up.
    """

    first: float = 0.02
    longest: float = 2.0
    total: float = 60.0


async def polled(
    look: Callable[[], Awaitable[TaskEvent]],
    known: TaskEvent | None,
    patience: Patience,
    knocked: asyncio.Event | None = None,
) -> AsyncGenerator[TaskEvent]:
    """A task as it stands, each time that it stands otherwise, until it ends or asks for something.

    Args:
        look: Asks the peer for it.
        known: How it is known to stand.
        patience: How long a peer is put up with that does not answer, and how often it is asked at most.
        knocked: Set by the peer's notifications, where it was told where to push.

    Raises:
        Unreachable: The peer did not answer for too long.
    """
    pause, silent = patience.first, 0.0
    while known is None or not known.last:
        if known is not None:
            await _wait(knocked, pause if silent or knocked is None else max(pause, _PUSHED))
        try:
            event = await look()
        except Unreachable:
            silent += pause
            if silent >= patience.total:
                raise
            pause = min(pause * 2, patience.longest)
            if known is None:
                await asyncio.sleep(pause)
            continue
        silent = 0.0
        if known is None or event.raw != known.raw:
            pause, known = patience.first, event
            yield event
        else:
            pause = min(pause * 2, patience.longest)


async def _wait(knocked: asyncio.Event | None, seconds: float) -> None:
    if knocked is None:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await knocked.wait()
    knocked.clear()
