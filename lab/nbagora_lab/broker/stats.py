"""What a group says of itself at one moment, for tables, views and tests."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GroupStats", "LeaseInfo", "TenantStats", "TopicProgress"]


class TopicProgress(NamedTuple):
    """Where a group stands on a lite topic.

    Attributes:
        topic: Full name.
        committed: Offset of the first record that is not acked.
        next: Offset that the topic's next record will get.
        lag: Records that are not acked.
        attempts: How often the record at `committed` has been handed out.
        state: ``drained``, ``ready``, ``leased``, ``suspended``, ``back-off``, or ``idle`` where nobody subscribes.
    """

    topic: str
    committed: int
    next: int
    lag: int
    attempts: int
    state: str


class LeaseInfo(NamedTuple):
    """A lease that is out.

    Attributes:
        topic: Full name.
        client: Who holds it.
        first: Lowest offset of it that is not acked.
        records: Records of it that are not acked.
        expires: Seconds since the Unix epoch.
        number: Number of the lease.
    """

    topic: str
    client: str
    first: int
    records: int
    expires: float
    number: int


class TenantStats(NamedTuple):
    """A tenant's part in a group, since this process began.

    Attributes:
        tenant: Its name; empty for records without one.
        weight: Its weight.
        backlog: Topics (on a PRIORITY parent: records) of it that are ready, held by its quota, or read by nobody.
        served: Records handed out.
        cost: Their cost, corrected at ack.
        share: Its part of all cost, 0 to 1.
        wait_p50: Seconds from ready to handed out, median of the last 1,024.
        wait_p99: The same, 99th percentile.
        starving: Seconds that the oldest of these has waited; 0 with none.
        missed: Records that were handed out after their deadline.
    """

    tenant: str
    weight: float
    backlog: int
    served: int
    cost: float
    share: float
    wait_p50: float
    wait_p99: float
    starving: float
    missed: int


class GroupStats(NamedTuple):
    """A group at one moment.

    Attributes:
        group: Its name.
        clients: Each client's number of subscriptions.
        ready: Topics (on a PRIORITY parent: records) that the next receive could be handed.
        held: Those held back, by rule.
        unread: Those with something to read that nobody subscribes to, where they were asked for.
        leases: Those that are out.
        received: Records handed out since this process began.
        acked: Records acked.
        redelivered: Records handed out again.
        dead: Records that became dead letters.
        tenants: Its tenants.
    """

    group: str
    clients: dict[str, int]
    ready: int
    held: dict[str, int]
    unread: int
    leases: tuple[LeaseInfo, ...]
    received: int
    acked: int
    redelivered: int
    dead: int
    tenants: tuple[TenantStats, ...]
