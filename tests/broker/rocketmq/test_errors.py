"""What goes wrong with a server is told in two lines: which server, which setting, what to do."""

from __future__ import annotations

import contextlib
import queue
import secrets
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from logs import record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.cluster import Cluster
from nbagora_lab.broker.rocketmq.log import RocketLog
from nbagora_lab.broker.rocketmq.remoting import Answer, Remote
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import Forbidden, LabError, ServerGone, StoreError, TooLarge, Unsupported
from servers import server_options


def told(error: pytest.ExceptionInfo[LabError]) -> str:
    lines = error.value._render_traceback_()
    assert len(lines) == 2
    return " ".join(lines)


class Fake:
    """A server that answers every call of the remoting protocol with what a test says."""

    def __init__(self, answer: bytes) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._answer = answer
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            with link, contextlib.suppress(ConnectionResetError):
                while link.recv(1 << 16):
                    link.sendall(self._answer)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def frame(header: bytes, body: bytes = b"") -> bytes:
    return (4 + len(header) + len(body)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header + body


@pytest.fixture
def fakes() -> Iterator[Any]:
    made: list[Fake] = []

    def fake(answer: bytes) -> str:
        made.append(Fake(answer))
        return made[-1].address

    yield fake
    for one in made:
        one.close()


def test_a_server_that_is_absent_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(ServerGone) as caught:
        Cluster(address, reader="r")
    assert f"RocketMQ at {address} does not answer" in told(caught)
    assert "rocketmq_namesrv" in told(caught)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\5\1\0\0\0x", b""])
def test_a_port_of_something_else_is_told(fakes: Any, answer: bytes) -> None:
    with pytest.raises(ServerGone) as caught:
        Cluster(fakes(answer or frame(b"no json")), reader="r")
    assert "RocketMQ at 127.0.0.1:" in told(caught)
    assert "rocketmq_namesrv" in told(caught)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    answer = frame(b'{"code": 0}', b'{"brokerAddrTable":{"a":{"brokerAddrs":{"0":"there:1"}}}}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        links: list[socket.socket] = []

        def serve() -> None:
            for _ in range(2):
                link, _ = server.accept()
                links.append(link)
                link.recv(1 << 16)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        cluster = Cluster(f"127.0.0.1:{server.getsockname()[1]}", reader="r")
        links[0].shutdown(socket.SHUT_RDWR)  # as servers do with one that is idle
        links[0].close()
        cluster.look()
        thread.join()
        links[1].close()
        cluster.close()


def test_a_server_that_hangs_is_given_up_and_the_connection_is_not_used_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # nobody accepts, let alone answers
        remote = Remote(f"127.0.0.1:{server.getsockname()[1]}", "see that it runs", timeout=0.05)
        for _ in range(2):
            with pytest.raises(ServerGone) as caught:
                remote.call(106)
            assert f"RocketMQ at {remote.address} does not answer: timed out" in told(caught)
        assert not remote._all
        remote.close()


@pytest.mark.parametrize(("wait", "seconds"), [(0.0, None), (15.0, 25.0)])
def test_a_pull_that_a_broker_forgets_is_given_up_some_time_after_it_was_to_come(
    monkeypatch: pytest.MonkeyPatch, wait: float, seconds: float | None
) -> None:
    limits: list[float | None] = []

    def ask(self: Remote, code: int, fields: Any, *, timeout: float | None) -> Any:
        limits.append(timeout)
        raise ServerGone("timed out", "")

    answer = Answer(0, {}, b'{"brokerAddrTable":{"broker-a":{"brokerAddrs":{"0":"there:1"}}}}', "")
    monkeypatch.setattr(Remote, "call", lambda *_: answer)
    monkeypatch.setattr(Remote, "ask", ask)
    cluster = Cluster("there:0", reader="r")
    with pytest.raises(ServerGone):
        cluster.pull("lab-chat", 0, wait=wait)
    assert limits == [seconds]


def test_another_part_of_rocketmq_is_told_from_a_name_server(fakes: Any) -> None:
    address = fakes(frame(b'{"code": 3, "remark": " request type 106 not supported"}'))
    with pytest.raises(ServerGone) as caught:
        Cluster(address, reader="r")
    assert f"what answers at {address} is a part of RocketMQ, but no name server" in told(caught)
    assert "rocketmq_namesrv" in told(caught)


def test_refused_credentials_name_the_settings(fakes: Any) -> None:
    with pytest.raises(Forbidden) as caught:
        Cluster(fakes(frame(b'{"code": 16, "remark": "User not found"}')), access_key="bob", secret_key="x", reader="r")
    assert "NBAGORA_ROCKETMQ_ACCESS_KEY" in told(caught)
    assert "User not found" in told(caught)


@pytest.mark.parametrize(
    ("version", "settings", "words"),
    [
        ("V5_3_2", b"", "lite topics came with 5.5.0"),
        ("V5_5_0", b"enableLmq=false\nenableMultiDispatch=true\n", "enableLmq is false"),
        ("V5_5_1", b"enableLmq=true\nenableMultiDispatch=true\nfileReservedTime=72\n", "set fileReservedTime="),
    ],
)
def test_a_server_that_can_not_hold_a_lab_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, version: str, settings: bytes, words: str
) -> None:
    from nbagora_lab.broker.rocketmq import cluster

    def call(self: Any, code: int, fields: Any = None, body: bytes = b"", **_: Any) -> Any:
        bodies = {
            106: b'{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"there:1"}}}}',
            28: b'{"table":{"brokerVersionDesc":"%s"}}' % version.encode(),
            26: settings,
        }
        return cluster.Answer(0, {}, bodies[code], "")

    monkeypatch.setattr(cluster.Remote, "call", call)
    with pytest.raises((Unsupported, StoreError)) as caught:
        Cluster("there:0", reader="r").check(ttl=7 * 86400)
    assert words in told(caught)


@pytest.mark.server("rocketmq")
class TestReal:
    """On a server."""

    @pytest.fixture
    def log(self) -> Iterator[RocketLog]:
        lab = f"lab{secrets.token_hex(6)}"
        log = RocketLog(**server_options("rocketmq"), lab=lab, clock=SystemClock(), patience=30)
        log.create_topic("chat", TopicSpec())
        yield log
        log.remove()
        log.close()

    def test_a_message_above_the_servers_limit_is_refused_and_the_next_one_goes(self, log: RocketLog) -> None:
        log._record_limit = 1 << 30
        with pytest.raises(TooLarge) as caught:
            log.append([("chat/a", record(bytes(66 << 20)))])
        assert "maxMessageSize" in told(caught)
        assert log.append([("chat/a", record("small"))]) == [0]

    def test_a_topic_of_another_type_is_told(self, log: RocketLog) -> None:
        for remote in log.cluster.brokers.values():
            remote.call(
                17,
                {
                    "topic": f"{log.lab}-plain",
                    "defaultTopic": "TBW102",
                    "readQueueNums": 1,
                    "writeQueueNums": 1,
                    "perm": 6,
                    "topicFilterType": "SINGLE_TAG",
                    "topicSysFlag": 0,
                    "order": False,
                    "attributes": "+message.type=NORMAL",
                },
            )
        with pytest.raises(StoreError) as caught:
            log.create_topic("plain", TopicSpec())
        assert "is of type NORMAL, not LITE" in told(caught)

    @pytest.mark.parametrize(
        "spec", [TopicSpec(type="PRIORITY"), TopicSpec(max_topics=3), TopicSpec(ttl=40 * 86400)], ids=str
    )
    def test_settings_that_a_server_can_not_keep_are_refused(self, log: RocketLog, spec: TopicSpec) -> None:
        with pytest.raises(Unsupported) as caught:
            log.create_topic("other", spec)
        told(caught)
        assert "other" not in log.parents()

    @pytest.mark.parametrize("wrong", ["nobody", "namesrv"])
    def test_a_proxy_that_is_absent_or_something_else_is_named(self, wrong: str) -> None:
        options = server_options("rocketmq")
        address = "127.0.0.1:1" if wrong == "nobody" else options["namesrv"]
        with pytest.raises(ServerGone) as caught:
            RocketLog(
                **options | {"endpoints": address}, lab=f"lab{secrets.token_hex(6)}", clock=SystemClock(), patience=2
            )
        assert address in told(caught)
        assert "the setting rocketmq names them" in told(caught)

    def test_the_topics_that_are_there_are_held_against_the_brokers_at_every_opening(
        self, log: RocketLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.create_topic("week", TopicSpec(ttl=7 * 86400))
        check, asked = Cluster.check, []

        def shorter(cluster: Cluster, *, ttl: float) -> Any:
            asked.append(ttl)
            return check(cluster, ttl=ttl * 10)  # as if fileReservedTime had been lowered since

        monkeypatch.setattr(Cluster, "check", shorter)
        with pytest.raises(StoreError) as caught:
            RocketLog(**server_options("rocketmq"), lab=log.lab, clock=SystemClock())
        assert "fileReservedTime" in told(caught)
        assert max(asked) == 7 * 86400

    def test_what_refers_to_another_parent_comes_once_that_can_be_read(self, log: RocketLog) -> None:
        log.create_topic("references", TopicSpec())
        readable: queue.Queue[int] = queue.Queue()

        def heard(topic: str, _: int) -> None:
            if topic == "references/x":
                readable.put(len(log.scan("chat/a")))

        log.watch_parent("references", heard)
        log.append([*[("chat/a", record(f"{number}")) for number in range(5)], ("references/x", record("to it"))])
        assert readable.get(timeout=60) == 5

    def test_a_broker_in_place_of_a_name_server_is_told(self, log: RocketLog) -> None:
        [broker] = [remote.address for remote in log.cluster.brokers.values()]
        with pytest.raises(ServerGone, match="but no name server"):
            Cluster(broker, reader="r")

    def test_a_foreign_message_is_a_record_and_ours_are_plain_to_others(self, log: RocketLog) -> None:
        from nbagora_lab.broker.rocketmq.official import client
        from nbagora_lab.core.events import decode

        message = client().Message()
        message.topic, message.lite_topic, message.body = f"{log.lab}-chat", "foreign", "天气".encode()
        message.add_property("ce_type", "their.type")
        log.sender._producer.send(message)
        while not (found := log.scan("chat/foreign")):
            threading.Event().wait(0.02)
        read = decode(found[0][1], "chat/foreign", 0)
        assert (read.type, read.body.decode()) == ("their.type", "天气")
        assert log.append([("chat/foreign", record("ours"))]) == [1]
        [_, ours] = log.cluster.pull(log.topics.get("chat").queue("foreign"), 0).messages
        assert ours.body == b"ours"
        assert "foreign" in log.lites("chat")
