"""Nacos that is absent, another, too old, or lets nobody in: two lines that name it, the setting, and what to do."""

from __future__ import annotations

import http.server
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.errors import LabError, ServerGone, StoreClosed, TooLarge, UsageError
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.core.settings import Settings
from nbagora_lab.engines import open_catalog
from nbagora_lab.registry.nacos import NacosCatalog
from nbagora_lab.registry.nacos_follow import Follower
from nbagora_lab.registry.nacos_http import Nacos

clock, ids = SystemClock(), RandomIds()
LOGIN = {"accessToken": "t-1", "tokenTtl": 18000}


class Double:
    """As much of a server as answers what a test says."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.asked: list[tuple[str, str]] = []
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.partition("?")[0].removeprefix("/nacos")
                double.asked.append((path, self.headers.get("accessToken", "")))
                status, body = double.answers.get(path, (404, "nothing"))
                raw = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_GET  # noqa: N815 -- the name that the base class looks for

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def version(self, version: str) -> None:
        """It is a Nacos of a version, with a registry of agents."""
        self.answers["/v3/auth/user/login"] = (200, LOGIN)
        self.answers["/v3/admin/core/state"] = (200, {"code": 0, "data": {"version": version}})
        self.answers["/v3/admin/ai/a2a/list"] = (200, {"code": 0, "data": {"pageItems": []}})


@pytest.fixture
def double() -> Iterator[Double]:
    double = Double()
    yield double
    double.server.shutdown()
    double.thread.join()
    double.server.server_close()


@pytest.fixture
def connect() -> Iterator[Callable[..., Nacos]]:
    made: list[Nacos] = []

    def connect(address: str, user: str = "nacos", password: str = "secret-word") -> Nacos:
        made.append(Nacos(address, user, password))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def refusal(call: Callable[[], object]) -> LabError:
    with pytest.raises(LabError) as raised:
        call()
    assert "\n" not in raised.value.what
    assert "\n" not in raised.value.hint
    assert raised.value.hint
    assert "secret-word" not in str(raised.value)
    return raised.value


def test_where_nothing_answers_the_server_and_the_setting_are_named(connect: Callable[..., Nacos]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        error = refusal(connect(address).check)
    assert isinstance(error, ServerGone)
    assert address in error.what
    assert "setting nacos" in error.hint


def test_what_is_no_nacos_3_is_refused(double: Double, connect: Callable[..., Nacos]) -> None:
    error = refusal(connect(double.address).check)  # Nacos 2 has no login at that path, and neither has anything else
    assert isinstance(error, ServerGone)
    assert "no Nacos 3 answers" in error.what
    error = refusal(connect(double.address, user="").check)
    assert "no Nacos 3 answers" in error.what
    double.version("3.0.2")
    assert "is 3.0.2" in refusal(connect(double.address).check).what
    double.version("3.1.0")
    assert connect(double.address).check() == "3.1.0"
    double.answers["/v3/admin/ai/a2a/list"] = (200, {"code": 404, "message": "no", "data": "no"})
    assert "keeps no agents" in refusal(connect(double.address).check).what


@pytest.mark.parametrize("answer", [(403, "<html>"), (500, {"error": "Internal Server Error"}), (200, {"x": 1})])
def test_who_is_not_let_in_is_told_which_settings(
    double: Double, connect: Callable[..., Nacos], answer: tuple[int, Any]
) -> None:
    double.version("3.1.0")
    double.answers["/v3/auth/user/login"] = answer
    error = refusal(connect(double.address).check)
    assert isinstance(error, UsageError)
    assert "does not let nacos in" in error.what
    assert "nacos_password" in error.hint


def test_a_token_that_the_server_forgot_is_taken_anew_once(double: Double, connect: Callable[..., Nacos]) -> None:
    double.version("3.1.0")
    nacos = connect(double.address)
    nacos.check()
    double.answers["/v3/auth/user/login"] = (200, {"accessToken": "t-2", "tokenTtl": 18000})
    double.answers["/x"] = (403, "no")
    double.asked.clear()
    assert "refuses nacos at /x" in refusal(lambda: nacos.get("/x", {})).what
    assert double.asked == [("/x", "t-1"), ("/v3/auth/user/login", ""), ("/x", "t-2")]
    double.answers["/x"] = (200, {"code": 0, "data": 5})
    assert nacos.get("/x", {}) == 5


@pytest.mark.parametrize(("lifetime", "logins"), [(18000, 0), (0, 3)])
def test_a_token_is_taken_anew_before_it_runs_out(
    double: Double, connect: Callable[..., Nacos], lifetime: int, logins: int
) -> None:
    double.version("3.1.0")
    double.answers["/v3/auth/user/login"] = (200, {"accessToken": "t-1", "tokenTtl": lifetime})
    double.answers["/x"] = (200, {"code": 0, "data": 5})
    nacos = connect(double.address)
    nacos.check()
    double.asked.clear()
    for _ in range(3):
        assert nacos.get("/x", {}) == 5
    assert [path for path, _ in double.asked].count("/v3/auth/user/login") == logins


def test_a_refusal_in_an_envelope_is_one_whatever_its_status(double: Double, connect: Callable[..., Nacos]) -> None:
    double.version("3.1.0")
    nacos = connect(double.address)
    double.answers["/x"] = (200, {"code": 20004, "message": "resource not found", "data": None})
    assert nacos.get("/x", {}) is None
    assert "code 20004" in refusal(lambda: nacos.send("POST", "/x", {})).what
    double.answers["/x"] = (400, "Param 'agentName' is illegal")
    assert "is illegal" in refusal(lambda: nacos.send("POST", "/x", {})).what
    nacos.close()
    with pytest.raises(StoreClosed):
        nacos.get("/x", {})


def test_what_is_above_the_server_s_limit_is_told_by_its_place(double: Double, connect: Callable[..., Nacos]) -> None:
    double.version("3.1.0")
    nacos = connect(double.address)
    double.answers["/x"] = (413, "<html>Payload Too Large</html>")
    error = refusal(lambda: nacos.send("POST", "/x", {"agentCard": "x" * 1000}))
    assert isinstance(error, TooLarge)
    assert double.address in error.what


def test_a_server_that_goes_away_in_the_middle_is_named(double: Double, connect: Callable[..., Nacos]) -> None:
    double.version("3.1.0")
    nacos = connect(double.address)
    nacos.check()
    double.server.shutdown()
    double.server.server_close()
    for call in (lambda: nacos.get("/x", {}), lambda: nacos.send("POST", "/x", {})):
        error = refusal(call)
        assert isinstance(error, ServerGone)
        assert double.address in error.what
        assert "setting nacos" in error.hint


SPACE = {"namespace": "lab7", "namespaceShowName": "lab7"}


def test_a_server_that_keeps_agents_elsewhere_is_refused_at_once(
    double: Double, connect: Callable[..., Nacos], tmp_path: Path
) -> None:
    double.version("3.3.0")
    double.answers["/v3/admin/core/namespace/list"] = (200, {"code": 0, "data": [SPACE]})
    double.answers["/v3/admin/ai/a2a/list"] = (200, {"code": 0, "data": {"pageItems": [{"name": "weather"}]}})
    double.answers["/v3/admin/cs/config/list"] = (200, {"code": 0, "data": {"pageItems": []}})
    error = refusal(lambda: NacosCatalog(tmp_path / "m.db", connect(double.address), "lab7", clock=clock, ids=ids))
    assert "(3.3.0) does not keep its agents as configs" in error.what
    assert "compatibility.mode" in error.hint


def test_a_server_without_the_long_poll_is_looked_at_alone(
    double: Double, connect: Callable[..., Nacos], tmp_path: Path
) -> None:
    double.version("3.2.0")
    double.answers["/v3/admin/core/namespace/list"] = (200, {"code": 0, "data": []})
    server = connect(double.address)
    catalog = NacosCatalog(tmp_path / "m.db", server, "lab7", clock=clock, ids=ids)
    catalog.seen["lab7", "agent", "weather"] = "md5"
    follower = Follower(catalog, server)
    rounds: queue.SimpleQueue[object] = queue.SimpleQueue()
    follower.on_round = rounds.put
    follower.start()
    try:
        for _ in range(3):
            rounds.get(timeout=60)
    finally:
        follower.stop()
        catalog.close()
    assert [path for path, _ in double.asked].count("/v1/cs/configs/listener") == 1


def test_a_lab_that_can_t_reach_its_registry_leaves_nothing_open(tmp_path: Path, double: Double) -> None:
    settings = Settings(registry="nacos", nacos=double.address, nacos_password="secret-word")
    assert "secret-word" not in repr(settings)
    refusal(lambda: open_catalog(tmp_path, SystemClock(), RandomIds(), settings))
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob("*.db")) == []


def test_a_form_that_is_larger_than_nacos_reads_is_not_sent(double: Double, connect: Callable[..., Nacos]) -> None:
    double.version("3.1.0")
    nacos = connect(double.address)
    asked = len(double.asked)
    error = refusal(lambda: nacos.send("POST", "/x", {"agentCard": "大" * 300_000}))
    assert isinstance(error, TooLarge)
    assert double.address in error.what
    assert "nine bytes" in str(error.hint)
    assert len(double.asked) == asked
