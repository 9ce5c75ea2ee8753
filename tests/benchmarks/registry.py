"""Registry: resolve against a dict over HTTP, search at 10,000 and 100,000 cards, watch fan-out, publish with fsync.

Resolve: one connection, calls to both taken in turn, on one server process. Search: cards of 40 tags, 400 skills and
words in two languages; every query is checked to find something, and the same queries run at both sizes. Watch: 1,000
connections over HTTP, each of which must get every change once and in order; a change's time is from before its write
until the last watcher has it. Publish: new versions with fsync, in turn with a bare SQLite commit of a row of the same
size on the same disk, in WAL mode with synchronous FULL.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _process import Program
from _report import conditions, goal, quantile, table

from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.registry import Query, Registry
from nbagora_lab.registry.card import read_card
from nbagora_lab.registry.embedded import EmbeddedCatalog

CITIES = ["Beijing", "Shanghai", "Paris", "Lima", "Oslo", "Cairo", "Quito", "Hanoi"]
NOUNS = ["酒店", "天气", "火车", "博物馆", "hotel", "weather", "train", "museum"]
QUERIES = [
    Query(skill="skill-7", tag="tag-7"),
    Query(tag="tag-3", capability="streaming"),
    Query(capability="streaming", skill="skill-31"),
    Query(name="agent-000042"),
    Query(skill="skill-5", where="not tag=tag-9"),
    Query(capability="streaming", output="text/plain"),
    Query(text="酒店 number 77", skill="skill-77"),
]


def card(number: int) -> dict[str, Any]:
    noun, city = NOUNS[number % len(NOUNS)], CITIES[number // len(NOUNS) % len(CITIES)]
    skill = {
        "id": f"skill-{number % 400}",
        "name": f"{noun} {number % 400}",
        "description": f"Finds a {noun} in {city}, number {number}.",
        "tags": [f"tag-{number % 40}", noun],
        "examples": [f"找{noun}", f"a {noun} in {city}"],
    }
    return {
        "name": f"agent-{number:06}",
        "description": f"{noun} of {city}, the {number}th.",
        "capabilities": {"streaming": number % 2 == 1},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill],
    }


def filled(folder: Path, count: int, durability: str = "os") -> EmbeddedCatalog:
    catalog = EmbeddedCatalog(
        folder / f"{count}.db", clock=SystemClock(), ids=RandomIds(), durability=durability, patience=60
    )
    for number in range(count):
        catalog.publish(read_card(card(number)), version="1.0")
    return catalog


def timed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def resolve(folder: Path, calls: int) -> tuple[list[list[object]], float]:
    """p50 of resolve over HTTP, against a dict on the same server."""
    catalog = filled(folder, 300)
    registry = Registry(catalog)
    for version in registry.ls(limit=300):
        registry.register_endpoint(version.name, "1.0", f"http://127.0.0.1:1/{version.name}", lease=3600)
    registry.publish(card(0) | {"name": "watched"}, version="1")
    registry.publish(card(1) | {"name": "watched"}, version="2")
    catalog.close()
    times: dict[str, list[float]] = {"dict": [], "registry": []}
    with Program("_registry_server", str(folder / "300.db")) as server:
        assert server.said["places"] == 300, server.said
        where = urlsplit(server.said["url"])
        connection = http.client.HTTPConnection(str(where.hostname), where.port)

        def ask(root: str, number: int) -> None:
            name = f"agent-{number % 300:06}"
            connection.request("GET", f"/{root}/agents/{name}/resolve?key=ctx-{number}")
            answer = connection.getresponse()
            body = json.loads(answer.read())
            assert body["endpoint"]["name"] == name, body

        for number in range(calls + 200):
            for root, taken_so_far in times.items():
                taken = timed(lambda root=root, number=number: ask(root, number))  # type: ignore[misc]
                if number >= 200:
                    taken_so_far.append(taken)
        connection.close()
        rows, fan_out = watch(server, 1000, 20)
    ratio = statistics.median(times["registry"]) / statistics.median(times["dict"])
    resolved = [
        [
            f"resolve over HTTP: {name}",
            len(taken),
            f"{1e3 * statistics.median(taken):.3f}",
            f"{1e3 * quantile(taken, 0.9):.3f}",
        ]
        for name, taken in times.items()
    ]
    goal("resolve by name, p50, × a dict over HTTP on the same server", ratio, at_most=1.5)
    goal("watch, 1,000 watchers: a change until the last has it, s (p90)", fan_out, at_most=1.0)
    return [*resolved, *rows], ratio


def watch(server: Program, watchers: int, changes: int) -> tuple[list[list[object]], float]:
    """Seconds from before a write until the last of the watchers has it: a row, and its p90."""
    where = urlsplit(server.said["url"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * watchers)), hard))

    async def main() -> list[float]:
        spread: list[float] = []
        got: list[list[int]] = [[] for _ in range(watchers)]
        ready = 0

        async def follow(index: int) -> None:
            nonlocal ready
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(b"GET /registry/watch HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            try:
                while line := await reader.readline():
                    if line.startswith(b": watching"):
                        ready += 1
                    elif line.startswith(b"id: "):
                        got[index].append(int(line[4:]))
            finally:
                writer.close()

        tasks = []
        for index in range(watchers):
            tasks.append(asyncio.create_task(follow(index)))
            if index % 50 == 49:
                await asyncio.sleep(0.05)
        while ready < watchers:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)

        def flip() -> None:
            connection = http.client.HTTPConnection(str(where.hostname), where.port)
            connection.request("POST", "/flip", b"{}", {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
            connection.close()

        for number in range(1, changes + 1):
            began = time.perf_counter()
            await asyncio.to_thread(flip)
            while min(map(len, got)) < number:
                await asyncio.sleep(0.001)
            spread.append(time.perf_counter() - began)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len({tuple(seen) for seen in got}) == 1, "every watcher got every change, in order"
        assert got[0] == list(range(got[0][0], got[0][0] + changes))
        return spread

    spread = asyncio.run(main())
    median = statistics.median(spread)
    row: list[object] = [
        f"watch: {watchers} watchers",
        changes,
        f"{1e3 * median:.1f}",
        f"{1e3 * quantile(spread, 0.9):.1f}",
    ]
    return [row], quantile(spread, 0.9)


def search(folder: Path, sizes: tuple[int, int], rounds: int) -> list[list[object]]:
    """p50 of the queries at two sizes."""
    rows: list[list[object]] = []
    medians = []
    for size in sizes:
        catalog = filled(folder, size)
        times: list[float] = []
        for query in QUERIES:
            assert catalog.find(query), f"{query} finds nothing"
        for _ in range(rounds):
            times += [timed(lambda query=query, catalog=catalog: catalog.find(query)) for query in QUERIES]  # type: ignore[misc]
        medians.append(statistics.median(times))
        rows.append(
            [f"search: {size} cards", len(times), f"{1e3 * medians[-1]:.3f}", f"{1e3 * quantile(times, 0.9):.3f}"]
        )
        catalog.close()
    goal(f"filtered search over {sizes[0]} cards, p50, ms", 1e3 * medians[0], at_most=5)
    goal(f"the same over {sizes[1]}, × that", medians[1] / medians[0], at_most=2)
    return rows


def publish(folder: Path, count: int) -> list[list[object]]:
    """Publishing with fsync, in turn with a bare commit."""
    catalog = EmbeddedCatalog(folder / "publish.db", clock=SystemClock(), ids=RandomIds(), durability="fsync")
    registry = Registry(catalog)
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    assert bare.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE cards (id INTEGER PRIMARY KEY, content TEXT)")
    [mode] = catalog._store._execute("PRAGMA synchronous").fetchone()
    assert mode == 2, "the registry commits with fsync, too"
    times: dict[str, list[float]] = {"bare SQLite commit": [], "registry": []}
    for number in range(count + 20):
        content = json.dumps(card(number))

        def commit(content: str = content) -> None:
            bare.execute("BEGIN IMMEDIATE")
            bare.execute("INSERT INTO cards (content) VALUES (?)", (content,))
            bare.execute("COMMIT")

        took = timed(commit), timed(lambda number=number: registry.publish(card(number)))  # type: ignore[misc]
        if number >= 20:
            for name, taken in zip(times, took, strict=True):
                times[name].append(taken)
    bare.close()
    catalog.close()
    medians = [statistics.median(taken) for taken in times.values()]
    goal("publish with fsync, p50, × a bare SQLite commit", medians[1] / medians[0], at_most=2)
    return [
        [f"publish, fsync: {name}", len(taken), f"{1e3 * median:.3f}", f"{1e3 * quantile(taken, 0.9):.3f}"]
        for (name, taken), median in zip(times.items(), medians, strict=True)
    ]


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench registry", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer calls, and 1,000 and 10,000 cards")
    options = parser.parse_args()
    conditions("starlette", "uvicorn", "pydantic")
    print(f"SQLite {sqlite3.sqlite_version}")
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as top:
        rows, _ = resolve(Path(top), 300 if options.quick else 2000)
        rows += search(Path(top), (1000, 10_000) if options.quick else (10_000, 100_000), 20 if options.quick else 100)
        rows += publish(Path(top), 50 if options.quick else 300)
    table(["what", "n", "median ms", "p90"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
