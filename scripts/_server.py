"""A server's processes: started apart from this one, found again by a file of state, and ended by process id.

`Server` is what that file holds. A process counts as ours while its command line names the server's folder, so a number
that the system gave to another program since is left alone.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from _setup import Failed

__all__ = ["LOOPBACK", "Part", "Server", "free_ports", "locked", "secret_file"]

LOOPBACK = "127.0.0.1"
LOG_TAIL = 15
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Those that this very process started: they must be waited for once they have ended."""


@dataclass
class Part:
    """One process of a server.

    Attributes:
        name: What it is.
        command: What starts it.
        ports: TCP ports that it listens on once it works.
        pid: Its process id; 0 where it was never started.
    """

    name: str
    command: list[str]
    ports: list[int]
    pid: int = 0


@dataclass
class Server:
    """A server, or a cluster of them.

    Attributes:
        engine: ``rocketmq`` or ``nacos``.
        version: Its version.
        folder: What belongs to it: configuration, data, logs and the file of state.
        endpoints: What a client needs: addresses, and credentials where there are any.
        settings: The same as settings of a lab, by their names.
        notes: What a person should know, such as the ports that listen beyond loopback.
        parts: Its processes, in the order of starting.
    """

    engine: str
    version: str
    folder: Path
    endpoints: dict[str, Any]
    settings: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Server | None:
        """The server that a folder holds the state of; None where there is none."""
        try:
            held = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        parts = [Part(**part) for part in held.pop("parts")]
        return cls(**{**held, "folder": folder, "parts": parts})

    def save(self) -> None:
        """Writes the file of state, readable by its owner alone."""
        secret_file(self.folder / "state.json", json.dumps({**asdict(self), "folder": str(self.folder)}, indent=1))

    def part(self, name: str) -> Part:
        """A process by its name."""
        return next(part for part in self.parts if part.name == name)

    def spawn(self, part: Part) -> None:
        """Starts a process, which stays when this one ends."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        for port in part.ports:
            if _listens(port):
                raise Failed(f"port {port}, which {part.name} needs, is taken by another program")
        with self.log(part).open("ab") as out:
            child = subprocess.Popen(
                part.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _CHILDREN[child.pid] = child
        part.pid = child.pid
        self.save()

    def log(self, part: Part) -> Path:
        """Where a process's output goes."""
        return self.folder / "logs" / f"{part.name}.out"

    def running(self, part: Part) -> bool:
        """Whether a process lives and is the one that was started here."""
        if child := _CHILDREN.get(part.pid):
            return child.poll() is None
        return part.pid > 0 and str(self.folder) in _command_of(part.pid)

    def ready(self, part: Part, answers: Callable[[], bool] = lambda: True, *, within: float = 120) -> None:
        """Waits until a process listens on its ports itself and `answers`.

        Raises:
            Failed: It ended, or time ran out; carries the end of its output.
        """
        until = time.monotonic() + within
        while True:
            if not self.running(part):
                raise Failed(f"{self._tail(part)}\n{part.name} ended while it started")
            if all(_owned(port, part.pid) for port in part.ports):
                try:
                    if answers():
                        return
                except OSError:
                    pass
            if time.monotonic() > until:
                raise Failed(f"{self._tail(part)}\n{part.name} wasn't ready within {within:.0f} s")
            time.sleep(0.1)

    def stop(self, *, grace: float = 60) -> None:
        """Ends all processes, the last started first: politely, and after `grace` seconds by force."""
        for part in reversed(self.parts):
            if not self.running(part):
                continue
            os.kill(part.pid, signal.SIGTERM if grace else signal.SIGKILL)
            until = time.monotonic() + grace
            while self.running(part):
                if grace and time.monotonic() > until:
                    os.kill(part.pid, signal.SIGKILL)
                    grace = 0
                time.sleep(0.05)
            _CHILDREN.pop(part.pid, None)

    def _tail(self, part: Part) -> str:
        try:
            lines = self.log(part).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(lines[-LOG_TAIL:])


def secret_file(path: Path, text: str) -> None:
    """Replaces a file by one that its owner alone can read; whoever reads meanwhile gets the old one or the new one."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def free_ports(*shifts: int) -> list[int]:
    """A free port and, for each shift, the one so far from it; all below those that the system hands out by itself."""
    while True:
        base = 12000 + secrets.randbelow(19000)
        ports = [base, *(base + shift for shift in shifts)]
        if not any(_listens(port) for port in ports):
            return ports


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder against another process that starts or ends servers in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def _command_of(pid: int) -> str:
    """A living process's command line; empty where there is none."""
    folder = Path("/proc") / str(pid)
    if Path("/proc/self").exists():
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            return "" if state == "Z" else (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            return ""
    done = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, encoding="utf-8", check=False)
    return done.stdout.strip()


def _owned(port: int, pid: int) -> bool:
    """Whether a process listens on a port. Without ``/proc``: whether anyone does."""
    if not Path("/proc/net/tcp").exists():
        return _listens(port)
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (Path("/proc/net") / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            column = line.split()
            if column[3] == "0A" and int(column[1].rpartition(":")[2], 16) == port:  # it listens
                inodes.add(f"socket:[{column[9]}]")
    try:
        held = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for link in held:
        try:
            if str(link.readlink()) in inodes:
                return True
        except OSError:
            continue
    return False
