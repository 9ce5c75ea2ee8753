"""The terminal as a face: the running lab that its commands are for, and how their results are written.

A command of a terminal joins that lab for as long as it takes, so it does what it does in a notebook, by the same code.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from nbagora.following import follow
from nbagora.show import Note, plain, task_lines
from nbagora.table import Table
from nbagora_lab.core.errors import BadAgent

if TYPE_CHECKING:
    from pathlib import Path

    from nbagora_lab.a2a.task import Task
    from nbagora_lab.lab import Lab

__all__ = ["Terminal", "as_json"]


class Terminal:
    """A terminal, as commands see it (`command.Face`).

    Args:
        where: URL of the lab, or folder of its store.
        live: Whether answers are written as they come.
    """

    def __init__(self, where: str | Path, *, live: bool = True) -> None:
        self._where = str(where)
        self._live = live
        self._lab: Lab | None = None
        self._shown: Task | None = None

    @property
    def lab(self) -> Lab:
        """The lab that runs there, joined.

        Raises:
            NotStarted: None runs on that folder.
            Unreachable: None answers at that URL.
            Unauthorized: It wants another token.
        """
        if self._lab is None:
            from nbagora_lab.lab import Lab

            self._lab = Lab(join=self._where)
        return self._lab

    def settings(self) -> dict[str, Any]:
        """None: a lab that starts takes its own."""
        return {}

    def defined(self, name: str, source: str) -> object:  # noqa: ARG002 -- the protocol's
        """Nothing: a terminal has no cells.

        Raises:
            BadAgent: Always.
        """
        raise BadAgent(f"the agent '{name}' can't be defined in a terminal", "nbagora serve FILE hosts a file's agents")

    def end(self) -> Note:
        """Stops the lab that runs there."""
        url = self.lab.joined
        self.lab.stop_joined()
        return Note(f"the lab at {url} stops")

    def follow(self, task: Task, *, timeout: float | None = None, check: bool = True) -> Task:
        """Writes what `task` says as it comes, and returns it as it is when it ends or asks for something.

        Raises:
            TaskFailed: It ended FAILED, REJECTED or CANCELED, and `check` is set.
            TimedOut: `timeout` seconds ran out; the task goes on.
        """
        if self._live and not task.plain:
            task = self._written(task, timeout)
        elif not task.plain:
            task = self.lab.wait(task, timeout=timeout, check=False)
        return task.check() if check else task

    def _written(self, task: Task, timeout: float | None) -> Task:
        from nbagora_lab.core.errors import TaskNotFound

        try:
            task = self.lab.task(task.id)
        except TaskNotFound:  # another lab's: its topic is not here
            return self.lab.wait(task, timeout=timeout, check=False)
        end = "\n"
        for event in follow(self.lab, task, timeout=timeout):
            if event.kind == "artifact" and event.text:
                sys.stdout.write(event.text)
                sys.stdout.flush()
                end = event.text[-1]
        if end != "\n":
            sys.stdout.write("\n")
        self._shown = self.lab.task(task.id)
        return self._shown

    def write(self, result: object) -> None:
        """Writes what a command returned; of a task that was followed, what is not its text."""
        if result is self._shown and result is not None:
            sys.stderr.write("\n".join([*task_lines(result), ""]))
        elif result is not None:
            sys.stdout.write(f"{plain(result)}\n")

    def close(self) -> None:
        """Leaves the lab."""
        if self._lab is not None:
            self._lab.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_json(result: object) -> str:
    """What a command returned, as one JSON document: objects by their fields, a table as a list of them."""
    return json.dumps(_plain(result), ensure_ascii=False, indent=2)


def _plain(value: object) -> Any:
    from nbagora_lab.a2a.task import Task, TaskEvent
    from nbagora_lab.core.events import Record
    from nbagora_lab.lab import Lab

    if isinstance(value, Record):
        from nbagora_lab.broker.http_events import event_json

        return json.loads(event_json(value))
    if isinstance(value, Task | TaskEvent):
        return value.raw
    if isinstance(value, Lab):
        return {"url": value.joined or value.url, "store": str(value.store), "running": value.running}
    if isinstance(value, Note):
        return {"note": str(value)}
    if isinstance(value, Table):
        return [
            row if type(item) is tuple or isinstance(item, str) else _plain(item)
            for item, row in zip(value, map(_plain, value.rows), strict=True)
        ]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Sequence):
        return [_plain(one) for one in value]
    return str(value)
