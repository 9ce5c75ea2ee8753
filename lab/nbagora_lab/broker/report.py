"""What a group's memory says of itself."""

from __future__ import annotations

from nbagora_lab.broker.audience import Client
from nbagora_lab.broker.delivery import Batch
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.stats import GroupStats, LeaseInfo, TopicProgress

__all__ = ["fill", "progress_of", "stats_of"]


def fill(group: Dispatch, batch: Batch, client: Client, now: float) -> None:
    """Says in a batch what holds the rest, and when that may change."""
    if group.grants:
        batch.held["lease"] = sum(len(grant.turns) for grant in group.grants.values())
    batch.held |= group.held(client.audiences)
    batch.wake = group.timers.next(now)


def progress_of(group: Dispatch, topic: str, end: int) -> TopicProgress:
    """See `Groups.progress`.

    Args:
        group: The group's memory.
        topic: A topic that exists.
        end: The offset that its next record gets.
    """
    if group.single:
        left = group.stored.of(topic)
        committed = left[0].committed if left else end
        lag, attempts = len(left), left[0].attempts(committed) if left else 0
    else:
        turn = group.stored.turn(topic, end)
        committed = turn.committed
        lag, attempts = end - committed - turn.done.bit_count(), turn.attempts(committed)
    return TopicProgress(topic, committed, end, lag, attempts, _state(group, topic) if lag else "drained")


def _state(group: Dispatch, topic: str) -> str:
    turns = group.turns_of(topic)
    if any(turn.grant is not None for turn in turns):
        return "leased"
    return next((turn.parked or "ready" for turn in turns), "idle")


def stats_of(group: Dispatch, now: float) -> GroupStats:
    """See `Groups.stats`."""
    leases = [
        LeaseInfo(turn.topic, grant.client, turn.committed, len(turn.out()), turn.until, grant.number)
        for grant in group.grants.values()
        for turn in grant.turns
    ]
    audiences = group.audiences.all()
    held = group.held(audiences)
    return GroupStats(
        group=group.name,
        clients={name: len(client.patterns) for name, client in group.clients.items()},
        ready=sum(one.ready.count for one in audiences) - held.get("tenant quota", 0),
        held=held,
        leases=tuple(sorted(leases, key=lambda lease: (lease.expires, lease.topic, lease.first))),
        received=group.tally.received,
        acked=group.tally.acked,
        redelivered=group.tally.redelivered,
        dead=group.tally.dead,
        tenants=group.tally.tenants([one.ready for one in audiences], dict(group.spec.weights), now),
    )
