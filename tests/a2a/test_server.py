"""The HTTP server: its port, its routes, agents that come and go, and its end."""

import contextlib
import socket
from urllib.parse import quote, urlsplit

import httpx
import pytest

from nbagora_lab.a2a.server import bind
from nbagora_lab.core.errors import PortInUse
from nbagora_lab.lab import Lab
from raw_http import RawExchange, get


@contextlib.contextmanager
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free_port():
    with taken() as port:
        return port


def calling(lab):
    headers = {"Authorization": f"Bearer {lab.token}", "A2A-Version": "1.0"}
    return httpx.Client(headers=headers, trust_env=False, timeout=30)


def port_of(lab):
    return urlsplit(lab.url).port


# -- its port ----------------------------------------------------------------------------------------------------------


def test_a_port_that_is_asked_for_and_taken_is_an_error_of_two_lines():
    with taken() as port, pytest.raises(PortInUse) as caught:
        bind("127.0.0.1", port)
    assert str(port) in caught.value.what
    assert "--port" in caught.value.hint


def test_a_lab_on_a_taken_port_leaves_nothing_behind(tmp_path):
    with taken() as port:
        for _ in range(2):
            with pytest.raises(PortInUse):
                Lab(store=tmp_path, port=port)
    with Lab(store=tmp_path, port=port) as lab:
        assert port_of(lab) == port


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "127.0.0.1.1"])
def test_an_address_that_is_not_this_machines(host):
    with pytest.raises(PortInUse) as caught:
        bind(host, 0)
    assert host in caught.value.what


def test_the_former_port_is_taken_if_it_is_free():
    former = free_port()
    with bind("127.0.0.1", 0, former) as listener:
        assert listener.getsockname()[1] == former
    with taken() as other, bind("127.0.0.1", 0, other) as listener:
        assert listener.getsockname()[1] not in {0, other}


def test_a_port_that_is_asked_for_goes_before_the_former_one():
    asked, former = free_port(), free_port()
    with bind("127.0.0.1", asked, former) as listener:
        assert listener.getsockname()[1] == asked


def test_ipv6():
    with bind("::1", 0) as listener:
        assert listener.family == socket.AF_INET6


def test_nagles_algorithm_is_off(tmp_path):
    """It costs 44 ms a request; asyncio turns it off only for sockets whose protocol is said to be TCP."""
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_reader_that_stands_still_holds_no_more_of_an_answer_than_was_meant():
    """The system would take 4 MiB of it."""
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as reader:
        accepted, _ = listener.accept()
        with accepted:
            accepted.setblocking(False)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < 16 << 20:
                    sent += accepted.send(b"x" * 65536)
            assert sent < 2 << 20


def test_a_lab_that_starts_again_has_its_port_and_token(tmp_path):
    with Lab(store=tmp_path) as lab:
        url, token = lab.url, lab.token
    with Lab(store=tmp_path) as lab:
        assert (lab.url, lab.token) == (url, token)
    with taken_by(port_of(lab)), Lab(store=tmp_path) as lab:
        assert lab.url != url
        assert lab.token == token


@contextlib.contextmanager
def taken_by(port):
    with socket.create_server(("127.0.0.1", port)):
        yield


# -- its routes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["天气", "a b", "a%b", "é", "a:b", "x" * 100, "agents", "a?b", "healthz", "🌞"])
def test_agents_of_any_name(lab, name):
    lab.define(name, lambda message: f"I am {name}")
    try:
        with httpx.Client(
            headers={"Authorization": f"Bearer {lab.token}", "A2A-Version": "1.0"}, trust_env=False, timeout=30
        ) as http:
            url = f"{lab.url}/agents/{quote(name, safe='')}"
            card = http.get(f"{url}/.well-known/agent-card.json").json()
            assert (card["name"], card["supportedInterfaces"][0]["url"]) == (name, url)
            message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
            task = http.post(f"{url}/message:send", json={"message": message}).json()["task"]
            assert task["artifacts"][0]["parts"][0]["text"] == f"I am {name}"
            assert http.get(f"{url}/tasks/{task['id']}").json()["id"] == task["id"]
        assert lab.ask(name, "x").text == f"I am {name}"
    finally:
        lab.remove(name)


def test_an_agent_at_the_root(tmp_path):
    with Lab(store=tmp_path) as lab:
        lab.define("front", lambda message: "front")
        lab.define("back", lambda message: "back")
        with httpx.Client(
            headers={"Authorization": f"Bearer {lab.token}", "A2A-Version": "1.0"}, trust_env=False, timeout=30
        ) as http:
            assert http.get(f"{lab.url}/.well-known/agent-card.json").status_code == 404
            lab.put_at_root("front")
            card = http.get(f"{lab.url}/.well-known/agent-card.json").json()
            assert card["name"] == "front"
            call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage"}
            call["params"] = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}}
            doors = {lab.url: "front", f"{lab.url}/agents/back": "back", f"{lab.url}/agents/front": "front"}
            for url, said in doors.items():
                task = http.post(url, json=call).json()["result"]["task"]
                assert task["artifacts"][0]["parts"][0]["text"] == said
            assert http.get(f"{lab.url}/nothing").status_code == 404
            lab.remove("front")
            assert http.get(f"{lab.url}/.well-known/agent-card.json").status_code == 404


def test_an_agent_that_is_replaced_keeps_its_tasks(lab):
    lab.define("worker", lambda message: "first")
    first = lab.ask("worker", "x")
    lab.define("worker", lambda message: "second")
    assert lab.ask("worker", "x").text == "second"
    assert {task.text for task in lab.tasks(agent="worker")} == {"first", "second"}
    assert lab.task(first.id).text == "first"
    lab.remove("worker")


# -- its end -----------------------------------------------------------------------------------------------------------


def test_stopping_cuts_streams_and_frees_the_port(tmp_path):
    with Lab(store=tmp_path) as lab:

        @lab.agent
        async def waits(message, task):
            await task.ask("well?")

        task = lab.ask("waits", "x")
        port, token = port_of(lab), lab.token
        exchange = RawExchange(port, get(f"/agents/waits/tasks/{task.id}:subscribe", token)).read(events=1)
        idle = socket.create_connection(("127.0.0.1", port))
    assert len(exchange.read().events()) == 1
    assert not exchange.raw.endswith(b"0\r\n\r\n")  # cut, not ended: the reader comes again
    exchange.close()
    idle.close()
    with bind("127.0.0.1", port):
        pass
