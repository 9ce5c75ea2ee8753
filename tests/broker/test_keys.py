"""Keys sort as what they stand for, and what is packed is unpacked."""

from __future__ import annotations

import re

import hypothesis.strategies as st
from hypothesis import example, given

from faults import FaultyLog
from logs import record
from nbagora_lab.broker import keys
from nbagora_lab.broker.embedded_groups import EmbeddedGroups
from nbagora_lab.broker.group import GroupSpec

numbers = st.integers(0, 2**64 - 1)
pairs = st.tuples(numbers, numbers)


@given(pairs, pairs)
def test_record_keys_sort_by_topic_and_then_by_offset(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (keys.record_key(*one) < keys.record_key(*other)) == (one < other)


@given(pairs)
def test_a_records_key_starts_with_its_topic_and_gives_its_offset(pair: tuple[int, int]) -> None:
    key = keys.record_key(*pair)
    assert key.startswith(keys.u64(pair[0]))
    assert keys.record_offset(key) == pair[1]
    assert len(key) == 16


@given(numbers)
def test_a_number_is_unpacked(number: int) -> None:
    assert keys.parse_u64(keys.u64(number)) == number


@given(numbers, st.integers(0, 10**15), st.text(max_size=50))
@example(1, 32767, "")
def test_a_topics_value_is_unpacked(number: int, microseconds: int, forked_from: str) -> None:
    packed = keys.topic_value(number, microseconds / 1e6, forked_from)
    assert keys.parse_topic(packed) == (number, microseconds / 1e6, forked_from or None)


def test_the_picture_of_the_families_is_what_a_store_has(log: FaultyLog) -> None:
    drawn = re.findall(r"^\| `(\w+)` \|", keys.__doc__ or "", re.MULTILINE)
    log.append([("chat/a", record())])
    EmbeddedGroups(log).create_group("workers", GroupSpec(topic="chat"))
    families = ["parents", "topics", "records", "groups", "progress", "handed", "waiting", "due", "blobs"]
    assert drawn == ["default", *families, "subscribers"]
    assert sorted(log._rocks.db.list_cf(str(log.path))) == sorted(drawn)
    named = set(re.findall(r"``([a-z-]+)``", keys.__doc__ or ""))
    kept = {key.decode() for key in log._rocks.db.keys()}  # noqa: SIM118 -- no dictionary
    assert {key for key in kept if not key.startswith("count:")} == named
    assert keys.parse_u64(log._rocks.db.get(keys.FORMAT_KEY)) == keys.FORMAT
