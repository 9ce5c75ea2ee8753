"""Real servers: their jars, their processes, and the command that starts and ends them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import _engines
import _jars
import _nacos
import _rocketmq
import _server
import _setup
import _system
from _server import Part, Server
from sources import ROOT

LISTENER = (
    "import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[2]))); s.listen(); "
    "print('listens', flush=True); time.sleep(600)"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of one process, which listens; not started."""
    port = _server.free_ports()[0]
    command = [sys.executable, "-c", LISTENER, str(tmp_path), str(port)]
    made = Server("small", "1", tmp_path, {}, parts=[Part("listener", command, [port])])
    yield made
    made.stop(grace=0)


class TestServer:
    """`_server.Server`."""

    def test_is_ready_once_its_process_listens_and_is_found_by_its_folder(self, server: Server) -> None:
        (part,) = server.parts
        server.spawn(part)
        server.ready(part)
        socket.create_connection(("127.0.0.1", part.ports[0])).close()
        found = Server.load(server.folder)
        assert found == server
        assert found.running(found.part("listener"))

    def test_state_is_for_its_owner_alone(self, server: Server) -> None:
        server.save()
        assert stat.S_IMODE((server.folder / "state.json").stat().st_mode) == 0o600

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="whose a port is, is read from /proc")
    def test_a_port_of_another_process_does_not_count(self, server: Server) -> None:
        (part,) = server.parts
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            server.spawn(part)
            part.ports = [other.getsockname()[1]]
            with pytest.raises(_setup.Failed, match=r"listener wasn't ready within 0 s"):
                server.ready(part, within=0.2)

    def test_a_taken_port_is_told_before_anything_starts(self, server: Server) -> None:
        (part,) = server.parts
        with socket.socket() as other:
            other.bind(("127.0.0.1", part.ports[0]))
            other.listen()
            with pytest.raises(_setup.Failed, match=f"port {part.ports[0]}, which listener needs, is taken"):
                server.spawn(part)
        assert part.pid == 0

    def test_one_that_ends_while_it_starts_shows_its_last_words(self, server: Server) -> None:
        (part,) = server.parts
        part.command = [sys.executable, "-c", "print('no such disk'); raise SystemExit(3)", str(server.folder)]
        server.spawn(part)
        with pytest.raises(_setup.Failed, match="no such disk\nlistener ended while it started"):
            server.ready(part)

    def test_one_that_ignores_the_signal_is_ended_by_force(self, server: Server) -> None:
        (part,) = server.parts
        ignores = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        part.command[2] = ignores + LISTENER
        server.spawn(part)
        server.ready(part)
        server.stop(grace=0.2)
        assert not server.running(part)

    def test_a_number_that_another_program_has_now_is_left_alone(self, server: Server) -> None:
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        try:
            server.parts[0].pid = other.pid
            assert not server.running(server.parts[0])
            server.stop(grace=0)
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()


