"""A consumer group: its settings, and where it starts on a topic that it has not read yet."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nbagora_lab.broker.model import check_name, seconds
from nbagora_lab.broker.quota import Quota
from nbagora_lab.core.errors import UsageError

__all__ = ["GroupSpec", "Start"]

_KINDS = ("first", "last", "offset", "tail", "time")
_DIGITS = 19  # of the largest offset
_LATEST = 253_402_300_800  # the year 10000, where dates end
_HINT = "a start is 'first', 'last', an offset, 'tail-N' or a time (datetime)"


class Start(NamedTuple):
    """Where reading starts on a topic.

    Attributes:
        kind: ``first`` kept record, past the ``last`` one, ``offset``, ``tail`` (the newest `value` records) or the
            first record at or after ``time``.
        value: The offset, number of records, or seconds since the Unix epoch.

    Example:
        >>> Start.parse("tail-10")
        Start(kind='tail', value=10)
    """

    kind: Literal["first", "last", "offset", "tail", "time"] = "first"
    value: float = 0

    @classmethod
    def parse(cls, start: object) -> Start:
        """Reads ``"first"``, ``"last"``, ``12``, ``"tail-10"``, a `datetime`, or an ISO 8601 text.

        Raises:
            UsageError: It is none, or negative.
        """
        if isinstance(start, Start):
            if start.kind not in _KINDS or not 0 <= start.value < (_LATEST if start.kind == "time" else math.inf):
                raise UsageError(f"no start {start.kind!s:.20} {start.value!s:.40}", _HINT)
            return start
        if isinstance(start, datetime):
            return cls("time", start.timestamp())
        if start in ("first", "last"):  # a tuple: what JSON gives may have no hash
            return cls(start)
        text = str(start)
        number = text.removeprefix("tail-").removeprefix("offset-")
        if number.isascii() and number.isdigit() and len(number) <= _DIGITS:
            return cls("tail" if text.startswith("tail-") else "offset", int(number))
        try:
            return cls("time", datetime.fromisoformat(text).timestamp())
        except ValueError:
            raise UsageError(f"no start {start!r}", _HINT) from None

    def __str__(self) -> str:
        if self.kind == "time":
            return datetime.fromtimestamp(self.value).astimezone().isoformat()
        return self.kind if self.kind in {"first", "last"} else f"{self.kind}-{int(self.value)}"


class GroupSpec(BaseModel):
    """Settings of a consumer group. Those after `start` can be changed while it runs.

    Attributes:
        topic: The parent topic that it reads.
        mode: ``shared``: each lite topic goes to any client that subscribes to it; ``exclusive``: to the newest.
        start: Where it starts on a lite topic that it has not read yet.
        lease: Seconds that a batch is leased for, unless a receive says otherwise.
        max_attempts: Deliveries of a record before it becomes a dead letter.
        backoff: Seconds until the next delivery after the first, second, … failure; the last one repeats.
        quota: What the whole group may be handed.
        topic_quota: What each lite topic may be handed.
        tenant_quota: What each tenant may be handed.
        weights: Shares of tenants; one that is not named has 1.
        fair: Whether tenants share by weight; otherwise records of one priority go by age. Weights alone switch it on.
        aging: Seconds of waiting that raise a record's priority by one; None: priority is strict.
        client_ttl: Seconds that a client stays subscribed without a word.
        max_subscriptions: Names and globs that one client may subscribe to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    mode: Literal["shared", "exclusive"] = "shared"
    start: Start = Start()
    lease: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    max_attempts: int = Field(default=16, ge=1)
    backoff: tuple[float, ...] = (1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200)
    quota: Quota | None = None
    topic_quota: Quota | None = None
    tenant_quota: Quota | None = None
    weights: dict[str, float] = {}
    fair: bool = False
    aging: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    client_ttl: float = Field(default=180.0, gt=0, allow_inf_nan=False)
    max_subscriptions: int = Field(default=100_000, ge=1)

    @field_validator("topic")
    @classmethod
    def _named(cls, topic: str) -> str:
        return check_name(topic, "parent topic")

    @field_validator("start", mode="before")
    @classmethod
    def _start(cls, start: Any) -> Any:
        return start if isinstance(start, list | tuple) else Start.parse(start)

    @field_validator("start")
    @classmethod
    def _can_be_begun_at(cls, start: Start) -> Start:
        return Start.parse(start)

    @field_validator("lease", "aging", "client_ttl", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return seconds(value) if isinstance(value, str) else value

    @field_validator("quota", "topic_quota", "tenant_quota", mode="before")
    @classmethod
    def _quota(cls, quota: Any) -> Any:
        return Quota.parse(quota) if isinstance(quota, str) else quota

    @field_validator("quota", "topic_quota", "tenant_quota")
    @classmethod
    def _lets_through(cls, quota: Quota | None) -> Quota | None:
        return quota and Quota.checked(*quota)

    @model_validator(mode="after")
    def _fits(self) -> GroupSpec:
        if bad := [name for name, weight in self.weights.items() if not 0 < weight < math.inf]:
            raise ValueError(f"the weight of tenant '{bad[0]}' is {self.weights[bad[0]]:g}, it must be above 0")
        if not self.backoff or any(not 0 <= pause < math.inf for pause in self.backoff):
            raise ValueError("backoff needs at least one pause, in seconds")
        units = {quota.unit for quota in (self.quota, self.topic_quota, self.tenant_quota) if quota is not None}
        if len(units) > 1:
            raise ValueError(f"a group's quotas count one unit, these count {' and '.join(sorted(units))}")
        return self

    @property
    def unit(self) -> str:
        """What its quotas and shares count."""
        quota = self.quota or self.topic_quota or self.tenant_quota
        return quota.unit if quota is not None else "messages"

    @property
    def scheduled(self) -> bool:
        """Whether more than priority and age decide what is next, record by record."""
        return bool(self.quota or self.topic_quota or self.tenant_quota or self.weights or self.fair)

    def pause(self, attempts: int) -> float:
        """Seconds until the next delivery after so many have failed."""
        return self.backoff[min(attempts, len(self.backoff)) - 1]

    def difference(self, asked: GroupSpec) -> str:
        """In which settings `asked` is not this."""
        return ", ".join(
            f"{name} is {getattr(self, name)}, not {getattr(asked, name)}"
            for name in type(self).model_fields
            if getattr(self, name) != getattr(asked, name)
        )
