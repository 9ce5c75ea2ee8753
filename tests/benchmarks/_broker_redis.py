"""Redis Streams as a side of the broker benchmark: pipelined XADD, XREADGROUP COUNT, XACK of many; hiredis, no TCP."""

from __future__ import annotations

import threading
import time
from importlib.metadata import version

import redis
from _broker_sides import BATCH, BODY

__all__ = ["Redis"]

_GROUP = "workers"
_PAUSE, _WARM, _PATIENCE = 0.002, 10, 30.0


class Redis:
    """One stream for all topics: no isolation and no order per topic, which is as fast as it gets.

    Args:
        path: Its Unix socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._client = redis.Redis(unix_socket_path=path)
        self.name = "Redis"
        server = self._client.info("server")["redis_version"]
        self.how = (
            f"server {server}, redis {version('redis')}, hiredis {version('hiredis')}, Unix socket; "
            "one stream, append-only file, appendfsync no: on return the operating system has it"
        )
        assert self._client.config_get("append*")["appendfsync"] == "no"
        for stream in ("flow", "single", "timed"):
            self._client.xgroup_create(stream, _GROUP, id="0", mkstream=True)

    def flow(self, numbers: list[int]) -> tuple[float, float]:
        """See `Side.flow`."""
        client = self._client
        began = time.perf_counter()
        for at in range(0, len(numbers), BATCH):
            with client.pipeline(transaction=False) as pipeline:
                for number in numbers[at : at + BATCH]:
                    pipeline.xadd("flow", {f"s-{number}": BODY})
                pipeline.execute()
        sent = time.perf_counter()
        left = len(numbers)
        while left:
            [(_, entries)] = client.xreadgroup(_GROUP, "worker", {"flow": ">"}, count=BATCH)
            assert client.xack("flow", _GROUP, *(number for number, _ in entries)) == len(entries)
            left -= len(entries)
        return sent - began, time.perf_counter() - sent

    def sends(self, count: int) -> float:
        """See `Side.sends`."""
        xadd = self._client.xadd
        began = time.perf_counter()
        for number in range(count):
            xadd("single", {f"s-{number % 1000}": BODY})
        return time.perf_counter() - began

    def receives(self, count: int) -> float:
        """See `Side.receives`."""
        client = self._client
        began = time.perf_counter()
        for _ in range(count):
            [(_, [(number, _)])] = client.xreadgroup(_GROUP, "worker", {"single": ">"}, count=1)
            client.xack("single", _GROUP, number)
        return time.perf_counter() - began

    def fill(self, count: int) -> None:
        """See `Side.fill`: in another stream, or the one message would wait behind them."""
        for at in range(0, count, BATCH):
            with self._client.pipeline(transaction=False) as pipeline:
                for number in range(at, min(at + BATCH, count)):
                    pipeline.xadd("bulk", {f"bulk-{number}": BODY})
                pipeline.execute()

    def latencies(self, count: int) -> list[float]:
        """See `Side.latencies`: a thread waits in XREADGROUP on a connection of its own."""
        seen, ended, times = threading.Event(), threading.Event(), []

        def work() -> None:
            with redis.Redis(unix_socket_path=self._path) as client:
                while not ended.is_set():
                    for _, entries in client.xreadgroup(_GROUP, "handler", {"timed": ">"}, count=1, block=200) or ():
                        times.append(time.perf_counter())
                        seen.set()
                        client.xack("timed", _GROUP, entries[0][0])

        thread = threading.Thread(target=work, name="redis-handler", daemon=True)
        thread.start()
        spent = []
        for number in range(count + _WARM):
            seen.clear()
            began = time.perf_counter()
            self._client.xadd("timed", {f"now-{number % 100}": BODY})
            assert seen.wait(_PATIENCE)
            spent.append(times[-1] - began)
            time.sleep(_PAUSE)
        ended.set()
        thread.join()
        return spent[_WARM:]

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()
