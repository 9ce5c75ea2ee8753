"""Weighted fairness over tenants: start-time fair queueing.

P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996. Each tenant has a finish tag F; what is handed
out next is the record with the smallest start tag S = max(v, F), which sets v = S and F = S + cost / weight. Over any
interval in which two tenants f and m both have something ready, what they are served differs by no more than one record
each: ``|W_f / w_f - W_m / w_m| <= l_f / w_f + l_m / w_m`` (Theorem 1), whatever the order of arrivals, and however
irregular the server. That holds among records of one priority, as each priority has tags of its own: what is served of
a higher one makes the server of the lower irregular, and takes nothing from anybody's share of it. Chosen over deficit
round robin for that bound, which is the smallest known at O(log n) a record, and because a change of weights takes
effect with the next record.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Shares"]

_MANY = 4096


class Shares:
    """The tags of a group's tenants. Changed under the engine's lock.

    Args:
        weights: Each tenant's weight; 1 for one that is not named.

    Attributes:
        virtual: The virtual time v of each priority: the highest start tag that was handed out.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.virtual: dict[int, float] = {}
        self.weights = weights
        self._finish: dict[tuple[int, str], float] = {}

    def start(self, tenant: str, priority: int = 0) -> float:
        """The start tag of the tenant's next record."""
        return max(self.virtual.get(priority, 0.0), self._finish.get((priority, tenant), 0.0))

    def charge(self, tenant: str, cost: float, priority: int = 0) -> None:
        """A record of the tenant is handed out."""
        self.virtual[priority] = start = self.start(tenant, priority)
        self._finish[priority, tenant] = start + cost / self.weights.get(tenant, 1.0)
        if len(self._finish) > _MANY:  # a tag behind the virtual time says what its absence says
            self._finish = {key: tag for key, tag in self._finish.items() if tag > self.virtual.get(key[0], 0.0)}

    def correct(self, tenant: str, difference: float, priority: int = 0) -> None:
        """A record turned out to cost that much more, or (below 0) less."""
        finish = self._finish.get((priority, tenant), self.virtual.get(priority, 0.0))
        self._finish[priority, tenant] = finish + difference / self.weights.get(tenant, 1.0)
