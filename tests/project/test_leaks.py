"""The leak check sees each kind of thing that a test can leave behind, and waits for what is ending."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from leaks import LOOP, held, leaked

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")


def test_nothing_is_left_by_nothing(tmp_path: Path) -> None:
    assert leaked(held(tmp_path), tmp_path) == []


@pytest.mark.parametrize(("name", "daemon"), [("worker", False), ("nbagora-service", True)])
def test_a_thread_is_named_with_where_it_stands(tmp_path: Path, name: str, daemon: bool) -> None:
    before, over = held(tmp_path), threading.Event()
    thread = threading.Thread(target=over.wait, name=name, daemon=daemon)
    thread.start()
    (problem,) = leaked(before, tmp_path, patience=0)
    assert name in problem
    assert "self._cond.wait" in problem
    over.set()
    thread.join()


def test_a_daemon_thread_of_another_library_may_stay(tmp_path: Path) -> None:
    before, over = held(tmp_path), threading.Event()
    thread = threading.Thread(target=over.wait, name="heartbeat", daemon=True)
    thread.start()
    assert leaked(before, tmp_path, patience=0) == []
    over.set()
    thread.join()


def test_a_worker_may_stay_for_as_long_as_the_lab_that_keeps_it(tmp_path: Path) -> None:
    over = threading.Event()
    lab = threading.Thread(target=over.wait, name=LOOP, daemon=True)
    lab.start()
    before, idle = held(tmp_path), threading.Event()
    worker = threading.Thread(target=idle.wait, name="AnyIO worker thread", daemon=True)
    worker.start()
    assert leaked(before, tmp_path, patience=0) == []
    over.set()
    lab.join()
    (problem,) = leaked(before, tmp_path, patience=0)
    assert "AnyIO worker thread" in problem
    idle.set()
    worker.join()


def test_a_thread_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    before, over = held(tmp_path), threading.Event()
    threading.Thread(target=over.wait, name="ending").start()
    threading.Timer(0.1, over.set).start()
    assert leaked(before, tmp_path) == []


@linux
def test_a_listening_socket_is_named_by_its_port_and_a_connected_one_is_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        listens = held(tmp_path)
        with socket.create_connection(("127.0.0.1", port)):
            assert leaked(listens, tmp_path, patience=0) == []
        empty = type(listens)(listens.threads, frozenset(), listens.children, listens.files)
        assert f"listening socket on port {port}" in leaked(empty, tmp_path, patience=0)


@linux
def test_a_child_process_is_named_by_its_command(tmp_path: Path) -> None:
    before = held(tmp_path)
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()  # it has its command line by now
        (problem,) = leaked(before, tmp_path, patience=0)
        assert problem.startswith(f"child process {child.pid}: ")
        assert "input()" in problem
        child.communicate(b"\n")
    assert leaked(before, tmp_path, patience=0) == []


@linux
def test_an_open_file_below_the_folder_is_named_and_one_elsewhere_is_none(tmp_path: Path) -> None:
    before = held(tmp_path / "inside")
    (tmp_path / "inside").mkdir()
    with (tmp_path / "inside" / "log").open("w"), (tmp_path / "beside").open("w"):
        assert leaked(before, tmp_path / "inside", patience=0) == [f"open file {tmp_path / 'inside' / 'log'}"]
    assert leaked(before, tmp_path / "inside", patience=0) == []


def test_what_only_a_cycle_keeps_is_not_left(tmp_path: Path) -> None:
    before = held(tmp_path)
    cycle: list[object] = [(tmp_path / "log").open("w")]
    cycle.append(cycle)
    del cycle
    assert leaked(before, tmp_path, patience=0) == []
