"""Which engine stands behind the broker and the registry of a lab: the one place that knows."""

from __future__ import annotations

from pathlib import Path

from nbagora_lab.broker.api import Groups
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.broker.stored import open_topics
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.ids import Ids
from nbagora_lab.core.settings import Settings
from nbagora_lab.keys import store_lab_id
from nbagora_lab.registry.embedded import EmbeddedCatalog

__all__ = ["open_catalog", "open_groups", "open_log"]


def open_log(store: Path, clock: Clock, settings: Settings) -> EmbeddedLog | HostedLog:
    """Opens the topics of a store.

    Args:
        store: Folder of the lab.
        clock: Time.
        settings: Engine, durability and limits.

    Raises:
        StoreError: They can't be opened; says why.
    """
    store.mkdir(parents=True, exist_ok=True)
    lab = "" if settings.broker == "embedded" else settings.lab_id or store_lab_id(store)
    return open_topics(store, clock, settings, lab=lab)


def open_groups(log: EmbeddedLog | HostedLog) -> Groups:
    """The groups of a log's engine."""
    if isinstance(log, EmbeddedLog):
        return EmbeddedGroups(log)
    return EmbeddedGroups(log.own)


def open_catalog(store: Path, clock: Clock, ids: Ids, settings: Settings) -> EmbeddedCatalog:
    """Opens the registry of a store; arguments and errors as for `open_log`."""
    return EmbeddedCatalog(store / "registry.db", clock=clock, ids=ids, durability=settings.durability)
