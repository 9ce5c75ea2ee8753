"""What a group has served is told by tenant, with what it cost, how long it waited, and who starves."""

from __future__ import annotations

from nbagora_lab.broker.tally import Tally


def test_shares_are_of_what_was_served_and_corrected() -> None:
    tally = Tally()
    tally.serve("a", 2, 6.0, [1.0, 3.0], missed=1)
    tally.serve("b", 1, 1.0, [0.5], missed=0)
    tally.correct("b", 1.0)
    tally.correct("nobody", 5.0)
    a, b = tally.tenants([], {"a": 2.0}, now=10.0)
    assert (a.tenant, a.weight, a.served, a.cost, a.share, a.missed) == ("a", 2.0, 2, 6.0, 0.75, 1)
    assert (b.tenant, b.weight, b.served, b.cost, b.share, b.missed) == ("b", 1.0, 1, 2.0, 0.25, 0)
    assert (a.wait_p50, a.wait_p99) == (3.0, 3.0)


def test_who_waits_in_several_sets_is_counted_once_and_starves_since_the_oldest() -> None:
    [one] = Tally().tenants([{"a": (2, 7.0)}, {"a": (1, 4.0)}], {}, now=10.0)
    assert (one.backlog, one.served, one.starving) == (3, 0, 6.0)


def test_a_clock_that_jumped_back_makes_no_wait_negative() -> None:
    tally = Tally()
    tally.serve("a", 1, 1.0, [-5.0], missed=0)
    [one] = tally.tenants([{"a": (1, 50.0)}], {}, now=10.0)
    assert (one.wait_p50, one.starving) == (0.0, 0.0)


def test_percentiles_are_of_the_latest_waits() -> None:
    tally = Tally()
    tally.serve("", 5_000, 5_000.0, map(float, range(5_000)), missed=0)
    [one] = tally.tenants([], {}, now=0.0)
    assert one.wait_p50 > 3_900
