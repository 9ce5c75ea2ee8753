"""A Nacos that is killed in the middle: nothing acknowledged is lost, watchers go on, endpoints are there again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import _engines
from cards import card
from nacos_labs import connect
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import EndpointNotFound, LabError
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.nacos import NacosCatalog
from nbagora_lab.registry.nacos_follow import Follower

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1800)]  # a server starts twice

HERE = "http://127.0.0.1:8001/agents/weather"


def test_after_a_kill_watchers_resume_and_endpoints_are_registered_again(tmp_path: Path) -> None:
    folder = tmp_path / "nacos"
    server = _engines.up("nacos", folder)
    try:
        one, two = (Registry(open_one(server, tmp_path / name)) for name in ("one.db", "two.db"))
        try:
            one.publish(card(), version="1")
            endpoint = one.register_endpoint("weather", "1", HERE, lease=20)
            ends = threading.Event()
            keeper = threading.Thread(target=keep, args=(one, endpoint.id, ends))
            keeper.start()
            try:
                until(lambda: [place.id for place in two.endpoints("weather")] == [endpoint.id] if two.ls() else False)
                for part in server.parts:
                    os.kill(part.pid, signal.SIGKILL)
                    until(lambda part=part: not server.running(part))  # else it would be taken for one that runs
                acknowledged = [version for version in ("2", "3", "4") if published(one, version)]
                assert two.get("weather").version == "1"  # reads go on
                server = _engines.up("nacos", folder)
                until(lambda: published(one, "9"))
                until(lambda: two.labels("weather") == {"latest": "9"})
                known = {version.version for version in two.versions("weather")}
                assert known == {"1", "9", *acknowledged}
                until(lambda: [place.url for place in two.endpoints("weather")] == [HERE])
            finally:
                ends.set()
                keeper.join()
        finally:
            one.catalog.close()
            two.catalog.close()
    finally:
        _engines.down(folder, grace=0)


def open_one(server: object, mirror: Path) -> NacosCatalog:
    nacos = connect(server)
    catalog = NacosCatalog(mirror, nacos, "killed", clock=SystemClock(), ids=RandomIds())
    catalog.follower = Follower(catalog, nacos)
    catalog.follower.start()
    return catalog


def keep(registry: Registry, endpoint: str, ends: threading.Event) -> None:
    """What a lab does: a heartbeat in each third of the lease, whatever becomes of it."""
    while not ends.wait(2.0):
        with contextlib.suppress(LabError):
            try:
                registry.renew(endpoint)
            except EndpointNotFound:
                registry.register_endpoint("weather", "1", HERE, lease=20)


def published(registry: Registry, version: str) -> bool:
    try:
        registry.publish(card(description=f"{version}."), version=version)
    except LabError:
        return False
    return True


def until(what: object, seconds: float = 300.0) -> None:
    """Waits for what other processes bring about."""
    ends = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.2)
