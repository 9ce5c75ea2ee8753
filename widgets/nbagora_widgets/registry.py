"""The registry view: search with facets, versions and labels, endpoints, changes, and where two cards differ."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, ClassVar

from pydantic import TypeAdapter

from nbagora_lab.inspect.registry import RegistryLook
from nbagora_lab.inspect.registryview import (
    Choose,
    Compare,
    Point,
    RegistryCommand,
    RegistrySnapshot,
    RollBack,
    Search,
)
from nbagora_widgets.esm import bundle, style
from nbagora_widgets.live import LiveView
from nbagora_widgets.registry_table import registry_html, registry_text
from nbagora_widgets.source import RegistrySource

__all__ = ["RegistryView"]


class RegistryView(LiveView):
    """A live view of the registry; `%registry view`.

    Beside the live view it shows itself as plain tables in HTML and in text, for readers without a kernel or scripts.

    Args:
        source: Where it is read.
        name: What to look at first; None for nothing.
        kind: ``agent``, ``mcp`` or ``prompt``.
        text: Words to search for at first.
        rate: Snapshots a second at most.
    """

    _esm = bundle("registry")
    _css = style("registry")
    _commands: ClassVar[TypeAdapter[Any]] = TypeAdapter(RegistryCommand)
    _latest: RegistrySnapshot

    def __init__(
        self,
        source: RegistrySource,
        *,
        name: str | None = None,
        kind: str = "agent",
        text: str = "",
        rate: float = 10.0,
    ) -> None:
        self._registry = source
        self._look = RegistryLook(kind, text, name=name)  # the service thread's from here on
        super().__init__(source, rate=rate)

    def __repr__(self) -> str:
        return f"<RegistryView of {self._latest.lab}, {self._latest.total} found, seq {self._latest.seq}>"

    def _stands_for(self) -> dict[str, str]:
        return {"text/plain": registry_text(self._latest), "text/html": registry_html(self._latest)}

    def _take(self) -> RegistrySnapshot:
        return self._registry.registry(self._look)

    def _obey(self, command: RegistryCommand) -> Future[object] | None:
        match command:
            case Search():
                chosen = self._look.name if command.kind == self._look.kind else None
                self._look = RegistryLook(command.kind, command.text, command.filters, chosen)
            case Choose():
                self._look = self._look._replace(name=command.name, before="", after="")
            case Compare():
                self._look = self._look._replace(before=command.before, after=command.after)
            case Point():
                return self._registry.point(self._look.kind, command.name, command.label, command.version)
            case RollBack():
                return self._registry.roll_back(self._look.kind, command.name, command.label)
        self._refresh()
        return None
