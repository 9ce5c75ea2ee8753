"""`./scripts/lab` for real: the address it prints opens the quickstart, and nothing calls outside this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import _lab
from sources import ROOT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.thorough,
    pytest.mark.skipif(os.name == "nt", reason="ends it by a signal"),
]

TRAP = """
import os, sys

def note(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        called = args[1][0]
    elif event == "socket.getaddrinfo":
        called = args[0]
    else:
        return
    if called not in (None, "", "127.0.0.1", "::1", "localhost", "0.0.0.0"):
        with open(os.environ["CALLS"], "a") as file:
            print(event, called, file=file)

sys.addaudithook(note)
"""
"""Notes every address outside this machine that a Python process asks for or connects to; inherited by kernels."""


@dataclass(frozen=True)
class Served:
    """A JupyterLab that runs: its process, its address with the token, and the file that notes its calls."""

    process: subprocess.Popen[str]
    url: str
    calls: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "sitecustomize.py").write_text(TRAP)
    options, env = _lab.jupyter(["--ServerApp.port=0", "--no-browser"], terminal=False, root=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")} | env
    env |= {"PYTHONPATH": str(folder), "CALLS": str(folder / "calls"), "HOME": str(folder)}
    process = subprocess.Popen(
        [sys.executable, _lab.LAUNCHER, *options],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        printed: list[str] = []
        for line in process.stderr or ():
            printed.append(line)
            if found := re.search(r"http://\S+", line):
                yield Served(process, found[0], folder / "calls")
                break
        else:
            pytest.fail("it ended without an address:\n" + "".join(printed))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_the_trap_notes_what_leaves_the_machine(served: Served, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(TRAP)
    calls = tmp_path / "calls"
    call = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"  # UDP: nothing is sent
    subprocess.run(
        [sys.executable, "-c", call], env={**os.environ, "PYTHONPATH": str(tmp_path), "CALLS": str(calls)}, check=True
    )
    assert calls.read_text() == "socket.connect 192.0.2.1\n"


def test_it_opens_the_quickstart_and_calls_nobody(served: Served, require: Callable[[str], str]) -> None:
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.goto(served.url)
        page.get_by_role("tab", name=_lab.NOTEBOOK.name).wait_for()
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=60_000)
        assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0, "it asks nothing"
        assert page.locator('[data-id="extensionmanager.main-view"]').count() == 0
        browser.close()
    hosts = {urlsplit(url).netloc for url in asked if urlsplit(url).scheme in {"http", "https", "ws", "wss"}}
    assert hosts == {urlsplit(served.url).netloc}
    assert not served.calls.exists(), served.calls.read_text()


def test_it_listens_on_this_machine_only_and_ends_by_a_signal(served: Served) -> None:
    assert urlsplit(served.url).hostname == "127.0.0.1"
    assert "--ServerApp.ip=127.0.0.1" in served.process.args  # type: ignore[operator]
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=60) == 0
