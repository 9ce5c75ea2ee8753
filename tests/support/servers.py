"""The real servers of a test run, as engines take them."""

from __future__ import annotations

import os
from pathlib import Path

import _engines
from _server import Server

__all__ = ["running_server", "server_options"]


def running_server(name: str) -> Server:
    """A server that a test's mark or fixture has seen to: the run's own, or else the one that runs in this checkout."""
    server = _engines.running(Path(os.environ["NBAGORA_SERVERS"]) / name) or _engines.running(_engines.FOLDER / name)
    assert server is not None, f"{name} runs when a test is marked server('{name}')"
    return server


def server_options(name: str) -> dict[str, str]:
    """What `RocketLog` is given to reach it."""
    endpoints = running_server(name).endpoints
    return {"endpoints": endpoints["endpoints"], "namesrv": endpoints["namesrv"]}
