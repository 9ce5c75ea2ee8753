"""Which engine stands behind the broker and the registry of a lab: the one place that knows."""

from __future__ import annotations

from pathlib import Path

from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.settings import Settings
from nbagora_lab.registry.embedded import EmbeddedCatalog

__all__ = ["open_catalog", "open_log"]


def open_log(store: Path, clock: Clock, settings: Settings) -> EmbeddedLog:
    """Opens the topics of a store.

    Args:
        store: Folder of the lab.
        clock: Time.
        settings: Durability and limits.

    Raises:
        StoreError: They can't be opened; says why.
    """
    return EmbeddedLog(
        store / "topics",
        clock=clock,
        durability=settings.durability,
        record_limit=settings.record_limit,
        body_limit=settings.stored_body_limit,
    )


def open_catalog(store: Path, clock: Clock, ids: Ids, settings: Settings) -> EmbeddedCatalog:
    """Opens the registry of a store; arguments and errors as for `open_log`."""
    return EmbeddedCatalog(store / "registry.db", clock=clock, ids=ids, durability=settings.durability)
