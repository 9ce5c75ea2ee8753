"""The decorator for files: ``@agent`` marks what ``nbagora serve FILE.py`` hosts.

It changes nothing about the function, so that a file can be imported and tested like any other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

__all__ = ["Marked", "agent", "marked_in"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Marked:
    """An agent as a file marks it.

    Attributes:
        module: Name of the module that marked it.
        name: The agent's name.
        target: The function or pydantic-ai `Agent`.
        options: For `Lab.define`: skills, tags, version, reply, description.
    """

    module: str
    name: str
    target: object
    options: dict[str, Any] = field(default_factory=dict)


_marked: list[Marked] = []


@overload
def agent(target: T, /) -> T: ...
@overload
def agent(*, name: str | None = None, **options: Any) -> Callable[[T], T]: ...
def agent(target: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Marks a function, or a pydantic-ai `Agent`, as an agent of its file.

    Args:
        target: What is marked; left out where options are given.
        name: The agent's name; the function's, with ``-`` for ``_``, by default.
        options: As `Lab.define` takes them: ``skills``, ``tags``, ``version``, ``reply``, ``concurrency``, ``auth``, …

    Example:
        >>> @agent(skills=["echo: says it again"])
        ... async def parrot(message, task):
        ...     return message.text
    """
    module = str(sys._getframe(1).f_globals.get("__name__", ""))  # noqa: SLF001 -- whose file it stands in

    def mark(thing: Any) -> Any:
        own = getattr(thing, "__name__", None) or getattr(thing, "name", None) or type(thing).__name__
        _marked.append(Marked(module, name or str(own).replace("_", "-"), thing, options))
        return thing

    return mark if target is None else mark(target)


def marked_in(module: str) -> list[Marked]:
    """What the module of that name has marked, in order; forgets it."""
    found = [one for one in _marked if one.module == module]
    _marked[:] = [one for one in _marked if one.module != module]
    return found
