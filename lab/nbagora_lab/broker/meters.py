"""The buckets of a group: its own, one for each lite topic and one for each tenant, as its quotas ask for."""

from __future__ import annotations

from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.quota import Bucket, Quota

__all__ = ["Meters"]

_MANY = 4096


class Meters:
    """A group's buckets. Changed under the engine's lock.

    Args:
        spec: The group's settings.
        now: Seconds since the Unix epoch.
    """

    def __init__(self, spec: GroupSpec, now: float) -> None:
        self._spec = spec
        self._group = Bucket(spec.quota, now) if spec.quota is not None else None
        self._tenants: dict[str, Bucket] = {}
        self._topics: dict[str, Bucket] = {}

    def alter(self, spec: GroupSpec, now: float) -> None:
        """Goes on under other quotas; buckets keep what they hold."""
        self._spec = spec
        if spec.quota is None:
            self._group = None
        elif self._group is not None:
            self._group.change(spec.quota, now)
        else:
            self._group = Bucket(spec.quota, now)
        for buckets, quota in ((self._tenants, spec.tenant_quota), (self._topics, spec.topic_quota)):
            if quota is None:
                buckets.clear()
            for bucket in buckets.values():
                bucket.change(quota or bucket.quota, now)

    def group_wait(self, cost: float, now: float) -> float:
        """Seconds until the group's quota lets `cost` through; 0: now."""
        return self._group.wait(cost, now) if self._group is not None else 0.0

    def tenant_wait(self, tenant: str, cost: float, now: float) -> float:
        """The same for a tenant's."""
        quota = self._spec.tenant_quota
        return 0.0 if quota is None else _bucket(self._tenants, tenant, quota, now).wait(cost, now)

    def topic_wait(self, topic: str, cost: float, now: float) -> float:
        """The same for a lite topic's."""
        quota = self._spec.topic_quota
        return 0.0 if quota is None else _bucket(self._topics, topic, quota, now).wait(cost, now)

    def take(self, topic: str, tenant: str, cost: float) -> None:
        """Something is handed out; a cost below 0 is given back."""
        for bucket in (self._group, self._tenants.get(tenant), self._topics.get(topic)):
            if bucket is not None:
                bucket.take(cost)


def _bucket(buckets: dict[str, Bucket], name: str, quota: Quota, now: float) -> Bucket:
    bucket = buckets.get(name)
    if bucket is None:
        if len(buckets) >= _MANY:  # a full bucket says what its absence says
            for key in [key for key, one in buckets.items() if one.level(now) >= one.quota.burst]:
                del buckets[key]
        bucket = buckets[name] = Bucket(quota, now)
    return bucket
