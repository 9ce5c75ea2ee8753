"""Identifiers, through one seam: random for people, seeded for scenarios.

A seeded id is derived from the seed, the kind, the thing it belongs to and how many of that kind that thing has had,
so that threads which race for ids in different sessions still get the same ones on each run.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import defaultdict
from typing import Protocol

__all__ = ["Ids", "RandomIds", "SeededIds", "new_traceparent"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter that reads as a digit
_LENGTH = 12  # 60 bits: a million sessions collide with a chance of one in two million


_PAIRS = [low + high for high in _ALPHABET for low in _ALPHABET]


def _base32(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(0, 5 * _LENGTH, 10)])


class Ids(Protocol):
    """What makes identifiers."""

    def new(self, kind: str, scope: str = "") -> str:
        """A new identifier of 12 letters and digits.

        Args:
            kind: What it is for: ``context``, ``task``, ``message``, ``artifact``, ``trace``.
            scope: The id of what it belongs to; two scopes never influence each other's ids.
        """
        ...


class RandomIds:
    """Ids from the operating system's randomness."""

    def new(self, kind: str, scope: str = "") -> str:  # noqa: ARG002 -- the protocol's
        """A new random identifier."""
        return _base32(secrets.randbits(60))


class SeededIds:
    """Ids that depend on nothing but the seed, the epoch and what was asked before in the same scope.

    Args:
        seed: The scenario's seed.
        epoch: How often the store was opened, so that a lab that is started again makes new ids.

    Example:
        >>> SeededIds(7).new("context") == SeededIds(7).new("context")
        True
    """

    def __init__(self, seed: int, epoch: int = 0) -> None:
        self._prefix = f"{seed}/{epoch}"
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._lock = threading.Lock()

    def new(self, kind: str, scope: str = "") -> str:
        """The next identifier of `kind` within `scope`."""
        with self._lock:
            self._counts[kind, scope] += 1
            count = self._counts[kind, scope]
        digest = hashlib.sha256(f"{self._prefix}/{kind}/{scope}/{count}".encode()).digest()
        return _base32(int.from_bytes(digest[:8]))


def new_traceparent(ids: Ids, scope: str) -> str:
    """A W3C trace context that begins a trace, of ids of the scope."""
    trace = f"{ids.new('trace', scope)}{ids.new('trace', scope)}".encode().hex()[:32]
    return f"00-{trace}-{ids.new('span', scope).encode().hex()[:16]}-01"
