"""The agents that `scripts/tck` puts to the protocol's Technology Compatibility Kit; `nbagora serve` hosts this file.

The kit says by the prefix of a message's id what shall happen: branch 1.0-dev lists it in ``scenarios/*.feature``.
Branch 0.3.x lists nothing and needs tasks that are slow and then ask, so that it can cancel and continue them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from nbagora import agent

SLOW = float(os.environ.get("TCK_STREAMING_TIMEOUT", "2.0"))
"""Seconds that the kit waits on a stream."""


async def _text(task: Any) -> None:
    await task.artifact("text", "Generated text content")


async def _file(task: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "output.txt")
        file.write_text("Generated file content", encoding="utf-8")
        await task.artifact("file", file)


async def _url(task: Any) -> None:
    await task.file(url="https://example.com/output.txt", name="output.txt", media_type="text/plain")


async def _data(task: Any) -> None:
    await task.artifact("data", {"key": "value", "count": 42})


async def _ask(task: Any) -> None:
    while (await task.ask("What else?")).id.startswith("tck-input-required"):  # the answer says what shall happen, too
        pass


async def _reject(task: Any) -> None:
    raise task.reject("rejected")


async def _stream(task: Any) -> None:
    await task.status("at work")
    await task.artifact("text", "Stream hello from TCK")


async def _chunked(task: Any) -> None:
    await task.status("at work")
    await task.artifact("text", "chunk-1 ", last=False)
    await task.artifact("text", "chunk-2", append=True)


async def _slow(task: Any) -> None:
    await task.status("at work")
    await asyncio.sleep(2 * SLOW)


_SCENARIOS = {
    "tck-artifact-text": _text,
    "tck-artifact-file-url": _url,
    "tck-artifact-file": _file,
    "tck-artifact-data": _data,
    "tck-input-required": _ask,
    "tck-reject-task": _reject,
    "tck-stream-001": _stream,
    "tck-stream-003": _stream,
    "tck-stream-ordering-001": _stream,
    "tck-stream-artifact-text": _stream,
    "tck-stream-artifact-file": _file,
    "tck-stream-artifact-chunked": _chunked,
    "test-resubscribe-message-id": _slow,
}
"""By the prefix of the message's id; of two that fit, the longer stands first."""


@agent(
    name="tck",
    skills=["tck: does what the kit's scenarios say"],
    private_skills=["more: what only the extended card tells"],
    reply="either",
)
async def tck(message: Any, task: Any) -> Any:
    """The system under test for branch 1.0-dev."""
    if message.id.startswith("tck-message-response"):
        return task.message("Direct message response")
    for prefix, scenario in _SCENARIOS.items():
        if message.id.startswith(prefix):
            return await scenario(task)
    return await task.complete("Hello from TCK") if message.id.startswith("tck-complete-task") else None


@agent(
    name="tck-03",
    skills=["tck: works for a while, then asks"],
    private_skills=["more: what only the extended card tells"],
)
async def tck_03(message: Any, task: Any) -> None:
    """The system under test for branch 0.3.x."""
    await task.status("at work")
    await asyncio.sleep(SLOW)
    while True:  # a task is sent more messages than one, and must take them all
        await task.ask("What else?")
