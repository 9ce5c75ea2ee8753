"""The embedded engine: what a crash leaves, what a failed statement undoes, and what a search costs."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cards import card, draft, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.errors import StoreError, StoreTooNew, VersionExists
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry.embedded import EmbeddedCatalog
from nbagora_lab.registry.model import Query
from registry_states import OPERATIONS, URL, check_whole, connection_of, dump, two_versions


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def open_catalog(path: Path, clock: VirtualClock) -> Iterator[Callable[[], EmbeddedCatalog]]:
    opened: list[EmbeddedCatalog] = []

    def open_one() -> EmbeddedCatalog:
        opened.append(EmbeddedCatalog(path, clock=clock, ids=SeededIds(1)))
        return opened[-1]

    yield open_one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(open_catalog: Callable[[], EmbeddedCatalog]) -> EmbeddedCatalog:
    return open_catalog()


# -- crashes and failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_statement_that_fails_undoes_its_operation_whichever_it_is(
    catalog: EmbeddedCatalog, clock: VirtualClock, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = two_versions(catalog, clock)
    before = dump(catalog)
    execute = catalog._store._execute
    left = 0

    def failing(sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        nonlocal left
        left -= 1
        if left == 0:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return execute(sql, parameters)

    monkeypatch.setattr(catalog._store, "_execute", failing)
    statements = 0
    while True:
        statements += 1
        left = statements
        try:
            OPERATIONS[operation](catalog, ids)
        except StoreError:
            assert dump(catalog) == before, f"statement {statements} left something"
        else:
            break
    left = 0  # no more failures
    assert statements > 3  # begin, something, commit
    assert dump(catalog) != before
    check_whole(catalog)


def test_two_processes_that_publish_one_version_at_once_are_told_who_won(path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from nbagora_lab.core.clock import SystemClock\n"
        "from nbagora_lab.core.errors import VersionExists\n"
        "from nbagora_lab.core.ids import RandomIds\n"
        "from nbagora_lab.registry import Registry\n"
        "from nbagora_lab.registry.embedded import EmbeddedCatalog\n"
        "registry = Registry(EmbeddedCatalog(pathlib.Path(sys.argv[1]), clock=SystemClock(), ids=RandomIds()))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for number in range(30):\n"
        "    card = {'name': 'weather', 'description': f'{sys.argv[2]} {number}'}\n"
        "    try:\n"
        "        print(registry.publish(card, version=f'{number}.0').hash)\n"
        "    except VersionExists:\n"
        "        print('told')\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, path, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for name in ("one", "two")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    outputs, errors = zip(*[child.communicate() for child in children], strict=True)
    assert errors == ("", "")
    for one, two in zip(*(output.split() for output in outputs), strict=True):
        assert (one == "told") != (two == "told")


def test_versions_and_changes_are_kept_from_change_by_the_file_itself(catalog: EmbeddedCatalog) -> None:
    catalog.publish(draft())
    for statement in (
        "UPDATE versions SET content = '{}'",
        "UPDATE changes SET time = 0",
        "UPDATE labels SET version = '9'",
        "INSERT INTO labels VALUES (1, 'stable', '9', NULL)",
        "DELETE FROM versions",
        "DELETE FROM changes",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection_of(catalog).execute(statement)


def test_a_file_of_a_later_version_is_refused(
    catalog: EmbeddedCatalog, open_catalog: Callable[[], EmbeddedCatalog]
) -> None:
    connection_of(catalog).execute("INSERT INTO migrations VALUES ('0999-later')")
    catalog.close()
    with pytest.raises(StoreTooNew):
        open_catalog()


def test_seeded_ids_are_not_given_twice_over_two_openings(
    open_catalog: Callable[[], EmbeddedCatalog], clock: VirtualClock
) -> None:
    first = open_catalog()
    first.publish(draft(), version="1")
    late = first.register("public", "weather", "1", URL, "JSONRPC", 30)
    first.deregister(late.id)
    first.close()
    second = open_catalog()
    fresh = second.register("public", "weather", "1", URL, "JSONRPC", 30)
    assert fresh.id != late.id
    assert second.deregister(late.id) is False
    assert second.endpoints("public", "weather") == [fresh]


def test_a_conflict_shows_no_more_than_three_places(catalog: EmbeddedCatalog) -> None:
    catalog.publish(draft(skills=[skill(f"s{i}") for i in range(9)]), version="1")
    with pytest.raises(VersionExists, match="; and 9 more"):
        catalog.publish(draft(skills=[skill("s0"), *(skill(f"t{i}") for i in range(2))]), version="1")


# -- costs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, EmbeddedCatalog]]:
    """Registries of 20 and of 2,000 agents; in each, ten have what is asked for."""
    opened = {}
    for count in (20, 2000):
        path = tmp_path_factory.mktemp("sizes") / "registry.db"
        catalog = opened[count] = EmbeddedCatalog(path, clock=VirtualClock(0), ids=SeededIds(1))
        for number in range(count):
            rare = number % (count // 10) == 0
            catalog.publish(
                draft(
                    f"agent-{'rare-' if rare else ''}{number:04}",
                    description="预订酒店" if rare else f"Common number {number}.",
                    skills=[skill("special" if rare else f"s{number}", tags=["seldom"] if rare else ["often"])],
                )
            )
    yield opened
    for catalog in opened.values():
        catalog.close()


QUERIES = {
    "text": Query(text="酒店"),
    "skill": Query(skill="special"),
    "tag": Query(tag="seldom"),
    "name": Query(name="agent-rare-0000"),
    "pattern": Query(name="agent-rare*"),
    "text and tag": Query(text="酒店", tag="seldom", name="a*"),
    "skill and tag": Query(skill="special", tag="seldom"),
    "skill and pattern": Query(skill="special", name="*0*"),
    "skill and wide pattern": Query(skill="special", name="agent*"),
    "text and wide pattern": Query(text="酒店", name="agent*"),
    "name and common tag": Query(name="agent-0001", tag="often"),
    "name and common skill and tag": Query(name="agent-rare-0000", skill="special", tag="seldom"),
}


def statements_of(catalog: EmbeddedCatalog, call: Callable[[], object]) -> list[str]:
    """The statements that a call runs, with their values; FTS5's own, on its shadow tables, begin with a comment."""
    connection = connection_of(catalog)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    call()
    connection.set_trace_callback(None)
    own = ("SELECT", "INSERT", "UPDATE", "DELETE")
    return [statement for statement in statements if statement.lstrip().startswith(own)]


