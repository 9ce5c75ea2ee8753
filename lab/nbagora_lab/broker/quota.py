"""Quotas as token buckets: a rate, a unit, and how much may come at once.

A bucket holds up to `burst` and fills at `rate` a second; handing a message out takes its cost. What turns out dearer
than was said at sending is taken on top, so that a bucket can be in debt and the next message waits longer. Over any
time t a bucket lets through at most ``burst + rate * t`` (RFC 2697 calls it a token bucket).
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from nbagora_lab.core.errors import UsageError

__all__ = ["Bucket", "Quota"]

_PERIODS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_TEXT = re.compile(r"\s*([\d.]+(?:e\d+)?)\s*([a-z-]*)\s*/\s*([a-z]+)\s*(?:burst\s*([\d.]+))?\s*", re.IGNORECASE)


class Quota(NamedTuple):
    """How much may be handed out.

    Attributes:
        rate: Units a second, above 0.
        unit: What is counted: ``messages``, ``tokens``, ``gpu-seconds`` or a word of one's own.
        burst: Units at once, above 0; a second's worth unless given, but a message at least.

    Example:
        >>> Quota.parse("90 tokens/min")
        Quota(rate=1.5, unit='tokens', burst=90.0)
    """

    rate: float
    unit: str
    burst: float

    @classmethod
    def parse(cls, text: str) -> Quota:
        """Reads ``50/s``, ``6000 tokens/min`` or ``1 gpu-second/s burst 10``.

        The burst is what the text's own period holds where it names none: ``50/s`` lets 50 through at once,
        ``6000 tokens/min`` 6000.

        Raises:
            UsageError: It is no quota, or 0.
        """
        found = _TEXT.fullmatch(text)
        period = _PERIODS.get(found[3].lower()) if found else None
        numbers = [found[1], found[4] or "1"] if found else [""]
        if found is None or period is None or any(number.count(".") > 1 or number == "." for number in numbers):
            raise UsageError(f"'{text}' is no quota", "write 50/s, '6000 tokens/min' or '1 gpu-second/s burst 10'")
        amount = float(found[1])
        unit = found[2].lower() or "messages"
        unit = unit if unit.endswith("s") else f"{unit}s"
        return cls.checked(amount / period, unit, float(found[4] or max(amount, 1.0)))

    @classmethod
    def checked(cls, rate: float, unit: str, burst: float) -> Quota:
        """One that lets something through.

        Raises:
            UsageError: It does not.
        """
        if not (0 < rate < math.inf and 0 < burst < math.inf):
            raise UsageError(
                f"a quota of {rate} {unit}/s burst {burst} lets nothing through",
                "give a rate above 0, or suspend the topic instead",
            )
        return cls(rate, unit, burst)

    def __str__(self) -> str:
        return f"{self.rate:g} {self.unit}/s burst {self.burst:g}"


class Bucket:
    """The state of one quota; full at first.

    Args:
        quota: Its rate and size.
        now: Seconds since the Unix epoch.
    """

    __slots__ = ("_at", "_level", "quota")

    def __init__(self, quota: Quota, now: float) -> None:
        self.quota = quota
        self._level = quota.burst
        self._at = now

    def level(self, now: float) -> float:
        """Units that it holds; below 0 it is in debt. A clock that jumped back adds nothing."""
        if now > self._at:
            self._level = min(self.quota.burst, self._level + (now - self._at) * self.quota.rate)
        self._at = now
        return self._level

    def wait(self, cost: float, now: float) -> float:
        """Seconds until it lets `cost` through; 0: now. What costs more than the burst needs a full bucket."""
        missing = min(cost, self.quota.burst) - self.level(now)
        return missing / self.quota.rate if missing > 1e-9 * self.quota.burst else 0.0

    def take(self, cost: float) -> None:
        """Takes `cost`; less than nothing gives back."""
        self._level = min(self.quota.burst, self._level - cost)

    def change(self, quota: Quota, now: float) -> None:
        """Goes on under another quota with what it holds, cut to the new burst."""
        self._level = min(self.level(now), quota.burst)
        self.quota = quota
