"""The engines of a lab that was joined: embedded ones, behind real doors and a line to them."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from nbagora_lab.a2a.server import Server, bind
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.remote import remote_groups, remote_log
from nbagora_lab.core.link import Link
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.core.settings import Settings
from nbagora_lab.guests import Guests
from nbagora_lab.inspect.status import LabStatus
from nbagora_lab.joining import House
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.remote import remote_catalog

__all__ = ["Joined", "join_engines"]

TOKEN = "a token"


class Joined(NamedTuple):
    """Engines at the other end of a line.

    Attributes:
        log: The log.
        groups: Its groups.
        catalog: The registry's engine.
        link: The line.
        guests: The doors at its other end.
    """

    log: Log
    groups: Groups
    catalog: Catalog
    link: Link
    guests: Guests


def _status() -> LabStatus:
    return LabStatus(
        url="", store="a store", epoch=1, engines={}, agents=(), open_tasks=0, sessions=0, settled=(), log=()
    )


def _nobody() -> Any:
    raise AssertionError("no lab is here, that could host anybody")


def join_engines(log: Any, groups: Any, catalog: Any, **options: Any) -> Joined:
    """Puts engines behind doors and joins them; closing what is returned closes all of it.

    Args:
        log: A log, closed with the line; or None.
        groups: Its groups; or None.
        catalog: A registry's engine, closed likewise; or None.
        options: For `Guests`.
    """
    service = ServiceLoop("doors")
    service.start()
    listener = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = Server(Settings(), TOKEN)
    house = House(_nobody, _status, lambda: None)
    guests = Guests(log or _Absent(), groups or _Absent(), catalog or _Absent(), url, house, **options)
    server.serve_engines(guests)
    service.call(server.start, listener)
    link = Link(url, TOKEN, "")
    close = link.close

    def close_all() -> None:
        close()
        with contextlib.ExitStack() as stack:
            for engine in (log, catalog):
                if engine is not None:
                    stack.callback(engine.close)
            stack.callback(listener.close)
            if service.running:
                stack.callback(service.stop)
                stack.callback(service.call, server.stop)

    link.close = close_all  # type: ignore[method-assign]
    return Joined(remote_log(link), remote_groups(link), remote_catalog(link), link, guests)


class _Absent:
    """An engine that is not there."""

    engine = "none"
    epoch = 0
    capabilities: frozenset[str] = frozenset()
