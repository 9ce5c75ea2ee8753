"""The papermill engine that runs a scenario's cells: it records who really ran, looks for leaks, and always tears down.

Papermill's own engine is blind in four places, all seen with 2.7: a cell that timed out or killed its kernel is marked
completed, and so are the cells after it; `sys.exit()` in a cell passes; a cell tagged `raises-exception` fails the
notebook; nothing runs after a failure, so nobody tears down. Here a cell's state is recorded by whoever reached it.

Importing this module imports papermill (a second or more): `runner` does so when a run begins.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import IO, Any

from jupyter_client.kernelspec import NoSuchKernel
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async, run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers

from nbagora_lab.core.errors import ScenarioError
from nbagora_lab.scenarios import probe
from nbagora_lab.scenarios.model import CellResult

__all__ = ["IDLE", "PROBE", "Failure", "Session", "execute"]

IDLE = 10
"""Seconds from a cell's reply, or its interrupt, to the end of its output; nbclient's 4 are few on a busy machine."""

PROBE = 15.0
"""Seconds that a kernel has to answer the probe, or to be torn down, before it is killed as it is."""

_ENGINE = "nbagora-scenario"
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TIMED_OUT = "ScenarioTimeout"

_log = logging.getLogger("nbagora.scenarios")
_log.addHandler(logging.NullHandler())  # else the standard library prints its warnings to stderr


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cell did not pass.

    Attributes:
        kind: ``raised``, ``timeout``, ``died`` (the kernel) or ``exit`` (it called `sys.exit` without an error).
        name: Name of the exception's class; empty where there was none.
        value: The exception's text.
        traceback: What the cell showed, without colours.
    """

    kind: str
    name: str = ""
    value: str = ""
    traceback: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Session:
    """One run in the making: what it needs, and what the engine found.

    Owned by the thread that runs the notebook; `cancel` alone is for others.

    Attributes:
        name: The notebook's name.
        folder: Where the kernel works.
        environment: The kernel's whole environment.
        output: Where the kernel process's own stdout and stderr go.
        timeout: Seconds for all cells together.
        progress: Called before each code cell with its number and how many there are.
        cells: The code cells so far, then all of them.
        failure: Why a cell failed.
        leaks: What still ran when the last cell had ended.
        notebook: The notebook as papermill executes it.
    """

    name: str
    folder: Path
    environment: dict[str, str]
    output: IO[bytes]
    timeout: float
    progress: Callable[[int, int], None] | None = None
    cells: list[CellResult] = field(default_factory=list)
    failure: Failure | None = None
    leaks: dict[str, list[str]] = field(default_factory=dict)
    notebook: Any = None
    cancelled: bool = False
    client: _Client | None = None

    def cancel(self) -> None:
        """Ends the running cell and the run; from any thread."""
        self.cancelled = True
        if (client := self.client) is not None:
            client.cancel()


def execute(session: Session, source: Path, target: Path, parameters: dict[str, Any], kernel: str) -> None:
    """Runs a notebook by papermill, in this thread, on an event loop of its own.

    Args:
        session: Takes what is found.
        source: The notebook.
        target: Where papermill saves the executed one, cell by cell.
        parameters: What it injects.
        kernel: Name of the kernel specification.

    Raises:
        ScenarioError: No cell could be run.
    """
    loop = ensure_event_loop()  # the one that nbclient's synchronous calls will use in this thread
    try:
        execute_notebook(
            _escaped(source),
            _escaped(target),
            parameters=parameters,
            engine_name=_ENGINE,
            kernel_name=kernel,
            language="python",
            progress_bar=False,
            session=session,
        )
    except PapermillExecutionError:
        pass  # the session knows it already, and better
    except NoSuchKernel:
        raise ScenarioError(
            f"{session.name} asks for the kernel '{kernel}', which is not installed",
            "set its kernel to python3, or install that one",
        ) from None
    except (RuntimeError, TimeoutError) as error:
        if session.notebook is not None and session.cells:
            raise
        raise ScenarioError(f"the kernel of {session.name} did not start: {error}", "run it in JupyterLab") from error
    finally:
        if session.notebook is not None:
            remove_error_markers(session.notebook)
        _close(loop)


