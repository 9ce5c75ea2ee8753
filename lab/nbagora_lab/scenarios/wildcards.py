"""Wildcards for tests: values that equal any offset, id or time, so that a whole record can stand in one assertion.

Example:
    >>> {"offset": 3, "id": "0a1b2c3d4e5f", "time": "2026-01-01T00:00:00.000Z"} == {
    ...     "offset": IsOffset(), "id": IsId(), "time": IsTime()}
    True
"""

from __future__ import annotations

import re
from datetime import datetime

__all__ = ["IsId", "IsOffset", "IsTime"]


class _Wildcard:
    """Equal to what `_fits`; never hashable, since what it equals has many hashes."""

    __hash__ = None  # type: ignore[assignment]

    def _fits(self, value: object) -> bool:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return self._fits(other)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name.lstrip('_')}={value!r}" for name, value in vars(self).items() if value is not None)
        return f"{type(self).__name__}({shown})"


class IsOffset(_Wildcard):
    """Any offset, as a number or, as A2A metadata has it, in decimal digits.

    Args:
        after: Only offsets greater than this one.
    """

    def __init__(self, after: int = -1) -> None:
        self._after = after

    def _fits(self, value: object) -> bool:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        return isinstance(value, int) and not isinstance(value, bool) and value > self._after


class IsId(_Wildcard):
    """Any id that `core.ids` makes, alone or as part of a longer one: ``ctx-<id>``, ``ctx-<id>.<id>``.

    Args:
        prefix: What it starts with, such as ``ctx-``.
    """

    _SHAPE = re.compile(r"(?:[a-z]+-)?[0-9a-hjkmnp-tv-z]{8,12}(?:\.[0-9a-hjkmnp-tv-z]{8,12})*")

    def __init__(self, prefix: str | None = None) -> None:
        self._prefix = prefix

    def _fits(self, value: object) -> bool:
        return isinstance(value, str) and value.startswith(self._prefix or "") and bool(self._SHAPE.fullmatch(value))


class IsTime(_Wildcard):
    """Any time: seconds since the Unix epoch, or RFC 3339 with an offset.

    Args:
        at: Only this time, in seconds since the Unix epoch.
        within: Seconds to either side of `at` that still count.
    """

    def __init__(self, at: float | None = None, within: float = 0.001) -> None:
        self._at = at
        self._within = within

    def _fits(self, value: object) -> bool:
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                return False
            if moment.tzinfo is None:
                return False
            value = moment.timestamp()
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self._at is None or abs(value - self._at) <= self._within
