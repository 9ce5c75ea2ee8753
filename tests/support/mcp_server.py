"""An MCP server over HTTP, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["serving"]


@contextmanager
def serving(program: Path) -> Iterator[str]:
    """Runs a program that serves on the port that it is given; its URL, once it listens on a free one."""
    server = subprocess.Popen([sys.executable, program, "0"], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    said, found = [], None
    for line in server.stderr:
        said.append(line)
        if found := re.search(r"Uvicorn running on (http://\S+)", line):
            break
    drain = threading.Thread(target=server.stderr.read)  # a full pipe would hold it up
    drain.start()
    try:
        assert found, "".join(said)
        yield f"{found[1]}/mcp"
    finally:
        server.kill()
        server.wait()
        drain.join()
        server.stderr.close()
