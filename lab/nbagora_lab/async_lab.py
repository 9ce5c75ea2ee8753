"""The lab for code that has an event loop: the same names as `Lab`'s, awaitable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Self

from nbagora_lab.a2a.task import Task, TaskEvent
from nbagora_lab.core.errors import NotStarted
from nbagora_lab.lab import Lab

__all__ = ["AsyncLab"]


class AsyncLab:
    """A `Lab` whose methods can be awaited, for code that has an event loop.

    Args:
        settings: As for `Lab`.

    Example:
        async with AsyncLab(store="agora") as lab:
            task = await lab.ask("echo", "hello")
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._lab: Lab | None = None

    async def __aenter__(self) -> Self:
        self._lab = await asyncio.to_thread(lambda: Lab(**self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """See `Lab.stop`."""
        if self._lab is not None:
            await asyncio.to_thread(self._lab.stop)

    async def stream(
        self, agent: str, message: object, *, context: Task | str | None = None, **options: Any
    ) -> AsyncGenerator[TaskEvent]:
        """See `Lab.stream`."""
        events = self._sync.stream(agent, message, context=context, **options)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            yield event

    @property
    def _sync(self) -> Lab:
        if self._lab is None:
            raise NotStarted("this lab was not started", "use it as 'async with AsyncLab() as lab'")
        return self._lab

    def __getattr__(self, name: str) -> Any:
        """Methods that wait become awaitable; all else is the lab's own."""
        value = getattr(self._sync, name)
        if name not in {"ask", "send", "wait", "answer", "cancel", "define", "remove"}:
            return value

        async def awaitable(*args: Any, **options: Any) -> Any:
            return await asyncio.to_thread(lambda: value(*args, **options))

        return awaitable
