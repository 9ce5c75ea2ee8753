"""The broker alone: topics and groups of a store with their doors, without registry, agents and tasks."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from nbagora_lab.a2a.server import Server, bind
from nbagora_lab.broker import Broker
from nbagora_lab.broker.keeper import keep
from nbagora_lab.core.errors import NotStarted
from nbagora_lab.core.ids import Ids, RandomIds, SeededIds
from nbagora_lab.core.log import RingLog
from nbagora_lab.core.service import ServiceLoop
from nbagora_lab.engines import open_groups, open_log
from nbagora_lab.inspect.status import LabStatus
from nbagora_lab.keys import read_lab, remove_lab, store_token, write_lab
from nbagora_lab.lab import Lab

__all__ = ["BrokerLab"]

_ABSENT = {
    "_calls", "_hosting", "_neighbours", "_runs", "_tasks", "discovery", "registry", "settled", "upkeep", "vault",
}  # fmt: skip


class BrokerLab(Lab):
    """A lab that is its broker and nothing else; what it lacks says so.

    Args:
        settings: As for `Lab`.

    Example:
        >>> with BrokerLab(store="topics") as lab:
        ...     lab.broker.create_topic("chat")
        ...     lab.broker.send("chat/s-1", b"hello")
        True
        Receipt(topic='chat/s-1', offset=0)
    """

    def _start(self, ids: Ids | None) -> None:
        settings, stops = self.settings, self._stops
        self.store, self.joined = Path(settings.store).absolute(), None
        self._ring = RingLog()
        self._ring.install()
        stops.callback(self._ring.uninstall)
        log = open_log(self.store, self.clock, settings)
        stops.callback(log.close)
        self.epoch = log.epoch
        self.token = store_token(self.store) if settings.token is None else settings.token
        ids = ids or (RandomIds() if settings.seed is None else SeededIds(settings.seed, log.epoch))
        self.broker = Broker(log, self.clock, open_groups(log), ids)
        listener = bind(settings.host, settings.port, urlsplit(str(read_lab(self.store).get("url", ""))).port or 0)
        stops.callback(listener.close)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{listener.getsockname()[1]}"
        self.service = ServiceLoop("nbagora-service")
        self.service.start()
        stops.callback(self.service.stop)
        server = Server(settings, self.token)
        server.serve_broker(self.broker, self.clock, self.url)
        self.service.call(server.start, listener)
        stops.callback(self.service.call, server.stop)
        self.service.submit(lambda: keep(log, self.clock))
        write_lab(self.store, url=self.url, token=self.token)
        stops.callback(remove_lab, self.store)

    def status(self) -> LabStatus:
        """What the broker says of itself."""
        self._check_running()
        return LabStatus(
            url=self.url,
            store=str(self.store),
            epoch=self.epoch,
            engines={"broker": self.broker.log.engine},
            agents=(),
            open_tasks=0,
            sessions=0,
            settled=(),
            log=tuple(self.log()[-20:]),
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name in _ABSENT:
            raise NotStarted("only the broker runs in this kernel", "%broker stop, then %lab start for all of it")
        raise AttributeError(name)
