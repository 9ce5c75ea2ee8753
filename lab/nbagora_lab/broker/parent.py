"""A parent topic in memory: its settings, what counts against its quotas, and the groups that read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbagora_lab.broker.model import TopicSpec

if TYPE_CHECKING:
    from nbagora_lab.broker.dispatch import Dispatch

__all__ = ["Parent"]


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
