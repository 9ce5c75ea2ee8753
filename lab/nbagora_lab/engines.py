"""Which engine stands behind the broker and the registry of a lab: the one place that knows."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.hosted import HostedLog
from nbagora_lab.broker.hosted_groups import HostedGroups
from nbagora_lab.broker.stored import open_topics
from nbagora_lab.core.clock import Clock
from nbagora_lab.core.ids import Ids, RandomIds, SeededIds
from nbagora_lab.core.link import Link
from nbagora_lab.core.settings import Settings
from nbagora_lab.joining import find_lab
from nbagora_lab.keys import store_lab_id, store_secret, store_token
from nbagora_lab.registry import Registry
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.stored import note_registry

if TYPE_CHECKING:
    from nbagora_lab.registry.nacos import NacosCatalog
    from nbagora_lab.registry.nacos_http import Nacos

__all__ = ["Engines", "open_catalog", "open_elsewhere", "open_engines", "open_groups", "open_log"]


class Engines(NamedTuple):
    """What a lab stands on.

    Attributes:
        log: The broker's log.
        groups: Its groups.
        catalog: The registry's engine.
        store: The folder that holds them.
        token: The doors' token; empty for none.
        ids: What makes ids.
        link: The line to the lab that has them, where that is another one.
    """

    log: Log
    groups: Groups
    catalog: Catalog
    store: Path
    token: str
    ids: Ids
    link: Link | None


def open_engines(settings: Settings, clock: Clock, ids: Ids | None, url: str, stops: contextlib.ExitStack) -> Engines:
    """Opens the engines of a store, or joins the lab that has them.

    Args:
        settings: Which engines, where.
        clock: Time.
        ids: What makes ids; None: as the settings say.
        url: Where this lab's doors are.
        stops: Takes what closes them.

    Raises:
        StoreError: They can't be opened; says why.
        NotStarted: No lab runs that could be joined.
        Unreachable: The lab that was to be joined does not answer.
        Unauthorized: The token is not its.
    """
    if settings.join:
        from nbagora_lab.broker.remote import remote_groups, remote_log
        from nbagora_lab.registry.remote import remote_catalog

        found = find_lab(settings.join, token=settings.token, store=settings.store)
        link = Link(found.url, found.token, url)
        stops.callback(link.close)
        ids = ids or (RandomIds() if settings.seed is None else SeededIds(settings.seed))
        store = Path(link.about["store"])
        return Engines(remote_log(link), remote_groups(link), remote_catalog(link), store, found.token, ids, link)
    store = Path(settings.store).absolute()
    log = open_log(store, clock, settings)
    stops.callback(log.close)
    token = store_token(store) if settings.token is None else settings.token
    ids = ids or (RandomIds() if settings.seed is None else SeededIds(settings.seed, log.epoch))
    catalog = open_catalog(store, clock, ids, settings)
    stops.callback(catalog.close)
    return Engines(log, open_groups(log), catalog, store, token, ids, None)


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
    return HostedGroups(log)


def open_catalog(store: Path, clock: Clock, ids: Ids, settings: Settings) -> Catalog:
    """Opens the registry of a store; arguments and errors as for `open_log`."""
    if settings.registry == "nacos":
        return _open_nacos(store, clock, ids, settings)
    return EmbeddedCatalog(store / "registry.db", clock=clock, ids=ids, durability=settings.durability)


def _open_nacos(store: Path, clock: Clock, ids: Ids, settings: Settings) -> Catalog:
    from nbagora_lab.registry.nacos_follow import Follower

    space = settings.nacos_namespace or settings.lab_id or store_lab_id(store)
    nacos, catalog = _nacos(store, clock, ids, settings, settings.nacos, space)
    own = "" if settings.nacos_namespace else space
    note_registry(store, catalog.engine, nacos=settings.nacos, user=settings.nacos_user, lab=own)
    catalog.follower = Follower(catalog, nacos)
    catalog.follower.start()
    return catalog


def _nacos(
    store: Path, clock: Clock, ids: Ids, settings: Settings, address: str, space: str
) -> tuple[Nacos, NacosCatalog]:
    from nbagora_lab.registry.nacos import NacosCatalog
    from nbagora_lab.registry.nacos_http import Nacos

    nacos = Nacos(address, settings.nacos_user, store_secret(store, "nacos_password", settings.nacos_password))
    which = hashlib.sha256(f"{nacos.url} {space}".encode()).hexdigest()[:12]
    try:
        return nacos, NacosCatalog(store / f"nacos-{which}.db", nacos, space, clock=clock, ids=ids)
    except BaseException:
        nacos.close()
        raise


@contextlib.contextmanager
def open_elsewhere(store: Path, clock: Clock, settings: Settings, address: str, space: str) -> Iterator[Registry]:
    """A registry at a Nacos beside the lab's own, for as long as the block lasts; errors as for `open_log`.

    Args:
        store: Folder of the lab, for its mirror and the server's password.
        clock: Time.
        settings: User and password.
        address: ``host:port`` of the Nacos.
        space: The namespace there.
    """
    _, catalog = _nacos(store, clock, RandomIds(), settings, address, space)
    try:
        yield Registry(catalog, clock=clock)
    finally:
        catalog.close()
