"""A lab in a process of its own, on a store that outlives it; made to be killed.

Children come from a fork server that has everything imported, so one is ready in a fraction of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from nbagora_lab.agents.message import Message
    from nbagora_lab.lab import Lab

__all__ = ["LabProcess"]

_PATIENCE = 30.0  # seconds

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["a2a_agents", "a2a.types", "nbagora_lab.a2a.doors", "nbagora_lab.lab"])


def _define_far(lab: Lab) -> None:
    """The agents of a lab that joined another."""

    @lab.agent
    async def far(message: Message, task: Any) -> Any:
        """Says it again, or has another agent say it: "echo: hello"."""
        agent, colon, text = message.text.partition(": ")
        return (await task.call(agent, text)).text if colon else message.text

    @lab.agent
    async def slow(message: Message, task: Any) -> Any:
        """Never ends."""
        yield message.text
        await asyncio.Event().wait()

    @lab.agent
    async def asker(_: Message, task: Any) -> str:
        """Asks, and says what it was told."""
        return f"told {(await task.ask('What?')).text}"


def _serve(store: str, joins: bool, agents: str, pipe: Connection) -> None:
    from nbagora_lab.lab import Lab

    sys.stdout = sys.stderr
    lab = Lab(join=store) if joins else Lab(store=store)
    (_define_far if joins else importlib.import_module(agents).define_agents)(lab)
    pipe.send((lab.url, lab.token, lab.epoch, list(lab.settled)))
    with contextlib.suppress(EOFError):
        pipe.recv()  # until the parent goes, or says so
    lab.stop()


class LabProcess:
    """A lab with the agents of `a2a_agents`; or one that joins the lab of a folder, with ``far``, ``slow``, ``asker``.

    Args:
        store: Its folder.
        joins: Whether it joins the lab that runs there.
        agents: The module whose ``define_agents(lab)`` makes its agents, where it doesn't join another.

    Attributes:
        url, token, epoch, settled: The lab's.
    """

    def __init__(self, store: Path, *, joins: bool = False, agents: str = "a2a_agents") -> None:
        self._store, self._agents = store, agents
        self._joins = joins
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(
            target=_serve, args=(str(self._store), self._joins, self._agents, theirs), daemon=True
        )
        self._process.start()
        theirs.close()
        assert self._pipe.poll(_PATIENCE), "the lab's process said nothing"
        self.url, self.token, self.epoch, self.settled = self._pipe.recv()

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        os.kill(self._process.pid or 0, 9)
        self._process.join(_PATIENCE)
        assert self._process.exitcode == -9
        self._pipe.close()

    def pause(self) -> None:
        """Has it hang."""
        os.kill(self._process.pid or 0, signal.SIGSTOP)

    def resume(self) -> None:
        """Has it go on."""
        os.kill(self._process.pid or 0, signal.SIGCONT)

    def restart(self) -> None:
        """Starts another on the same store."""
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.is_alive():
            with contextlib.suppress(OSError):
                self._pipe.send(None)
            self._process.join(_PATIENCE)
        self._pipe.close()
