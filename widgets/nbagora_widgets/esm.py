"""A view's JavaScript as the one module that a notebook loads, and its style.

A notebook gets each view as a single text and resolves no relative import, while node and people are served better by
modules of one noun each. So the modules that a view imports from beside it are put in front of it, once each.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["STATIC", "bundle", "style"]

STATIC = Path(__file__).parent / "static"
"""Folder of the views' modules and styles."""

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


def bundle(name: str) -> str:
    """The module `name` of the static folder, with the modules that it needs in front of it.

    Args:
        name: File name without ``.js``.

    Returns:
        One ES module without imports, whose default export is the view's.
    """
    return "\n".join(_modules(name).values())


def style(name: str) -> str:
    """The style of the view `name`: what all views share, and those of its modules, in their order."""
    files = [STATIC / f"{each}.css" for each in ("view", *_modules(name))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def _modules(name: str) -> dict[str, str]:
    """A module and those that it needs, each behind those that it needs itself, without their imports."""
    parts: dict[str, str] = {}

    def add(module: str) -> None:
        if module in parts:
            return
        parts[module] = ""  # a circle would end here, and node refuses it
        text = (STATIC / f"{module}.js").read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            add(needed)
        parts[module] = parts.pop(module) + _IMPORT.sub("", text)

    add(name)
    return parts