def plan_of(catalog: EmbeddedCatalog, statement: str) -> list[str]:
    return [row[3] for row in connection_of(catalog).execute(f"EXPLAIN QUERY PLAN {statement}")]


def check_plans(catalog: EmbeddedCatalog, call: Callable[[], object]) -> None:
    """No statement walks a table, but for the one that has 64 rows at most."""
    statements = statements_of(catalog, call)
    assert statements
    for statement in statements:
        walks = [
            step
            for step in plan_of(catalog, statement)
            if step.startswith("SCAN") and not re.search("VIRTUAL TABLE INDEX .*[M=]|CONSTANT ROW|SCAN pending", step)
        ]
        assert walks == [], statement


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_looks_up_and_never_walks(sizes: dict[int, EmbeddedCatalog], query: str) -> None:
    check_plans(sizes[2000], lambda: sizes[2000].find(QUERIES[query]))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_write_looks_up_and_never_walks(catalog: EmbeddedCatalog, clock: VirtualClock, operation: str) -> None:
    ids = two_versions(catalog, clock)
    check_plans(catalog, lambda: OPERATIONS[operation](catalog, ids))


def test_the_next_number_is_looked_up(catalog: EmbeddedCatalog) -> None:
    catalog.publish(draft(description="One."))
    [statement] = [
        statement
        for statement in statements_of(catalog, lambda: catalog.publish(draft(description="Two.")))
        if "max(automatic)" in statement
    ]
    assert "COVERING INDEX versions_automatic (entry=?" in "".join(plan_of(catalog, statement))


