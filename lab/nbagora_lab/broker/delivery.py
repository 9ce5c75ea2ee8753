"""What a group hands out: deliveries under a lease, and what holds back the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nbagora_lab.core.errors import UsageError
from nbagora_lab.core.events import Record, decode

__all__ = ["Batch", "Delivery", "Given", "Handle"]


class Handle(NamedTuple):
    """What an ack names: a record, and the lease under which it was handed out.

    Attributes:
        topic: Full name.
        offset: The record's.
        lease: Number of the lease; higher than that of any earlier one on the store, so that a late ack is told.
    """

    topic: str
    offset: int
    lease: int

    def __str__(self) -> str:
        return f"{self.lease:x}.{self.offset}.{self.topic}"

    @classmethod
    def parse(cls, text: str) -> Handle:
        """Reads what `str` wrote, as it travels over HTTP.

        Raises:
            UsageError: It is no handle.
        """
        lease, _, rest = text.partition(".")
        offset, _, topic = rest.partition(".")
        try:
            return cls(topic, int(offset), int(lease, 16))
        except ValueError:
            raise UsageError(f"'{text[:60]}' is no handle of a delivery", "give back what receive gave") from None


class Delivery:
    """One record, handed out to one client until its lease ends.

    Attributes:
        topic: Full name of the lite topic.
        offset: The record's.
        lease: Number of the lease.
        attempt: How often the record has been handed out in this group, this time included.
        stored: The record as the store keeps it.
    """

    __slots__ = ("_record", "attempt", "lease", "offset", "stored", "topic")

    def __init__(self, topic: str, offset: int, lease: int, attempt: int, stored: bytes) -> None:
        self.topic = topic
        self.offset = offset
        self.lease = lease
        self.attempt = attempt
        self.stored = stored
        self._record: Record | None = None

    @property
    def record(self) -> Record:
        """The record itself."""
        if self._record is None:
            self._record = decode(self.stored, self.topic, self.offset)
        return self._record

    @property
    def body(self) -> bytes:
        """The record's body."""
        return self.record.body

    @property
    def handle(self) -> Handle:
        """What an ack names."""
        return Handle(self.topic, self.offset, self.lease)

    def __repr__(self) -> str:
        return f"Delivery({self.topic!r}, offset={self.offset}, attempt={self.attempt})"


Given = Handle | Delivery
"""What says which delivery is meant."""


class Batch(list[Delivery]):
    """What one receive was given: deliveries in the order of dispatch, those of one topic in the order of offsets.

    Attributes:
        held: What held records back, by rule, and how many topics (on a PRIORITY parent: records) each holds:
            ``lease``, ``quota``, ``topic quota``, ``tenant quota``, ``suspended``, ``back-off``.
        wake: Seconds until time alone makes more ready; None: only an event can.
    """

    __slots__ = ("held", "wake")

    def __init__(self, deliveries: Sequence[Delivery] = ()) -> None:
        list.__init__(self, deliveries)
        self.held: dict[str, int] = {}
        self.wake: float | None = None

    def __repr__(self) -> str:
        held = f", held by {', '.join(self.held)}" if self.held else ""
        return f"<Batch of {len(self)}{held}>"

    def records(self) -> list[Record]:
        """The records alone."""
        return [delivery.record for delivery in self]

    def __reduce__(self) -> Any:
        return list, (list(self),)
