"""Rules: what leads whom where, and that little moves when a share does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbagora_lab.core.errors import UsageError
from nbagora_lab.registry.rules import SLOTS, Caller, Rule, make_rule, rule_of, share_of

KEYS = [f"ctx-{number}" for number in range(100_000)]


WEIGHTS = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "stable"]), st.floats(0, 1000), max_size=5).filter(
    lambda weights: not weights or sum(weights.values()) > 0
)


def share(rule: Rule, ref: str) -> float:
    total = sum(rule.weights.values())
    return rule.weights.get(ref, 0) / total if total else float(ref == rule.otherwise)


def led(before: Rule, after: Rule) -> Counter[tuple[str, str]]:
    """How many slots lead from where to where, of rules whose slots are given out."""
    found: Counter[tuple[str, str]] = Counter()
    one, two = ([list(run) for run in rule.slots or ((rule.otherwise, SLOTS),)] for rule in (before, after))
    while one and two:
        count = min(one[0][1], two[0][1])
        found[one[0][0], two[0][0]] += count
        for runs in (one, two):
            runs[0][1] -= count
            if not runs[0][1]:
                runs.pop(0)
    assert not one
    assert not two
    return found


@pytest.mark.parametrize("weight", [1, 30])
def test_a_share_is_held_within_one_percent_of_a_hundred_thousand_keys(weight: float) -> None:
    rule = Rule(weights={"canary": weight, "stable": 100 - weight})
    run = share_of(rule, Rule(otherwise="stable"), map(Caller, KEYS))
    assert abs(run.shares["canary"] / run.callers - weight / 100) <= 0.01
    assert (run.callers, run.moved) == (100_000, run.shares["canary"])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 90, "b": 10}, {"a": 80, "b": 20}),
        ({"a": 1, "b": 2, "c": 1}, {"a": 2, "b": 1, "c": 1}),
        ({"a": 5, "b": 1, "c": 1, "d": 3}, {"b": 3, "c": 2, "d": 1, "e": 4}),
    ],
)
def test_no_more_keys_move_than_the_share_that_changed(before: dict[str, float], after: dict[str, float]) -> None:
    one = Rule(weights=before).following(Rule(weights={"a": 1, "b": 3}))
    two = Rule(weights=after)
    changed = sum(abs(share(one, ref) - share(two, ref)) for ref in before | after) / 2
    run = share_of(two, one, map(Caller, KEYS))
    assert abs(run.moved / run.callers - changed) <= 0.01


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WEIGHTS, min_size=1, max_size=6))
def test_whatever_changes_each_share_is_held_and_no_more_slots_move_than_the_shares_change(
    changes: list[dict[str, float]],
) -> None:
    before = Rule(otherwise="stable")
    for weights in changes:
        after = Rule(weights=weights, otherwise="stable").following(before)
        assert after.following(before) == after.following(after) == after
        ways = led(before, after)
        refs = {ref for way in ways for ref in way} | weights.keys()
        for ref in refs:
            held = sum(count for (_, to), count in ways.items() if to == ref)
            assert abs(held / SLOTS - share(after, ref)) <= 0.001
        moved = sum(count for (one, two), count in ways.items() if one != two)
        assert moved / SLOTS <= sum(abs(share(before, ref) - share(after, ref)) for ref in refs) / 2 + 0.001
        before = after


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1e-300) | st.floats(0, 1e300), min_size=1, max_size=256))
def test_a_target_that_has_a_weight_has_a_slot_however_small_it_is(weights: dict[str, float]) -> None:
    if not 0 < sum(weights.values()) < float("inf"):
        return
    rule = Rule(weights=weights).following(Rule())
    assert sum(count for _, count in rule.slots) == SLOTS
    assert {ref for ref, _ in rule.slots} == {ref for ref, weight in weights.items() if weight > 0}


def test_a_rule_is_led_by_its_slots_and_one_without_any_gives_them_out_by_itself() -> None:
    bare = Rule(weights={"a": 1, "b": 1})
    given_out = rule_of(bare.following(Rule(otherwise=bare.otherwise)).stored())
    turned = Rule(weights={"a": 1, "b": 1}, slots=tuple(reversed(given_out.slots)))
    for key in KEYS[:100]:
        assert bare.choose(Caller(key)) == given_out.choose(Caller(key))
        assert {turned.choose(Caller(key)).ref, bare.choose(Caller(key)).ref} == {"a", "b"}
    assert turned.following(given_out) == turned


def test_a_rule_sticks_to_what_it_says() -> None:
    rule = Rule(weights={"a": 1, "b": 1}, sticky="tenant")
    chosen = {rule.choose(Caller(f"ctx-{number}", tenant="acme")).ref for number in range(50)}
    assert len(chosen) == 1
    spread = {rule.choose(Caller("ctx-1", tenant=f"t{number}")).ref for number in range(50)}
    assert spread == {"a", "b"}


def test_who_has_no_key_is_spread_by_the_one_that_stands_in() -> None:
    rule = Rule(weights={"a": 1, "b": 1})
    choices = [rule.choose(Caller(), default_key=f"#{number}") for number in range(50)]
    assert {choice.ref for choice in choices} == {"a", "b"}
    assert "this call has none" in choices[0].why


def test_matches_go_first_in_their_order_and_whatever_the_case_of_a_header() -> None:
    rule = make_rule(
        {
            "matches": [
                {"key": "X-Beta", "value": "yes", "to": "canary"},
                {"key": "user", "value": "ann*", "to": "2.0"},
            ],
            "weights": {"stable": 1},
            "otherwise": "latest",
        }
    )
    assert rule.choose(Caller(metadata={"x-beta": "yes"}, user="ann")).ref == "canary"
    assert rule.choose(Caller(user="anna")) == ("2.0", "user is anna")
    assert rule.choose(Caller(user="bob")).ref == "stable"
    assert rule.needs == ["canary", "2.0", "stable", "latest"]
    assert rule_of(rule.stored()) == rule
    assert rule_of(None).choose(Caller("x")).ref == "latest"


@pytest.mark.parametrize(
    ("given_", "problem"),
    [
        ({"weights": {"a": 0, "b": 0}}, "sum to 0"),
        ({"weights": {"a": -1}}, "no share"),
        ({"weights": {"a": float("nan")}}, "no share"),
        ({"weights": {"a": float("inf")}}, "no share"),
        ({"weights": {"a": 1e308, "b": 1e308}}, "sum to 0"),
        ({"weights": {"": 1}}, "no version"),
        ({"otherwise": "a b"}, "no version"),
        ({"colour": "red"}, "/colour"),
        ({"matches": [{"key": "x"}], "sticky": "moon"}, "/matches/0/value"),
        ({"budget": {"errors": 2}}, "/budget/errors"),
        ({"weights": {"a": 1}, "slots": [["a", -1], ["b", SLOTS + 1]]}, "/slots/0/1"),
        ({"weights": {f"a{number}": 1 for number in range(257)}}, "/weights"),
    ],
)
def test_a_rule_that_is_none_is_refused(given_: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_rule(given_)
    assert problem in raised.value.what