def steps_of(catalog: EmbeddedCatalog, call: Callable[[], object]) -> int:
    """SQLite's own count of the steps of its machine, in tens."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection_of(catalog).set_progress_handler(count, 10)
    call()
    connection_of(catalog).set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_costs_what_it_finds_and_not_what_there_is(sizes: dict[int, EmbeddedCatalog], query: str) -> None:
    found = [[result.agent.name for result in catalog.find(QUERIES[query])] for catalog in sizes.values()]
    assert len(found[0]) == len(found[1]) > 0
    small, large = (steps_of(catalog, lambda c=catalog: c.find(QUERIES[query])) for catalog in sizes.values())  # type: ignore[misc]
    assert large <= 1.5 * small + 20, (small, large)


@pytest.mark.parametrize(
    "call",
    [
        lambda catalog: catalog.get("public", "agent-rare-0000", "latest"),
        lambda catalog: catalog.labels("public", "agent-rare-0000"),
        lambda catalog: catalog.endpoints("public", "agent-rare-0000"),
        lambda catalog: catalog.expire(),
        lambda catalog: catalog.revision(),
        lambda catalog: catalog.ls("public", after="agent-0003", limit=5),
        lambda catalog: catalog.changed_since(20, limit=5),
        lambda catalog: catalog.publish(
            draft("agent-rare-0000", description="预订酒店", skills=[skill("special", tags=["seldom"])])
        ),
    ],
    ids=["get", "labels", "endpoints", "expire", "revision", "ls", "changed_since", "publish"],
)
def test_other_reads_cost_the_same_at_any_size(
    sizes: dict[int, EmbeddedCatalog], call: Callable[[EmbeddedCatalog], object]
) -> None:
    small, large = (steps_of(catalog, lambda c=catalog: call(c)) for catalog in sizes.values())  # type: ignore[misc]
    assert large <= 1.5 * small + 5, (small, large)


def test_a_cell_that_is_run_again_and_again_leaves_one_version_in_the_index(catalog: EmbeddedCatalog) -> None:
    for number in range(50):
        catalog.publish(draft(description=f"Number {number}."))
        assert [found.agent.version for found in catalog.find(Query(text=f"{number}"))] == [f"0.0.{number + 1}"]
    assert connection_of(catalog).execute("SELECT count(*) FROM search").fetchone() == (1,)
    facets = connection_of(catalog).execute("SELECT DISTINCT version FROM facets").fetchall()
    assert len(facets) == 1
    check_whole(catalog)


def test_what_nobody_searches_is_taken_into_the_index_all_the_same(catalog: EmbeddedCatalog) -> None:
    waiting = []
    for number in range(200):
        catalog.publish(draft(f"agent-{number}"))
        waiting.append(connection_of(catalog).execute("SELECT count(*) FROM pending").fetchone()[0])
    assert max(waiting) == 63
    assert len(catalog.find(Query(name="agent-*", tag=None, limit=500))) == 200
    assert connection_of(catalog).execute("SELECT count(*) FROM pending").fetchone() == (0,)
    check_whole(catalog)


def test_expiring_costs_what_runs_out(catalog: EmbeddedCatalog, clock: VirtualClock) -> None:
    catalog.publish(draft(), version="1")
    for number in range(300):
        catalog.register("public", "weather", "1", f"{URL}/{number}", "JSONRPC", 10 if number < 3 else 1000)
    clock.advance(10)
    among_many = steps_of(catalog, catalog.expire)
    assert len(catalog.endpoints("public", "weather")) == 297
    clock.advance(990)
    assert steps_of(catalog, catalog.expire) > 10 * among_many


def test_a_card_comes_back_as_it_was_published(catalog: EmbeddedCatalog) -> None:
    content = card(description='天气 "quoted" \\ \u0000 \U0001f324', documentationUrl="")
    catalog.publish(draft(**content))
    assert catalog.get("public", "weather", "latest").card == {**draft(**content).card, "version": "0.0.1"}
