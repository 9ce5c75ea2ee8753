"""Agents of every manner, for tests of what is around them.

What they shall do stands in the message: a text, or data such as ``{"chunks": 40, "pause": 0.001}``.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from typing import Any

from nbagora_lab.lab import Lab

__all__ = ["WORDS", "Gates", "define_agents"]

WORDS = ("Sunny", " in ", "北京", "🌞", "\u2028", "\x85", "\r", "\n\n", "\x00", '"\\', "data: x", "é", "}}}}")
"""Text that is awkward on one of the ways that it takes."""


class Gates:
    """Named events on which agents wait, and the numbers of times that agents came by. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._open: set[str] = set()
        self._passed: defaultdict[str, int] = defaultdict(int)

    def open(self, name: str) -> None:
        """Lets everybody through who waits at `name`, and who will."""
        with self._lock:
            self._open.add(name)
            self._lock.notify_all()

    def came(self, name: str) -> int:
        """How often an agent has come by `name`."""
        return self._passed[name]

    def come(self, name: str) -> None:
        """Counts one."""
        with self._lock:
            self._passed[name] += 1
            self._lock.notify_all()

    def wait_for(self, name: str, count: int = 1, timeout: float = 60.0) -> None:
        """Waits until agents have come by `name` so often."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._passed[name] >= count, timeout), f"nobody came by {name}"

    async def __call__(self, name: str) -> None:
        """An agent waits at `name`."""
        self.come(name)
        while name not in self._open:
            await asyncio.sleep(0.002)


def define_agents(lab: Lab) -> Gates:
    """Defines them all on a lab."""
    gates = Gates()

    @lab.agent
    async def echo(message: Any, task: Any) -> Any:
        """Says the same."""
        return message.text

    @lab.agent
    async def chunks(message: Any, task: Any) -> Any:
        """Speaks in many chunks, pausing after each tenth."""
        asked = message.data[0]
        for number in range(int(asked["chunks"])):
            yield f"{number} {WORDS[number % len(WORDS)]}"
            if number % 10 == 9:
                await asyncio.sleep(asked.get("pause", 0))

    @lab.agent
    async def gated(message: Any, task: Any) -> Any:
        """Says WORKING with a text, waits at the gate of its message's text, and says that it came through."""
        gates.come(f"called {message.text}")
        yield task.status("at the gate")
        await gates(message.text)
        yield "through"
        gates.come(f"through {message.text}")

    @lab.agent
    async def asker(message: Any, task: Any) -> Any:
        """Asks as many questions as its message has words."""
        answers = []
        for word in message.text.split():
            answer = await task.ask(f"{word}?")
            answers.append(answer.text)
        yield " ".join(answers)

    @lab.agent
    async def recalls(message: Any, task: Any) -> Any:
        """Asks once; called anew for the answer, it says what was said."""
        if not task.restarted:
            await task.ask("which?")
        return " / ".join(one.text for one in task.history)

    @lab.agent(reply="message")
    async def plain(message: Any, task: Any) -> Any:
        """Answers with a plain message."""
        return task.message(f"plain {message.text}")

    @lab.agent(reply="either")
    async def either(message: Any, task: Any) -> Any:
        """Answers with a plain message, or as a task where it is asked for one."""
        if "gate" in message.text:
            await gates(message.text)
        if "task" in message.text:
            return f"task {message.text}"
        return task.message(f"plain {message.text}")

    @lab.agent
    async def failing(message: Any, task: Any) -> Any:
        """Ends as its message says."""
        yield "before"
        if message.text == "reject":
            raise task.reject("not this")
        if message.text == "fail":
            raise task.fail("can't")
        raise ValueError(message.text)

    @lab.agent(name="天气")
    async def weather(message: Any, task: Any) -> Any:
        """Tells the weather by a Chinese name."""
        return f"{message.text}: 晴"

    @lab.agent
    async def everything(message: Any, task: Any) -> Any:
        """Gives out every kind of event."""
        yield task.status("begun", stage="one")
        yield "text "
        yield "chunk"
        yield {"number": 1.5, "of": ["a", None, 3]}
        yield b"\x00\xff"
        yield task.artifact("named", "first", last=False)
        yield task.artifact("named", "second", append=True)
        yield task.file(url="https://example.org/f", name="f", media_type="text/plain")
        yield task.complete("done")

    return gates
