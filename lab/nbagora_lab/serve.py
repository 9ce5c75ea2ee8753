"""`nbagora serve`: a lab in a process of its own, until Ctrl-C, SIGTERM, or the end of its standard input."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.settings import Settings
from nbagora_lab.keys import read_lab
from nbagora_lab.lab import Lab

__all__ = ["serve"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LOADED = 2.0
"""Seconds after which all that is imported is there; from then on the garbage collector passes over it. Each full pass
stopped every call for 60 to 190 ms. Only a process of the lab's own does so: a kernel's heap is its user's."""


def serve(
    load: Callable[[Lab], object],
    *,
    root: str | None = None,
    root_protocol: str = "1.0",
    as_json: bool = False,
    say: Callable[[str], object] = print,
    **settings: Any,
) -> int:
    """Runs a lab until it is told to end.

    When it is ready it says one line: where it is and whom it hosts; or with `as_json` the content of ``lab.json``.
    A process that starts it with a pipe as its standard input takes it along when it dies.

    Args:
        load: Defines the agents on the lab.
        root: Name of the agent that is also at ``/``.
        root_protocol: As for `Lab.put_at_root`.
        as_json: What to say when ready.
        say: Takes what is said.
        settings: As for `Lab`.

    Returns:
        The process's exit status, 0.

    Raises:
        UsageError: No token on an address that others reach.
        AgentNotFound: No agent is called `root`.
    """
    host = Settings.load(**settings).host
    if settings.get("token") == "" and host not in _LOOPBACK:
        raise UsageError(f"no token on {host}, which others reach", "leave out --token '', or listen on 127.0.0.1")
    ending = threading.Event()
    with Lab.start(**settings) as lab, _until(ending):
        load(lab)
        for line in lab.log():  # what was left out, or replaced
            if line.level in {"WARNING", "ERROR"}:
                sys.stderr.write(f"{line.level.lower()}: {line.message}\n")
        if root is not None:
            lab.put_at_root(root, protocol=root_protocol)
        names = ", ".join(info.name for info in lab.agents()) or "no agents"
        open_doors = "; no token: whoever is on this machine may call" if not lab.token else ""
        say(json.dumps(read_lab(lab.store)) if as_json else f"{lab.url} hosts {names}; Ctrl-C ends it{open_doors}")
        sys.stdout.flush()
        if not ending.wait(_LOADED):
            gc.collect()
            gc.freeze()
            ending.wait()
    return 0


@contextlib.contextmanager
def _until(ending: threading.Event) -> Iterator[None]:
    """Sets `ending` on SIGINT, on SIGTERM, and when a piped standard input ends."""

    def end(*_: object) -> None:
        ending.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    if _stdin_is_pipe():
        threading.Thread(target=_read_to_end, args=(end,), name="nbagora-stdin", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stdin_is_pipe() -> bool:
    try:
        mode = os.fstat(0).st_mode
    except OSError:  # closed: a service manager's, which ends us by a signal
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read_to_end(end: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 65536):
            pass
    end()
