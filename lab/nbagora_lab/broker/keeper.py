"""The loop that ends topics past their TTL: it sleeps until something is due, and wakes when that changes."""

from __future__ import annotations

import asyncio
import contextlib

from nbagora_lab.broker.api import Log
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import StoreClosed, StoreError
from nbagora_lab.core.log import logger
from nbagora_lab.core.service import waker

__all__ = ["keep"]

_log = logger.getChild("broker")
_LONGEST = 3600.0  # seconds of sleep, for a system clock that is set forward
_AFTER_ERROR = 60.0


async def keep(log: Log, clock: Clock) -> None:
    """Runs until it is cancelled, or the log is closed.

    Args:
        log: The engine.
        clock: What says when something is due.
    """
    wake = waker(changed := asyncio.Event())
    log.on_due(wake)
    end = clock.watch(wake)
    try:
        while True:
            changed.clear()
            try:
                seconds = await asyncio.to_thread(log.expire_due)
            except StoreClosed:
                return
            except StoreError as error:
                _log.error("topics past their TTL can't be removed: %s", error.what)
                seconds = _AFTER_ERROR
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST if seconds is None else min(seconds, _LONGEST)):
                    await changed.wait()
    finally:
        log.on_due(lambda: None)
        end()
