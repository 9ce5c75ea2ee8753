"""Events a second of a durable A2A stream, and unary calls beside it, against the stock SDK with its in-memory store.

Both servers run side by side in processes of their own, behind the same uvicorn with the same settings and loop, and
yield the same chunks; measurements of the two alternate. The lab's are durable: at the end its process is killed with
kill -9, and every chunk that was read must be found in the store. The stock SDK keeps its tasks in memory, takes no
token and checks no Origin. By socket: bytes are read as they come and understood after the clock has stopped, so the
reader costs next to nothing. By client: the official Python client, which parses every event. A figure counts the
chunks of the answer, from the request to the last event; what the two add to them (opened, WORKING, COMPLETED, and the
lab's closing update) is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from _flood import chunks
from _process import Program
from _report import conditions, goal, quantile, spread, table
from _sse import Stream, Unary, read_all
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb

from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.events import RecordType, decode

BUSY_CHUNKS = 1000  # of each stream that a unary call is measured beside
UNARY = 50  # calls in a turn, at most
PATIENCE = 30.0  # seconds of calls in a turn


class Side:
    """One of the two servers, and what was measured of it."""

    def __init__(self, name: str, program: Program) -> None:
        self.name = name
        self.program = program
        self.token: str = program.said["token"]
        self.flood: str = program.said["urls"]["flood"]
        self.echo: str = program.said["urls"]["echo"]
        self.figures: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)
        self.read = 0  # chunks that arrived

    def rate(self, what: str, number: int, measure: Callable[[], float]) -> None:
        """Books chunks a second, and the server's CPU time for a chunk in µs."""
        cpu = self.program.cpu()
        seconds = measure()
        self.figures[what].append(number / seconds)
        self.cpu[what].append((self.program.cpu() - cpu) / number * 1e6)
        self.read += number

    def rest(self) -> None:
        """Returns once the server has nothing to do, so that one turn's rest is not in the next one's figures."""
        while True:
            cpu = self.program.cpu()
            time.sleep(0.5)
            if self.program.cpu() - cpu < 0.03:
                return


def by_socket(side: Side, streams: int, count: int) -> float:
    """Seconds that streams of `count` chunks took; checks that all of it arrived, in order and once."""
    reads = [Stream(side.flood, side.token, str(count)) for _ in range(streams)]
    seconds = read_all(reads)
    for stream in reads:
        events = stream.events()
        texts = [part["text"] for _, event in events for part in _parts(event)]
        assert "".join(texts) == "".join(chunks(count)), f"{side.name} lost or changed chunks"
        assert len(texts) - count in {0, 1}, f"{len(texts)} events for {count} chunks: some were joined"
        if side.name == "nbagora":
            ids = [int(number) for number, _ in events]
            assert ids == sorted(set(ids)), "SSE ids must increase"
    return seconds


