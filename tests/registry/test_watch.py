"""Watching: every change once, in order, from any revision, over cuts and restarts, and by many at once."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cards import card, skill
from nbagora_lab.core.clock import VirtualClock
from nbagora_lab.core.ids import SeededIds
from nbagora_lab.registry import Change, Registry
from nbagora_lab.registry.embedded import EmbeddedCatalog

WAIT = 20.0


def opened(path: Path) -> Registry:
    return Registry(EmbeddedCatalog(path / "registry.db", clock=VirtualClock(0), ids=SeededIds(1)))


def take(changes: Iterator[Change], count: int) -> list[Change]:
    return [next(changes) for _ in range(count)]


def test_what_was_and_what_comes_is_one_row(two: Registry) -> None:
    end = two.revision
    changes = two.watch(0, timeout=WAIT)
    seen = take(changes, end)
    two.rollback("weather")
    two.canary("weather", "2", 10)
    seen += take(changes, 3)
    assert [change.revision for change in seen] == list(range(1, end + 4))
    assert [change.type for change in seen[end:]] == ["label.moved", "label.moved", "rule.changed"]


def test_a_watcher_is_woken_by_a_write(two: Registry) -> None:
    seen: list[Change] = []
    watching = threading.Event()

    def watch() -> None:
        changes = two.watch(timeout=WAIT)
        watching.set()
        seen.extend(take(changes, 1))

    start = two.revision
    watcher = threading.Thread(target=watch)
    watcher.start()
    assert watching.wait(WAIT)
    while watcher.is_alive():
        two.rollback("weather")  # a rollback of the rollback, and so on, until it was seen
        watcher.join(0.05)
    assert seen[0].revision > start
    assert seen[0].type == "label.moved"


def test_changes_of_another_process_are_seen(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    changes = one.watch(0, timeout=WAIT)
    other.publish(card())
    assert [change.type for change in take(changes, 2)] == ["published", "label.moved"]
    one.catalog.close()
    other.catalog.close()


def test_a_watch_ends_when_nothing_comes(two: Registry) -> None:
    assert list(two.watch(timeout=0)) == []
    assert len(list(two.watch(0, timeout=0))) == two.revision


def test_a_watch_may_ask_for_one_thing(two: Registry) -> None:
    two.publish(card("hotel"))
    two.publish({"name": "weather", "description": "d", "template": "t"}, kind="prompt")
    assert {change.name for change in two.watch(0, name="hotel", timeout=0)} == {"hotel"}
    assert [change.kind for change in two.watch(0, name="weather", kind="prompt", timeout=0)] == ["prompt"] * 2


def test_no_refusal_and_nothing_that_changed_nothing_is_told(two: Registry) -> None:
    start = two.revision
    two.label("weather", "stable", "1")
    two.renew(two.endpoints("weather")[0].id)
    two.publish(card(skills=[skill("rain")]))
    with pytest.raises(Exception, match="takes operate"):
        two.acting("ann", "read").label("weather", "stable", "2")
    assert list(two.watch(start, timeout=0)) == []
    assert two.revision == start + 1  # the refusal, in the audit


def test_a_thousand_watchers_cost_the_engine_one_read(two: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    start = two.revision
    reads = 0
    changed_since = two.catalog.changed_since

    def counted(revision: int, **options: int) -> list[Change]:
        nonlocal reads
        reads += 1
        return changed_since(revision, **options)

    async def main() -> list[list[Change]]:
        ready = 0

        async def watch() -> list[Change]:
            nonlocal ready
            seen: list[Change] = []
            changes = two.stream(start)
            ready += 1
            async for change in changes:
                if change is not None:
                    seen.append(change)
                if len(seen) == 3:
                    break
            await changes.aclose()  # type: ignore[attr-defined]
            return seen

        watchers = [asyncio.ensure_future(watch()) for _ in range(1000)]
        while ready < 1000:
            await asyncio.sleep(0)
        two._feed.refresh()
        monkeypatch.setattr(two.catalog, "changed_since", counted)
        for _ in range(3):
            await asyncio.to_thread(two.rollback, "weather")
        return await asyncio.wait_for(asyncio.gather(*watchers), 60)

    seen = asyncio.run(main())
    assert {tuple(change.revision for change in changes) for changes in seen} == {(start + 1, start + 2, start + 3)}
    assert reads < 100
    assert not two._feed._listeners


def test_a_watcher_that_never_reads_holds_nothing_up(two: Registry) -> None:
    idle = two.watch(0)
    next(idle)
    for _ in range(50):
        two.rollback("weather")
    assert [change.revision for change in take(idle, 3)] == [2, 3, 4]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from("wrcx"), st.integers(1, 9)), min_size=1, max_size=25))
def test_no_change_is_lost_or_told_twice_across_cuts_and_restarts(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        registry = opened(Path(folder))
        seen: list[int] = []
        changes = registry.watch(0, timeout=0)
        for step, number in steps:
            if step == "w":
                for index in range(number):
                    registry.publish(card(description=f"{len(seen)} {index}"))
            elif step == "r":
                seen += [change.revision for _, change in zip(range(number), changes, strict=False)]
            elif step == "c":  # cut: the watcher resumes with what it saw last
                changes = registry.watch(seen[-1] if seen else 0, timeout=0)
            else:
                registry.catalog.close()
                registry = opened(Path(folder))
                changes = registry.watch(seen[-1] if seen else 0, timeout=0)
        seen += [change.revision for change in registry.watch(seen[-1] if seen else 0, timeout=0)]
        assert seen == list(range(1, registry.revision + 1))
        registry.catalog.close()
