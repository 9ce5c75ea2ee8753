"""Runs notebooks as scenarios: by papermill, each in a fresh kernel on a fresh store, always torn down.

A scenario fails when a cell raises, when cells did not run, when it is given a parameter that it does not declare, and
when it leaves a lab, a thread, a listening socket or a process behind. Its result says which; nothing is raised for it.

A run has a thread and an event loop of its own, so it may be started from any thread, with or without a running loop.
What it needs reaches the kernel by the kernel's own environment; this process's is left as it is.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbagora_lab.core.errors import LabError, NotFound, ScenarioError, UsageError, did_you_mean
from nbagora_lab.scenarios.model import (
    DEFAULT_CLOCK,
    DEFAULT_SEED,
    CellResult,
    ClockKind,
    ScenarioResult,
    error_lines,
)
from nbagora_lab.scenarios.normalise import SCRATCH
from nbagora_lab.scenarios.parameters import check_parameters, declared_parameters, format_value, parse_parameters
from nbagora_lab.scenarios.verdict import verdict

if TYPE_CHECKING:
    from nbagora_lab.scenarios.engine import Session

__all__ = ["Progress", "run_notebook", "run_notebooks"]

Progress = Callable[[str, int, int], None]
"""Called on the run's own thread before each code cell: the notebook's name, the cell's number, how many there are."""

_SERVERS = ("NBAGORA_ROCKETMQ", "NBAGORA_NACOS")
"""Variables that say where servers are; of what else the environment sets of a lab, a scenario sees nothing."""
_SHUTDOWN = 60.0  # seconds that a cancelled run has to end before it is left to its daemon thread


def run_notebook(
    path: Path | str,
    *,
    parameters: Mapping[str, Any] | Iterable[tuple[str, str]] = (),
    out: Path | str,
    seed: int | None = None,
    clock: ClockKind = DEFAULT_CLOCK,
    timeout: float = 600.0,
    progress: Progress | None = None,
) -> ScenarioResult:
    """Runs one notebook.

    The executed notebook is written to ``out/<name>.ipynb``, its trace to ``out/<name>.trace.jsonl``. The kernel works
    in the notebook's folder, gets a store, the seed and the clock by ``NBAGORA_STORE``, ``NBAGORA_SEED`` and
    ``NBAGORA_CLOCK``, and none of the other ``NBAGORA_`` variables that are set here, for they would change what runs.

    Args:
        path: The notebook.
        parameters: Values for its `parameters` cell: a mapping, or pairs of words as a command line gives them.
        out: Folder for what the run leaves; made if absent.
        seed: Seed of ids; by default that of the parameter `seed`, given or the notebook's own, else 1.
        clock: ``virtual`` stands still, so that two runs give one trace; ``system`` is the machine's.
        timeout: Seconds for all cells together.
        progress: Called before each cell.

    Raises:
        NotFound: No such notebook.
        UsageError: A parameter, an `out` or a `timeout` that does not fit.
    """
    path, out = Path(path), Path(out)
    values = parse_parameters(parameters)
    _check_paths([path], out)
    if timeout <= 0:
        raise UsageError(f"timeout={timeout} leaves no time", "give seconds above 0")
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    run = _Run(path, values, seed, clock)
    try:
        run.read()
        run.execute(out, timeout, progress)
    except LabError as error:
        run.error = run.error or error
    return run.result(time.monotonic() - started)


def run_notebooks(
    paths: Iterable[Path | str],
    *,
    parameters: Mapping[str, Any] | Iterable[tuple[str, str]] = (),
    out: Path | str,
    seed: int | None = None,
    clock: ClockKind = DEFAULT_CLOCK,
    timeout: float = 600.0,
    progress: Progress | None = None,
    done: Callable[[ScenarioResult], None] | None = None,
) -> list[ScenarioResult]:
    """Runs notebooks one after the other; see `run_notebook`.

    Args:
        paths: Notebooks, or folders for all notebooks in them.
        parameters: The same for each.
        out: The same for each.
        seed: The same for each.
        clock: The same for each.
        timeout: Seconds for each.
        progress: Called before each cell.
        done: Called after each notebook with its result.

    Raises:
        NotFound: No such notebook, or a folder without one; before any has run.
        UsageError: Two of one name, or what `run_notebook` refuses; before any has run.
    """
    notebooks = [notebook for path in paths for notebook in _notebooks(Path(path))]
    values = parse_parameters(parameters)
    _check_paths(notebooks, Path(out))
    results = []
    for notebook in notebooks:
        result = run_notebook(
            notebook, parameters=values, out=out, seed=seed, clock=clock, timeout=timeout, progress=progress
        )
        results.append(result)
        if done is not None:
            done(result)
    return results


