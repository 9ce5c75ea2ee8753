"""What `%load_ext nbagora` puts into a shell, and how it is all taken out again.

Loading registers and imports next to nothing: commands, parsers and the runtime come with their first use.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nbagora import cells, show
from nbagora.commands import CELLS, nouns
from nbagora.complete import matcher
from nbagora.config import Lab as LabConfig
from nbagora.magics import CellMagic, LineMagic, RawLine
from nbagora.notebook import Notebook

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbagora_lab.lab import Lab

__all__ = ["load", "unload"]

_LOADED: WeakKeyDictionary[InteractiveShell, list[Callable[[], object]]] = WeakKeyDictionary()


def load(shell: InteractiveShell, *, lab: Lab | None = None) -> None:
    """Puts magics, completion, looks and hooks into a shell; into one that has them, nothing.

    Args:
        shell: The shell.
        lab: The lab that its commands are for, which unloading leaves alone; None for the one that they start.
    """
    if shell in _LOADED:
        return
    config = LabConfig(shell)
    notebook = Notebook(shell, config, lab)
    undo: list[Callable[[], object]] = [
        *(_magic(shell, "line", noun, LineMagic(noun, notebook)) for noun in nouns()),
        *(_magic(shell, "cell", name, CellMagic(name, notebook)) for name in CELLS),
        show.register(shell, notebook.shown_already),
        config.forget,
    ]
    for members, member in (
        (shell.configurables, config),
        (shell.input_transformer_manager.cleanup_transforms, cells.rewrite),
        (shell.input_transformer_manager.token_transformers, RawLine),
        (shell.Completer.custom_matchers, matcher),
    ):
        undo.append(_member(members, member))
    shell.events.register("post_run_cell", notebook.flush)
    undo.append(lambda: shell.events.unregister("post_run_cell", notebook.flush))
    if lab is None:
        undo.append(_stop_labs)
    _LOADED[shell] = undo


def unload(shell: InteractiveShell) -> None:
    """Stops the labs of this kernel and takes all out of a shell that `load` put in."""
    with contextlib.ExitStack() as stack:  # each step is taken, whatever another raises
        for step in _LOADED.pop(shell, ()):
            stack.callback(step)


def _stop_labs() -> None:
    if module := sys.modules.get("nbagora_lab.lab"):
        for lab in module.Lab.running_labs():
            lab.stop()


def _magic(shell: InteractiveShell, kind: str, name: str, magic: Any) -> Callable[[], object]:
    """Registers a magic; returns what puts back the one that had its name."""
    table = shell.magics_manager.magics[kind]
    former = table.get(name)
    shell.register_magic_function(magic, kind, name)

    def put_back() -> None:
        if former is not None:
            table[name] = former
        else:
            table.pop(name, None)
        vars(shell.magics_manager.user_magics).pop(name, None)

    return put_back


def _member(members: list[Any], member: Any) -> Callable[[], object]:
    """Appends to a list; returns what takes it out, which does nothing where it is gone."""
    members.append(member)

    def take_out() -> None:
        members[:] = [one for one in members if one is not member]

    return take_out
