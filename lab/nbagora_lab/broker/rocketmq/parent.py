"""A parent topic of a lab on RocketMQ: how it is spelt there, what is known of its lite topics, and who listens."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbagora_lab.broker.model import TopicSpec
from nbagora_lab.broker.rocketmq.feed import Feed
from nbagora_lab.broker.rocketmq.life import Life
from nbagora_lab.broker.rocketmq.names import lite_spelt, lite_unspelt, lmq

__all__ = ["Parent"]


@dataclass
class Parent:
    """A parent topic.

    Attributes:
        name: Its name.
        spelt: The same as the servers have it.
        spec: Its settings.
        life: Its lite topics.
        feeds: By broker, what hears of its messages.
        foreign: Lite topics that another client has written, by what was heard.
    """

    name: str
    spelt: str
    spec: TopicSpec
    life: Life
    feeds: dict[str, Feed] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)

    def queue(self, lite: str) -> str:
        """The queue of a lite topic."""
        return lmq(self.spelt, lite_spelt(lite))

    def lite(self, spelt: str) -> str | None:
        """The lite topic that is spelt so, as far as it is known."""
        return lite_unspelt(spelt) or self.life.name(spelt)
