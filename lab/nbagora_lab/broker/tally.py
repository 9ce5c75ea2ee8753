"""What a group has served, by tenant, since this process began."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from nbagora_lab.broker.stats import TenantStats

__all__ = ["Backlog", "Tally"]

Backlog = Mapping[str, tuple[int, float]]
"""What waits, by tenant: how much, and since when the oldest does."""

_RECENT = 1024  # waits that percentiles are taken of


class _Served:
    __slots__ = ("cost", "missed", "records", "waits")

    def __init__(self) -> None:
        self.records = 0
        self.cost = 0.0
        self.missed = 0
        self.waits: deque[float] = deque(maxlen=_RECENT)


class Tally:
    """Counts. Changed under the engine's lock.

    Attributes:
        received: Records handed out.
        acked: Records acked.
        redelivered: Records handed out again.
        dead: Records that became dead letters.
    """

    def __init__(self) -> None:
        self.received = 0
        self.acked = 0
        self.redelivered = 0
        self.dead = 0
        self._served: dict[str, _Served] = {}

    def serve(self, tenant: str, records: int, cost: float, waits: Iterable[float], *, missed: int) -> None:
        """Records of a tenant are handed out, of topics that were ready for so many seconds; some were late."""
        served = self._served.get(tenant)
        if served is None:
            served = self._served[tenant] = _Served()
        served.records += records
        served.cost += cost
        served.missed += missed
        served.waits.extend(waits)

    def correct(self, tenant: str, difference: float) -> None:
        """A record cost more, or less, than was said."""
        if tenant in self._served:
            self._served[tenant].cost += difference

    def tenants(self, backlogs: Iterable[Backlog], weights: dict[str, float], now: float) -> tuple[TenantStats, ...]:
        """Each tenant's part, the largest first."""
        waiting: dict[str, tuple[int, float]] = {}
        for backlog in backlogs:
            for tenant, (count, since) in backlog.items():
                before = waiting.get(tenant, (0, since))
                waiting[tenant] = before[0] + count, min(before[1], since)
        total = sum(served.cost for served in self._served.values())
        found = []
        for tenant in {**self._served, **waiting}:
            served = self._served.get(tenant, _Served())
            waits = sorted(served.waits)
            count, since = waiting.get(tenant, (0, now))
            found.append(
                TenantStats(
                    tenant=tenant,
                    weight=weights.get(tenant, 1.0),
                    backlog=count,
                    served=served.records,
                    cost=served.cost,
                    share=served.cost / total if total else 0.0,
                    wait_p50=max(0.0, waits[len(waits) // 2]) if waits else 0.0,
                    wait_p99=max(0.0, waits[len(waits) * 99 // 100]) if waits else 0.0,
                    starving=max(0.0, now - since) if count else 0.0,
                    missed=served.missed,
                )
            )
        return tuple(sorted(found, key=lambda one: (-one.cost, one.tenant)))
