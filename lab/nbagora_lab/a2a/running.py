"""What runs an agent's tasks, as the operations see it; the agents' room implements it."""

from __future__ import annotations

from typing import Any, Protocol

from nbagora_lab.a2a.live import Entries, LiveTask
from nbagora_lab.core.events import Scheduling

__all__ = ["AgentRunner"]


class AgentRunner(Protocol):
    """A runner of one agent's tasks."""

    @property
    def reply(self) -> str:
        """``task``, ``message`` or ``either``: what the agent may answer with."""
        ...

    @property
    def resumable(self) -> bool:
        """Whether its tasks are called anew where the process that ran them has died."""
        ...

    def entries(self, live: LiveTask, message: dict[str, Any], generation: int, plan: Scheduling) -> Entries:
        """The records by which a message gets its turn, appended in one step with it and with SUBMITTED.

        Args:
            live: The task: one that opens, or that is answered.
            message: The message.
            generation: Of SUBMITTED.
            plan: When its turn is.
        """
        ...

    def start(self, live: LiveTask, message: dict[str, Any], generation: int) -> None:
        """Told once all that is on record; a runner that its inbox's topic wakes has nothing to do."""
        ...

    async def cancel(self, live: LiveTask) -> None:
        """Has a task end CANCELED, and returns when it has ended."""
        ...
