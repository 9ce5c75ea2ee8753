"""A TCP proxy on loopback that cuts connections: it lets so many bytes of an answer through, and then resets both ends.

with CuttingProxy(port) as proxy:
    proxy.cuts.append(700)            # the next connection; without an entry a connection is left alone
    httpx.get(f"http://127.0.0.1:{proxy.port}/…")
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections import deque
from typing import Self

__all__ = ["CuttingProxy"]

_BLOCK = 65536


class _Pipe:
    """One connection through the proxy."""

    def __init__(self, near: socket.socket, far: socket.socket, budget: int | None) -> None:
        self.near, self.far, self.budget = near, far, budget


class CuttingProxy:
    """Forwards to a port on loopback.

    Args:
        target: The port.

    Attributes:
        port: Where it listens.
        cuts: For each connection to come, the number of answered bytes after which it is reset; None for never.
        made: Number of connections that were cut.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.cuts: deque[int | None] = deque()
        self.made = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="cutting-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._wake.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj.fileno() >= 0:  # type: ignore[union-attr]  # closed by its other half just now
                    self._forward(key.fileobj, key.data)  # type: ignore[arg-type]

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:  # nobody is there: the caller sees its connection end
            near.close()
            return
        near.settimeout(10)
        far.settimeout(10)
        pipe = _Pipe(near, far, self.cuts.popleft() if self.cuts else None)
        self._selector.register(near, selectors.EVENT_READ, pipe)
        self._selector.register(far, selectors.EVENT_READ, pipe)

    def _forward(self, source: socket.socket, pipe: _Pipe) -> None:
        try:
            block = source.recv(_BLOCK)
            if source is pipe.near:
                if block:
                    pipe.far.sendall(block)
            else:
                allowed = block if pipe.budget is None else block[: pipe.budget]
                pipe.near.sendall(allowed)
                if pipe.budget is not None:
                    pipe.budget -= len(allowed)
                    if pipe.budget == 0:
                        self.made += 1
                        self._close(pipe, reset=True)
                        return
        except OSError:
            block = b""
        if not block:
            self._close(pipe, reset=False)

    def _close(self, pipe: _Pipe, *, reset: bool) -> None:
        for end in (pipe.near, pipe.far):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            if reset:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
