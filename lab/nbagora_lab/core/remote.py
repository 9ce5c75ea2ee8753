"""An engine of another lab, by the protocol that its own lab has of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from nbagora_lab.core.link import Link
from nbagora_lab.core.protocol import Method

__all__ = ["Remote"]


class Remote:
    """An engine of another lab: each of a protocol's methods is a call over the line.

    Args:
        link: The line.
        engine: What the other lab calls the engine.
        methods: What it can do.
    """

    def __init__(self, link: Link, engine: str, methods: Mapping[str, Method]) -> None:
        self._link = link
        self._engine = engine
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dict__.get("_methods", ()):
            raise AttributeError(name)
        call = functools.partial(self._call, name)
        setattr(self, name, call)
        return call

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        method = self._methods[name]
        return method.value(self._link.post(f"{self._engine}/{name}", method.call(*args, **options)))
