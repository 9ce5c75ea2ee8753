"""Which engine a store's topics are on, kept in the store, so that who opens it later finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbagora_lab.broker.api import Log
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.settings import Settings

__all__ = ["forget_shared", "open_topics", "reopen_topics"]

_NOTE = "broker.json"


def open_topics(store: Path, clock: Clock, settings: Settings, *, lab: str) -> EmbeddedLog | HostedLog:
    """Opens a store's topics on the engine that the settings name.

    Args:
        store: Folder of the lab.
        clock: Time.
        settings: Engine, its servers, durability and limits.
        lab: The lab's id on shared servers.

    Raises:
        StoreError: They can't be opened; says why.
    """
    here, elsewhere = ("topics", "hosted") if settings.broker == "embedded" else ("hosted", "topics")
    if (store / elsewhere / "CURRENT").is_file():  # a lab of the other kind may hold this store
        _embedded(store / elsewhere, clock, settings).close()
    own = _embedded(store / here, clock, settings)
    if settings.broker == "embedded":
        return own
    try:
        (store / _NOTE).write_text(
            json.dumps({"lab": lab, "rocketmq": settings.rocketmq, "rocketmq_namesrv": settings.rocketmq_namesrv}),
            encoding="utf-8",
        )
        return HostedLog(_rocketmq(clock, settings, lab), own)
    except BaseException:
        own.close()
        raise


def reopen_topics(store: Path, clock: Clock) -> Log | None:
    """Opens the topics of a store that no lab holds, on the engine that it was last on; None: it has none."""
    if (note := _note(store)) is not None and (store / "hosted").is_dir():
        own = EmbeddedLog(store / "hosted", clock=clock)
        try:
            return HostedLog(_noted(clock, note), own)
        except BaseException:
            own.close()
            raise
    marks = [store / "CURRENT", *sorted(store.glob("*/CURRENT"))]  # a file of RocksDB
    folder = next((mark.parent for mark in marks if mark.is_file()), None)
    return None if folder is None else EmbeddedLog(folder, clock=clock)


def forget_shared(store: Path, clock: Clock) -> None:
    """Removes what a store has on shared servers; for a store that is about to go."""
    if (note := _note(store)) is None:
        return
    log = _noted(clock, note)
    try:
        log.remove()
    finally:
        log.close()


def _note(store: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads((store / _NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return note


def _noted(clock: Clock, note: dict[str, Any]) -> Any:
    lab = note.pop("lab")
    return _rocketmq(clock, Settings.load(**note), lab)


def _embedded(folder: Path, clock: Clock, settings: Settings) -> EmbeddedLog:
    return EmbeddedLog(
        folder,
        clock=clock,
        durability=settings.durability,
        record_limit=settings.record_limit,
        body_limit=settings.stored_body_limit,
    )


def _rocketmq(clock: Clock, settings: Settings, lab: str) -> Any:
    from nbagora_lab.broker.rocketmq.log import RocketLog

    return RocketLog(
        endpoints=settings.rocketmq,
        namesrv=settings.rocketmq_namesrv,
        lab=lab,
        clock=clock,
        access_key=settings.rocketmq_access_key,
        secret_key=settings.rocketmq_secret_key,
        record_limit=settings.record_limit,
        body_limit=settings.stored_body_limit,
        patience=settings.patience,
    )
