"""The embedded engine under kill -9: wherever in whichever operation, the file is as before it or as after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry.embedded import EmbeddedCatalog
from registry_states import OPERATIONS, check_whole, dump, two_versions

pytestmark = pytest.mark.thorough

Open = Callable[[Path], EmbeddedCatalog]


@pytest.fixture
def open_catalog() -> Iterator[Open]:
    opened: list[EmbeddedCatalog] = []

    def open_one(path: Path) -> EmbeddedCatalog:
        opened.append(EmbeddedCatalog(path, clock=VirtualClock(1010), ids=SeededIds(1)))
        return opened[-1]

    yield open_one
    for catalog in opened:
        catalog.close()


OPERATION = """
import json, os, pathlib, shutil, signal, sys
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry.embedded import EmbeddedCatalog
from registry_states import OPERATIONS

state, folder, operation, ids = sys.argv[1:]

def die_at(moment, path):
    catalog = EmbeddedCatalog(pathlib.Path(path), clock=VirtualClock(1010), ids=SeededIds(1))
    execute = catalog._store._execute
    passed = 0

    def pass_by():
        nonlocal passed
        passed += 1
        if passed == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute_or_die(sql, parameters=()):
        pass_by()
        done = execute(sql, parameters)
        pass_by()
        return done

    catalog._store._execute = execute_or_die
    OPERATIONS[operation](catalog, json.loads(ids))
    os._exit(0)

status, moment = 1, 0
while status:
    moment += 1
    path = f"{folder}/{moment}.db"
    shutil.copy(state, path)
    child = os.fork()
    if child == 0:
        die_at(moment, path)
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}, status
print(moment)
"""
"""Runs an operation again and again, each time dying at the next moment before or after a statement of it."""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_leaves_what_was_before_or_what_is_after_whichever_operation_it_is(
    operation: str, tmp_path: Path, open_catalog: Open
) -> None:
    state = tmp_path / "state.db"
    clock = VirtualClock(1000)
    catalog = EmbeddedCatalog(state, clock=clock, ids=SeededIds(1))
    ids = two_versions(catalog, clock)
    before = dump(catalog)
    catalog.close()
    told = subprocess.run(
        [sys.executable, "-c", OPERATION, state, tmp_path, operation, json.dumps(ids)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert told.returncode == 0, told.stderr
    moments = int(told.stdout)
    assert moments > 7  # before and after begin, something, commit; and past the end
    dumps = []
    for moment in range(1, moments + 1):
        catalog = open_catalog(tmp_path / f"{moment}.db")
        dumps.append(dump(catalog))
        if moment in {1, moments // 2, moments - 2, moments - 1}:
            check_whole(catalog)
        catalog.close()
    after = dumps[-1]
    assert after != before
    done = dumps.index(after)
    assert dumps == [before] * done + [after] * (moments - done)
    assert done == moments - 2  # after the last statement, which commits, and past the end


PUBLISHER = """
import itertools, os, pathlib, signal, sys
from nbagora_lab.core.clock import SystemClock
from nbagora_lab.core.ids import RandomIds
from nbagora_lab.registry import Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog

path, round_, last_statement = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
registry = Registry(EmbeddedCatalog(pathlib.Path(path), clock=SystemClock(), ids=RandomIds()))
store = registry.catalog._store
execute = store._execute
statements = itertools.count(1)

def execute_or_die(sql, parameters=()):
    if next(statements) == last_statement:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, parameters)

for number in itertools.count(1):
    if number == 6 and last_statement:
        store._execute = execute_or_die
    skills = [{"id": f"s{i}", "name": f"n{i}", "description": "酒店", "tags": [f"t{i}"]} for i in range(number % 9)]
    published = registry.publish({"name": f"agent-{number % 5}", "description": f"{round_}/{number}", "skills": skills})
    endpoint = registry.register_endpoint(published.name, published.version, f"http://127.0.0.1:8000/{number % 3}")
    registry.label(published.name, "stable", published.version)
    registry.set_rule(published.name, {"weights": {"stable": 1 + number % 3, "latest": 1}})
    registry.drain(endpoint.id)
    if number > 5:
        registry.rollback(published.name)
        registry.rollback(published.name)
    registry.deprecate(published.name, published.version)
    registry.give(published.name, f"owner-{number % 2}", private=bool(number % 3))
    print(published.name, published.version, published.hash, flush=True)
"""
LAST_STATEMENTS = (2, 7, 12, 17, 30, 41, 53, 63, 74, 0, 0)
"""Where a publisher dies by its own kill -9, counted from the beginning of a publication; 0: it is killed by us."""


def test_a_killed_publisher_leaves_a_whole_file_with_all_that_it_acknowledged(
    tmp_path: Path, open_catalog: Open
) -> None:
    path = tmp_path / "registry.db"
    acknowledged: set[tuple[str, ...]] = set()
    for round_, last_statement in enumerate(LAST_STATEMENTS):
        child = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, path, str(round_), str(last_statement)],
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert child.stdout is not None
        if not last_statement:
            acknowledged |= {tuple(child.stdout.readline().split()) for _ in range(60)}
            child.kill()
        with child.stdout:
            rest = child.stdout.read()
        assert child.wait() == -signal.SIGKILL
        acknowledged |= {tuple(line.split()) for line in rest.splitlines(keepends=True) if line.endswith("\n")}
        catalog = open_catalog(path)
        check_whole(catalog)
        there = {(agent.name, agent.version, agent.hash) for number in range(5) for agent in versions(catalog, number)}
        assert acknowledged <= there
        catalog.close()
    assert len(acknowledged) >= 9 * 5 + 2 * 60


def versions(catalog: EmbeddedCatalog, number: int) -> list[Any]:
    known = {agent.name for agent in catalog.ls("public")}
    return catalog.versions("public", f"agent-{number}") if f"agent-{number}" in known else []
