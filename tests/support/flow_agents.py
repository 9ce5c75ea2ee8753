"""Agents with flows whose members tell a test that they were asked, and go on when it says so; for labs to be killed.

Where the test listens stands in the file ``port`` beside the store.
"""

from __future__ import annotations

import socket
import threading
from queue import Queue
from typing import Any, Self

from nbagora_lab.flows import ask, chain, discuss, parallel, repeatable
from nbagora_lab.lab import Lab

__all__ = ["Told", "define_agents"]


class Told:
    """Hears what members were asked, each of which waits until it is let go.

    Attributes:
        names: The members, in the order in which they were asked.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._waiting: Queue[tuple[str, socket.socket]] = Queue()
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            self._waiting.put((connection.recv(100).decode(), connection))

    def wait(self, timeout: float = 30.0) -> tuple[str, socket.socket]:
        """The next member that is asked."""
        name, connection = self._waiting.get(timeout=timeout)
        self.names.append(name)
        return name, connection

    def let(self, name: str) -> None:
        """Waits for a member, and lets it go on."""
        told, connection = self.wait()
        assert told == name
        connection.sendall(b".")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)
        for connection in self._open:
            connection.close()


def define_agents(lab: Lab) -> None:
    """Hosts them."""
    port = int((lab.store.parent / "port").read_text())

    def member(name: str, says: str, *, again: bool = True) -> Any:
        def work(value: Any) -> Any:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(name.encode())
                if not connection.recv(1):
                    raise ConnectionError("the test is gone")
            return f"{value} {says}" if isinstance(value, str) else says

        work.__name__ = name
        return repeatable(work) if again else work

    @lab.agent(resumable=True)
    async def writer(message: Any, task: Any) -> Any:
        return await ask(member("write", "written"), message)

    @lab.agent(resumable=True)
    async def trip(message: Any, task: Any) -> Any:
        return await chain(message, member("look", "looked"), member("book", "booked", again=False), "writer")

    @lab.agent(resumable=True)
    async def sections(message: Any, task: Any) -> Any:
        found = await parallel(message, member("a", "A"), member("b", "B"), member("c", "C"))
        return " ".join(found.values())

    @lab.agent(resumable=True)
    async def panel(message: Any, task: Any) -> Any:
        found = await discuss(message, {"x": member("x", "X"), "y": member("y", "Y")}, rounds=1)
        return " ".join(turn["text"] for turn in found["turns"])
