"""The notebook's face of nbagora: magics, completion and the command line; and the public Python API.

`%load_ext nbagora` registers and imports next to nothing; a name of the API brings the module that it lives in.

Example:
    >>> from nbagora import Lab
    >>> with Lab(store="agora") as lab:
    ...     @lab.agent(skills=["echo: says it again"])
    ...     async def parrot(message, task):
    ...         return message.text
    ...     lab.ask("parrot", "hello").text
    'hello'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbagora.collect import agent
    from nbagora.table import Table
    from nbagora_lab.a2a.task import Task, TaskEvent
    from nbagora_lab.async_lab import AsyncLab
    from nbagora_lab.broker import Broker
    from nbagora_lab.core.clock import VirtualClock
    from nbagora_lab.core.errors import LabError, TaskFailed
    from nbagora_lab.core.settings import Settings
    from nbagora_lab.inspect.status import AgentInfo, LabStatus
    from nbagora_lab.lab import Lab
    from nbagora_lab.registry import Registry

__all__ = [
    "AgentInfo",
    "AsyncLab",
    "Broker",
    "Lab",
    "LabError",
    "LabStatus",
    "Registry",
    "Settings",
    "Table",
    "Task",
    "TaskEvent",
    "TaskFailed",
    "VirtualClock",
    "agent",
    "load_ipython_extension",
    "unload_ipython_extension",
]

_HOMES = {
    "AgentInfo": "nbagora_lab.inspect.status",
    "AsyncLab": "nbagora_lab.async_lab",
    "Broker": "nbagora_lab.broker",
    "Lab": "nbagora_lab.lab",
    "LabError": "nbagora_lab.core.errors",
    "LabStatus": "nbagora_lab.inspect.status",
    "Registry": "nbagora_lab.registry",
    "Settings": "nbagora_lab.core.settings",
    "Table": "nbagora.table",
    "Task": "nbagora_lab.a2a.task",
    "TaskEvent": "nbagora_lab.a2a.task",
    "TaskFailed": "nbagora_lab.core.errors",
    "VirtualClock": "nbagora_lab.core.clock",
    "agent": "nbagora.collect",
}


def __getattr__(name: str) -> Any:
    """A name of the API, from where it lives; a second look finds it here."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nbagora' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext nbagora` calls; a second time does nothing."""
    from nbagora.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What `%unload_ext nbagora` calls: stops the labs of this kernel, and takes the magics out."""
    from nbagora.extension import unload

    unload(shell)
