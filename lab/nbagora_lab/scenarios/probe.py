"""What runs inside the kernel of a scenario: what is there that could leak, and the end of it.

The runner sends this module's source to the kernel, so it stands alone: the standard library, and psutil, which
ipykernel brings. It imports nothing of nbagora; a kernel that never imported the lab has none.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Any

__all__ = ["snapshot", "tear_down"]

_POOLS = ("concurrent.futures.thread", "anyio._backends._asyncio")  # idle workers that their pool keeps for later
_TOOLS = ("ipykernel", "IPython", "zmq", "tqdm", "debugpy", "pydevd")  # the front end's own helpers
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")  # processes that Python keeps


def snapshot(known_threads: list[int] | None = None, grace: float = 1.0) -> dict[str, Any]:
    """What runs in this kernel now.

    Args:
        known_threads: Identifiers of threads that were there before; others get `grace` to end.
        grace: Seconds, for all of them together.

    Returns:
        `labs` (URLs), `threads` ([identifier, name]), `sockets` (``host:port`` that listen), `children` ([pid, name]).
    """
    deadline = time.monotonic() + grace
    if known_threads is not None:
        for thread in _threads():
            if thread.ident not in known_threads:
                thread.join(max(0.0, deadline - time.monotonic()))
    return {
        "labs": [str(lab.url) for lab in _labs()],
        "threads": [[thread.ident, thread.name] for thread in _threads()],
        "sockets": _sockets(),
        "children": [[child.pid, name] for child, name in _children()],
    }


def tear_down(known_children: list[int]) -> list[str]:
    """Stops every lab, then ends the child processes that are not known.

    Returns:
        What went wrong on the way, a line each.
    """
    import psutil

    problems = []
    for lab in reversed(_labs()):
        try:
            lab.stop()
        except Exception as error:  # noqa: BLE001 -- the next lab must be stopped whatever this one did
            problems.append(f"stopping the lab {lab.url}: {type(error).__name__}: {error}")
    children = [child for child, _ in _children() if child.pid not in known_children]
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=1)[1]:
        with contextlib.suppress(psutil.Error):
            child.kill()
    return problems


def _labs() -> list[Any]:
    module = sys.modules.get("nbagora_lab.lab")
    return list(module.Lab.running_labs()) if module is not None else []


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread() and _counts(thread)]


def _counts(thread: threading.Thread) -> bool:
    """Whether somebody must end it: not a pool's idle worker, nor a daemon that a library keeps for the process."""
    home = _home(thread)
    if thread.name.startswith("nbagora"):
        return True
    return not home.startswith((*_POOLS, *_TOOLS)) and (not thread.daemon or home == "__main__")


def _home(thread: threading.Thread) -> str:
    """The module of what a thread runs."""
    target = getattr(thread, "_target", None)
    return str(getattr(target, "__module__", None) or type(thread).__module__)


def _sockets() -> list[str]:
    import psutil

    process = psutil.Process()
    connections = getattr(process, "net_connections", None) or process.connections  # the name before psutil 6
    found = (entry for entry in connections("inet") if entry.status == psutil.CONN_LISTEN)
    return sorted(
        f"[{entry.laddr.ip}]:{entry.laddr.port}" if ":" in entry.laddr.ip else f"{entry.laddr.ip}:{entry.laddr.port}"
        for entry in found
    )


def _children() -> list[tuple[Any, str]]:
    import psutil

    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            words = child.cmdline()
            alive = child.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:  # it has just ended
            continue
        if alive and not any(helper in word for word in words for helper in _HELPERS):
            found.append((child, " ".join(words)[:80]))
    return found
