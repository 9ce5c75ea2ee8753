"""What works here: the installation, the store, the servers that are asked for, and a model that is named.

Each look is a `Check`; nothing is raised for what does not work, since that is the finding. What is an extra that
nothing here asks for is neither right nor wrong.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import socket
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from nbagora_lab.agents.live import Check, check
from nbagora_lab.agents.models import choose
from nbagora_lab.core.errors import NotStarted, StoreError
from nbagora_lab.core.settings import Settings
from nbagora_lab.joining import find_lab

__all__ = ["examine", "try_model"]

_EXTRAS = {  # what is needed for what, and the extra that brings it
    "openai": ("live models", "live"),
    "mcp": ("MCP servers", "mcp"),
    "pypdf": ("PDF documents", "rag"),
    "grpcio": ("A2A over gRPC", "grpc"),
    "rocketmq-python-client": ("RocketMQ's client", "rocketmq"),
}
_PATIENCE = 2.0  # seconds that a server may take to answer


def try_model(name: str) -> list[Check]:
    """Tries a model: a text, one call of a tool, one schema; see `agents.live.check`.

    Args:
        name: As `agents.models.choose` takes it.

    Raises:
        UsageError: There is no such model, or what it needs is missing.
    """
    from anyio.from_thread import start_blocking_portal

    model = choose(name)
    if model is None:
        return [
            Check("model", None, "none: agents without a model of their own can't answer; %lab start --model rules")
        ]
    with start_blocking_portal() as portal:  # its own loop: a notebook's is at work
        return portal.call(check, model)


def examine(settings: Settings) -> list[Check]:
    """Looks at what a lab with these settings needs.

    Args:
        settings: Those of the lab that runs, or that would start here.
    """
    return [
        Check("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()}"),
        _full_text(),
        _store(settings),
        *_servers(settings),
        _views(),
        *_extras(settings),
        Check(
            "model", settings.model not in {"", "none"} or None, f"{settings.model}: %lab doctor --model NAME tries one"
        ),
    ]


def _full_text() -> Check:
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(body)")
    except sqlite3.OperationalError:
        return Check("full text", False, f"SQLite {sqlite3.sqlite_version} lacks FTS5: use a Python that has it")
    finally:
        db.close()
    return Check("full text", True, f"SQLite {sqlite3.sqlite_version} with FTS5")


def _store(settings: Settings) -> Check:
    """Whether the store can be had: a lab that runs on it answers, or else its folder can be written."""
    import httpx

    folder = Path(settings.store).absolute()
    try:
        found = find_lab(settings.join or folder)
        httpx.get(f"{found.url}/healthz", timeout=_PATIENCE, trust_env=False).raise_for_status()
        return Check("store", True, f"{folder}: the lab at {found.url} has it, and answers")
    except NotStarted:
        pass
    except (httpx.HTTPError, StoreError) as error:
        return Check("store", False, f"{folder}: the lab that has it does not answer: {error}")
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check("store", False, f"{folder} can't be written: choose another with --store")
    return Check("store", True, f"{folder} can be written")


def _servers(settings: Settings) -> Iterator[Check]:
    if settings.broker == "rocketmq":
        yield _reached("RocketMQ", settings.rocketmq, "scripts/engines up rocketmq starts one")
    if settings.registry == "nacos":
        place = urlsplit(settings.nacos if "//" in settings.nacos else f"//{settings.nacos}").netloc
        yield _reached("Nacos", place, "scripts/engines up nacos starts one")


def _reached(what: str, place: str, hint: str) -> Check:
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE):
            return Check(what, True, f"{place} takes connections")
    except (OSError, ValueError) as error:
        return Check(what, False, f"{place}: {error}; {hint}")


def _views() -> Check:
    versions = {name: _version(name) for name in ("anywidget", "ipywidgets", "jupyterlab")}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Check("views", False, f"not installed: {', '.join(missing)}; pip install nbagora brings them")
    return Check("views", True, ", ".join(f"{name} {version}" for name, version in versions.items()))


def _extras(settings: Settings) -> Iterator[Check]:
    asked = {
        "live": settings.model.partition("live:")[1] == "live:",
        "rocketmq": settings.broker == "rocketmq",
        "grpc": settings.grpc is not None,
    }
    for package, (what, extra) in _EXTRAS.items():
        version = _version(package)
        if version is not None:
            yield Check(what, True, f"{package} {version}")
        else:
            yield Check(what, False if asked.get(extra) else None, f"not installed: pip install 'nbagora[{extra}]'")


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None
