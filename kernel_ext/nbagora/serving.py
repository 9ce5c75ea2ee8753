"""The agents of a file: what `nbagora serve` takes from a Python file or a notebook, and hosts on a lab.

A Python file is imported as a module; what it marks with ``@agent`` is hosted. A notebook's code cells are run in order
in a plain shell, ``%%agent`` cells by the same code as in a kernel. Its other magics of ours do nothing there: they
drive a lab, and the one that serves is not theirs to start, ask or stop.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbagora.collect import marked_in
from nbagora_lab.core.errors import BadAgent, LabError, NotFound, UsageError
from nbagora_lab.core.log import logger

if TYPE_CHECKING:
    from nbagora_lab.inspect.status import AgentInfo
    from nbagora_lab.lab import Lab

__all__ = ["load_agents"]

_log = logger.getChild("serve")


def load_agents(path: Path, lab: Lab) -> list[AgentInfo]:
    """Hosts the agents that a file defines.

    Args:
        path: A ``.py`` or ``.ipynb`` file.
        lab: Where they are hosted.

    Returns:
        The agents, in the order in which the file defines them.

    Raises:
        NotFound: No such file.
        UsageError: A file of another kind.
        BadAgent: The file can't be run, or defines no agent.
    """
    if not path.is_file():
        raise NotFound(f"no file {path}", "give the path of a Python file or a notebook")
    if path.suffix not in {".py", ".ipynb"}:
        raise UsageError(f"{path} is neither a Python file nor a notebook", "serve takes .py and .ipynb")
    before = {(agent.name, agent.url) for agent in lab.agents()}
    with _importable(path.parent):
        agents = _from_module(path, lab) if path.suffix == ".py" else _from_notebook(path, lab)
    if not agents:
        how = "put @agent from nbagora over a function" if path.suffix == ".py" else "define one in an %%agent cell"
        raise BadAgent(f"{path} defines no agent", how)
    for agent in agents:
        if (agent.name, agent.url) in before:
            _log.warning("%s defines %s, which was there already", path, agent.name)
    return agents


@contextlib.contextmanager
def _importable(folder: Path) -> Any:
    """Lets a file import its neighbours, for as long as it is loaded."""
    entry = str(folder.absolute())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _module_name(path: Path) -> str:
    return "nbagora_served_" + re.sub(r"\W", "_", path.stem)


def _from_module(path: Path, lab: Lab) -> list[AgentInfo]:
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except LabError:
        raise
    except Exception as error:
        raise BadAgent(f"{path} can't be run: {_line(error, str(path))}", "mend it; --debug shows all of it") from error
    return [lab.define(marked.name, marked.target, **marked.options) for marked in marked_in(name)]


def _from_notebook(path: Path, lab: Lab) -> list[AgentInfo]:
    shell = _shell(lab, _module_name(path))
    agents: dict[str, AgentInfo] = {}
    for number, source in enumerate(_code_cells(path), start=1):
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the line that says it is ready
            result = shell.run_cell(source)
        error = result.error_before_exec or result.error_in_exec
        is_agent = bool(re.match(r"(?:\s*(?:#.*)?\n)*%%agent\b", source))
        if error is not None and is_agent:
            what = error.what if isinstance(error, LabError) else _line(error, "")
            hint = error.hint if isinstance(error, LabError) else "mend the cell; --debug shows all of it"
            raise BadAgent(f"{path}, code cell {number}: {what}", hint) from error
        if error is not None:
            _log.warning("%s, code cell %d was left out: %s", path, number, _line(error, ""))
        elif is_agent and result.result is not None:
            agents[result.result.name] = result.result
    return list(agents.values())


def _code_cells(path: Path) -> list[str]:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = [cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadAgent(f"{path} can't be read as a notebook: {error!r}", "open and save it in Jupyter") from error
    return [source for source in sources if source.strip()]


def _shell(lab: Lab, name: str) -> Any:
    """A shell that shows nothing, in which ``%%agent`` defines on `lab` and our other magics do nothing."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from nbagora.commands import nouns
    from nbagora.extension import load

    class Silent(DisplayHook):
        """Takes results and shows none."""

        def write_output_prompt(self) -> None:
            """IPython's hook before a result."""

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            """IPython's hook for a result."""

        def finish_displayhook(self) -> None:
            """IPython's hook after a result."""

    class Shell(InteractiveShell):
        """Shows no error; the loader does."""

        displayhook_class = Silent

        def _showtraceback(self, *_: Any) -> None:
            """IPython's hook for every traceback."""

    module = types.ModuleType(name)
    sys.modules[name] = module
    config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    shell = Shell(config=config, user_module=module)  # type: ignore[no-untyped-call]
    load(shell, lab=lab)
    for noun in nouns():
        shell.magics_manager.register_function(_nothing, "line", noun)
    shell.magics_manager.register_function(_nothing, "cell", "ask")
    return shell


def _nothing(*_: str) -> None:
    """Does nothing, in place of a magic that would drive a lab."""


def _line(error: BaseException, path: str) -> str:
    """An error on one line, with the last line of `path` that it came through."""
    at = ""
    if isinstance(error, SyntaxError):
        at = f", line {error.lineno}" if error.lineno else ""
        return f"{type(error).__name__}: {error.msg}{at}"
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            at = f", line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f"{type(error).__name__}: {error}{at}"
