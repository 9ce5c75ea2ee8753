"""What a group's memory says of itself."""

from __future__ import annotations

from nbagora_lab.broker.audience import Client
from nbagora_lab.broker.delivery import Batch
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.stats import GroupStats, LeaseInfo, TopicProgress
from nbagora_lab.broker.tally import Backlog

__all__ = ["fill", "progress_of", "stats_of", "unread_of"]


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
    out = group.turns.get((topic, committed) if group.single else topic)
    if out is not None and out.grant is not None:  # an attempt under way is stored with its lease alone
        attempts = out.attempts(committed)
    return TopicProgress(topic, committed, end, lag, attempts, _state(group, topic) if lag else "drained")


def _state(group: Dispatch, topic: str) -> str:
    turns = group.turns_of(topic)
    if any(turn.grant is not None for turn in turns):
        return "leased"
    return next((turn.parked or "ready" for turn in turns), "idle")


def unread_of(group: Dispatch) -> Backlog:
    """What waits and nobody reads; from any thread, without the lock, as it takes as long as much waits."""
    found: dict[str, tuple[int, float]] = {}
    for plan, time in group.stored.strays(group.turns) if group.strays else ():
        tenant = plan.tenant if group.scheduled else ""
        count, since = found.get(tenant, (0, time))
        found[tenant] = count + 1, min(since, time)
    return found


def stats_of(group: Dispatch, unread: Backlog, now: float) -> GroupStats:
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
        unread=sum(count for count, _ in unread.values()),
        leases=tuple(sorted(leases, key=lambda lease: (lease.expires, lease.topic, lease.first))),
        received=group.tally.received,
        acked=group.tally.acked,
        redelivered=group.tally.redelivered,
        dead=group.tally.dead,
        tenants=group.tally.tenants(
            [unread, *(one.ready.tenants() for one in audiences)], dict(group.spec.weights), now
        ),
    )
