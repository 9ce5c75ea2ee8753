"""A task whose process dies between any two records, and goes on in another one.

`Crashes` has one task on a log, by itself an embedded one. `run` gives a body the task's journal, as a process does
that opened the store; with ``after=n`` that process dies once it has written n records. Bodies are called anew each
time, and tell by what they keep outside which of their effects happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from nbagora_lab.a2a.live import LiveTask
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import INPUT_REQUIRED, WORKING, message_of
from nbagora_lab.agents.journal import Journal
from nbagora_lab.agents.message import Message
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.events import Record, decode
from nbagora_lab.core.ids import SeededIds

__all__ = ["Crashes", "Died", "message"]

Body = Callable[[Journal], Awaitable[Any]]


class Died(BaseException):
    """The process is no more; no code may catch it."""


class _Mortal:
    """A log that lets so many appends through, and then ends the process, before the next one is written."""

    def __init__(self, log: Log, epoch: int, after: int | None) -> None:
        self._log = log
        self.epoch = epoch
        self.left = after

    def append(self, entries: Any) -> list[int]:
        if self.left == 0:
            raise Died
        if self.left is not None:
            self.left -= 1
        return self._log.append(entries)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def message(text: str, number: int) -> dict[str, Any]:
    return message_of("ROLE_USER", f"m-{number}", [{"text": text}])


class Crashes:
    """One task, and the processes that run it.

    Args:
        path: Where its store is.
        answers: What the user answers to the questions, in order; a callable gets question and metadata.
        log: What it is on instead.
    """

    def __init__(
        self, path: Path, answers: Callable[[str, Mapping[str, Any]], str] | None = None, *, log: Log | None = None
    ) -> None:
        self._log: Log = log or EmbeddedLog(path, clock=VirtualClock())
        self._processes = 0
        self._answers = answers or (lambda question, metadata: "yes")
        self.questions: list[str] = []
        self.live: LiveTask | None = None

    def close(self) -> None:
        self._log.close()

    def records(self) -> list[Record]:
        assert self.live is not None
        topic = self.live.topic
        return [decode(stored, topic, offset) for offset, stored in self._log.scan(topic)]

    def run(self, body: Body, *, after: int | None = None) -> Any:
        """What the body returns.

        Raises:
            Died: After so many records the process died.
        """
        self._processes += 1
        log: Any = _Mortal(self._log, self._log.epoch + self._processes, None)
        tasks = TaskLog(log, VirtualClock(), SeededIds(7, self._processes))
        resumed = self.live is not None
        if self.live is None:
            self.live, _, _ = tasks.open("", "trip", message("周末去北京", 0), context_id="ctx")
        else:
            [entry] = tasks.directory().values()
            self.live = tasks.revive(entry, tasks.find("", entry.task))
            log.append([(self.live.topic, self.live.claim_record())])
        live = self.live
        log.left = after

        async def ask(question: str, metadata: Mapping[str, Any]) -> Message:
            self.questions.append(question)
            live.status(INPUT_REQUIRED, message_of("ROLE_AGENT", f"q-{len(self.questions)}", [{"text": question}]))
            said = message(self._answers(question, metadata), len(self.questions))
            live.answer({**said, "taskId": live.id, "contextId": live.context_id}, claim=False)
            live.status(WORKING)
            return Message(said)

        async def main() -> Any:
            return await body(Journal(live, log, ask, resumed=resumed))

        return asyncio.run(main())
