"""The agent's cell: rewritten so that the shell runs it as any other, with the agent taken from it at its end.

``%%agent weather --tag travel`` becomes a line that checks the options and the lab, in the place of the cell's first
line; the body stays what it is, line by line, so that it is compiled once, may await, and has its own tracebacks; a
last line takes the agent. A body under ``%%ask`` becomes one call, so that an empty one is an error of ours too.
"""

from __future__ import annotations

import ast
import dis
import keyword
import re
import unicodedata
from typing import TYPE_CHECKING

from nbagora_lab.core.errors import BadAgent

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["defined", "identifier", "rewrite"]

_HEADER = re.compile(r"%%(agent|ask)(?:[ \t]+(.*))?$")
_ABOVE = re.compile(r"\s*(#.*)?$")  # what may stand above the header: blank lines and comments


def rewrite(lines: list[str]) -> list[str]:
    """An agent's cell as plain Python (a cleanup transform of IPython's input); other cells as they are.

    Args:
        lines: The cell's lines, with their ends.
    """
    at = next((index for index, line in enumerate(lines) if not _ABOVE.match(line.rstrip("\r\n"))), None)
    if at is None or (header := _HEADER.match(lines[at].rstrip())) is None:
        return lines
    name, rest = header[1], header[2] or ""
    body = "".join(lines[at + 1 :])
    magic = f"get_ipython().find_cell_magic({name!r})"
    if name == "ask":
        # The last line's end is IPython's, not the prompt's.
        return [*lines[:at], f"{magic}({rest!r}, {body.removesuffix(chr(10))!r})\n"]
    # What stands before a future import does no harm: the shell compiles each statement by itself.
    first = f"{magic}.open({rest!r})\n"
    # The blank line keeps a backslash at the body's end from taking in what follows.
    return [*lines[:at], first, *lines[at + 1 :], f"\n\n{magic}.close({rest!r}, {body!r})\n"]


rewrite.has_side_effects = True  # type: ignore[attr-defined]  # IPython's mark: not for check_complete, which knows %%


def identifier(name: str) -> str:
    """The Python name that an agent's cell defines it under.

    Example:
        >>> identifier("hotel-finder"), identifier("天气"), identifier("2nd"), identifier("class")
        ('hotel_finder', '天气', '_2nd', 'class_')
    """
    plain = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name))
    if not plain.isidentifier():
        plain = f"_{plain}"
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def defined(shell: InteractiveShell, name: str, source: str) -> object:
    """The object that the cell of `source`, which has run, defined for the agent `name`.

    Raises:
        BadAgent: It defined none of that name; says what it defines instead.
    """
    wanted = identifier(name)
    found = _bound(shell.transform_cell(source))
    if wanted in found and wanted in shell.user_ns:
        return shell.user_ns[wanted]
    others = ", ".join(sorted(found)) or "nothing"
    raise BadAgent(
        f"the cell of the agent '{name}' defines no '{wanted}'",
        f"it defines {others}; call the function, or the pydantic-ai Agent, {wanted}",
    )


def _bound(source: str) -> set[str]:
    """The names that a cell binds in its namespace; compiled statement by statement, as the shell does."""
    names = set()
    for statement in ast.parse(source).body:
        module = ast.Module([statement], type_ignores=[])
        code = compile(module, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        names |= {str(one.argval) for one in dis.get_instructions(code) if one.opname in {"STORE_NAME", "STORE_GLOBAL"}}
    return names
