"""Ids are unique; seeded ones depend on what was asked in their own scope, and on nothing else."""

from __future__ import annotations

import random  # noqa: TID251 -- hypothesis seeds it
import threading

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nbagora_lab.core.ids import Ids, RandomIds, SeededIds

LETTERS = set("0123456789abcdefghjkmnpqrstvwxyz")

kinds = st.sampled_from(["context", "task", "message", "artifact", "trace"])
scopes = st.text(max_size=8).filter(lambda text: text.isprintable())


@pytest.mark.parametrize("ids", [RandomIds(), SeededIds(7)])
def test_a_hundred_thousand_ids_are_all_different(ids: Ids) -> None:
    made = [ids.new("task", f"ctx-{number % 5}") for number in range(100_000)]
    assert len(set(made)) == len(made)
    assert {len(one) for one in made} == {12}
    assert set("".join(made)) == LETTERS


def test_the_same_seed_gives_the_same_ids() -> None:
    assert [SeededIds(7).new("task", "a") for _ in range(3)] == [SeededIds(7).new("task", "a")] * 3


def test_seed_epoch_kind_scope_and_count_each_make_a_difference() -> None:
    again = SeededIds(7)
    again.new("task", "a")
    made = [
        SeededIds(7).new("task", "a"),
        SeededIds(8).new("task", "a"),
        SeededIds(7, 1).new("task", "a"),
        SeededIds(7).new("message", "a"),
        SeededIds(7).new("task", "b"),
        SeededIds(7).new("task"),
        again.new("task", "a"),
    ]
    assert len(set(made)) == len(made)


@given(st.dictionaries(scopes, st.lists(kinds, max_size=6), max_size=5), st.randoms(use_true_random=False))
def test_other_scopes_never_change_a_scopes_ids(asked: dict[str, list[str]], chance: random.Random) -> None:
    alone = {}
    for scope, wanted in asked.items():
        ids = SeededIds(3)
        alone[scope] = [ids.new(kind, scope) for kind in wanted]
    turns = [scope for scope, wanted in asked.items() for _ in wanted]
    chance.shuffle(turns)
    ids = SeededIds(3)
    mixed: dict[str, list[str]] = {scope: [] for scope in asked}
    for scope in turns:
        mixed[scope].append(ids.new(asked[scope][len(mixed[scope])], scope))
    assert mixed == alone
    made = [one for ones in mixed.values() for one in ones]
    assert len(set(made)) == len(made)


def test_racing_threads_get_the_ids_of_their_scopes() -> None:
    ids, barrier = SeededIds(3), threading.Barrier(4)
    got: dict[str, list[str]] = {}

    def ask(scope: str) -> None:
        barrier.wait()
        got[scope] = [ids.new("message", scope) for _ in range(500)]

    threads = [threading.Thread(target=ask, args=(scope,)) for scope in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for scope in "abcd":
        alone = SeededIds(3)
        assert got[scope] == [alone.new("message", scope) for _ in range(500)]


def test_racing_threads_in_one_scope_share_its_ids_out() -> None:
    ids, barrier = SeededIds(3), threading.Barrier(4)
    got: list[str] = []

    def ask() -> None:
        barrier.wait()
        got.extend([ids.new("message", "a") for _ in range(500)])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = SeededIds(3)
    assert sorted(got) == sorted(alone.new("message", "a") for _ in range(2000))
