"""A parent's counts grow and shrink with commits; what would break a quota is refused, what shrinks never is."""

from __future__ import annotations

import pytest

from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.parent import Added, Parent
from nbagora_lab.core.errors import QuotaExceeded


def test_counts_and_flags_add_up() -> None:
    parent = Parent("chat", TopicSpec(max_bytes=100), topics=3, size=40, flags=1)
    assert (parent.limited, parent.scheduled, parent.referring, parent.flags) == (True, True, False, 1)
    assert Added(topics=2, size=60, flags=2).onto(parent) == (5, 100, 3)
    assert Added(topics=-3, size=-40).onto(parent) == (0, 0, 1)
    assert (parent.topics, parent.size, parent.flags) == (3, 40, 1)  # they are the committer's to change


def test_flags_are_read_back_one_by_one() -> None:
    seen = [(one.scheduled, one.referring) for one in (Parent("chat", TopicSpec(), flags=flags) for flags in range(4))]
    assert seen == [(False, False), (True, False), (False, True), (True, True)]
    assert [Parent("chat", TopicSpec(), flags=flags).flags for flags in range(4)] == [0, 1, 2, 3]
    assert not Parent("chat", TopicSpec()).limited


@pytest.mark.parametrize(
    ("added", "what"),
    [(Added(topics=2), "has 9 lite topics, it may have 10"), (Added(size=11), "holds 90 bytes, it may")],
)
def test_what_would_be_too_much_is_refused(added: Added, what: str) -> None:
    parent = Parent("chat", TopicSpec(max_topics=10, max_bytes=100), topics=9, size=90)
    with pytest.raises(QuotaExceeded, match=what):
        added.onto(parent)


def test_the_last_that_fits_is_taken_and_one_that_is_over_its_quota_may_shrink() -> None:
    spec = TopicSpec(max_topics=10, max_bytes=100)
    assert Added(topics=1, size=10).onto(Parent("chat", spec, topics=9, size=90)) == (10, 100, 0)
    over = Parent("chat", spec, topics=20, size=500)
    assert Added(topics=-1, size=-10).onto(over) == (19, 490, 0)
    assert Added().onto(over) == (20, 500, 0)
