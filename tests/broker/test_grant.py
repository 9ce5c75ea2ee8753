"""A lease that is over is remembered for a while, with what of it was lost."""

from __future__ import annotations

from nbagora_lab.broker.grant import Ended, Grant


def test_what_was_lost_of_a_lease_is_told_as_it_was_when_that_ended() -> None:
    ended, grant = Ended(), Grant(7, "c", "")
    grant.lost |= {("chat/a", 0)}
    ended.add(grant)
    grant.lost |= {("chat/a", 1)}
    assert ended.lost(7) == {("chat/a", 0)}
    assert ended.lost(8) is None


def test_of_many_the_oldest_is_forgotten() -> None:
    ended = Ended()
    for number in range(4097):
        ended.add(Grant(number, "c", ""))
    assert (ended.lost(0), ended.lost(1), ended.lost(4096)) == (None, frozenset(), frozenset())


def test_a_grant_knows_whose_it_is_and_by_which_call() -> None:
    grant = Grant(7, "c", "x")
    assert (grant.number, grant.client, grant.attempt_id, grant.turns) == (7, "c", "x", {})
