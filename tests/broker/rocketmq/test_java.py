"""RocketMQ's own Java client on the other side: it reads what a lab wrote, in order, and a lab reads what it writes.

The client comes from Maven Central; the small program that uses it is compiled as it starts.
"""

from __future__ import annotations

import base64
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import _jars
from logs import record
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.log import RocketLog
from nbagora_lab.broker.rocketmq.names import lite_spelt
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.events import decode
from servers import server_options

pytestmark = [pytest.mark.campaign, pytest.mark.server("rocketmq"), pytest.mark.timeout(600)]

FOLDER = Path(__file__).parents[2] / "support" / "clients" / "rocketmq_java"


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's jars."""
    folder = tmp_path_factory.mktemp("java")
    target = [_jars.PLUGIN, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    subprocess.run(["mvn", "-B", "-q", "-f", FOLDER / "pom.xml", *target], check=True)
    return folder


@pytest.fixture
def log() -> Iterator[RocketLog]:
    log = RocketLog(**server_options("rocketmq"), lab=f"lab{secrets.token_hex(6)}", clock=SystemClock())
    log.create_topic("chat", TopicSpec())
    yield log
    log.remove()
    log.close()


def test_it_reads_what_we_wrote_and_writes_what_we_read(
    log: RocketLog, jars: Path, tmp_path: Path, require: Callable[[str], str]
) -> None:
    require("mvn")
    texts = [f"第{number}条" for number in range(40)]
    log.append([("chat/北京", record(text)) for text in texts])
    parent = log.topics.get("chat").spelt
    log.cluster.create_group(f"{log.lab}-java", parent=parent)
    command = [_jars.java(), f"-Duser.home={tmp_path}", "-cp", f"{jars}/*", FOLDER / "Peer.java"]
    arguments = [server_options("rocketmq")["endpoints"], parent, f"{log.lab}-java", lite_spelt("北京"), "40", "s-1"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    said = {verb: [base64.b64decode(text).decode() for word, text in lines if word == verb] for verb in ("got", "sent")}
    assert said["got"] == texts
    read = [decode(stored, "chat/s-1", offset) for offset, stored in log.scan("chat/s-1")]
    assert [(one.offset, one.type, one.body.decode()) for one in read] == [
        (offset, "java.said", text) for offset, text in enumerate(said["sent"])
    ]
    assert log.append([("chat/s-1", record("ours"))]) == [3]
    assert "s-1" in log.lites("chat")
