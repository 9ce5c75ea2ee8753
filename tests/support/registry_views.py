"""Registry views on a real registry in this process. A view's service thread is the test: see `topic_views`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nbagora_lab.registry import Registry
from nbagora_lab.views import RegistryViewSource
from nbagora_widgets import RegistryView
from topic_views import Here, KernelComm

__all__ = ["HereRegistry", "RegistryViews"]


class HereRegistry(Here, RegistryViewSource):
    """A source whose service thread is the caller's."""

    def __init__(self, registry: Registry) -> None:
        RegistryViewSource.__init__(self, SimpleNamespace(), registry, "http://127.0.0.1:1")  # type: ignore[arg-type]
        Here.__init__(self)


class RegistryViews:
    """Views by name, each with its comm."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.views: dict[str, RegistryView] = {}
        self.sources: dict[str, HereRegistry] = {}

    def add(self, name: str, /, **more: Any) -> RegistryView:
        source = self.sources[name] = HereRegistry(self.registry)
        view = self.views[name] = RegistryView(source, **more)
        view.comm = KernelComm(name)
        return view

    def receive(self, name: str, command: dict[str, Any]) -> list[dict[str, Any]]:
        """A command from the browser, and the turn after it; what goes back."""
        view = self.views[name]
        view._received(view, command, None)
        return self.tick(name) if view.comm is not None else []

    def tick(self, name: str) -> list[dict[str, Any]]:
        """The next turn of the service thread; what is sent."""
        for function in list(self.sources[name].ticking):
            function()
        return self.views[name].comm.take()

    def close(self) -> None:
        for view in self.views.values():
            view.close()
