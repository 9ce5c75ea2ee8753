"""A task log without a lab: an engine, a clock, seeded ids, and a runner that does as a message's text says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict

from nbagora_lab.a2a.cards import build_card
from nbagora_lab.a2a.handler import LogRequestHandler
from nbagora_lab.a2a.live import Entries, LiveTask
from nbagora_lab.a2a.tasklog import TaskLog
from nbagora_lab.a2a.wire import CANCELED, COMPLETED, INPUT_REQUIRED, WORKING, message_of
from nbagora_lab.agents.options import AgentOptions
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import Clock, VirtualClock
from nbagora_lab.core.events import Scheduling
from nbagora_lab.core.ids import SeededIds

__all__ = ["Named", "ObedientRunner", "as_owner", "handler_on", "say", "task_log", "user_says"]


@contextmanager
def task_log(store: Path, *, seed: int = 1, clock: Clock | None = None) -> Iterator[TaskLog]:
    """The task log of a store; each time under the next epoch."""
    clock = clock or VirtualClock()
    log = EmbeddedLog(store, clock=clock)
    try:
        yield TaskLog(log, clock, SeededIds(seed, log.epoch))
    finally:
        log.close()


def user_says(text: str, **fields: Any) -> dict[str, Any]:
    """A user's message, as ProtoJSON."""
    return {"messageId": f"m-{text}", "role": "ROLE_USER", "parts": [{"text": text}], **fields}


def say(live: LiveTask, text: str) -> dict[str, Any]:
    """An agent's message."""
    return message_of("ROLE_AGENT", f"a-{text}", [{"text": text}], task_id=live.id, context_id=live.context_id)


class ObedientRunner:
    """Runs tasks at once and in the caller's thread: ``ask`` asks, ``work`` goes on working, all else is completed."""

    resumable = False

    def __init__(self, reply: str = "task") -> None:
        self.reply = reply
        self.started: list[LiveTask] = []

    def entries(self, live: LiveTask, message: dict[str, Any], generation: int, plan: Scheduling) -> Entries:
        """It has no inbox."""
        return ()

    def start(self, live: LiveTask, message: dict[str, Any], generation: int) -> None:
        """Does as the message says."""
        self.started.append(live)
        live.status(WORKING)
        text = message["parts"][0]["text"]
        if text == "ask":
            live.status(INPUT_REQUIRED, say(live, "well?"))
        elif text != "work":
            live.artifact(b'"artifactId":"a",', b'{"text":"done"}', last=True)
            live.status(COMPLETED)

    async def cancel(self, live: LiveTask) -> None:
        """Ends it."""
        live.end_if_open(CANCELED)


def handler_on(tasks: TaskLog, agent: str = "agent", runner: ObedientRunner | None = None) -> LogRequestHandler:
    """The operations of an agent that does as it is told."""
    card = ParseDict(build_card(agent, "", AgentOptions(version="1"), token=False), pb.AgentCard())
    obedient = runner or ObedientRunner()
    return LogRequestHandler(tasks, agent, lambda: card, lambda: obedient)


class Named(User):
    """A user by name; the empty one is the lab's own."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def is_authenticated(self) -> bool:
        """Whether there is a name."""
        return bool(self.name)

    @property
    def user_name(self) -> str:
        """The name."""
        return self.name


def as_owner(name: str = "", **headers: str) -> ServerCallContext:
    """The context of a call that `name` makes; names of headers have ``_`` for ``-``."""
    given = {header.replace("_", "-"): value for header, value in headers.items()}
    return ServerCallContext(user=Named(name), state={"headers": given})
