"""A group's buckets: its own, each topic's and each tenant's, together."""

from __future__ import annotations

from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.meters import Meters


def meters(**quotas: str) -> Meters:
    return Meters(GroupSpec(topic="chat", **quotas), 0.0)  # type: ignore[arg-type]  # its validators read texts


def test_what_is_handed_out_is_taken_from_every_bucket_that_it_concerns() -> None:
    some = meters(quota="10/s", topic_quota="2/s", tenant_quota="5/s")
    for _ in range(2):
        assert some.topic_wait("chat/a", 1, 0) == some.tenant_wait("acme", 1, 0) == some.group_wait(1, 0) == 0
        some.take("chat/a", "acme", 1)
    assert some.topic_wait("chat/a", 1, 0) == 0.5
    assert some.topic_wait("chat/b", 1, 0) == some.tenant_wait("acme", 1, 0) == 0
    for _ in range(3):
        some.take("chat/b", "acme", 1)
    assert some.tenant_wait("acme", 1, 0) == 0.2
    assert some.tenant_wait("zen", 1, 0) == some.group_wait(1, 0) == 0
    some.take("chat/c", "zen", 5)
    assert some.group_wait(1, 0) == 0.1


def test_what_has_no_quota_never_waits() -> None:
    some = meters()
    some.take("chat/a", "acme", 1e9)
    assert some.group_wait(1e9, 0) == some.topic_wait("chat/a", 1e9, 0) == some.tenant_wait("acme", 1e9, 0) == 0


def test_a_change_keeps_what_was_taken() -> None:
    some = meters(quota="10/s", tenant_quota="10/s")
    assert some.tenant_wait("acme", 1, 0) == 0
    some.take("chat/a", "acme", 10)
    some.alter(GroupSpec(topic="chat", quota="1/s", tenant_quota="1/s"), 0)  # type: ignore[arg-type]
    assert some.group_wait(1, 0) == some.tenant_wait("acme", 1, 0) == 1
    some.alter(GroupSpec(topic="chat"), 0)
    assert some.group_wait(1, 0) == some.tenant_wait("acme", 1, 0) == 0
    some.alter(GroupSpec(topic="chat", tenant_quota="1/s"), 0)  # type: ignore[arg-type]
    assert some.tenant_wait("acme", 1, 0) == 0  # a new quota, a full bucket
    some.take("chat/a", "acme", 1)
    assert some.tenant_wait("acme", 1, 0) == 1
    some.alter(GroupSpec(topic="chat", quota="2/s"), 0)  # type: ignore[arg-type]
    some.take("chat/a", "acme", 2)
    assert (some.group_wait(1, 0), some.tenant_wait("acme", 1, 0)) == (0.5, 0)
    some.alter(GroupSpec(topic="chat", topic_quota="1/s"), 0)  # type: ignore[arg-type]
    assert some.topic_wait("chat/a", 1, 0) == 0
    some.take("chat/a", "acme", 1)
    assert some.topic_wait("chat/a", 1, 0) == 1


def test_a_bucket_that_is_full_again_is_forgotten() -> None:
    some = meters(topic_quota="10/s")
    for number in range(20_000):
        now = number / 10
        assert some.topic_wait(f"chat/{number}", 1, now) == 0
        some.take(f"chat/{number}", "", 1)
    assert len(some._topics) < 5_000
