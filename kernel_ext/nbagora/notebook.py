"""The notebook as a face: where the magics' commands run, find the lab, and show what comes while they wait."""

from __future__ import annotations

import sys
from collections import ChainMap
from typing import TYPE_CHECKING, Any

from nbagora import cells
from nbagora.config import Lab as LabConfig
from nbagora.following import follow
from nbagora.live import Live

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbagora.parser import Parser
    from nbagora_lab.a2a.task import Task
    from nbagora_lab.lab import Lab

__all__ = ["Notebook"]


class Notebook:
    """A shell, as commands see it (`command.Face`).

    Args:
        shell: The shell.
        config: What `%config Lab` sets.
        lab: The lab that commands are for; None for the one of this process that was started last.

    Attributes:
        shell: The shell.
    """

    def __init__(self, shell: InteractiveShell, config: LabConfig, lab: Lab | None = None) -> None:
        self.shell = shell
        self._lab = lab
        self._config = config
        self._shown: tuple[str, int] | None = None  # task and execution of the display that stands already

    @property
    def lab(self) -> Lab:
        """The lab that commands are for.

        Raises:
            NotStarted: None runs.
        """
        if self._lab is not None:
            return self._lab
        from nbagora_lab.lab import Lab

        return Lab.current()

    @property
    def interactive(self) -> bool:
        """Whether somebody watches: a front end that could ask for input, not a runner of notebooks."""
        kernel = getattr(self.shell, "kernel", None)
        return bool(getattr(kernel, "_allow_stdin", False))

    def settings(self) -> dict[str, Any]:
        """What `%config Lab` was given.

        Raises:
            UsageError: Something that does not fit.
        """
        return self._config.given()

    def defined(self, name: str, source: str) -> object:
        """The object that the cell of `source` defined for the agent `name`.

        Raises:
            BadAgent: It defined none of that name.
        """
        return cells.defined(self.shell, name, source)

    def check(self, parser: Parser, line: str) -> None:
        """Parses a line, and finds the lab, for what they refuse.

        Raises:
            LabError: What `run` would raise before it does anything.
        """
        if not self._is_help(self._parse(parser, line, None, "")[0]):
            _ = self.lab

    def run(self, parser: Parser, line: str, local_ns: dict[str, Any] | None = None, body: str = "") -> object:
        """Runs the command that a line holds, and stores its result where ``-o`` says.

        Args:
            parser: Of the command that was named.
            line: What follows its name.
            local_ns: Names that stand before the user's, where the line is in a function.
            body: The cell's body.

        Raises:
            LabError: The line does not fit, or the command failed.
        """
        command, out = self._parse(parser, line, local_ns, body)
        if self._is_help(command):
            return command
        result = command.run(self)
        if out:
            self.shell.push({out: result})
        return result

    def end(self) -> Lab:
        """Stops the lab of this kernel; one that it joined goes on."""
        lab = self.lab
        lab.stop()
        return lab

    def follow(self, task: Task, *, timeout: float | None = None, check: bool = True) -> Task:
        """Shows `task` while it goes on, and returns it as it is when it ends or asks for input.

        Where nobody watches, its end is all that is shown.

        Raises:
            TaskFailed: It ended otherwise than COMPLETED, and `check` is set.
            TimeoutError: `timeout` seconds ran out; the task goes on.
        """
        live = Live(self.shell, task, updates=self.interactive)
        if not task.plain:
            task = self._followed(task, live, timeout)
        if hasattr(self.shell, "kernel"):  # a terminal prints the result, and can't update what stands
            self._shown = None
            live.finish(task)
            self._shown = task.id, self.shell.execution_count
        return task.check() if check else task

    def _followed(self, task: Task, live: Live, timeout: float | None) -> Task:
        """Reads the task's own topic, which is where its events are first, until its end."""
        from nbagora_lab.core.errors import TaskNotFound

        lab = self.lab
        try:
            task = lab.task(task.id)
        except TaskNotFound:  # another lab's: its topic is not here
            return lab.wait(task, timeout=timeout, check=False)
        for event in follow(lab, task, timeout=timeout, pause=live.refresh):
            live.take(event)
        return lab.task(task.id)

    def shown_already(self, task: Task) -> None:
        """IPython's hook before it displays a task: the one that `follow` showed in this cell stands there already.

        Raises:
            NotImplementedError: It is another; IPython's sign to display it as usual.
        """
        if self._shown != (task.id, self.shell.execution_count):
            raise NotImplementedError

    def _parse(self, parser: Parser, line: str, local_ns: dict[str, Any] | None, body: str) -> tuple[Any, str]:
        from nbagora.line import Variables

        variables = Variables(ChainMap(local_ns or {}, self.shell.user_ns))
        return parser.parse(parser.read(line, variables), body)

    @staticmethod
    def _is_help(command: object) -> bool:
        from nbagora.parser import Help

        return isinstance(command, Help)

    def flush(self, *_: object) -> None:
        """Has the views put their newest state where a saved notebook finds it, after each cell."""
        if widgets := sys.modules.get("nbagora_widgets"):
            widgets.flush_all()
