"""Start-time fair queueing: the bound that its authors prove (Theorem 1), over any interval and change of weights."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.broker.shares import Shares

TENANTS = ("a", "b", "c")


@given(
    st.fixed_dictionaries(dict.fromkeys(TENANTS, st.floats(0.1, 10))),
    st.lists(st.fixed_dictionaries(dict.fromkeys(TENANTS, st.floats(0.1, 10))), min_size=1, max_size=60),
)
def test_two_busy_tenants_are_served_alike_within_one_record_each(
    weights: dict[str, float], costs: list[dict[str, float]]
) -> None:
    shares, served = Shares(weights), [dict.fromkeys(TENANTS, 0.0)]
    most = {tenant: max(cost[tenant] for cost in costs) for tenant in TENANTS}
    for cost in costs:  # all of them always have something
        tenant = min(TENANTS, key=lambda one: (shares.start(one), one))
        shares.charge(tenant, cost[tenant])
        served.append(served[-1] | {tenant: served[-1][tenant] + cost[tenant]})
    for begin in range(0, len(served), 5):
        for end in range(begin, len(served), 3):
            part = {one: (served[end][one] - served[begin][one]) / weights[one] for one in TENANTS}
            for f in TENANTS:
                for m in TENANTS:
                    bound = most[f] / weights[f] + most[m] / weights[m]
                    assert abs(part[f] - part[m]) <= bound + 1e-6


def test_who_was_away_gets_no_credit_for_it() -> None:
    shares = Shares({})
    for _ in range(100):
        shares.charge("busy", 1)
    order = []
    for _ in range(4):
        tenant = min(("busy", "late"), key=shares.start)
        shares.charge(tenant, 1)
        order.append(tenant)
    assert sorted(order) == ["busy", "busy", "late", "late"]


def test_a_change_of_weights_holds_from_the_next_record_on() -> None:
    weights = {"a": 1.0, "b": 1.0}
    shares = Shares(weights)
    served = dict.fromkeys("ab", 0)
    for number in range(400):
        if number == 100:
            weights["a"] = 3.0
            served = dict.fromkeys("ab", 0)
        tenant = min("ab", key=lambda one: (shares.start(one), one))
        shares.charge(tenant, 1)
        served[tenant] += 1
    assert abs(served["a"] - 225) <= 2


def test_a_correction_moves_the_next_turn_and_priorities_have_tags_of_their_own() -> None:
    shares = Shares({"a": 2.0})
    shares.charge("a", 1)
    assert shares.start("a") == 0.5
    shares.correct("a", 3)
    assert shares.start("a") == 2.0
    shares.correct("a", -3)
    assert shares.start("a") == 0.5
    assert shares.start("a", priority=9) == 0.0


def test_a_million_tenants_leave_little_behind() -> None:
    shares = Shares({})
    for number in range(20_000):
        shares.charge(f"t-{number}", 1)
        shares.charge("always", 1)
    assert len(shares._finish) < 10_000
