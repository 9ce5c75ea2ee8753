"""Outcomes: what became of the tasks of this lab's agents, whoever called them, as the registry needs it.

A fold over the directory topic, which has a record for every task that opens and ends. So budgets and circuits are
spent by callers from outside as well as by this lab's own, and each task counts once. Tasks that were open before the
lab started do not: what ended them may have been that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from nbagora_lab.broker.api import Log, Stored
from nbagora_lab.broker.tail import tail_batches
from nbagora_lab.core.errors import LabError, TopicNotFound, Unreachable
from nbagora_lab.core.events import Record, RecordType, decode
from nbagora_lab.core.log import logger
from nbagora_lab.inspect.directory import DIRECTORY
from nbagora_lab.registry import Endpoint, Registry

__all__ = ["Outcomes"]


_AWAY = 1.0  # seconds
_GATHER = 0.05  # seconds: what opens and ends meanwhile is taken in at once, so that a call costs next to nothing here


class _Open(NamedTuple):
    endpoint: Endpoint
    since: float


class Outcomes:
    """Tells the registry of tasks. Lives on the service loop.

    Args:
        log: The engine that has the directory topic.
        registry: The registry.
        url: URL of the lab, below which its agents answer.
    """

    def __init__(self, log: Log, registry: Registry, url: str) -> None:
        self._log = log
        self._registry = registry
        self._home = f"{url}/agents/"
        self._open: dict[str, _Open] = {}
        self._offset = -1
        with contextlib.suppress(TopicNotFound):
            self._offset = log.info(DIRECTORY).next - 1

    async def run(self) -> None:
        """Takes in what opens and ends, until it is cancelled."""
        while True:
            try:
                async for batch in tail_batches(self._log, DIRECTORY, after=self._offset):
                    self._take(batch)
                    await asyncio.sleep(_GATHER)
            except Unreachable:  # the lab whose log this is is away
                await asyncio.sleep(_AWAY)

    def refresh(self) -> None:
        """Takes in what opened and ended up to now."""
        while batch := self._log.scan(DIRECTORY, after=self._offset):
            self._take(batch)

    def _take(self, batch: Sequence[Stored]) -> None:
        known_at: dict[tuple[str, str], Endpoint | None] = {}  # in this batch: a look at the registry asks its database
        for offset, stored in batch:
            if offset <= self._offset:  # `refresh` was ahead of the tail
                continue
            self._offset = offset
            record = decode(stored, DIRECTORY, offset)
            if record.type == RecordType.TASK_OPENED:
                self._began(record, known_at)
            elif record.type == RecordType.TASK_ENDED and (known := self._open.pop(record.subject, None)):
                self._ended(record, known)

    def _began(self, record: Record, known_at: dict[tuple[str, str], Endpoint | None]) -> None:
        entry = json.loads(record.body)
        if version := entry.get("version"):
            at = entry["agent"], version
            if at not in known_at:
                known_at[at] = self._registry.endpoint_at(*at, self._home)
            if (endpoint := known_at[at]) is not None:
                self._open[record.subject] = _Open(endpoint, record.time)
                self._registry.began(endpoint)

    def _ended(self, record: Record, known: _Open) -> None:
        end = json.loads(record.body)
        seconds = None if end.get("asked") else record.time - known.since
        try:
            self._registry.report(known.endpoint, ok=end["state"] != "TASK_STATE_FAILED", seconds=seconds)
        except LabError as error:
            logger.warning("what became of the task %s is not on record: %s", record.subject, error.what)
