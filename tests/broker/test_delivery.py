"""A handle is what travels of a delivery; a batch says what holds the rest."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries import message
from nbagora_lab.broker.delivery import Batch, Delivery, Handle
from nbagora_lab.core.errors import UsageError

names = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"], exclude_characters="/"), min_size=1)


@given(names, names, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_handle_comes_back_from_its_text(parent: str, lite: str, offset: int, lease: int) -> None:
    handle = Handle(f"{parent}/{lite}", offset, lease)
    assert Handle.parse(str(handle)) == handle


@pytest.mark.parametrize("text", ["", "1", "1.2", "x.2.chat/a", "1.y.chat/a", "." * 10_000])
def test_what_is_no_handle_is_refused_in_two_lines(text: str) -> None:
    if text == "1.2":  # a handle of no topic, which is nobody's lease
        assert Handle.parse(text).topic == ""
        return
    with pytest.raises(UsageError) as caught:
        Handle.parse(text)
    assert max(map(len, caught.value._render_traceback_())) < 200


def test_a_delivery_is_decoded_when_it_is_looked_at() -> None:
    delivery = Delivery("chat/a", 3, 7, 2, message("你好", priority=4))
    assert (delivery.body.decode(), delivery.record.offset, delivery.record.scheduling.priority) == ("你好", 3, 4)
    assert delivery.record is delivery.record
    assert delivery.handle == Handle("chat/a", 3, 7)


def test_a_batch_says_what_it_has_and_what_holds_the_rest() -> None:
    batch = Batch([Delivery("chat/a", 0, 1, 1, message("x"))])
    batch.held = {"lease": 2, "quota": 1}
    assert repr(batch) == "<Batch of 1, held by lease, quota>"
    assert [record.body for record in batch.records()] == [b"x"]
    assert pickle.loads(pickle.dumps(Batch())) == []
