"""Token buckets: what they let through in any time is bounded, and how long they say to wait is exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.broker.quota import Bucket, Quota
from nbagora_lab.core.errors import UsageError

numbers = st.floats(0.01, 1000)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("50/s", Quota(50, "messages", 50)),
        ("90 tokens/min", Quota(1.5, "tokens", 90)),
        ("1 gpu-second/s burst 10", Quota(1, "gpu-seconds", 10)),
        ("0.5/h", Quota(0.5 / 3600, "messages", 1)),
        ("1e3 Token/Second", Quota(1000, "tokens", 1000)),
    ],
)
def test_a_quota_is_read_as_people_write_it(text: str, quota: Quota) -> None:
    assert Quota.parse(text) == quota


@pytest.mark.parametrize(
    "text", ["", "fast", "5", "5/year", "1.2.3/s", "./s", "-5/s", "5/s burst", "0/s", "5/s burst 0"]
)
def test_what_is_none_or_lets_nothing_through_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"no quota|lets nothing through"):
        Quota.parse(text)


@given(numbers, numbers, st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), max_size=30))
def test_in_any_time_no_more_goes_through_than_the_burst_and_the_rate(
    rate: float, burst: float, asks: list[tuple[float, float]]
) -> None:
    bucket, now, taken = Bucket(Quota(rate, "messages", burst), 0.0), 0.0, [(0.0, 0.0)]
    for pause, cost in asks:
        now += pause
        if bucket.wait(cost, now) == 0:
            bucket.take(cost)
            taken.append((now, cost))
    for start in range(len(taken)):
        for end in range(start, len(taken)):
            through = sum(cost for _, cost in taken[start : end + 1])
            largest = max(cost for _, cost in taken[start : end + 1])
            elapsed = taken[end][0] - taken[start][0]
            assert through <= (max(burst, largest) + rate * elapsed) * (1 + 1e-6) + 1e-6


@given(numbers, numbers, st.floats(0.01, 2000), st.floats(0, 2000))
def test_after_the_wait_it_says_it_lets_through_and_not_before(
    rate: float, burst: float, cost: float, debt: float
) -> None:
    bucket = Bucket(Quota(rate, "messages", burst), 0.0)
    bucket.take(debt)
    wait = bucket.wait(cost, 0.0)
    if wait > 1e-3:
        assert bucket.wait(cost, wait * 0.99) > 0
    assert bucket.wait(cost, wait * (1 + 1e-9) + 1e-6) == 0


def test_what_was_dearer_than_said_is_paid_later_and_what_was_cheaper_is_given_back() -> None:
    bucket = Bucket(Quota(1, "tokens", 10), 0.0)
    bucket.take(10)
    bucket.take(5)
    assert (bucket.level(0), bucket.wait(1, 0)) == (-5, 6)
    bucket.take(-20)
    assert bucket.level(0) == 10  # and no more than the burst


def test_a_clock_that_jumps_back_adds_nothing_and_a_new_quota_keeps_what_is_there() -> None:
    bucket = Bucket(Quota(1, "tokens", 10), 100.0)
    bucket.take(10)
    assert bucket.level(50) == 0
    assert bucket.level(52) == 2
    bucket.change(Quota(100, "tokens", 1), 52)
    assert bucket.level(52) == 1
    bucket.take(1)
    assert bucket.wait(1, 52) == 0.01
