"""A parent topic in memory: its settings, what counts against its quotas, and the groups that read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.core.errors import QuotaExceeded

if TYPE_CHECKING:
    from nbagora_lab.broker.dispatch import Dispatch

__all__ = ["Added", "Parent"]


class Parent:
    """A parent topic. Changed under the engine's lock.

    Attributes:
        name: Its name.
        spec: Its settings.
        topics: Number of its lite topics, `_events` not counted.
        limited: Whether its settings limit the bytes of its records.
        size: These bytes, where they are limited; else 0.
        scheduled: Whether any record on it ever had scheduling fields; if not, nobody looks for them.
        referring: Whether any record on it ever referred to a large body.
        groups: The groups that read it.
        hearing: Those of them that read its `_events` as well.
    """

    __slots__ = ("groups", "hearing", "limited", "name", "referring", "scheduled", "size", "spec", "topics")

    def __init__(self, name: str, spec: TopicSpec, topics: int = 0, size: int = 0, flags: int = 0) -> None:
        self.name = name
        self.spec = spec
        self.topics = topics
        self.limited = spec.max_bytes is not None
        self.size = size
        self.scheduled = bool(flags & 1)
        self.referring = bool(flags & 2)
        self.groups: list[Dispatch] = []
        self.hearing: list[Dispatch] = []

    @property
    def flags(self) -> int:
        """As they are stored."""
        return self.scheduled | self.referring << 1


@dataclass(slots=True)
class Added:
    """What a commit adds to a parent.

    Attributes:
        topics: Lite topics, fewer than none where it removes some.
        size: Bytes of records, likewise.
        flags: As in `Parent.flags`.
    """

    topics: int = 0
    size: int = 0
    flags: int = 0

    def onto(self, parent: Parent) -> tuple[int, int, int]:
        """Topics, bytes and flags of the parent with this.

        Raises:
            QuotaExceeded: It would have more than it may.
        """
        spec = parent.spec
        if self.topics > 0 and spec.max_topics is not None and parent.topics + self.topics > spec.max_topics:
            raise QuotaExceeded(
                f"the topic '{parent.name}' has {parent.topics} lite topics, it may have {spec.max_topics}",
                "remove some, let them expire (ttl), or make the topic with a higher max_topics",
            )
        if self.size > 0 and spec.max_bytes is not None and parent.size + self.size > spec.max_bytes:
            raise QuotaExceeded(
                f"the topic '{parent.name}' holds {parent.size} bytes, it may hold {spec.max_bytes}",
                "remove lite topics, let them expire (ttl), or make the topic with a higher max_bytes",
            )
        return parent.topics + self.topics, parent.size + self.size, parent.flags | self.flags
