"""Long memory: what an agent keeps of its users over all conversations. Each thing that is remembered or forgotten is a
record on a topic of its own, ``memory/AGENT:OWNER``; the index that finds it is made from these, and can be made anew.

    trip = Agent(instructions="Plan trips.", toolsets=[tools(find_trains, memory())])
"""

from __future__ import annotations

import functools
import json
import threading
from typing import Any
from urllib.parse import quote

from pydantic_ai.toolsets import FunctionToolset

from nbagora_lab.agents.passages import Hit, Passages
from nbagora_lab.agents.task import AgentTask, running_task
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.model import TopicSpec, join_topic
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.errors import NotFound
from nbagora_lab.core.events import RecordType, decode, encode

__all__ = ["MEMORY", "Memories", "memories_of", "memory"]

MEMORY = "memory"
"""The parent topic of long memories."""


class Memories:
    """What one agent keeps of one user. May be used from any thread.

    Args:
        log: The engine.
        clock: Time of the records.
        agent: The agent's name.
        owner: The user; empty for the lab's own.
    """

    def __init__(self, log: Log, clock: Clock, agent: str, owner: str = "") -> None:
        self._log = log
        self._clock = clock
        self.topic = join_topic(MEMORY, f"{quote(agent, safe='')}:{quote(owner, safe='')}")
        log.create_topic(MEMORY, TopicSpec())
        self._passages = Passages()
        self._texts: dict[str, str] = {}
        self._offset = -1
        self._lock = threading.Lock()

    def remember(self, text: str) -> str:
        """Keeps a text; what is kept already is not kept twice.

        Returns:
            What it can be forgotten by.
        """
        with self._lock:
            self._refresh()
            known = next((key for key, kept in self._texts.items() if kept == text), None)
            if known is None:
                [offset] = self._write(RecordType.REMEMBER, {"text": text})
                known = f"m{offset}"
                self._refresh()
            return known

    def recall(self, question: str, limit: int = 5) -> list[Hit]:
        """What fits a question best, the best first."""
        with self._lock:
            self._refresh()
            return self._passages.find(question, limit=limit)

    def forget(self, key: str) -> str:
        """Lets go of what `remember` returned; its record stays, and no reader counts it any more.

        Returns:
            What it was.

        Raises:
            NotFound: Nothing is remembered under that.
        """
        with self._lock:
            self._refresh()
            text = self._texts.get(key)
            if text is None:
                raise NotFound(f"nothing is remembered as '{key}'", "see what there is with recall")
            self._write(RecordType.FORGET, {"key": key})
            self._refresh()
            return text

    def all(self) -> dict[str, str]:
        """All that is remembered, oldest first, by what it can be forgotten by."""
        with self._lock:
            self._refresh()
            return dict(self._texts)

    def _write(self, type_: str, body: dict[str, Any]) -> list[int]:
        packed = json.dumps(body, ensure_ascii=False).encode()
        return self._log.append(
            [(self.topic, encode(type_, packed, time=self._clock.now(), epoch=self._log.epoch, source=b"/memory"))]
        )

    def _refresh(self) -> None:
        while batch := self._log.scan(self.topic, after=self._offset):
            for offset, stored in batch:
                self._offset = offset
                record = decode(stored, self.topic, offset)
                body = json.loads(record.body)
                if record.type == RecordType.REMEMBER:
                    key = f"m{offset}"
                    self._texts[key] = body["text"]
                    self._passages.put([(key, "", self.topic, body["text"])])
                elif record.type == RecordType.FORGET and self._texts.pop(body["key"], None) is not None:
                    self._passages.drop(body["key"])


@functools.lru_cache(256)
def _known(log: Any, clock: Any, agent: str, owner: str) -> Memories:
    return Memories(log, clock, agent, owner)


def memories_of(task: AgentTask) -> Memories:
    """What the task's agent keeps of the task's user."""
    log: Any = task.log
    clock: Any = task.clock
    return _known(log, clock, task.agent, task.owner)


def memory() -> FunctionToolset[Any]:
    """Tools by which an agent remembers, recalls and forgets what concerns its user."""

    def remember(text: str) -> str:
        """Remembers a text about the user for later conversations 记住."""
        return f"remembered as {memories_of(running_task()).remember(text)}"

    def recall(question: str) -> list[dict[str, Any]]:
        """Recalls what is known about the user 回忆 喜好."""
        found = memories_of(running_task()).recall(question)
        return [{"key": hit.key, "text": hit.text, "score": round(hit.score, 4)} for hit in found]

    def forget(key: str) -> str:
        """Forgets what was remembered under a key 忘记."""
        return f"forgot {memories_of(running_task()).forget(key)!r}"

    return FunctionToolset([remember, recall, forget], id="memory", metadata={"idempotent": True, "source": "memory"})
