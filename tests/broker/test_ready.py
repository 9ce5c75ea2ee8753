"""What comes out of the ready set next is what sorting all of it says, after anything came and went in any order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.meters import Meters
from nbagora_lab.broker.ready import Ready, Unit
from nbagora_lab.broker.shares import Shares
from nbagora_lab.core.events import Scheduling

Held = list[tuple[float, Callable[[], None]]]
plans = st.builds(
    Scheduling,
    priority=st.sampled_from([0, 0, 1, 7]),
    tenant=st.sampled_from(["", "a", "b"]),
    deadline=st.sampled_from([None, None, 5.0, 9.0]),
)
steps = st.lists(st.one_of(plans, st.just("take"), st.just("away"), st.just("back")), max_size=40)


def ready_of(**settings: Any) -> Ready:
    spec = GroupSpec(topic="chat", **settings)
    return Ready(spec, Shares(spec.weights), Meters(spec, 0.0).tenant_wait, lambda *_: None)


def unit_of(name: str, plan: Scheduling, since: float = 0.0) -> Unit:
    unit = Unit(name)
    unit.plan, unit.since = plan, since
    return unit


def by_plan(unit: Unit) -> tuple[float, float, int]:
    """Strictly by priority, then by deadline, then by age."""
    return -unit.plan.priority, math.inf if unit.plan.deadline is None else unit.plan.deadline, unit.tick


@given(steps)
def test_priority_then_deadline_then_age(todo: list[object]) -> None:
    ready, there, away = ready_of(), [], []
    for number, step in enumerate(todo):
        if isinstance(step, Scheduling):
            unit = unit_of(f"chat/{number}", step)
            ready.add(unit)
            there.append(unit)
        elif step == "back" and away:  # as old as it was, which is not where it would go by coming now
            unit = away.pop(0)
            ready.add(unit)
            there.append(unit)
        elif there and step != "back":
            unit = min(there, key=by_plan) if step == "take" else there[len(there) // 2]
            if step == "take":
                assert ready.next(0.0) is unit
            ready.discard(unit)
            there.remove(unit)
            away.append(unit)
        assert ready.count == len(there)
        assert set(ready.units()) == set(there)
    taken = []
    while (found := ready.next(0.0)) is not None:
        ready.discard(found)
        taken.append(found)
    assert taken == sorted(there, key=by_plan)


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=60))
def test_tenants_that_wait_share_by_weight(tenants: list[str]) -> None:
    weights = {"a": 3.0, "b": 2.0, "c": 1.0}
    spec = GroupSpec(topic="chat", weights=weights)
    shares = Shares(spec.weights)
    ready = Ready(spec, shares, lambda *_: 0.0, lambda *_: None)
    for number, tenant in enumerate(tenants):
        ready.add(unit_of(f"chat/{number}", Scheduling(tenant=tenant)))
    left = {tenant: tenants.count(tenant) for tenant in weights}
    served = dict.fromkeys(weights, 0.0)
    while (found := ready.next(0.0)) is not None:
        busy = [tenant for tenant in weights if left[tenant]]
        ready.discard(found)
        shares.charge(found.plan.tenant, 1.0)
        served[found.plan.tenant] += 1 / weights[found.plan.tenant]
        left[found.plan.tenant] -= 1
        if len(busy) == 3:  # the bound of start-time fair queueing, while all have waited from the start
            for one in busy:
                for other in busy:
                    assert abs(served[one] - served[other]) <= 1 / weights[one] + 1 / weights[other] + 1e-9
    assert ready.count == 0


def test_aging_lets_the_oldest_pass_after_so_many_seconds() -> None:
    ready = ready_of(aging=10)
    low, high = unit_of("chat/low", Scheduling(), since=0.0), unit_of("chat/high", Scheduling(priority=2), since=0.0)
    ready.add(low)
    ready.add(high)
    fresh = unit_of("chat/fresh", Scheduling(priority=2), since=29.0)
    ready.discard(high)
    ready.add(fresh)
    assert ready.next(19.0) is fresh
    assert ready.next(31.0) is low, "it has waited for three priorities"


def test_a_tenant_without_quota_is_held_as_a_whole_and_released() -> None:
    held: Held = []
    spec = GroupSpec(topic="chat", tenant_quota="1/s burst 1")
    meters = Meters(spec, 0.0)
    ready = Ready(spec, Shares({}), meters.tenant_wait, lambda *one: held.append(one))
    for number in range(3):
        ready.add(unit_of(f"chat/{number}", Scheduling(tenant="a")))
    other = unit_of("chat/other", Scheduling(tenant="b"))
    ready.add(other)
    first = ready.next(0.0)
    assert first is not None
    ready.discard(first)
    meters.take(first.topic, "a", 1.0)
    assert ready.next(0.0) is other
    assert (ready.held, [until for until, _ in held]) == (2, [1.0])
    ready.add(unit_of("chat/late", Scheduling(tenant="a")))
    assert (ready.held, ready.count) == (3, 4)
    ready.discard(other)
    assert ready.next(0.5) is None
    held[0][1]()
    assert ready.held == 0
    again = ready.next(1.0)
    assert again is not None
    assert again.topic == "chat/1"


@pytest.mark.parametrize(
    ("settings", "plan", "plain"),
    [
        ({}, Scheduling(), True),
        ({}, Scheduling(tenant="a"), True),  # nobody asked for shares
        ({}, Scheduling(priority=1), False),
        ({}, Scheduling(deadline=5.0), False),
        ({"fair": True}, Scheduling(), False),
        ({"quota": "1/s"}, Scheduling(), False),
    ],
)
def test_it_is_plain_where_nothing_but_age_decides(settings: dict[str, Any], plan: Scheduling, plain: bool) -> None:
    ready = ready_of(**settings)
    ready.add(unit_of("chat/a", plan))
    assert ready.plain is plain


def test_the_oldest_come_first_where_it_is_plain_also_those_that_come_back() -> None:
    ready = ready_of()
    units = [unit_of(f"chat/{number}", Scheduling()) for number in range(5)]
    for unit in units:
        ready.add(unit)
    taking = ready.oldest_first()
    assert next(taking) is units[0]
    assert [unit.topic for unit in ready.coming(2)] == ["chat/1", "chat/2"]
    assert next(taking) is units[1]
    ready.add(units[0])  # with the age that it had
    assert list(ready.oldest_first()) == [units[0], *units[2:]]
    assert ready.count == 0


def test_many_at_once_are_as_one_by_one() -> None:
    ready, units = ready_of(), [unit_of(f"chat/{number}", Scheduling()) for number in range(4)]
    ready.add(units[0])
    for tick, unit in enumerate(units[1:], units[0].tick + 1):
        unit.tick = tick
    units[2].plan = Scheduling(priority=1)
    ready.extend(units[1:])
    taken = []
    while (found := ready.next(0.0)) is not None:
        ready.discard(found)
        taken.append(found.topic)
    assert taken == ["chat/2", "chat/0", "chat/1", "chat/3"]


def test_tenants_are_told_with_their_number_and_their_oldest() -> None:
    ready = ready_of(fair=True)
    for since, tenant, priority in ((5.0, "a", 0), (3.0, "a", 1), (7.0, "b", 0)):
        ready.add(unit_of(f"chat/{since}", Scheduling(tenant=tenant, priority=priority), since=since))
    assert ready.tenants() == {"a": (2, 3.0), "b": (1, 7.0)}
