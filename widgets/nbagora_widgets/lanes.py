"""The lanes view: who did what in one task and in those that it called, step by step, to be replayed."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, ClassVar

from pydantic import TypeAdapter

from nbagora_lab.inspect.lanesview import LanesCommand, LanesSnapshot, Rerun, ShowStep
from nbagora_widgets.esm import bundle, style
from nbagora_widgets.lanestable import lanes_html, lanes_text
from nbagora_widgets.live import LiveView
from nbagora_widgets.source import LanesSource

__all__ = ["LanesView"]


class LanesView(LiveView):
    """The steps of a task as swim-lanes, as a tree and one by one; `%task lanes`.

    Beside the live view it shows itself as a picture and a table in HTML, and as text, for readers without a kernel or
    scripts.

    Args:
        source: Where the lanes come from; it is of one task.
        rate: Snapshots a second at most.
    """

    _esm = bundle("flow")
    _css = style("flow")
    _commands: ClassVar[TypeAdapter[Any]] = TypeAdapter(LanesCommand)
    _latest: LanesSnapshot

    def __init__(self, source: LanesSource, *, rate: float = 10.0) -> None:
        self._lanes = source
        self._selected: str | None = None  # the service thread's from here on
        super().__init__(source, rate=rate)

    def __repr__(self) -> str:
        return f"<LanesView of task {self._latest.task}, {len(self._latest.steps)} steps, seq {self._latest.seq}>"

    def _stands_for(self) -> dict[str, str]:
        return {"text/plain": lanes_text(self._latest), "text/html": lanes_html(self._latest)}

    def _take(self) -> LanesSnapshot:
        return self._lanes.lanes(self._selected)

    def _obey(self, command: LanesCommand) -> Future[object] | None:
        match command:
            case ShowStep():
                self._selected = command.id
                self._refresh()
            case Rerun():
                return self._lanes.rerun(command.id, command.output)
        return None
