"""Runs JupyterLab, and leaves for good once it has ended.

Its server can leave a worker thread of anyio's behind that waits for work forever, and the interpreter, at its end,
waits for that thread: Ctrl-C then says that it shuts down, and nothing more happens (jupyter_server 2.21, anyio 4.16).
"""

from __future__ import annotations

import atexit
import os
import sys

__all__ = ["main"]


def main() -> int:
    """Runs JupyterLab with the command line's options; returns its exit status."""
    from jupyterlab.labapp import main as lab  # type: ignore[import-untyped]

    try:
        lab()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:  # before it had begun
        return 130
    return 0


if __name__ == "__main__":
    status = main()
    atexit._run_exitfuncs()  # noqa: SLF001 -- all that the interpreter's end does beside waiting for threads
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
