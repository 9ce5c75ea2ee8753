"""Rules: what leads whom where, and that little moves when a share does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbagora_lab.core.errors import UsageError
from nbagora_lab.registry.rules import Caller, Rule, make_rule, rule_of, share_of

KEYS = [f"ctx-{number}" for number in range(100_000)]


@pytest.mark.parametrize("weight", [1, 30])
def test_a_share_is_held_within_one_percent_of_a_hundred_thousand_keys(weight: float) -> None:
    rule = Rule(weights={"canary": weight, "stable": 100 - weight})
    run = share_of(rule, Rule(otherwise="stable"), map(Caller, KEYS))
    assert abs(run.shares["canary"] / run.callers - weight / 100) <= 0.01
    assert (run.callers, run.moved) == (100_000, run.shares["canary"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 90, "b": 10}, {"a": 80, "b": 20}),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1}),
        ({"a": 2, "b": 1, "c": 1}, {"a": 2, "b": 3, "c": 1}),
        ({"a": 9, "b": 1}, {"a": 90, "b": 10}),
    ],
)
def test_no_more_keys_move_than_the_share_that_changed(before: dict[str, float], after: dict[str, float]) -> None:
    def share(weights: dict[str, float], ref: str) -> float:
        return weights.get(ref, 0) / sum(weights.values())

    changed = sum(abs(share(before, ref) - share(after, ref)) for ref in before | after) / 2
    run = share_of(Rule(weights=after), Rule(weights=before), map(Caller, KEYS))
    assert run.moved / run.callers <= changed + 0.01
    assert run.moved / run.callers >= changed - 0.01


def test_where_several_shares_change_at_once_more_keys_move_but_no_more_than_any_hash_without_memory_must() -> None:
    run = share_of(Rule(weights={"a": 1, "b": 2, "c": 1}), Rule(weights={"a": 2, "b": 1, "c": 1}), map(Caller, KEYS))
    assert 0.25 <= run.moved / run.callers <= 2 * 0.25 / (1 + 0.25)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.floats(0.001, 1000), min_size=1),
    st.sampled_from(["a", "b", "c", "d"]),
    st.floats(1.001, 100),
    st.lists(st.text(min_size=1, max_size=8), max_size=30),
)
def test_a_key_moves_only_to_the_target_whose_weight_rose(
    weights: dict[str, float], grown: str, factor: float, keys: list[str]
) -> None:
    before = Rule(weights=weights)
    after = Rule(weights={**weights, grown: weights.get(grown, 1.0) * factor})
    for key in keys:
        one, two = before.choose(Caller(key)).ref, after.choose(Caller(key)).ref
        assert one == before.choose(Caller(key)).ref
        assert two in {one, grown}


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
    ],
)
def test_a_rule_that_is_none_is_refused(given_: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_rule(given_)
    assert problem in raised.value.what
