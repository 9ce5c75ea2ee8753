"""`serve`: a lab in a process of its own."""

import json
import signal
import subprocess
import sys
import textwrap

import httpx
import pytest

from nbagora_lab.core.errors import UsageError
from nbagora_lab.lab import Lab
from nbagora_lab.serve import serve
from waiting import until


def start(tmp_path, *options, stdin=subprocess.DEVNULL):
    code = textwrap.dedent(f"""
        import gc
        from nbagora_lab.serve import serve
        async def echo(message, task):
            yield str(gc.get_freeze_count()) if message.text == "frozen?" else message.text
        serve(lambda lab: lab.define("echo", echo), store={str(tmp_path / "served")!r}, {", ".join(options)})
    """)
    return subprocess.Popen([sys.executable, "-c", code], stdin=stdin, stdout=subprocess.PIPE, text=True)


def test_it_says_where_it_is_and_another_lab_can_ask_it(tmp_path):
    with start(tmp_path, "as_json=True", "root='echo'", "token=''") as child:
        told = json.loads(child.stdout.readline())
        with Lab(store=tmp_path / "mine") as lab:
            assert lab.ask(f"{told['url']}/agents/echo", "你好").text == "你好"
            assert lab.ask(told["url"], "at the root").text == "at the root"
            assert lab.card(told["url"])["name"] == "echo"
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


def test_the_card_at_the_root_is_of_the_protocol_that_is_asked_for(tmp_path):
    with start(tmp_path, "as_json=True", "root='echo'", "root_protocol='0.3'", "token=''") as child:
        url = json.loads(child.stdout.readline())["url"]
        root, own = (
            httpx.get(f"{url}{at}/.well-known/agent-card.json", timeout=30).json() for at in ("", "/agents/echo")
        )
        assert (root["name"], root["protocolVersion"]) == ("echo", "0.3")
        assert "protocolVersion" not in own
        child.send_signal(signal.SIGTERM)


@pytest.mark.thorough
def test_the_garbage_collector_passes_over_what_is_loaded(tmp_path):
    """A full pass stops every call for a tenth of a second."""
    with start(tmp_path, "as_json=True", "token=''") as child, Lab(store=tmp_path / "mine") as lab:
        url = json.loads(child.stdout.readline())["url"]
        until(lambda: int(lab.ask(f"{url}/agents/echo", "frozen?").text) > 10_000)
        child.send_signal(signal.SIGTERM)


@pytest.mark.thorough
def test_it_ends_with_its_parents_pipe(tmp_path):
    with start(tmp_path, stdin=subprocess.PIPE) as child:
        assert "hosts echo; Ctrl-C ends it" in child.stdout.readline()
        child.stdin.close()
        assert child.wait(20) == 0


def test_no_token_beyond_loopback_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no token on 0\.0\.0\.0"):
        serve(lambda lab: None, store=tmp_path, host="0.0.0.0", token="")
