"""What a test may leave behind: nothing. Threads, listening sockets, child processes and open files, before and after.

All but threads is read from ``/proc`` and so only looked at on Linux. A look costs well under a millisecond; the
patience with things that are still ending is spent only where something is left.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LOOP", "Held", "held", "leaked"]

OURS = ("nbagora", "AnyIO")
"""Names of daemon threads that count begin so; other libraries keep daemon threads of their own for the process."""
LOOP = "nbagora-agents"
"""Name of a running lab's loop for agents."""
KEPT = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helpers of the standard library that stay for as long as the process."""
PATIENCE = 15.0
"""Seconds that something may take to end by itself."""
LISTENING = "0A"


@dataclass(frozen=True)
class Held:
    """What the process holds at one moment.

    Attributes:
        threads: Those alive that count.
        sockets: Inodes of its sockets, of any state.
        children: Process ids.
        files: Paths of open files below the tests' temporary folder.
    """

    threads: frozenset[threading.Thread]
    sockets: frozenset[str]
    children: frozenset[int]
    files: frozenset[str]


def held(folder: Path) -> Held:
    """What the process holds now; files count below `folder`."""
    alive = threading.enumerate()
    pooled = any(thread.name == LOOP for thread in alive)  # a lab that runs keeps its idle workers, and may add some
    ours = OURS[:1] if pooled else OURS
    threads = frozenset(thread for thread in alive if not thread.daemon or thread.name.startswith(ours))
    if not sys.platform.startswith("linux"):
        return Held(threads, frozenset(), frozenset(), frozenset())
    targets = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            targets.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:  # closed since it was listed: the listing itself, for one
            continue
    return Held(
        threads,
        frozenset(target[8:-1] for target in targets if target.startswith("socket:[")),
        frozenset(_children()),
        frozenset(target for target in targets if target.startswith(f"{folder}{os.sep}")),
    )


def leaked(before: Held, folder: Path, *, patience: float = PATIENCE) -> list[str]:
    """What is held now and was not before, each with what helps to find its maker.

    Args:
        before: What was held then.
        folder: The tests' temporary folder.
        patience: Seconds to let things end by themselves.
    """
    if not _problems(before, held(folder)):
        return []
    gc.collect()  # what only a cycle keeps is not leaked
    deadline = time.monotonic() + patience
    while problems := _problems(before, held(folder)):
        if time.monotonic() > deadline:
            return problems
        time.sleep(0.02)
    return []


def _problems(before: Held, after: Held) -> list[str]:
    problems = [
        f"thread {thread.name!r}{_stack(thread)}"
        for thread in sorted(after.threads - before.threads, key=lambda thread: thread.name)
        if thread.is_alive()
    ]
    problems += [f"listening socket {address}" for address in _listening(after.sockets - before.sockets)]
    problems += [
        f"child process {process}: {command}"
        for process in sorted(after.children - before.children)
        if (command := _command(process)) and not any(name in command for name in KEPT)
    ]
    problems += [f"open file {path}" for path in sorted(after.files - before.files)]
    return problems


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(["\n", *traceback.format_stack(frame, 8)]).rstrip() if frame else ""


def _listening(inodes: frozenset[str]) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6") if inodes else ():
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                found.append(f"on port {int(fields[1].rpartition(':')[2], 16)}")
    return sorted(found)


def _children() -> list[int]:
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        try:
            found += map(int, Path(f"/proc/self/task/{task}/children").read_text().split())
        except OSError:  # a thread that has ended since
            continue
    return found


def _command(process: int) -> str:
    """A process's command line, or its name while it has none; empty for one that only waits to be collected."""
    folder = Path("/proc") / str(process)
    try:
        name, _, state = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
    return "" if state.split()[0] in {"Z", "X"} else line or name
