"""Topic views on a real log in this process, and groups that a test makes up.

A view's service thread is the test: a command is obeyed at once, and `TopicViews.tick` is the 10 Hz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nbagora_lab.broker import Broker
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.stats import GroupStats, LeaseInfo, TopicProgress
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import GroupNotFound, NotStarted
from nbagora_lab.core.events import encode
from nbagora_lab.inspect.topics import TopicInspector
from nbagora_lab.views import TopicViewSource
from nbagora_widgets import TopicView

__all__ = ["T0", "CountingLog", "FakeGroups", "Here", "HereSource", "KernelComm", "TopicViews", "open_log", "put"]

T0 = 1_790_000_000.0


class CountingLog:
    """A log that counts what is read of it."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.reset()

    def reset(self) -> None:
        self.scanned = self.bytes = self.informed = self.listed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def scan(self, *args: Any, **more: Any) -> Any:
        batch = self._log.scan(*args, **more)
        self.scanned += len(batch)
        self.bytes += sum(len(stored) for _, stored in batch)
        return batch

    def info(self, topic: str) -> Any:
        self.informed += 1
        return self._log.info(topic)

    def lites(self, *args: Any, **more: Any) -> Any:
        names = self._log.lites(*args, **more)
        self.listed += len(names)
        return names


class FakeGroups:
    """As much of `Groups` as a view asks: a test says where each group stands."""

    capabilities = frozenset({"suspend"})

    def __init__(self) -> None:
        self.specs: dict[str, GroupSpec] = {}
        self.stood: dict[tuple[str, str], TopicProgress] = {}
        self.told: dict[str, GroupStats] = {}
        self.asked = 0

    def add(self, name: str, topic: str, *, clients: int = 1, leases: tuple[LeaseInfo, ...] = (), **told: Any) -> None:
        self.specs[name] = GroupSpec(topic=topic)
        usual = dict.fromkeys(("ready", "unread", "received", "acked", "redelivered", "dead"), 0)
        usual |= {"held": {}, "tenants": ()}
        given = {"clients": {f"c{number}": 1 for number in range(clients)}, "leases": leases}
        self.told[name] = GroupStats(group=name, **(usual | given | told))

    def stand(self, group: str, topic: str, committed: int, next_: int, state: str, attempts: int = 0) -> None:
        self.stood[group, topic] = TopicProgress(topic, committed, next_, next_ - committed, attempts, state)

    def groups(self) -> dict[str, GroupSpec]:
        return dict(self.specs)

    def stats(self, group: str, *, unread: bool = True) -> GroupStats:
        assert not unread  # which a view has no time for
        self.asked += 1
        if group not in self.told:
            raise GroupNotFound(f"no group '{group}'", "see %broker group")
        return self.told[group]

    def progress(self, group: str, topic: str) -> TopicProgress:
        return self.stood.get((group, topic), TopicProgress(topic, 0, 0, 0, 0, "idle"))


class KernelComm:
    """What the view sends, as the browser gets it."""

    kernel = "a kernel"

    def __init__(self, name: str) -> None:
        self.comm_id = name
        self.sent: list[dict[str, Any]] = []

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        known = {"state": data.get("state"), "content": data.get("content")}
        self.sent.append({key: value for key, value in known.items() if value is not None})

    def on_msg(self, handler: Callable[[Any], None]) -> None:
        self.handler = handler

    def close(self, *args: Any, **more: Any) -> None:
        pass

    def take(self) -> list[dict[str, Any]]:
        """What was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent


class Here:
    """What makes a source's service thread the caller's."""

    def __init__(self) -> None:
        self.ticking: list[Callable[[], None]] = []
        self.running = True

    def soon(self, function: Callable[[], None]) -> None:
        if not self.running:
            raise NotStarted("the lab is not running", "start it with %lab start")
        function()

    def every(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        self.ticking.append(function)
        return lambda: function in self.ticking and self.ticking.remove(function)

    def _aside(self, work: Callable[[], object]) -> Future[object]:
        future: Future[object] = Future()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        return future


class HereSource(Here, TopicViewSource):
    """A source whose service thread is the caller's."""

    def __init__(self, broker: Any, groups: Any = None) -> None:
        TopicViewSource.__init__(self, SimpleNamespace(), broker, "http://127.0.0.1:1")  # type: ignore[arg-type]
        Here.__init__(self)
        self.now = 0.0
        self._inspector = TopicInspector(broker.log, groups, "http://127.0.0.1:1", ticks=lambda: self.now)


class TopicViews:
    """Views by name, each with its comm."""

    def __init__(self, broker: Any, groups: Any = None) -> None:
        self.broker = broker
        self.groups = groups
        self.views: dict[str, TopicView] = {}
        self.sources: dict[str, HereSource] = {}

    def add(self, name: str, **more: Any) -> TopicView:
        source = self.sources[name] = HereSource(self.broker, self.groups)
        view = self.views[name] = TopicView(source, **more)
        view.comm = KernelComm(name)
        return view

    def receive(self, name: str, command: dict[str, Any]) -> list[dict[str, Any]]:
        """A command from the browser; what goes back."""
        view = self.views[name]
        view._received(view, command, None)
        return view.comm.take() if view.comm is not None else []

    def tick(self, name: str, seconds: float = 0.1) -> list[dict[str, Any]]:
        """The next turn of the service thread, `seconds` later; what is sent."""
        source = self.sources[name]
        source.now += seconds
        for function in list(source.ticking):
            function()
        return self.views[name].comm.take()

    def close(self) -> None:
        for view in self.views.values():
            view.close()


@contextmanager
def open_log(path: Path) -> Iterator[Broker]:
    """A broker on a log of its own that counts its reads."""
    clock = VirtualClock()
    log = EmbeddedLog(path / "topics", clock=clock)
    broker = Broker(CountingLog(log), clock)  # type: ignore[arg-type]
    try:
        yield broker
    finally:
        log.close()


def put(broker: Broker, topic: str, count: int, text: str = "record {}", start: int = 0, step: float = 0.5) -> None:
    """Appends `count` records of text, `step` seconds apart."""
    for begin in range(start, start + count, 2000):
        numbers = range(begin, min(start + count, begin + 2000))
        broker.log.append(
            [
                (topic, encode("message", text.format(n).encode(), time=T0 + n * step, datacontenttype=b"text/plain"))
                for n in numbers
            ]
        )
