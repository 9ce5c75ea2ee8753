"""The commands, a module per noun: its file's name is the noun, its classes are the verbs.

Modules are imported when their noun is first used, so that loading the extension builds no model.
"""

from __future__ import annotations

import pkgutil
from functools import cache

__all__ = ["CELLS", "nouns"]

CELLS = {"agent": "agent", "ask": "agent", "prompt": "prompt"}
"""Names of the cell magics, each with the noun whose module defines its command."""


@cache
def nouns() -> tuple[str, ...]:
    """All nouns, none of whose modules is imported for it."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
