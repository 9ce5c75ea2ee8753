"""The project's own virtual environment, made with the standard library alone.

`environment` makes `.venv` what `pyproject.toml` asks for and does nothing where a stamp says that it is so already.
What it did is told one line a step; a tool's output is shown only when it failed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

__all__ = [
    "ROOT",
    "VENV",
    "Failed",
    "attend",
    "become",
    "command",
    "digest",
    "environment",
    "run",
    "say",
    "step",
    "tool",
]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "nbagora.json"
TAIL = 40
"""Lines of a failed tool's output that are shown."""

Arg = str | Path


class Failed(Exception):
    """A step that can't go on; its text is what the user reads."""


def say(line: str = "", *, end: str = "\n") -> None:
    """Prints a line at once, also into a pipe."""
    print(line, end=end, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Tells what is being done and, once it is done, how long it took."""
    say(f"{what} ... ", end="")
    began = time.perf_counter()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.perf_counter() - began:.1f} s")


def run(args: Iterable[Arg], *, env: Mapping[str, str] | None = None) -> str:
    """Runs a tool quietly in the project's folder.

    Returns:
        What it printed.

    Raises:
        Failed: It ended with an error; carries the end of its output.
    """
    command = [str(arg) for arg in args]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise Failed(f"can't run {command[0]}: {error}") from None
    if done.returncode:
        tail = "\n".join(deque(done.stdout.splitlines(), TAIL))
        raise Failed(f"{tail}\n`{' '.join(command)}` ended with {done.returncode}")
    return done.stdout


def become(args: Iterable[Arg], *, env: Mapping[str, str] | None = None) -> NoReturn:
    """Goes on as another program, which then gets the terminal and every signal itself."""
    command = [str(arg) for arg in args]
    full = {**os.environ, **(env or {})}
    sys.stdout.flush()
    os.chdir(ROOT)
    if os.name != "nt":
        os.execve(command[0], command, full)
    with subprocess.Popen(command, env=full) as child:  # exec there returns to the shell at once
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the console sends it to the child as well
        sys.exit(child.wait())


def attend(args: Iterable[Arg], *, env: Mapping[str, str] | None = None) -> int:
    """Runs a program in the project's folder in full view, and stays until it has cleaned up, also when interrupted.

    Returns:
        Its exit status.
    """
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        command = [str(arg) for arg in args]
        with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL) as child:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the terminal has sent it to the child as well
                child.wait()
                raise
            except SystemExit:
                child.terminate()
                child.wait()
                raise
    finally:
        signal.signal(signal.SIGTERM, before)


def command(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Makes a script's main end in a line instead of a traceback."""

    @functools.wraps(main)
    def told(args: list[str]) -> int:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a console that knows no Chinese
        try:
            return main(args)
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130

    return told


def tool(name: str) -> Path:
    """Where the environment keeps a program."""
    return VENV / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name)


def digest(paths: Iterable[Path]) -> str:
    """A hash over the names and contents of files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(str(path.relative_to(ROOT)).encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def environment(*extras: str) -> None:
    """Makes `.venv` hold nbagora, editable, with all it needs.

    Args:
        extras: Names of the optional dependencies that are needed beside; those that it holds already stay.

    Raises:
        Failed: Python lacks `venv`, or an install ended with an error.
    """
    stamp = _stamp()
    version = _version()
    project = _project()
    if (
        version
        and version == stamp.get("python")
        and stamp.get("root") == str(ROOT)
        and stamp.get("project") == project
        and set(extras) <= set(stamp.get("extras", ()))
    ):
        say(f"environment in {VENV.name} is up to date (Python {version})")
        return
    uv = shutil.which("uv")
    if not version or stamp.get("root", str(ROOT)) != str(ROOT):  # scripts in it name the folder it was made in
        with step(f"virtual environment in {VENV.name}"):
            _make(uv)
            version = _version()
    held = sorted({*extras, *stamp.get("extras", ())})
    with step(f"packages for {' and '.join(['nbagora', *held])}, by {'uv' if uv else 'pip'}"):
        _install(uv, f"{ROOT}[{','.join(held)}]" if held else str(ROOT))
    stamp = {"root": str(ROOT), "python": version, "project": project, "extras": held}
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")


def _stamp() -> dict[str, Any]:
    """What the last finished set-up left; empty where there was none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _project() -> str:
    """A hash of what `pyproject.toml` says about the installation, so that a tool's options don't count."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table = tomllib.load(file)
    parts = [table["build-system"], table["project"], table["tool"]["hatch"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _version() -> str:
    """The environment's Python as ``3.11``; empty where there is none that works and is new enough."""
    probe = "import sys; print('.'.join(map(str, sys.version_info[:2]))); sys.exit(sys.version_info < (3, 11))"
    try:
        return run([tool("python"), "-c", probe]).strip()
    except Failed:
        return ""


def _make(uv: str | None) -> None:
    if VENV.exists():
        if not (VENV / "pyvenv.cfg").exists():
            raise Failed(f"{VENV} is no virtual environment: move it away")
        shutil.rmtree(VENV)
    if uv:
        run([uv, "venv", "--python", sys.executable, VENV])
        return
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise Failed(_venv_hint())
    run([sys.executable, "-m", "venv", VENV])


def _venv_hint() -> str:
    """One line that mends a Python without `venv`."""
    if not Path("/etc/debian_version").exists():
        return "this Python has no venv module: install Python from https://www.python.org/downloads/, or uv"
    own = Path(sys.executable).resolve() == Path("/usr/bin/python3").resolve()
    package = "python3-venv" if own else f"python3.{sys.version_info.minor}-venv"
    return f"this Python has no venv module: {'' if os.geteuid() == 0 else 'sudo '}apt install {package}"


def _install(uv: str | None, project: str) -> None:
    if uv:
        run([uv, "pip", "install", "--python", tool("python"), "-e", project])
        return
    try:
        run([tool("python"), "-m", "pip", "--version"])
    except Failed:  # made by uv, which puts no pip in
        run([tool("python"), "-m", "ensurepip"])
    options = ["--no-input", "--disable-pip-version-check", "--no-compile"]  # most of it is never imported
    run([tool("python"), "-m", "pip", "install", *options, "-e", project])
