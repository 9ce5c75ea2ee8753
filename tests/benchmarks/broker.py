"""The lite-topic broker against Redis Streams and NATS JetStream: flow, single calls, latency, large bodies, overload.

Every side is driven from this one Python process, in turns that alternate. Ours has every topic in an order and under
a lock of its own; "all features" adds priorities, tenants' shares, and quotas that hold nothing back. What is compared
with a peer is compared with the faster one. In the first turn topics come into being; figures are of the later ones,
on the same topics, which have records by then. Overload runs on a virtual clock, so it has no spread.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import FrameType

from _broker_large import Large, plain
from _broker_overload import overload
from _broker_sides import BATCH, BODY, Ours, Side, scattered
from _process import Program
from _report import conditions, goal, quantile, spread, table
from _servers import nats_server, redis_server

Figures = dict[str, dict[str, list[float]]]
"""By what was measured and by side: one figure a turn, or for latencies one a message."""

RUNS = 3


def main() -> int:
    """Prints the tables and goals."""
    parser = argparse.ArgumentParser(prog="scripts/bench broker", description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=3, help="of each side, after the first, which makes the topics")
    parser.add_argument("--topics", type=int, default=100_000, help="of the flow")
    parser.add_argument("--quick", action="store_true", help="small sizes and one turn: shows that it runs")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--million", action="store_true", help="only 1,000,000 topics against 1,000, without peers")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    conditions("rocksdict")
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as text, contextlib.ExitStack() as ending:
        folder = Path(text)
        if options.million:
            many(folder, *((20_000, 10_000) if options.quick else (1_000_000, 100_000)))
            return 0
        ours = Ours(folder / "store")
        ending.callback(ours.close)
        sides: list[Side] = [ours, *([] if options.alone else peers(folder, ending))]
        for side in sides:
            print(f"{side.name}: {side.how}")
        sizes = (1_000, 100, 10) if options.quick else (options.topics, 5_000, 200)
        turns = 1 if options.quick else options.turns
        against_peers(sides, turns, *sizes)
        large(folder, 1 if options.quick else 5, (4 if options.quick else 64) << 20)
        overloaded(folder, 6 if options.quick else 40)
    return 0


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def peers(folder: Path, ending: contextlib.ExitStack) -> list[Side]:
    """Those whose servers are here; says which are not."""
    found: list[Side] = []
    for name, serve in (("redis", redis_server), ("nats", nats_server)):
        (folder / name).mkdir()
        serving = serve(folder / name)
        if isinstance(serving, str):
            print(serving)
            continue
        address = ending.enter_context(serving)
        side: Side
        if name == "redis":
            from _broker_redis import Redis

            side = Redis(address)
        else:
            from _broker_nats import Nats

            side = Nats(address)
        ending.callback(side.close)  # type: ignore[attr-defined]
        found.append(side)
    return found


def against_peers(sides: list[Side], turns: int, topics: int, singles: int, timed: int) -> None:
    """Measures and tells flow, single calls and latency."""
    print(f"bodies of {len(BODY)} bytes, batches of {BATCH}, {topics:,} topics, {singles:,} single calls and", end=" ")
    print(f"{timed:,} timed messages in each of {turns} turns")
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for turn in range(turns + 1):
        flow_turn(sides, figures if turn else defaultdict(lambda: defaultdict(list)), topics, turn, first=figures)
    for turn in range(turns + 1):
        for side in sides if turn % 2 else reversed(sides):
            sent, received = side.sends(singles), side.receives(singles)
            if turn:
                figures["single synchronous send"][side.name].append(singles / sent)
                figures["single receive + ack"][side.name].append(singles / received)
    for where in ("idle", "beside a full backlog"):
        if where != "idle":
            for side in sides:
                side.fill(topics)
        for turn in range(turns):
            for side in sides if turn % 2 else reversed(sides):
                latency_turn(side, figures, where, timed)
    tell(figures, sides, topics)


def flow_turn(sides: list[Side], figures: Figures, topics: int, turn: int, *, first: Figures) -> None:
    """A message to each topic and back, through every side."""
    numbers = scattered(topics, topics)
    for side in sides if turn % 2 else reversed(sides):
        for featured in (False, True) if isinstance(side, Ours) else (False,):
            if isinstance(side, Ours):
                side.featured = featured
            gc.collect()
            publish, consume = side.flow(numbers)
            name = f"{side.name}, all features" if featured else side.name
            for what, spent in (("publish", publish), ("receive + ack", consume), ("all", publish + consume)):
                figures[what][name].append(topics / spent)
            if not turn:
                first["all, topics that are new"][name].append(topics / (publish + consume))


def latency_turn(side: Side, figures: Figures, where: str, timed: int) -> None:
    """Messages one at a time; ours with the handler in another thread as Redis has it, and on one loop as NATS has."""
    if isinstance(side, Ours):
        for name, threaded in ((f"{side.name}, across threads", True), (f"{side.name}, on one loop", False)):
            side.threaded = threaded
            figures[where][name] += side.latencies(timed)
    else:
        figures[where][side.name] += side.latencies(timed)


def tell(figures: Figures, sides: list[Side], topics: int) -> None:
    """The tables, and the goals beside them."""
    others = [side.name for side in sides[1:]]
    names = ["nbagora", "nbagora, all features", *others]
    rows = [[what, *(spread(figures[what][name]) for name in names)] for what in _FLOW]
    table([f"{topics:,} topics, messages/s", *names], rows)
    rows = [[what, *(spread(figures[what][name]) for name in ["nbagora", *others])] for what in _SINGLE]
    table(["one at a time, calls/s", "nbagora", *others], rows)
    rows = []
    for where in _WHERE:
        for name, times in figures[where].items():
            shown = [f"{1e6 * value:.0f}" for value in (median(times), quantile(times, 0.99), max(times))]
            rows.append([f"{where}, {name}", str(len(times)), *shown])
    table(["one message, publish → handler, µs", "n", "p50", "p99", "max"], rows)
    print()
    if not others:
        return

    def against(what: str, name: str, part: Callable[[list[float]], float], pick: Callable[..., float]) -> float:
        return part(figures[what][name]) / pick(part(figures[what][other]) for other in others)

    for name in names[:2]:
        for what in ("all", "all, topics that are new"):
            goal(f"flow, {what}, {name}, × the best peer", against(what, name, median, max), at_least=5)
    for what in _SINGLE:
        goal(f"{what}, × the best peer", against(what, "nbagora", median, max), at_least=10)
    for where in _WHERE:
        for name in ("nbagora, across threads", "nbagora, on one loop"):
            for text, part in (("p50", median), ("p99", lambda times: quantile(times, 0.99))):
                goal(f"latency {where}, {name}, {text}, × the best peer", against(where, name, part, min), at_most=0.3)


_FLOW = ("publish", "receive + ack", "all", "all, topics that are new")
_SINGLE = ("single synchronous send", "single receive + ack")
_WHERE = ("idle", "beside a full backlog")


def large(folder: Path, turns: int, size: int) -> None:
    """Measures and tells a large body's way, in both modes, beside a plain file's."""
    body = bytes(range(256)) * (size // 256)
    figures: dict[str, list[float]] = defaultdict(list)
    modes = ("fsync", "os")
    with contextlib.ExitStack() as ending:
        stores = {}
        for durability in modes:
            stores[durability] = Large(folder / f"large-{durability}", durability)
            ending.callback(stores[durability].close)
        for turn in range(turns + 1):
            spent = {f"nbagora, {durability}": store.turn(body) for durability, store in stores.items()}
            spent["a file, with fsync"] = plain(folder / "plain", body)
            for name, value in spent.items() if turn else ():
                figures[name].append(len(body) / value / (1 << 20))
    rows = [[name, spread(values)] for name, values in figures.items()]
    table([f"{size >> 20} MiB written and read", "MiB/s"], rows)
    print()
    for durability in modes:
        ratio = median(figures[f"nbagora, {durability}"]) / median(figures["a file, with fsync"])
        goal(f"{size >> 20} MiB publish + read, durability {durability}, × a file", ratio, at_least=0.5)


def overloaded(folder: Path, seconds: int) -> None:
    """Measures and tells what holds at ten times more work than there is room for."""
    rows, seen = [], {}
    for parent_type in ("LITE", "PRIORITY"):
        got = seen[parent_type] = overload(folder / f"overload-{parent_type}", parent_type, seconds)
        rows.append([parent_type, got.offered, got.served, f"{got.quota_error:.2%}", f"{got.share_error:.2%}"])
        rows[-1] += [f"{got.wait:.3f}", got.urgent]
    head = [f"overload ×10, {seconds} s on a virtual clock", "offered", "served", "quota error", "share error"]
    table([*head, "top priority's wait, service times", "n"], rows)
    print()
    for parent_type, got in seen.items():
        goal(f"{parent_type}, quota error, %", 100 * got.quota_error, at_most=1)
        goal(f"{parent_type}, share error, %", 100 * got.share_error, at_most=2)
        goal(f"{parent_type}, longest wait of top priority, service times", got.wait, at_most=1)


def many(folder: Path, topics: int, messages: int) -> None:
    """Measures and tells many topics against 1,000, each in a process of its own, in turns."""
    few = 1_000
    figures: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    most: dict[int, int] = defaultdict(int)
    with contextlib.ExitStack() as ending:
        programs = {}
        for number in (few, topics):
            programs[number] = ending.enter_context(Program("_broker_many", str(folder / str(number)), str(number)))
            for _ in range(max(1, topics // number // 10)):  # the small store is not empty either
                made = programs[number].ask("make", number)
            figures["make"][number].append(number / made["seconds"])
            most[number] = max(made["full"], made["rss"])
            full, drained = made["full"] >> 20, made["rss"] >> 20
            print(f"{number:,} topics made; RSS {full} MiB with all waiting, {drained} MiB drained", flush=True)
        for turn in range(RUNS):
            for number in (few, topics) if turn % 2 else (topics, few):
                for word, count in (("flow", messages), ("single", messages // 5)):
                    got = programs[number].ask(word, count)
                    figures[word][number].append(count / got["seconds"])
                    most[number] = max(most[number], got["rss"])
        for number, program in programs.items():
            program.ask("leave", min(number, messages))
            program.finish()
    opened: dict[int, list[float]] = defaultdict(list)
    for _ in range(RUNS):
        for number in (few, topics):
            with Program("_broker_many", str(folder / str(number)), str(number)) as program:
                assert program.said["first"] > 0, "nothing waits after reopening"
                opened[number].append(program.said["received"])
                program.finish()
    rows = [
        [what, *(spread(figures[word][number]) for number in (few, topics))]
        for what, word in (
            (f"batches of {BATCH}, {messages:,} messages at random, messages/s", "flow"),
            (f"one at a time, {messages // 5:,} at random, send + receive + ack, messages/s", "single"),
            ("all topics once, all waiting at once, messages/s", "make"),
        )
    ]
    rows.append(["largest RSS, MiB", *(f"{most[number] / 2**20:.0f}" for number in (few, topics))])
    rows.append(["open until the first batch, s", *(spread(opened[number], 3) for number in (few, topics))])
    table(["one process, durability os", f"{few:,} topics", f"{topics:,} topics"], rows)
    print()
    for word, what in (("flow", "batches"), ("single", "one at a time")):
        ratio = median(figures[word][topics]) / median(figures[word][few])
        goal(f"{what}, {topics:,} topics × {few:,}", ratio, at_least=0.8)
    goal(f"largest RSS at {topics:,} topics, MB", most[topics] / 1e6, at_most=600)
    goal(f"open until the first batch at {topics:,} topics, s", median(opened[topics]), at_most=3)


if __name__ == "__main__":
    sys.exit(main())
