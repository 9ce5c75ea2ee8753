"""Sends records once more, at the pace at which they came, or another."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nbagora_lab.broker.api import Log
from nbagora_lab.core.clock import Clock, pause
from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.events import Record, restamped

__all__ = ["replay"]

_BATCH = 1000


def replay(log: Log, clock: Clock, records: Sequence[Record], to: str, speed: float | None) -> int:
    """Appends records to a topic as they are, but for their time.

    Args:
        log: The engine.
        clock: What paces them; a virtual one waits until somebody sets it.
        records: In order.
        to: Full name of the topic.
        speed: Times the speed at which they came; None: at once.

    Returns:
        Their number.

    Raises:
        UsageError: A speed that is not above 0.
    """
    if speed is not None and not 0 < speed < math.inf:
        raise UsageError(f"a speed of {speed}", "1 is as it came, 10 ten times as fast; leave it out for at once")
    if speed is None:
        for start in range(0, len(records), _BATCH):
            now = clock.now()
            log.append([(to, restamped(one, time=now, epoch=log.epoch)) for one in records[start : start + _BATCH]])
        return len(records)
    began, first = clock.now(), records[0].time if records else 0.0
    for record in records:
        pause(clock, began + max(0.0, record.time - first) / speed)
        log.append([(to, restamped(record, time=clock.now(), epoch=log.epoch))])
    return len(records)