def _parts(event: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = event.get("artifactUpdate", {}).get("artifact", {}).get("parts", [])
    return parts


async def by_client(side: Side, count: int) -> float:
    """Seconds that the official client took to give out a stream of `count` chunks."""
    headers = {"Authorization": f"Bearer {side.token}"} if side.token else {}
    async with httpx.AsyncClient(headers=headers, timeout=120) as connection:
        card = await A2ACardResolver(connection, side.flood.rstrip("/")).get_agent_card()
        client = ClientFactory(ClientConfig(httpx_client=connection, streaming=True)).create(card)
        message = pb.Message(message_id="m", role=pb.ROLE_USER, parts=[pb.Part(text=str(count))])
        texts = []
        began = time.perf_counter()
        async for event in client.send_message(pb.SendMessageRequest(message=message)):
            if event.HasField("artifact_update"):
                texts.append(event.artifact_update.artifact.parts[0].text)
            state = event.status_update.status.state
        seconds = time.perf_counter() - began
    assert state == pb.TASK_STATE_COMPLETED, state
    assert "".join(texts) == "".join(chunks(count)), f"{side.name} lost or changed chunks"
    return seconds


def unary(side: Side, what: str) -> None:
    """Books the seconds of unary calls, one after the other: 50, or what half a minute is enough for."""
    connection = Unary(side.echo, side.token)
    began = time.perf_counter()
    try:
        connection.ask("warm")
        for number in range(UNARY):
            side.figures[what].append(connection.ask(f"你好 {number}"))
            if time.perf_counter() - began > PATIENCE:
                break
    finally:
        connection.close()


def unary_beside(side: Side, streams: int) -> None:
    """The same while `streams` streams are busy."""
    with Program("_busy", side.flood, side.token, str(streams), str(BUSY_CHUNKS)) as busy:
        unary(side, f"unary beside {streams} streams")
        got = busy.finish()
    side.rest()  # nobody reads the streams any more, but their agents go on to the end
    assert got["events"] > 0
    side.figures["events/s beside"].append(got["events"] / got["seconds"])


def stored(store: Path) -> int:
    """Number of chunks in a store whose process is gone."""
    log = EmbeddedLog(store / "topics", clock=SystemClock())
    found, after = 0, ""
    while names := log.lites("sessions", after=after, limit=1000):
        after = names[-1]
        for name in names:
            topic, offset = f"sessions/{name}", -1
            while batch := log.scan(topic, after=offset):
                offset = batch[-1][0]
                kinds = [decode(record, topic, at) for at, record in batch]
                found += sum(one.type == RecordType.ARTIFACT and b'{"text":""}' not in one.body for one in kinds)
    log.close()
    return found


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench stream", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each server, after one that warms up")
    parser.add_argument("--quick", action="store_true", help="two turns")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    conditions("a2a-sdk", "rocksdict", "uvicorn", "starlette", "sse-starlette", "protobuf")
    sizes = [len(chunk.encode()) for chunk in chunks(3000)]
    print(f"chunks of {min(sizes)} to {max(sizes)} bytes of text")

    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as folder:
        store = Path(folder) / "store"
        with Program("_lab_server", str(store)) as ours, Program("_stock_server") as theirs:
            assert ours.said["loop"] == theirs.said["loop"], "both servers run on the same kind of loop"
            print(f"durability {ours.said['durability']}, token on; both servers on {ours.said['loop']}")
            sides = [Side("nbagora", ours), Side("stock", theirs)]
            for turn in range(rounds + 1):
                if turn == 1:
                    for side in sides:
                        side.figures.clear()
                        side.cpu.clear()
                for side in sides if turn % 2 else reversed(sides):
                    side.rate("1 stream of 3000", 3000, lambda: by_socket(side, 1, 3000))  # noqa: B023 -- runs at once
                    side.rate("1 stream of 1000", 1000, lambda: by_socket(side, 1, 1000))  # noqa: B023
                    side.rate("50 streams of 200", 10_000, lambda: by_socket(side, 50, 200))  # noqa: B023
                    side.rate("client, 3000", 3000, lambda: asyncio.run(by_client(side, 3000)))  # noqa: B023
                    unary(side, "unary")
                if turn % 3 == 1:  # the longest part, and the steadiest
                    for side in sides:
                        unary_beside(side, 8)
            ours.kill()
        kept = stored(store)
    lab, stock = sides
    assert kept >= lab.read, f"{kept} chunks are in the store, {lab.read} were read"
    print(f"{lab.read} chunks were read from the lab; after kill -9 its store holds them and {kept - lab.read} more")
    _tell(lab, stock, rounds)
    return 0


def _tell(lab: Side, stock: Side, rounds: int) -> None:
    rows: list[list[object]] = []
    for what, where in (
        ("1 stream of 3000", "socket"),
        ("1 stream of 1000", "socket"),
        ("50 streams of 200", "socket"),
        ("client, 3000", "official client"),
    ):
        ratio = median(lab.figures[what]) / median(stock.figures[what])
        cpus = [f"{median(side.cpu[what]):.0f}" for side in (lab, stock)]
        rows.append([f"{what}, {where}", spread(lab.figures[what]), spread(stock.figures[what]), *cpus, f"{ratio:.1f}"])
    print(f"\n{rounds} turns each; median (least..largest) chunks a second; the server's CPU time a chunk")
    table(["stream", "nbagora", "stock", "µs", "µs", "ratio"], rows)
    rows = []
    for what in ("unary", "unary beside 8 streams"):
        for side in (lab, stock):
            times = [1e3 * value for value in side.figures[what]]
            figures = [f"{value:.2f}" for value in (median(times), quantile(times, 0.95), max(times))]
            beside = spread(side.figures["events/s beside"]) if "beside" in what else ""
            rows.append([f"{what}, {side.name}", len(times), *figures, beside])
    table(["SendMessage, ms", "n", "p50", "p95", "max", "chunks/s of the streams"], rows)
    print()
    for what, wanted in (
        ("1 stream of 3000", 15),
        ("1 stream of 1000", 15),
        ("50 streams of 200", 15),
        ("client, 3000", 4),
    ):
        ratio = median(lab.figures[what]) / median(stock.figures[what])
        goal(f"{what}, × stock", ratio, at_least=wanted)
    beside = 1e3 * median(lab.figures["unary beside 8 streams"])
    goal("unary call beside 8 busy streams, p50 ms", beside, at_most=50)


if __name__ == "__main__":
    sys.exit(main())