class TestJars:
    """`_jars.fetched`."""

    @pytest.fixture(autouse=True)
    def _places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers, self.cache = tmp_path / "servers", tmp_path / "cache"
        (self.servers / "small").mkdir(parents=True)
        (self.servers / "small" / "pom.xml").write_text("<version>1.2</version>")
        self.listed(a=b"one", b=b"two")
        monkeypatch.setattr(_jars, "SERVERS", self.servers)
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))
        self.brings = {"a": b"one", "b": b"two"}
        self.ran = 0

        def run(args: list[str | Path]) -> str:
            self.ran += 1
            folder = Path(str(args[-1]).partition("=")[2])
            for name, content in self.brings.items():
                (folder / name).write_bytes(content)
            return ""

        monkeypatch.setattr(_jars, "run", run)
        monkeypatch.setattr(_system, "find", lambda name: f"/bin/{name}")

    def listed(self, **files: bytes) -> None:
        lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
        (self.servers / "small" / "sha256").write_text("".join(lines))

    def test_are_got_once_into_the_users_cache(self) -> None:
        place = _jars.fetched("small")
        assert place == self.cache / "nbagora" / "servers" / "small-1.2"
        assert _jars.fetched("small") == place
        assert self.ran == 1
        assert list(place.parent.iterdir()) == [place]

    @pytest.mark.parametrize(
        ("brings", "why"),
        [
            ({"a": b"one", "b": b"evil"}, r"b has SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}"),
            ({"a": b"one", "b": b"two", "c": b""}, r"c is not in the project's list"),
            ({"a": b"one"}, r"b is missing"),
        ],
    )
    def test_that_are_not_those_of_the_list_are_not_kept(self, brings: dict[str, bytes], why: str) -> None:
        self.brings = brings
        with pytest.raises(_setup.Failed, match=f"^small is not started: {why}"):
            _jars.fetched("small")
        assert list((self.cache / "nbagora" / "servers").iterdir()) == []

    def test_that_were_changed_since_are_refused(self) -> None:
        (_jars.fetched("small") / "a").write_bytes(b"changed")
        with pytest.raises(_setup.Failed, match="a has SHA-256"):
            _jars.fetched("small")

    def test_without_maven_a_line_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_system, "find", lambda name: None)
        monkeypatch.setattr(_system, "hint", lambda name: f"install {name}")
        with pytest.raises(_setup.Failed, match=r"^needs mvn: install mvn$"):
            _jars.fetched("small")

    def test_an_old_java_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = tmp_path / "java"
        old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
        old.chmod(0o755)
        monkeypatch.setattr(_system, "find", lambda name: str(old))
        with pytest.raises(_setup.Failed, match=r'needs a JDK 17 or newer, and .* says: openjdk version "11\.0\.2"'):
            _jars.java()


@pytest.mark.parametrize("engine", _engines.ENGINES)
def test_every_jar_of_a_server_is_listed_with_its_hash(engine: str) -> None:
    lines = (ROOT / "scripts" / "servers" / engine / "sha256").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  [\w.+-]+\.jar", line) for line in lines)
    assert len({line.split()[1] for line in lines}) == len(lines) > 100
    assert re.fullmatch(r"\d+\.\d+\.\d+(-bugfix)?", _jars.version(engine))


def test_the_containers_are_set_as_the_servers_that_the_script_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"image: apache/rocketmq:(\S+)", text)) == {_jars.version("rocketmq")}
    assert re.findall(r"image: nacos/nacos-server:v(\S+)", text) == [_jars.version("nacos").partition("-")[0]]
    published = re.findall(r'"([\d.:]+:\d+)"', text)
    assert len(published) == 5
    assert all(port.startswith("127.0.0.1:") for port in published)
    monkeypatch.setattr(_rocketmq, "fetched", lambda _: tmp_path)
    monkeypatch.setattr(_rocketmq, "java", lambda: "java")
    monkeypatch.setattr(_rocketmq, "_logbacks", lambda *_: None)
    _rocketmq.plan(tmp_path, ports=_rocketmq.PORTS, brokers=1, fsync=False, conf={})
    lines = (tmp_path / "conf" / "broker-a.conf").read_text(encoding="utf-8").splitlines()
    theirs = dict(
        re.findall(r"\b(\w+)=(\S+)", text[text.index("brokerClusterName=") : text.index("> /tmp/broker.conf")])
    )
    assert len(theirs) > 10
    assert theirs.items() <= dict(line.split("=", 1) for line in lines).items()


