"""Time comes in by one seam, and a virtual clock moves only when it is told to."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nbagora_lab.core import clock
from nbagora_lab.core.clock import SystemClock, VirtualClock, rfc3339

seconds = st.floats(0, 253402300799, allow_nan=False)


def test_the_system_clock_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.time, "time", lambda: 12.5)
    assert SystemClock().now() == 12.5


def test_a_virtual_clock_stands_still_until_it_is_moved() -> None:
    virtual = VirtualClock()
    assert virtual.now() == virtual.now() == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    virtual.advance(90)
    virtual.advance(-30)
    assert virtual.now() == datetime(2026, 1, 1, 0, 1, tzinfo=UTC).timestamp()


def test_threads_that_move_it_together_lose_no_second(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(float):
        """Gives way in the middle of an addition."""

        def __add__(self, other: float) -> float:
            total = float(self) + other
            barrier.wait(0.05) if not barrier.broken else None
            return Slow(total)

    barrier = threading.Barrier(2)
    virtual = VirtualClock(0)
    virtual._now = Slow(0)

    def move() -> None:
        try:
            virtual.advance(1)
        except threading.BrokenBarrierError:  # the other waits for the lock: as it should
            virtual.advance(1)

    threads = [threading.Thread(target=move) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert virtual.now() == 2


@pytest.mark.parametrize(
    ("time", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (0.25, "1970-01-01T00:00:00.250Z"), (951827696, "2000-02-29T12:34:56.000Z")],
)
def test_a_time_as_a2a_writes_it(time: float, text: str) -> None:
    assert rfc3339(time) == text


@given(seconds)
def test_a_written_time_is_read_back_to_the_millisecond(time: float) -> None:
    assert abs(datetime.fromisoformat(rfc3339(time)).timestamp() - time) <= 0.0011


@given(seconds, seconds)
def test_written_times_sort_as_times_do(one: float, other: float) -> None:
    assert (rfc3339(one) <= rfc3339(other)) or one > other
