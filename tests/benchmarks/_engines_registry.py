"""A registry at Nacos against the embedded one: what a resolve costs with a warm mirror, and how old it can be."""

from __future__ import annotations

import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _report import goal, quantile

from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.nacos import NacosCatalog
from nbagora_lab.registry.nacos_follow import Follower
from nbagora_lab.registry.nacos_http import Nacos

__all__ = ["measure"]

_AGENTS = 10


def measure(server: Any, calls: int = 2000, changes: int = 10) -> None:
    """Prints the rows of a Nacos that runs.

    Args:
        server: It.
        calls: Resolves by each registry, in turns.
        changes: Label moves and endpoints, each followed until another lab has it.
    """
    known, lab = server.endpoints, f"bench{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="nbagora-bench-") as top:
        catalogs = [EmbeddedCatalog(Path(top) / "embedded.db", clock=SystemClock(), ids=RandomIds())]
        for name in ("writer", "follower"):
            nacos = Nacos(known["url"], known["username"], known["password"])
            catalog = NacosCatalog(Path(top) / f"{name}.db", nacos, lab, clock=SystemClock(), ids=RandomIds())
            catalog.follower = Follower(catalog, nacos)
            catalogs.append(catalog)
        embedded, writer, follower = map(Registry, catalogs)
        try:
            for registry in (embedded, writer):
                fill(registry)
            for catalog in catalogs[1:]:
                catalog.follower.start()  # type: ignore[attr-defined]
            until(lambda: sum(len(follower.endpoints(one.name)) for one in follower.ls()) == _AGENTS)
            print(f"{writer.catalog.engine}, {_AGENTS} agents, {calls} resolves each in turns")
            resolves(embedded, follower, calls)
            staleness(writer, follower, changes)
        finally:
            for catalog in catalogs:
                catalog.close()


def fill(registry: Registry) -> None:
    """Agents of two versions that answer somewhere."""
    for number in range(_AGENTS):
        for version in ("1", "2"):
            card = {"name": f"agent-{number}", "description": f"Version {version}."}
            registry.publish(card, version=version)
        registry.register_endpoint(f"agent-{number}", "2", f"http://127.0.0.1:1/{number}", lease=3600)


def resolves(embedded: Registry, follower: Registry, calls: int) -> None:
    """A resolve from the mirror beside one from the embedded engine."""
    times: list[list[float]] = [[], []]
    for number in range(calls + 50):
        for registry, taken in zip((embedded, follower), times, strict=True):
            began = time.perf_counter()
            registry.resolve(f"agent-{number % _AGENTS}", key=f"ctx-{number}")
            if number >= 50:
                taken.append(time.perf_counter() - began)
    ours, mirror = map(statistics.median, times)
    print(f"resolve: embedded {1e6 * ours:.0f} us, from the mirror {1e6 * mirror:.0f} us (p50)")
    goal("resolve with a warm mirror, p50, x embedded", mirror / ours, at_most=1.2)


def staleness(writer: Registry, follower: Registry, changes: int) -> None:
    """From the return of a write until another lab's mirror has it."""
    labels, places = [], []
    for number in range(1 + changes):  # the first one is not counted
        moved = writer.rollback("agent-0").version
        labels.append(seconds_until(lambda moved=moved: follower.labels("agent-0")["latest"] == moved))  # type: ignore[misc]
        place = writer.register_endpoint("agent-1", "2", f"http://127.0.0.1:1/new/{number}", lease=3600)
        there = lambda url=place.url: url in {one.url for one in follower.endpoints("agent-1")}  # noqa: E731
        places.append(seconds_until(there))
        writer.deregister(place.id)
    for what, taken in (("label's move", labels), ("new endpoint", places)):
        median, worst = statistics.median(taken[1:]), quantile(taken[1:], 1.0)
        print(f"a {what} until another lab has it: p50 {median:.2f} s, worst of {changes} {worst:.2f} s")


def seconds_until(what: Callable[[], bool]) -> float:
    """Seconds until something holds."""
    began = time.perf_counter()
    until(what)
    return time.perf_counter() - began


def until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for what another thread brings about."""
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.002)
