"""Python programs that a benchmark starts beside itself: they say a line of JSON, and end when their input does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import psutil

__all__ = ["Program"]


class Program:
    """A program of this folder in a process of its own.

    Args:
        name: Its file's stem.
        arguments: What it is given.

    Attributes:
        said: The JSON that it said once it was ready.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        path = Path(__file__).with_name(f"{name}.py")
        self._process = subprocess.Popen(
            [sys.executable, str(path), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self.said: dict[str, Any] = self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._process.args!r} ended with {self._process.wait()} before it said anything"
        said: dict[str, Any] = json.loads(line)
        return said

    def ask(self, *words: object) -> dict[str, Any]:
        """Has it do something, for one that reads lines; returns what it then says."""
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        return self._line()

    def cpu(self) -> float:
        """Seconds of CPU time that it has used so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Resident bytes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def finish(self) -> dict[str, Any]:
        """Ends its input, and reads the last thing that it says."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        said = self._line()
        assert self._process.wait(60) == 0
        return said

    def kill(self) -> None:
        """Ends it as kill -9 does."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