class TestCommand:
    """`scripts/engines`."""

    def test_an_unknown_engine_is_told_with_those_there_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _engines.main(["up", "kafka"]) == 1
        assert capsys.readouterr().err == "no engine kafka; there are: rocketmq, nacos\n"

    def test_what_does_not_run_is_said_to(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert _engines.main(["status", "--folder", str(tmp_path)]) == 0
        assert _engines.main(["status", "nacos", "--json", "--folder", str(tmp_path)]) == 0
        assert _engines.main(["down", "nacos", "--folder", str(tmp_path)]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "rocketmq is not running: scripts/engines up rocketmq",
            "nacos is not running: scripts/engines up nacos",
            '{"nacos": {"running": false}}',
            "nacos was not running",
        ]

    def test_what_runs_is_told_and_ended(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "nacos"
        folder.mkdir()
        port = _server.free_ports()[0]
        command = [sys.executable, "-c", LISTENER, str(folder), str(port)]
        server = Server("nacos", "3", folder, {"url": "http://there"}, notes=["mind the gap"])
        server.parts.append(Part("one", command, [port]))
        server.spawn(server.parts[0])
        try:
            assert _engines.main(["status", "nacos", "--folder", str(tmp_path)]) == 0
            assert capsys.readouterr().out.splitlines() == [
                f"nacos 3, in {folder}",
                "  url        http://there",
                f"  processes  one {server.parts[0].pid}",
                "  note: mind the gap",
            ]
            assert _engines.main(["status", "--json", "nacos", "--folder", str(tmp_path)]) == 0
            told = json.loads(capsys.readouterr().out)["nacos"]
            assert told == {
                "running": True,
                "version": "3",
                "url": "http://there",
                "pids": {"one": server.parts[0].pid},
            }
            assert _engines.main(["down", "--forget", "nacos", "--folder", str(tmp_path)]) == 0
            assert capsys.readouterr().out == "nacos is down\n"
            assert not folder.exists()
        finally:
            server.stop(grace=0)


class TestReal:
    """The servers themselves."""

    def test_rocketmq_lists_its_broker_and_keeps_to_loopback(self, rocketmq: Server) -> None:
        assert [part.name for part in rocketmq.parts] == ["namesrv", "broker-a", "proxy"]
        assert _rocketmq._registered(rocketmq.part("namesrv").ports[0], rocketmq.part("broker-a"))
        assert all(
            at.startswith("127.0.0.1:") for at in (rocketmq.endpoints["endpoints"], *rocketmq.endpoints["brokers"])
        )
        if sys.platform.startswith("linux"):
            beyond = {port for part in rocketmq.parts for port in _open_ports(part.pid)}
            named = {int(number) for note in rocketmq.notes for number in re.findall(r"\d+", note)}
            assert beyond == named

    def test_nacos_refuses_whoever_does_not_log_in(self, nacos: Server) -> None:
        url = nacos.endpoints["url"]
        listing = f"{url}/v3/admin/ai/a2a/list?search=blur&agentName=&pageNo=1&pageSize=10"
        assert _nacos._call(listing)[0] == 403
        known = {name: nacos.endpoints[name] for name in ("username", "password")}
        token = json.loads(_nacos._call(f"{url}/v3/auth/user/login", known)[1])["accessToken"]
        with urllib.request.urlopen(urllib.request.Request(listing, headers={"accessToken": token})) as answer:
            assert json.load(answer)["code"] == 0
        if sys.platform.startswith("linux"):
            named = {int(number) for note in nacos.notes for number in re.findall(r"\d+", note)}
            assert set(_open_ports(nacos.parts[0].pid)) == named

    def test_up_finds_what_runs(self, rocketmq: Server) -> None:
        again = _engines.up("rocketmq", rocketmq.folder)
        assert [part.pid for part in again.parts] == [part.pid for part in rocketmq.parts]

    @pytest.mark.campaign
    @pytest.mark.parametrize("engine", _engines.ENGINES)
    def test_up_after_down_keeps_data_and_ports(self, engine: str, tmp_path: Path) -> None:
        try:
            first = _engines.up(engine, tmp_path / engine)
            os.kill(first.parts[-1].pid, signal.SIGKILL)
            assert _engines.down(tmp_path / engine)
            second = _engines.up(engine, tmp_path / engine)
            assert second.endpoints == first.endpoints
        finally:
            _engines.down(tmp_path / engine, grace=0)


def _open_ports(pid: int) -> list[int]:
    """Ports on which a process listens beyond loopback."""
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
            _, local, _, state, _ = line.split(maxsplit=4)
            address, _, port = local.rpartition(":")
            if state == "0A" and not address.endswith("0100007F"):
                ports.add(int(port, 16))
    return [port for port in ports if _server._owned(port, pid)]
