from __future__ import annotations

import pytest

from nbagora_lab.core.clock import VirtualClock, rfc3339
from nbagora_lab.core.ids import RandomIds, SeededIds
from nbagora_lab.scenarios import IsId, IsOffset, IsTime


@pytest.mark.parametrize(
    ("wildcard", "value"),
    [
        (IsOffset(), 0),
        (IsOffset(), "12"),
        (IsOffset(after=3), 4),
        (IsTime(), 0),
        (IsTime(), "2026-01-01T00:00:00.000Z"),
        (IsTime(at=5, within=1), 5.5),
        (IsTime(at=0), "1970-01-01T00:00:00Z"),
        (IsTime(at=0), "1970-01-01T01:00:00+01:00"),
    ],
)
def test_it_equals_what_it_stands_for(wildcard: object, value: object) -> None:
    assert wildcard == value
    assert value == wildcard
    assert {"a": [value]} == {"a": [wildcard]}


@pytest.mark.parametrize(
    ("wildcard", "value"),
    [
        (IsOffset(), -1),
        (IsOffset(), True),
        (IsOffset(), "-1"),
        (IsOffset(), "٣"),
        (IsOffset(), 1.0),
        (IsOffset(after=3), "3"),
        (IsId(), ""),
        (IsId(), "weather"),
        (IsId(), 7),
        (IsId(), "0123456789AB"),
        (IsId(prefix="ctx-"), "0123456789ab"),
        (IsTime(), True),
        (IsTime(), None),
        (IsTime(), "soon"),
        (IsTime(), "2026-01-01T00:00:00"),
        (IsTime(at=5, within=1), 7),
    ],
)
def test_it_equals_nothing_else(wildcard: object, value: object) -> None:
    assert wildcard != value


def test_ids_are_what_the_makers_of_ids_make() -> None:
    for ids in (RandomIds(), SeededIds(3)):
        for number in range(200):
            context = f"ctx-{ids.new('context', str(number))}"
            assert context == IsId(prefix="ctx-")
            assert f"{context}.{ids.new('task', context)[:8]}" == IsId()


def test_times_are_what_a_clock_tells() -> None:
    now = VirtualClock().now()
    assert now == IsTime(at=now)
    assert rfc3339(now) == IsTime(at=now)


def test_its_repr_says_what_it_takes() -> None:
    assert repr(IsTime(at=5.0)) == "IsTime(at=5.0, within=0.001)"
    assert repr(IsId()) == "IsId()"
