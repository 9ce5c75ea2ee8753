"""Where a record came to stand: told by the notice of it, looked for where that is late, and no stray's."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from logs import record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq import writer as module
from nbagora_lab.broker.rocketmq.cluster import Page
from nbagora_lab.broker.rocketmq.feed import LITE_OFFSET
from nbagora_lab.broker.rocketmq.life import Life
from nbagora_lab.broker.rocketmq.packing import ID, ON, packed
from nbagora_lab.broker.rocketmq.parent import Parent
from nbagora_lab.broker.rocketmq.remoting import Message
from nbagora_lab.broker.rocketmq.sender import Send
from nbagora_lab.broker.rocketmq.writer import Writer
from nbagora_lab.core.errors import ServerGone


class Servers:
    """Two brokers and a proxy that puts each message where `puts` says next; a notice follows in another thread."""

    brokers = ("broker-a", "broker-b")

    def __init__(self, puts: str, *, tells: bool = True, shows: bool = True, patience: float = 20) -> None:
        self._puts = iter(puts)
        self._tells = tells
        self._shows = shows
        self._patience = patience
        self.owners = self
        self.held: list[Message] = []
        self.sent: list[str] = []
        self.looks = 0

    def known(self, queue: str) -> str | None:
        return "broker-b" if queue.endswith("known") else None

    def of(self, _queue: str) -> str:
        return "broker-b"

    def ends(self, _queue: str) -> tuple[int, int]:
        return 0, len(self.held)

    def pull(self, _queue: str, offset: int) -> Page:
        self.looks += 1
        return Page(self.held[offset:], 0, 0, len(self.held))

    def send(self, chains: list[list[Send]]) -> None:
        """As a sender does: the next one of a topic when the one before is where it belongs."""

        async def chain(sends: list[Send]) -> None:
            for one in sends:
                assert one.home is not None
                assert one.arrived is not None
                while True:
                    self.deliver(one, await one.home())
                    if await one.arrived():
                        break

        async def every() -> None:
            await asyncio.gather(*map(chain, chains))

        asyncio.run(every())

    def deliver(self, one: Send, home: str) -> None:
        broker = f"broker-{next(self._puts)}"
        body, properties = packed(one.stored)
        properties |= {ID: one.number, ON: home, LITE_OFFSET: str(len(self.held))}
        message = Message(0, 0.0, body, properties)
        self.sent.append(one.number)
        if broker == home and self._shows:
            self.held.append(message)
        if self._tells:
            threading.Thread(target=self.tell, args=(message, broker)).start()

    def tell(self, message: Message, broker: str) -> None:
        self.writer.place(message, broker)()

    def __call__(self, lites: list[str]) -> list[int]:
        """Offsets of a record for each of these lite topics."""
        sender: Any = self
        self.writer = Writer(sender, sender, patience=self._patience)
        parent = Parent("chat", "lab-chat", TopicSpec(), Life("chat", lambda _: []))
        offsets = self.writer.store([(parent, lite, record("x")) for lite in lites])
        assert not self.writer.awaited()
        return offsets


@pytest.mark.parametrize("lite", ["known", "new"])
def test_it_is_where_the_notice_says(lite: str) -> None:
    servers = Servers("bbb")
    first, second, other = servers([lite, lite, "other"])
    assert first < second
    assert {first, second, other} == {0, 1, 2}
    assert servers.looks == 0


def test_a_stray_is_none_and_is_sent_again_before_what_is_behind_it() -> None:
    servers = Servers("aabb")
    assert servers(["known", "known"]) == [0, 1]
    assert servers.sent == [servers.sent[0]] * 3 + [servers.sent[3]]
    assert servers.looks == 0


def test_one_that_nobody_tells_of_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEARD", 0.0)
    servers = Servers("bb", tells=False)
    assert servers(["known", "known"]) == [0, 1]
    assert servers.looks == 2


def test_one_that_is_not_to_be_found_names_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEARD", 0.0)
    with pytest.raises(ServerGone) as caught:
        Servers("b", tells=False, shows=False, patience=0)(["new"])
    told = caught.value._render_traceback_()
    assert len(told) == 2
    assert "broker-a or broker-b does not show it" in told[0]
