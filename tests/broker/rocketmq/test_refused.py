"""What a real cluster refuses: users that it does not know, and more lite topics than it may have."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import _engines
import _rocketmq
from _server import Server
from logs import bodies, record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.log import RocketLog
from nbagora_lab.broker.rocketmq.sender import Send
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import Forbidden, LabError, QuotaExceeded
from nbagora_lab.lab import Lab

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

USER, PASSWORD = "nbagora", "correct horse"
MOST = 40
INNER = json.dumps({"accessKey": USER, "secretKey": PASSWORD})
PROVIDER = "org.apache.rocketmq.auth.authentication.provider"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of this module's own, with authentication (RocketMQ's ACL 2.0) and room for few lite topics."""
    folder = tmp_path_factory.mktemp("cluster")
    wanted = {
        "authenticationEnabled": "true",
        "authenticationProvider": f"{PROVIDER}.DefaultAuthenticationProvider",
        "authenticationMetadataProvider": f"{PROVIDER}.LocalAuthenticationMetadataProvider",
        "authenticationWhitelist": _rocketmq.RUNTIME_INFO,  # by which scripts/engines sees that it is ready
        "initAuthenticationUser": json.dumps({"username": USER, "password": PASSWORD}),
        "innerClientAuthenticationCredentials": INNER,
        "enableLmqQuota": "true",
        "maxLmqConsumeQueueNum": MOST,
    }
    server = _rocketmq.plan(folder, ports=None, brokers=1, fsync=False, conf={k: str(v) for k, v in wanted.items()})
    file = folder / "conf" / "rmq-proxy.json"
    told = {
        "enableAclRpcHookForClusterMode": True,  # or its own calls to the broker carry no credentials
        "authenticationEnabled": True,
        "authenticationProvider": wanted["authenticationProvider"],
        "authenticationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider",
        "innerClientAuthenticationCredentials": INNER,
    }
    file.write_text(json.dumps(json.loads(file.read_text()) | told))
    server.save()
    try:
        _rocketmq.bring_up(server)
        yield server
    finally:
        _engines.down(folder, grace=0, forget=True)


def opened(cluster: Server, **more: Any) -> RocketLog:
    known = cluster.endpoints
    given = {"access_key": USER, "secret_key": PASSWORD, "lab": f"lab{os.urandom(6).hex()}", "patience": 5.0} | more
    return RocketLog(endpoints=known["endpoints"], namesrv=known["namesrv"], clock=SystemClock(), **given)


def told(error: pytest.ExceptionInfo[LabError]) -> str:
    lines = error.value._render_traceback_()
    assert len(lines) == 2
    return " ".join(lines)


@pytest.mark.parametrize(
    ("user", "password"), [("", ""), (USER, "battery staple"), ("nobody", PASSWORD)], ids=["none", "password", "user"]
)
def test_wrong_credentials_are_refused_and_name_server_and_settings(cluster: Server, user: str, password: str) -> None:
    with pytest.raises(Forbidden) as caught:
        opened(cluster, access_key=user, secret_key=password)
    assert "RocketMQ at 127.0.0.1:" in told(caught)
    assert "NBAGORA_ROCKETMQ_ACCESS_KEY and NBAGORA_ROCKETMQ_SECRET_KEY" in told(caught)
    assert PASSWORD not in told(caught)


def test_with_the_right_ones_a_lab_works_and_no_record_or_line_of_the_log_holds_them(
    cluster: Server, tmp_path: Path
) -> None:
    known = {"rocketmq_access_key": USER, "rocketmq_secret_key": PASSWORD}
    with Lab(store=tmp_path, broker="rocketmq", **cluster.settings, **known) as lab:

        @lab.agent
        async def echo(message: Any, task: Any) -> str:
            return f"回 {message.text}"

        assert lab.ask("echo", "你好").text == "回 你好"
        assert PASSWORD not in "".join(map(repr, [*lab.log(), lab.settings]))
        lab.broker.log.shared.remove()  # type: ignore[attr-defined]


def test_more_lite_topics_than_there_may_be_are_refused_and_those_there_are_go_on(cluster: Server) -> None:
    log = opened(cluster)
    try:
        log.create_topic("chat", TopicSpec())
        made = 0

        def fill() -> None:
            nonlocal made
            for made in range(2 * MOST):
                assert log.append([(f"chat/s-{made}", record("first"))]) == [0]

        with pytest.raises(QuotaExceeded) as caught:
            fill()
        assert f"the broker broker-a of RocketMQ at 127.0.0.1:{cluster.part('broker-a').ports[0]}" in told(caught)
        assert f"holds as many lite topics as it may: {MOST} of them" in told(caught)
        assert "maxLmqConsumeQueueNum in its broker.conf" in told(caught)
        assert 0 < made < MOST
        with pytest.raises(QuotaExceeded):  # however often that topic was asked for
            log.append([(f"chat/s-{made}", record("first"))])
        with pytest.raises(QuotaExceeded):
            log.fork("chat/s-0", "chat/forked", at=0)
        with pytest.raises(QuotaExceeded):
            log.stage([b"a large body"])
        assert log.append([("chat/s-0", record("second"))]) == [1]
        assert bodies(log, "chat/s-0") == ["first", "second"]
        assert f"s-{made}" not in log.lites("chat", limit=1000)
        parent = log.topics.get("chat").spelt
        with pytest.raises(QuotaExceeded) as caught:  # by the broker itself, since nobody asked for this one's end
            log.sender.send([[Send(parent, "never-asked-for", record("first"), "w-0", lambda: False)]])
        assert f"RocketMQ at {cluster.endpoints['endpoints']} holds as many lite topics as it may" in told(caught)
        assert "maxLmqConsumeQueueNum in its broker.conf" in told(caught)
        log.remove()
    finally:
        log.close()