class _Client(PapermillNotebookClient):
    """nbclient's client for one session."""

    def __init__(self, manager: NotebookExecutionManager, session: Session, **options: Any) -> None:
        super().__init__(manager, **options)  # type: ignore[no-untyped-call]
        self.session = session
        self._loop = ensure_event_loop()
        self._deadline = 0.0
        self.timeout_func: Any = lambda _cell: max(0.001, self._deadline - time.monotonic())

    def execute(self, **options: Any) -> Any:
        """Starts the kernel, runs the cells, looks for leaks, tears down; the kernel is gone on return."""
        self.reset_execution_trackers()
        with self.setup_kernel(**options):
            self.session.client = self
            try:
                assert self.kc is not None
                if info := self.wait_for_reply(self.kc.kernel_info()):
                    self.nb.metadata["language_info"] = info["content"]["language_info"]
                before = self._ask("snapshot")
                try:
                    self.papermill_execute_cells()
                    if self.session.failure is None and not self.session.cancelled:
                        after = self._ask("snapshot", [ident for ident, _ in before["threads"]])
                        self.session.leaks = _difference(before, after)
                finally:
                    self._tear_down([pid for pid, _ in before["children"]])
                    self.set_widgets_metadata()
            finally:
                self.session.client = None
        return self.nb

    def papermill_execute_cells(self) -> None:
        """Runs cell after cell up to the first that fails."""
        session = self.session
        self._deadline = time.monotonic() + session.timeout
        total = sum(map(_is_code, self.nb.cells))
        for index, cell in enumerate(self.nb.cells):
            if not _is_code(cell):
                continue
            number = len(session.cells) + 1
            stopped = session.failure is not None or session.cancelled
            if stopped or self.skip_cells_with_tag in cell.metadata.get("tags", ()):
                session.cells.append(CellResult(number, cell.source, "pending" if stopped else "skipped"))
                continue
            if session.progress is not None:
                session.progress(number, total)
            self._run(cell, index, number)

    def _run(self, cell: Any, index: int, number: int) -> None:
        session = self.session
        started = time.monotonic()
        self.nb_man.cell_start(cell, index)
        try:
            self.execute_cell(cell, index)
        except CellExecutionError as error:
            session.failure = self._failure(cell, error)
        except CellTimeoutError:
            session.failure = Failure("timeout", traceback=_shown(cell))
        except DeadKernelError:
            if not session.cancelled:
                session.failure = Failure("died", value=self._exit_status(), traceback=_shown(cell))
        seconds = time.monotonic() - started
        failure = session.failure
        if failure is not None or session.cancelled:
            self.nb_man.cell_exception(cell, cell_index=index)
        self.nb_man.cell_complete(cell, cell_index=index)
        failed = session.cancelled or (failure is not None and failure.kind != "exit")
        shown = failure.traceback if failure is not None else ()
        session.cells.append(CellResult(number, cell.source, "failed" if failed else "passed", seconds, shown))

    def cancel(self) -> None:
        """Gives up on the running cell; from any thread."""

        def give_up() -> None:
            if self.task_poll_for_reply is not None:
                self.task_poll_for_reply.cancel()

        with contextlib.suppress(RuntimeError):  # the loop has just closed: there is nothing left to cancel
            self._loop.call_soon_threadsafe(give_up)

    def _failure(self, cell: Any, error: CellExecutionError) -> Failure:
        shown = _shown(cell)
        if error.ename == _TIMED_OUT:
            return Failure("timeout", traceback=shown)
        if error.ename == "SystemExit" and error.evalue in {"", "0"}:
            return Failure("exit", error.ename, error.evalue, shown)
        return Failure("raised", error.ename, _COLOURS.sub("", error.evalue), shown)

    def _exit_status(self) -> str:
        provisioner = getattr(self.km, "provisioner", None)
        status = run_sync(provisioner.poll)() if provisioner is not None else None
        return "" if status is None else str(status)

    def _tear_down(self, known_children: list[int]) -> None:
        """Stops what the notebook left; a kernel that does not answer is killed with all that is in it."""
        if self.session.cancelled:
            run_sync(self._interrupt)()
        try:
            for problem in self._ask("tear_down", known_children):
                _log.warning("%s: %s", self.session.name, problem)
        except (TimeoutError, DeadKernelError, ScenarioError) as error:
            _log.warning("%s was not torn down: %s", self.session.name, error)

    async def _interrupt(self) -> None:
        if self.km is not None and await ensure_async(self.km.is_alive()):
            await ensure_async(self.km.interrupt_kernel())

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Calls a function of `probe` in the kernel, outside of the user's namespace and history."""
        return run_sync(self._async_ask)(_CALL.format(source=_SOURCE, function=function, arguments=arguments))

    async def _async_ask(self, expression: str) -> Any:
        deadline = time.monotonic() + PROBE
        while True:
            content = await self._reply_to(expression, deadline)
            if content["status"] != "aborted":  # a kernel drops what it has queued when a cell fails
                break
        answer = content["user_expressions"]["answer"]
        if answer["status"] != "ok":
            raise ScenarioError(
                f"the kernel of {self.session.name} could not be looked into: {answer['ename']}: {answer['evalue']}",
                "use a Python kernel with psutil, such as python3",
            )
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    async def _reply_to(self, expression: str, deadline: float) -> dict[str, Any]:
        assert self.kc is not None
        own = await ensure_async(
            self.kc.execute(
                "", silent=True, store_history=False, user_expressions={"answer": expression}, stop_on_error=False
            )
        )
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the kernel did not answer within {PROBE:.0f} s")
            try:
                message = await ensure_async(self.kc.shell_channel.get_msg(timeout=min(1.0, left)))
            except Empty:
                await self._async_check_alive()
                continue
            if message["parent_header"].get("msg_id") == own:
                content: dict[str, Any] = message["content"]
                return content


