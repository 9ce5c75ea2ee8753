"""A lease: what one receive handed out to one client, and until when."""

from __future__ import annotations

from nbagora_lab.broker.delivery import Batch
from nbagora_lab.broker.timers import Timer
from nbagora_lab.broker.turn import Turn

__all__ = ["Ended", "Grant"]

_KEPT = 4096  # leases of the store within which a lease's last ack may come twice
_NOTHING: frozenset[tuple[str, int]] = frozenset()


class Grant:
    """The leases of one receive. Each of its turns has its own end (`Turn.until`), which extending moves.

    Attributes:
        number: Higher than that of any earlier one on the store; an ack names it.
        client: Who holds it.
        turns: Those that are still out under it, in the order of dispatch, each with the offset past what is out of it.
        attempt_id: The receive's own id, for one that is repeated; empty for none.
        batch: What it was given, kept for that alone.
        lost: Topics and offsets that ended in another way than by an ack.
        timer: The first time at which something of it may end.
    """

    __slots__ = ("attempt_id", "batch", "client", "lost", "number", "timer", "turns")

    def __init__(self, number: int, client: str, attempt_id: str) -> None:
        self.number = number
        self.client = client
        self.attempt_id = attempt_id
        self.turns: dict[Turn, int] = {}
        self.batch: Batch | None = None
        self.lost = _NOTHING
        self.timer: Timer | None = None


class Ended:
    """The leases of not long ago that are over."""

    def __init__(self) -> None:
        self._lost: dict[int, tuple[int, frozenset[tuple[str, int]]]] = {}  # by place, which a later one takes over

    def add(self, grant: Grant) -> None:
        """One is over."""
        self._lost[grant.number % _KEPT] = grant.number, grant.lost

    def lost(self, number: int) -> frozenset[tuple[str, int]] | None:
        """What of one ended in another way than by an ack; None where it is not remembered."""
        found, lost = self._lost.get(number % _KEPT, (None, _NOTHING))
        return lost if found == number else None
