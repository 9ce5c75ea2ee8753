"""Waiting for what another thread or process does, where it rings no bell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until"]

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 30.0) -> T:
    """What `condition` gives as soon as that is true.

    Raises:
        AssertionError: It never is.
    """
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.005)
    return found