@dataclass(slots=True)
class _Run:
    """One run in the making."""

    path: Path
    parameters: dict[str, Any]
    given_seed: int | None
    clock: ClockKind
    seed: int = DEFAULT_SEED
    kernel: str = "python3"
    error: LabError | None = None
    cells: tuple[CellResult, ...] = ()
    notebook: Path | None = None
    trace: Path | None = None

    def read(self) -> None:
        """Reads what the notebook declares, and settles the seed."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            declared = declared_parameters(content["cells"])
            self.kernel = content.get("metadata", {}).get("kernelspec", {}).get("name") or self.kernel
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ScenarioError(
                f"{self.path} is no notebook: {type(error).__name__}: {error}",
                "open it in JupyterLab and save it again",
            ) from None
        own = self.parameters.get("seed", (declared or {}).get("seed"))
        if self.given_seed is not None:
            self.seed = self.given_seed
        elif isinstance(own, int) and not isinstance(own, bool):
            self.seed = own
        check_parameters(self.path, declared, self.parameters)

    def execute(self, out: Path, timeout: float, progress: Progress | None) -> None:
        """Runs the cells on a store of their own, then writes the notebook and the trace."""
        from nbagora_lab.broker.stored import forget_shared
        from nbagora_lab.core.clock import SystemClock
        from nbagora_lab.registry.stored import forget_shared_registry
        from nbagora_lab.scenarios import engine
        from nbagora_lab.scenarios.trace import write_trace

        target = (out / self.path.name).absolute()
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH))
        try:
            with (scratch / "kernel.log").open("w+b") as kernel_log:
                session = engine.Session(
                    name=self.path.stem,
                    folder=self.path.absolute().parent,
                    environment=self._environment(scratch / "store"),
                    output=kernel_log,
                    timeout=timeout,
                    progress=None if progress is None else _named(progress, self.path.stem),
                )
                try:
                    _in_own_thread(
                        session,
                        lambda: engine.execute(session, self.path.absolute(), target, self.parameters, self.kernel),
                    )
                    self.error = verdict(session)
                finally:
                    self.cells = tuple(session.cells)
                    if session.notebook is not None:
                        self._write_notebook(session, target)
                        self.notebook = out / target.name
            traced = out / f"{self.path.stem}.trace.jsonl"
            write_trace(
                traced,
                scratch / "store",
                notebook=self.path.stem,
                parameters=self.parameters,
                seed=self.seed,
                clock=self.clock,
            )
            self.trace = traced
        finally:
            forget_shared(scratch / "store", SystemClock())
            forget_shared_registry(scratch / "store")
            shutil.rmtree(scratch, ignore_errors=True)

    def result(self, seconds: float) -> ScenarioResult:
        """What the run was."""
        return ScenarioResult(
            source=self.path,
            parameters=self.parameters,
            seed=self.seed,
            clock=self.clock,
            error=self.error,
            cells=self.cells,
            seconds=seconds,
            notebook=self.notebook,
            trace=self.trace,
            reproduce=self._reproduce(),
        )

    def _environment(self, store: Path) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("NBAGORA_") or name.startswith(_SERVERS)
        }
        return inherited | {
            "NBAGORA_STORE": str(store),
            "NBAGORA_SEED": str(self.seed),
            "NBAGORA_CLOCK": self.clock,
            "PYTHONHASHSEED": str(self.seed % (1 << 32)),  # the order of sets of strings is part of what a seed fixes
        }

    def _reproduce(self) -> str:
        words = ["nbagora", "run", str(self.path)]
        for name, value in self.parameters.items():
            words += ["-p", name, format_value(value)]
        if self.given_seed is not None:
            words += ["--seed", str(self.given_seed)]
        if self.clock != DEFAULT_CLOCK:
            words += ["--clock", self.clock]
        return shlex.join(words)

    def _write_notebook(self, session: Session, target: Path) -> None:
        """The executed notebook, with the state of each cell as it was and, above a failed one, why."""
        import nbformat

        book = session.notebook
        states = {"passed": "completed"}
        code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
        for cell, result in zip(code, session.cells, strict=False):
            cell.metadata.papermill["status"] = states.get(result.status, result.status)
            cell.metadata.papermill["exception"] = result.status == "failed"
        for cell in code[len(session.cells) :]:
            cell.metadata.papermill["status"] = "pending"
        book.metadata.papermill["exception"] = self.error is not None
        book.metadata.papermill["input_path"] = self.path.name
        book.metadata.papermill["output_path"] = target.name
        if self.error is not None:
            what, hint = error_lines(self.error)
            note = nbformat.v4.new_markdown_cell(
                f"**{what}**\n\n{hint}\n\n`{self._reproduce()}`",
                metadata={"tags": ["papermill-error-cell-tag"]},  # papermill drops such cells when it runs this again
            )
            failed = next((code[cell.number - 1] for cell in session.cells if cell.status == "failed"), None)
            book.cells.insert(next((i for i, cell in enumerate(book.cells) if cell is failed), 0), note)
        nbformat.write(book, target)


def _in_own_thread(session: Session, work: Callable[[], None]) -> None:
    """Runs `work` on a thread of its own, so that it can have an event loop of its own; Ctrl-C here ends it there."""
    raised: list[BaseException] = []
    ended = threading.Event()

    def body() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 -- carried to the caller
            raised.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=body, name=f"nbagora scenario {session.name}", daemon=True)
    thread.start()
    try:
        while not ended.wait(0.5):  # in slices, so that Ctrl-C is heard on every platform
            pass
    except BaseException:
        session.cancel()
        ended.wait(_SHUTDOWN)
        raise
    thread.join()
    if raised:
        raise raised[0]


def _named(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda number, total: progress(name, number, total)


def _notebooks(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.ipynb"))
    if not found:
        raise NotFound(f"{path} has no notebooks", "name a notebook, or a folder that has some")
    return found


def _check_paths(paths: list[Path], out: Path) -> None:
    names: dict[str, Path] = {}
    for path in paths:
        if not path.is_file():
            near = path.parent.glob("*.ipynb") if path.parent.is_dir() else ()
            raise NotFound(f"no notebook {path}", did_you_mean(path.name, [one.name for one in near]))
        if path.absolute().parent == out.absolute():
            raise UsageError(f"the run of {path} would write over it", "give another folder for what it leaves (--out)")
        if (other := names.setdefault(path.stem, path)) is not path:
            raise UsageError(f"{other} and {path} would both leave {path.stem}.ipynb", "run them with an --out each")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", "give a folder for what the run leaves (--out)")
