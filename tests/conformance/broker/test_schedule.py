"""Priority, aging, deadlines, quotas and shares decide what is next; all on a virtual clock."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from deliveries import bodies_of, handles, join, places, publish
from nbagora_lab.broker.api import Groups, Log
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.quota import Bucket, Quota
from nbagora_lab.broker.shares import Shares
from nbagora_lab.core.clock import VirtualClock

NEEDS = {"schedule"}

costs = st.floats(0.1, 10)


def take(groups: Groups, limit: int = 1) -> list[str]:
    """Receives and acks; gives the bodies."""
    batch = groups.receive("workers", "c", limit=limit)
    groups.ack("workers", handles(batch))
    return bodies_of(batch)


def test_the_higher_priority_goes_first_and_age_decides_the_rest(log: Log, groups: Groups) -> None:
    join(groups, "jobs")
    for body, priority in (("1", 0), ("2", 5), ("3", 0), ("4", 255), ("5", 5)):
        publish(log, "jobs/a", body, priority=priority)
    assert take(groups, 10) == ["4", "2", "5", "1", "3"]


def test_topics_with_an_order_go_by_the_priority_of_what_is_next(log: Log, groups: Groups) -> None:
    join(groups)
    publish(log, "chat/a", "a0")
    publish(log, "chat/a", "a1", priority=9)
    publish(log, "chat/b", "b0", priority=5)
    publish(log, "chat/b", "b1")
    assert take(groups, 10) == ["b0", "a0", "a1", "b1"]


def test_the_earlier_deadline_goes_first_within_a_priority(log: Log, groups: Groups) -> None:
    join(groups, "jobs")
    for body, priority, deadline in (("1", 0, None), ("2", 0, 2000.0), ("3", 0, 1500.0), ("4", 1, 9000.0)):
        publish(log, "jobs/a", body, priority=priority, deadline=deadline)
    assert take(groups, 10) == ["4", "3", "2", "1"]


@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_top_priority_waits_at_most_one_service_time_under_ten_times_the_load(
    log: Log, groups: Groups, clock: VirtualClock, topic: str
) -> None:
    join(groups, topic)
    waits, sent = [], {}
    for step in range(200):  # a server that takes a second for each, and ten arrivals a second
        for number in range(9):
            publish(log, f"{topic}/{step}-{number}", "low")
        if step % 2 == 0:
            publish(log, f"{topic}/vip-{step}", str(step), priority=9)
            sent[str(step)] = clock.now()
        [body] = take(groups)
        clock.advance(1)
        if body != "low":
            waits.append(clock.now() - 1 - sent[body])
    assert len(waits) == 100
    assert max(waits) <= 1


def test_with_aging_only_so_much_later_records_go_first(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, "jobs", aging=10)
    publish(log, "jobs/a", "low")
    came: list[int] = []
    for second in range(200):
        publish(log, "jobs/a", *[str(second)] * 2, priority=3)
        [body] = take(groups)
        if body == "low":
            break
        came.append(int(body))
        clock.advance(1)
    assert 20 <= max(came) <= 3 * 10
    groups.alter_group("workers", GroupSpec(topic="jobs"))
    publish(log, "jobs/a", "low")
    assert take(groups, 1000)[-1] == "low"


@pytest.mark.thorough
@pytest.mark.parametrize("quota", ["5/s", "10/s burst 1", "300 tokens/min burst 20", "0.5/s"])
def test_under_ten_times_the_load_a_quota_is_kept_to_the_percent(
    log: Log, groups: Groups, clock: VirtualClock, quota: str
) -> None:
    limit = Quota.parse(quota)
    join(groups, "jobs", quota=limit)
    for _ in range(30):
        publish(log, "jobs/a", *[""] * 100)
    began, served = clock.now(), 0
    while (passed := clock.now() - began) < 1000 / limit.rate:
        batch = groups.receive("workers", "c", limit=50)
        groups.ack("workers", handles(batch))
        served += len(batch)
        assert served <= limit.burst + limit.rate * passed + 1e-6
        if not batch:
            assert batch.held.keys() == {"quota"}
            assert batch.wake is not None
            clock.advance(batch.wake)
    assert served == pytest.approx(limit.burst + 1000, rel=0.01)


def test_a_topics_and_a_tenants_quota_hold_them_alone(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, topic_quota=Quota.parse("1/s burst 1"))
    publish(log, "chat/a", *"12")
    publish(log, "chat/b", *"34")
    batch = groups.receive("workers", "c")
    assert places(batch) == [("a", 0), ("b", 0)]
    groups.create_group("tenants", GroupSpec(topic="jobs", tenant_quota=Quota.parse("1/s burst 2")))
    groups.subscribe("tenants", "c", "*")
    publish(log, "jobs/a", *"1234", tenant="acme")
    publish(log, "jobs/a", "5", tenant="other")
    batch = groups.receive("tenants", "c")
    assert sorted(bodies_of(batch)) == ["1", "2", "5"]
    assert groups.receive("tenants", "c").held["tenant quota"] == 2
    clock.advance(1)
    assert bodies_of(groups.receive("tenants", "c")) == ["3"]


def test_what_cost_more_than_was_said_is_paid_for_later(log: Log, groups: Groups, clock: VirtualClock) -> None:
    join(groups, "jobs", quota=Quota.parse("1 gpu-second/s burst 10"))
    publish(log, "jobs/a", *"123", cost=5)
    [one] = groups.receive("workers", "c", limit=1)
    groups.ack("workers", [one.handle], costs={one.handle: 25.0})
    assert groups.receive("workers", "c") == []
    clock.advance(19)
    assert groups.receive("workers", "c") == []
    clock.advance(1)
    assert len(groups.receive("workers", "c")) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("topic", ["chat", "jobs"])
def test_tenants_share_by_weight_to_two_percent_also_below_a_busy_priority(
    log: Log, groups: Groups, topic: str, busy: bool
) -> None:
    weights = {"a": 1.0, "b": 3.0, "c": 6.0}
    join(groups, topic, weights=weights)
    served: Counter[str] = Counter()
    for tenant in weights:
        for number in range(5):
            publish(log, f"{topic}/{tenant}-{number}", *[tenant] * 200, tenant=tenant)
    for _ in range(700):
        for number in range(5 * busy):
            publish(log, f"{topic}/vip-{number}", "vip", tenant="vip", priority=9)
        served.update(take(groups, 1 + 5 * busy))
    assert served.pop("vip", 0) == 3500 * busy
    total = sum(served.values())
    for tenant, weight in weights.items():
        assert served[tenant] / total == pytest.approx(weight / 10, abs=0.02)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_backlogged_tenants_differ_by_one_record_each_at_most(log: Log, groups: Groups, data: st.DataObject) -> None:
    name = f"g{len(groups.groups())}"
    parent = f"p{name}"
    log.create_topic(parent, TopicSpec(type="PRIORITY"))
    weights = data.draw(st.fixed_dictionaries(dict.fromkeys("fm", st.floats(0.2, 5))))
    groups.create_group(name, GroupSpec(topic=parent, weights=weights, quota=Quota(1e9, "tokens", 1e9)))
    groups.subscribe(name, "c", "*")
    longest = dict.fromkeys("fm", 0.0)
    for tenant in "fm":
        for cost in data.draw(st.lists(costs, min_size=30, max_size=30)):
            publish(log, f"{parent}/{tenant}", tenant, tenant=tenant, cost=cost)
            longest[tenant] = max(longest[tenant], cost)
    work, left = dict.fromkeys("fm", 0.0), dict.fromkeys("fm", 30)
    bound = sum(longest[tenant] / weights[tenant] for tenant in "fm")
    while all(left.values()):
        [one] = groups.receive(name, "c", limit=1)
        work[one.record.scheduling.tenant] += one.record.scheduling.cost
        left[one.record.scheduling.tenant] -= 1
        assert abs(work["f"] / weights["f"] - work["m"] / weights["m"]) <= bound + 1e-6


def test_weights_change_with_the_next_record(log: Log, groups: Groups) -> None:
    join(groups, "jobs", weights={"a": 1.0, "b": 1.0})
    for tenant in "ab":
        publish(log, "jobs/x", *[tenant] * 500, tenant=tenant)
    assert Counter(take(groups, 100)) == {"a": 50, "b": 50}
    groups.alter_group("workers", GroupSpec(topic="jobs", weights={"a": 9.0, "b": 1.0}))
    assert Counter(take(groups, 100))["a"] == pytest.approx(90, abs=2)


@given(rate=st.floats(0.1, 100), burst=st.floats(1, 50), asked=st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 1))))
def test_a_bucket_never_lets_more_through_than_its_burst_and_rate(
    rate: float, burst: float, asked: list[tuple[float, float]]
) -> None:
    now = passed = through = 0.0
    bucket = Bucket(Quota(rate, "messages", burst), now)
    for pause, cost in asked:
        now += pause
        passed += pause
        if bucket.wait(cost, now) == 0:
            bucket.take(cost)
            through += cost
        assert through <= burst + rate * passed + 1e-6 * (burst + through)


def test_a_tenant_that_was_away_has_saved_nothing_up() -> None:
    shares = Shares({"a": 1.0})
    for _ in range(100):
        shares.charge("a", 1)
    assert shares.start("b") == shares.virtual[0] == 99
