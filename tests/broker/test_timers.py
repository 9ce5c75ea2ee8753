"""What is due runs in the order of its time, once, unless it was called off; what was interrupted is still due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagora_lab.broker.timers import Timer, Timers


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30), st.integers(0, 20))
def test_what_is_due_runs_in_order_but_what_is_off(given: list[tuple[int, bool]], now: int) -> None:
    timers, ran, made = Timers(), [], []
    for number, (when, _) in enumerate(given):
        made.append(timers.at(float(when), lambda one=(when, number): ran.append(one)))
    for timer, (_, off) in zip(made, given, strict=True):
        if off:
            timers.cancel(timer)
            timers.cancel(timer)
    timers.run(float(now))
    wanted = [(when, number) for number, (when, off) in enumerate(given) if not off]
    assert ran == sorted(one for one in wanted if one[0] <= now)
    later = [when for when, _ in wanted if when > now]
    assert timers.next(float(now)) == (min(later) - now if later else None)
    timers.run(float(now))
    assert len(ran) == len(set(ran))


def test_what_an_action_asks_for_runs_as_well_if_it_is_due() -> None:
    timers, ran = Timers(), []
    timers.at(1.0, lambda: timers.at(2.0, lambda: ran.append("late")) and ran.append("early"))
    timers.run(1.5)
    assert ran == ["early"]
    timers.run(2.0)
    assert ran == ["early", "late"]


def test_what_is_interrupted_is_still_due_and_so_is_the_rest() -> None:
    timers, ran, broken = Timers(), [], [True]

    def first() -> None:
        if broken:
            broken.clear()
            raise KeyboardInterrupt
        ran.append("first")

    timers.at(1.0, first)
    timers.at(2.0, lambda: ran.append("second"))
    with pytest.raises(KeyboardInterrupt):
        timers.run(5.0)
    assert timers.next(5.0) == 0
    timers.run(5.0)
    assert sorted(ran) == ["first", "second"]


def test_what_is_called_off_does_not_gather() -> None:
    timers = Timers()
    kept = timers.at(1e9, lambda: None)
    made: list[Timer] = []
    for _ in range(10_000):
        made.append(timers.at(1e8, lambda: None))
        timers.cancel(made.pop())
    assert len(timers) < 3_000
    assert kept.action is not None
