"""In this process; what it does in a kernel is tested by the runs in `test_runner`."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nbagora_lab.scenarios import probe


def test_it_stands_alone() -> None:
    tree = ast.parse(Path(probe.__file__).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert imported <= set(sys.stdlib_module_names) | {"psutil"}


def test_a_socket_counts_while_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert address in probe.snapshot()["sockets"]
        with socket.create_connection(listening.getsockname()), listening.accept()[0]:
            assert probe.snapshot()["sockets"].count(address) == 1
    assert address not in probe.snapshot()["sockets"]


def test_threads_that_somebody_must_end_count() -> None:
    go = threading.Event()
    threads = [
        threading.Thread(target=go.wait, name="plain"),
        threading.Thread(target=go.wait, name="a library's daemon", daemon=True),
        threading.Thread(target=go.wait, name="nbagora-service", daemon=True),
    ]
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        pool.submit(int).result()
        for thread in threads:
            thread.start()
        try:
            names = {name for _, name in probe.snapshot()["threads"]}
        finally:
            go.set()
            for thread in threads:
                thread.join()
    assert {"plain", "nbagora-service"} <= names
    assert not {name for name in names if name.startswith(("pool", "a library"))}


def test_a_thread_that_is_ending_is_waited_for() -> None:
    known = [thread.ident for thread in threading.enumerate() if thread.ident]
    go = threading.Event()
    ending = threading.Thread(target=go.wait, name="ending")
    ending.start()
    threading.Timer(0.05, go.set).start()
    after = probe.snapshot(known, grace=30)
    assert "ending" not in {name for _, name in after["threads"]}


def test_a_child_process_counts_until_it_is_torn_down() -> None:
    known = [pid for pid, _ in probe.snapshot()["children"]]
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in [pid for pid, _ in probe.snapshot()["children"]]
        assert probe.tear_down([*known, child.pid]) == []
        assert child.poll() is None
        assert probe.tear_down(known) == []
        assert child.wait(30) != 0
    assert child.pid not in [pid for pid, _ in probe.snapshot()["children"]]


def test_labs_are_stopped_newest_first_whatever_one_of_them_does(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[Lab] = []
    stopped = []

    class Lab:
        def __init__(self, url: str) -> None:
            self.url = url
            running.append(self)

        def stop(self) -> None:
            stopped.append(self.url)
            if self.url == "two":
                raise RuntimeError("stuck")
            running.remove(self)

        @staticmethod
        def running_labs() -> list[Lab]:
            return running

    module = types.ModuleType("nbagora_lab.lab")
    module.Lab = Lab  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nbagora_lab.lab", module)
    for url in ("one", "two", "three"):
        Lab(url)
    assert probe.snapshot()["labs"] == ["one", "two", "three"]
    assert probe.tear_down([pid for pid, _ in probe.snapshot()["children"]]) == [
        "stopping the lab two: RuntimeError: stuck"
    ]
    assert stopped == ["three", "two", "one"]


def test_a_kernel_that_never_imported_the_lab_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nbagora_lab.lab", raising=False)
    assert probe.snapshot()["labs"] == []
    assert "nbagora_lab.lab" not in sys.modules
