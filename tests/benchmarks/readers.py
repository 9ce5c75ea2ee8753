"""A fast reader of a stream beside 500 slow ones: its rate, against its rate alone, in one run.

The slow ones replay a task of 20,000 chunks from its beginning, each over a connection of its own, and take 1 KiB a
second: the server's writes to them stand still nearly always. The fast one is a stream of 3,000 chunks by socket.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import tempfile
import threading
from statistics import median
from urllib.parse import urlsplit

import httpx
from _process import Program
from _report import conditions, goal, spread, table
from _sse import Stream, read_all

OLD, CHUNKS, TAKEN = 20_000, 3000, 1024


class Slow:
    """Readers that take a little of their stream once a second."""

    def __init__(self, url: str, token: str, task_id: str, number: int) -> None:
        where = urlsplit(url)
        request = (
            f"GET {where.path.rstrip('/')}/tasks/{task_id}:subscribe HTTP/1.1\r\nHost: {where.netloc}\r\n"
            f"A2A-Version: 1.0\r\nAuthorization: Bearer {token}\r\nLast-Event-ID: 2\r\n\r\n"
        ).encode()
        self._sockets = []
        for _ in range(number):
            one = socket.create_connection((where.hostname, where.port), timeout=60)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(request)
            self._sockets.append(one)
        self.taken = [len(one.recv(TAKEN)) for one in self._sockets]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.wait(1):
            for at, one in enumerate(self._sockets):
                self.taken[at] += len(one.recv(TAKEN))

    def close(self) -> None:
        """Hangs all of them up."""
        self._stop.set()
        self._thread.join()
        for one in self._sockets:
            one.close()


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench readers", description=__doc__.partition("\n")[0])
    parser.add_argument("--readers", type=int, default=500, help="slow ones")
    parser.add_argument("--rounds", type=int, default=5, help="streams of the fast one, alone and beside them")
    options = parser.parse_args()
    conditions("rocksdict", "uvicorn")
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as store, Program("_lab_server", store) as lab:
        url, token = lab.said["urls"]["flood"], lab.said["token"]

        def fast() -> float:
            return CHUNKS / read_all([Stream(url, token, str(CHUNKS))])

        own = {"Authorization": f"Bearer {token}", "A2A-Version": "1.0"}
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": str(OLD)}]}
        with httpx.Client(headers=own, timeout=120, trust_env=False) as http:
            task_id = http.post(f"{url}message:send", json={"message": message}).json()["task"]["id"]
        fast()
        alone = [fast() for _ in range(options.rounds)]
        before = lab.rss()
        slow = Slow(url, token, task_id, options.readers)
        with contextlib.closing(slow):
            held = (lab.rss() - before) / options.readers / 1024
            beside = [fast() for _ in range(options.rounds)]
            assert min(slow.taken) > 0, "a slow reader was given nothing"
        alone += [fast() for _ in range(options.rounds)]
    rows = [["alone", spread(alone)], [f"beside {options.readers} slow ones", spread(beside)]]
    table(["fast reader", "chunks/s"], rows)
    print(f"\n{held:.0f} KiB of the server's memory for each slow reader")
    goal("the fast one beside them, × its rate alone", median(beside) / median(alone), at_least=0.8)
    return 0


if __name__ == "__main__":
    sys.exit(main())