class _ScenarioEngine(Engine):
    """What papermill calls."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> None:
        """Papermill's hook: runs the managed notebook of ``options["session"]``."""
        session: Session = options["session"]
        session.notebook = nb_man.nb
        client = _Client(
            nb_man,
            session,
            kernel_name=kernel_name,
            startup_timeout=60,
            iopub_timeout=IDLE,
            interrupt_on_timeout=True,  # so that the cell shows where it hung
            error_on_timeout={"ename": _TIMED_OUT, "evalue": "", "traceback": []},
            shutdown_kernel="immediate",  # the tear-down was the graceful part; the kernel's own may take seconds
            log=_log,
        )
        client.execute(env=session.environment, cwd=str(session.folder), stdout=session.output, stderr=session.output)


papermill_engines.register(_ENGINE, _ScenarioEngine)

_SOURCE = inspect.getsource(probe)
_CALL = (
    "(lambda ns: (exec({source!r}, ns), __import__('json').dumps(ns[{function!r}](*{arguments!r})))[1])"
    "({{'__name__': 'nbagora_probe'}})"
)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what nbclient leaves on the loop, a watch on a cell that was given up for one, and the loop."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


def _escaped(path: Path) -> str:
    """A path that papermill, which takes paths for format strings, reads as itself."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _is_code(cell: Any) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def _shown(cell: Any) -> tuple[str, ...]:
    """The last error that a cell displays, line by line, without colours."""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    text = "\n".join(errors[-1].traceback) if errors else ""
    return tuple(_COLOURS.sub("", text).splitlines())


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[str]]:
    """What is in the second snapshot alone, by kind, in words."""
    threads = {ident for ident, _ in before["threads"]}
    children = {pid for pid, _ in before["children"]}
    return {
        "lab": [url for url in after["labs"] if url not in before["labs"]],
        "thread": [name for ident, name in after["threads"] if ident not in threads],
        "listening socket": [socket for socket in after["sockets"] if socket not in before["sockets"]],
        "process": [f"{name} (pid {pid})" for pid, name in after["children"] if pid not in children],
    }
