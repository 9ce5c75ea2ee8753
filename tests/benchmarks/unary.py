"""Unary calls of a durable agent against the stock SDK in memory; and what an idle stream and a finished task cost.

Both servers run side by side, behind the same uvicorn, and turns of the two alternate; every call of the lab passes the
agent's inbox and is on record before it is answered. Beside busy streams, both answer while eight agents write as fast
as they can. Memory is the growth of the lab's process, for the first and the second half of what is opened: it is flat
if the second half costs no more than the first.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from pathlib import Path
from statistics import median

from _process import Program
from _report import conditions, goal, quantile, table
from _sse import Stream, Unary
from stream import Side, unary_beside

BESIDE = "unary beside 8 streams"


def calls(side: Side, number: int) -> None:
    """Books the seconds of calls one after the other."""
    connection = Unary(side.echo, side.token)
    connection.ask("warm")
    side.figures["unary"] += [connection.ask(f"你好 {one}") for one in range(number)]
    connection.close()


def idle_streams(side: Side, number: int) -> tuple[list[float], list[socket.socket]]:
    """KiB for a stream that waits, in the first and in the second half of so many."""
    opened: list[socket.socket] = []

    def open_some(count: int) -> None:
        for _ in range(count):
            connection = Stream(side.program.said["urls"]["hold"], side.token, "wait").begin()
            opened.append(connection)
            seen = b""
            while b"TASK_STATE_WORKING" not in seen:
                seen += connection.recv(1 << 16)

    open_some(50)  # what the first ones bring along
    return grown(side, number, open_some), opened


def finished_tasks(side: Side, number: int) -> list[float]:
    """KiB for a task that has ended, in the first and in the second half of so many."""
    connection = Unary(side.echo, side.token)

    def finish(count: int) -> None:
        for one in range(count):
            connection.ask(f"task {one}")

    finish(500)  # caches that have a size fill
    found = grown(side, number, finish)
    connection.close()
    return found


def grown(side: Side, number: int, more: object) -> list[float]:
    """KiB that the process grows by for each of `number`, half by half."""
    assert callable(more)
    found, before = [], side.program.rss()
    for _ in range(2):
        more(number // 2)
        after = side.program.rss()
        found.append((after - before) / (number // 2) / 1024)
        before = after
    return found


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench unary", description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200, help="calls in a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each server")
    parser.add_argument("--streams", type=int, default=400, help="idle streams")
    parser.add_argument("--tasks", type=int, default=4000, help="finished tasks")
    options = parser.parse_args()
    conditions("a2a-sdk", "rocksdict", "uvicorn", "starlette", "protobuf")
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as folder:
        store = str(Path(folder) / "store")
        with Program("_lab_server", store) as ours, Program("_stock_server") as theirs:
            assert ours.said["loop"] == theirs.said["loop"], "both servers run on the same kind of loop"
            lab, stock = sides = [Side("nbagora, durable", ours), Side("stock, in memory", theirs)]
            for turn in range(options.turns + 1):
                for side in sides if turn % 2 else reversed(sides):
                    calls(side, options.calls)
                    if turn == 0:
                        side.figures.clear()  # it warmed up
            for _ in range(2):
                for side in sides:
                    unary_beside(side, 8)
            tasks = finished_tasks(lab, options.tasks)
            streams, opened = idle_streams(lab, options.streams)
            for connection in opened:
                connection.close()
    rows = []
    for what in ("unary", BESIDE):
        for side in sides:
            times = [1e3 * value for value in side.figures[what]]
            rows.append(
                [f"{what}, {side.name}", len(times)]
                + [f"{value:.2f}" for value in (median(times), quantile(times, 0.99), max(times))]
            )
    table(["SendMessage, ms", "n", "p50", "p99", "max"], rows)
    print()
    rows = [
        [f"idle stream, of {options.streams}", *(f"{value:.1f}" for value in streams)],
        [f"finished task, of {options.tasks}", *(f"{value:.2f}" for value in tasks)],
    ]
    table(["KiB of the lab's process for each", "first half", "second half"], rows)
    print()
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ratio = quantile(lab.figures["unary"], share) / quantile(stock.figures["unary"], share)
        goal(f"unary {name}, × stock", ratio, at_most=0.6)
    goal(f"{BESIDE}, p50 ms", 1e3 * median(lab.figures[BESIDE]), at_most=50)
    goal(f"{BESIDE}, max ms", 1e3 * max(lab.figures[BESIDE]), at_most=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
