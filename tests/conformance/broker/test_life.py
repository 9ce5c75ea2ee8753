"""The life of a log: what was acknowledged is there when it is opened again, and a closed one says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from logs import bodies, record
from nbagora_lab.broker.api import Log
from nbagora_lab.broker.blobs import BlobRef
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import StoreClosed

CALLS: dict[str, Callable[[Log], object]] = {
    "create_topic": lambda log: log.create_topic("chat", TopicSpec()),
    "parents": lambda log: log.parents(),
    "lites": lambda log: log.lites("chat"),
    "append": lambda log: log.append([("chat/a", record())]),
    "scan": lambda log: log.scan("chat/a"),
    "seek": lambda log: log.seek("chat/a", 0),
    "info": lambda log: log.info("chat/a"),
    "fork": lambda log: log.fork("chat/a", "chat/b", at=0),
    "expire": lambda log: log.expire("chat/a"),
    "watch": lambda log: log.watch("chat/a", print),
    "watch_parent": lambda log: log.watch_parent("chat", print),
    "stage": lambda log: log.stage([b"body"]),
    "unstage": lambda log: log.unstage(BlobRef("0" * 64, 4)),
    "open_body": lambda log: log.open_body(BlobRef("0" * 64, 4)),
    "expire_due": lambda log: log.expire_due(),
    "revision": lambda log: log.revision(),
}


def test_the_calls_above_are_the_protocol() -> None:
    methods = {name for name, value in vars(Log).items() if callable(value) and not name.startswith("_")}
    assert CALLS.keys() == methods - {"close", "on_due"}  # who is told of nothing any more may ask for it


@pytest.mark.parametrize("method", CALLS)
def test_a_closed_log_refuses_every_call(log: Log, method: str) -> None:
    log.append([("chat/a", record())])
    log.close()
    log.close()
    with pytest.raises(StoreClosed) as caught:
        CALLS[method](log)
    assert len(caught.value._render_traceback_()) == 2


def test_everything_is_there_when_it_is_opened_again(reopen: Callable[[], Log], clock: VirtualClock) -> None:
    first = reopen()
    first.create_topic("chat", TopicSpec(ttl=60))
    first.append([("chat/a", record("0", time=1.5)), ("chat/天", record("天"))])
    first.append([("chat/a", record("1", time=2.5)), ("chat/gone", record())])
    first.fork("chat/a", "chat/b", at=0)
    first.expire("chat/gone")
    clock.advance(60)
    seen = [first.parents(), first.lites("chat")]
    seen += [(name, first.info(f"chat/{name}"), first.scan(f"chat/{name}")) for name in first.lites("chat")]
    first.close()
    again = reopen()
    found = [again.parents(), again.lites("chat")]
    found += [(name, again.info(f"chat/{name}"), again.scan(f"chat/{name}")) for name in again.lites("chat")]
    assert found == seen
    assert again.append([("chat/a", record("2")), ("chat/gone", record("new")), ("chat/c", record())]) == [2, 0, 0]
    assert bodies(again, "chat/a") == ["0", "1", "2"]
    assert bodies(again, "chat/gone") == ["new"]


def test_each_opening_has_a_higher_epoch(reopen: Callable[[], Log]) -> None:
    epochs = []
    for _ in range(3):
        log = reopen()
        epochs.append(log.epoch)
        log.close()
    assert epochs == sorted(set(epochs))
    assert epochs[0] > 0


def test_the_revision_grows_with_each_write_and_with_nothing_else(log: Log) -> None:
    seen = [log.revision()]
    for write in (
        lambda: log.append([("chat/a", record())]),
        lambda: log.append([("chat/a", record())]),
        lambda: log.create_topic("news", TopicSpec()),
        lambda: log.fork("chat/a", "chat/b", at=0),
        lambda: log.expire("chat/b"),
    ):
        write()  # type: ignore[no-untyped-call]
        assert log.revision() > seen[-1]
        seen.append(log.revision())
    for name in ("parents", "lites", "scan", "seek", "info", "watch", "revision"):
        CALLS[name](log)
    log.create_topic("news", TopicSpec())
    assert log.revision() == seen[-1]


def test_an_engine_says_what_it_is_and_can(log: Log) -> None:
    assert log.engine
    assert log.capabilities <= {"batch", "remote"}
