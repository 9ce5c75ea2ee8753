"""Names on RocketMQ: what the server takes, and back again."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbagora_lab.broker.model import check_name
from nbagora_lab.broker.rocketmq.names import lite_spelt, lite_unspelt, parent_spelt, parent_unspelt
from nbagora_lab.core.errors import BadName

LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}")


@st.composite
def names(draw: st.DrawFn) -> str:
    name = draw(st.text(min_size=1, max_size=80) | st.text("aZ0_-", min_size=1, max_size=80))
    try:
        return check_name(name)
    except BadName:
        assume(False)
        raise


@given(names())
def test_every_name_is_spelt_as_the_server_takes_it_and_short_ones_can_be_read_back(name: str) -> None:
    spelt = lite_spelt(name)
    assert LEGAL.fullmatch(spelt)
    back = lite_unspelt(spelt)
    assert back == name or (back is None and len(name.encode()) > 48)


@given(names(), names())
def test_two_names_are_spelt_differently(one: str, other: str) -> None:
    assert (lite_spelt(one) == lite_spelt(other)) == (one == other)


@pytest.mark.parametrize("size", range(40, 70))
def test_at_every_length_about_the_limits(size: int) -> None:
    for letter in ("a", "_", "-", "é"):
        name = (letter * size).encode()[:size].decode(errors="ignore")
        back = lite_unspelt(lite_spelt(name))
        assert back == name or (back is None and len(name.encode()) > 48)


def test_what_people_write_stays_readable() -> None:
    assert [lite_spelt(name) for name in ("ctx-1", "S_42", "_events", "-x")] == ["ctx-1", "S_42", "_X2V2ZW50cw", "_LXg"]


def test_a_parent_has_its_labs_name_in_front() -> None:
    assert parent_spelt("lab7", "sessions") == "lab7-sessions"
    assert parent_unspelt("lab7", "lab7-sessions") == "sessions"
    assert parent_unspelt("lab7", "lab77-sessions") is None
