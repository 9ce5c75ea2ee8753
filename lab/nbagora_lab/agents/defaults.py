"""What a lab's settings say for its agents: which model answers where none is named, and what one run may take."""

from __future__ import annotations

from typing import NamedTuple

from nbagora_lab.core.settings import Settings

__all__ = ["Defaults"]


class Defaults(NamedTuple):
    """What holds for an agent that says nothing else.

    Attributes:
        model: Name of the model, as `models.choose` takes it.
        requests: Requests to a model in one run.
        tool_calls: Tool calls in one run.
        tool_timeout: Seconds of one tool call; 0: as long as it likes.
        tool_result: Characters of a tool's result.
        window: Turns of a conversation that a model is given word for word, at most; 0: all.
    """

    model: str = "none"
    requests: int = 50
    tool_calls: int = 200
    tool_timeout: float = 60.0
    tool_result: int = 1 << 20
    window: int = 0

    @classmethod
    def of(cls, settings: Settings, window: int | None = None) -> Defaults:
        """As the lab is set; the agent's own `window` goes before."""
        return cls(
            settings.model,
            settings.model_requests_limit,
            settings.tool_calls_limit,
            settings.tool_timeout,
            settings.tool_result_limit,
            settings.memory_window if window is None else window,
        )
