"""Registries on a real Nacos, each test in namespaces of its own, each opening with a mirror of its own."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

from nbagora_lab.core.clock import Clock
from nbagora_lab.core.ids import Ids
from nbagora_lab.registry.nacos import NacosCatalog
from nbagora_lab.registry.nacos_http import Nacos

__all__ = ["connect", "lab_of", "open_nacos"]

_openings = itertools.count(1)


def connect(server: Any, **more: Any) -> Nacos:
    """A connection to the tests' server."""
    known = server.endpoints
    return Nacos(known["url"], more.get("user", known["username"]), more.get("password", known["password"]))


def lab_of(folder: Path) -> str:
    """The lab that is named by a folder."""
    return f"t{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def open_nacos(server: Any, folder: Path, clock: Clock, ids: Ids) -> NacosCatalog:
    """A catalog whose state is at the server alone: its mirror begins empty."""
    mirror = folder / f"mirror-{next(_openings)}.db"
    return NacosCatalog(mirror, connect(server), lab_of(folder), clock=clock, ids=ids)
