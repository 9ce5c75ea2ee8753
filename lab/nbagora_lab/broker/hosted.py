"""A lab's log on shared servers: what is scheduled record by record stays with the lab that hosts it.

Servers have no topic that has lite topics and priorities, nor quotas or shares. So parents of type PRIORITY, such as
the inbox of an agent, are in the lab's own embedded store, and with them the groups that read them; all others are on
the servers. An inbox holds references only: what it loses with its disk is queued again from the sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from nbagora_lab.broker.api import Log, Stored
from nbagora_lab.broker.blobs import BlobReader, BlobRef
from nbagora_lab.broker.embedded import EmbeddedLog
from nbagora_lab.broker.model import TopicInfo, TopicSpec, split_topic
from nbagora_lab.core.errors import TopicExists, TopicNotFound, Unsupported, did_you_mean
from nbagora_lab.core.events import Flags, head_of

__all__ = ["HostedLog"]


class HostedLog:
    """A log that is two: see above.

    Args:
        shared: On the servers.
        own: The lab's.
    """

    def __init__(self, shared: Log, own: EmbeddedLog) -> None:
        self.shared = shared
        self.own = own
        self.engine = shared.engine
        self.epoch = shared.epoch
        self.capabilities = shared.capabilities
        self.followed = shared.parents().keys() & own.parents().keys()
        self.appended: Callable[[Collection[str]], object] = len  # told of what went to the servers

    def of(self, parent: str) -> Log:
        """Where a parent's topics are; one that is not there is looked for on the servers."""
        return self.own if parent in self.own.parents() and parent not in self.followed else self.shared

    def follow(self, parent: str, spec: TopicSpec) -> None:
        """Makes room for a copy of a parent in the lab's own store."""
        self.followed |= {parent}
        self.own.create_topic(parent, spec)

    def _at(self, topic: str) -> Log:
        return self.of(split_topic(topic)[0])

    def create_topic(self, parent: str, spec: TopicSpec) -> bool:
        """See `Log.create_topic`."""
        mine = {name: there for name, there in self.own.parents().items() if name not in self.followed}
        elsewhere = mine if spec.type != "PRIORITY" else {} if parent in mine else self.shared.parents()
        if (there := elsewhere.get(parent)) is not None:
            raise TopicExists(
                f"the topic '{parent}' exists with other settings: {there.difference(spec)}",
                "use it as it is, or another name",
            )
        return (self.own if spec.type == "PRIORITY" else self.shared).create_topic(parent, spec)

    def parents(self) -> dict[str, TopicSpec]:
        """See `Log.parents`."""
        own = self.own.parents()
        return self.shared.parents() | {name: own[name] for name in own if name not in self.followed}

    def lites(self, parent: str, *, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """See `Log.lites`."""
        return self.of(parent).lites(parent, prefix=prefix, after=after, limit=limit)

    def append(self, entries: Sequence[tuple[str, bytes]]) -> list[int]:
        """See `Log.append`: what goes to the servers first, since what is here refers to it."""
        mine = [self._at(topic) is self.own for topic, _ in entries]
        if not any(mine):
            offsets = self.shared.append(entries)
            self.appended(dict.fromkeys(topic for topic, _ in entries))
            return offsets
        known = self.parents()
        for (topic, stored), here in zip(entries, mine, strict=True):
            if (parent := split_topic(topic)[0]) not in known:
                raise TopicNotFound(f"no topic '{parent}'", did_you_mean(parent, known))
            if here and head_of(stored).flags & Flags.REFERENCE:
                raise Unsupported(
                    f"{topic} takes no body above 1 MiB on this engine", "send it to a topic of type LITE"
                )
        outside = [entry for entry, here in zip(entries, mine, strict=True) if not here]
        there = iter(self.shared.append(outside))
        self.appended(dict.fromkeys(topic for topic, _ in outside))
        here_offsets = iter(self.own.append([entry for entry, here in zip(entries, mine, strict=True) if here]))
        return [next(here_offsets if here else there) for here in mine]

    def scan(self, topic: str, *, after: int = -1, limit: int = 1000, max_bytes: int = 4 << 20) -> list[Stored]:
        """See `Log.scan`."""
        return self._at(topic).scan(topic, after=after, limit=limit, max_bytes=max_bytes)

    def seek(self, topic: str, time: float) -> int:
        """See `Log.seek`."""
        return self._at(topic).seek(topic, time)

    def info(self, topic: str) -> TopicInfo:
        """See `Log.info`."""
        return self._at(topic).info(topic)

    def fork(self, topic: str, to: str, *, at: int) -> TopicInfo:
        """See `Log.fork`."""
        here = self._at(topic)
        if self._at(to) is not here:
            raise Unsupported(f"{topic} and {to} are on two engines", "fork below a parent of the same type")
        info = here.fork(topic, to, at=at)
        if here is self.shared:
            self.appended([to])
        return info

    def expire(self, topic: str) -> None:
        """See `Log.expire`."""
        self._at(topic).expire(topic)

    def stage(self, chunks: Iterable[bytes]) -> BlobRef:
        """See `Log.stage`."""
        return self.shared.stage(chunks)

    def unstage(self, ref: BlobRef) -> None:
        """See `Log.unstage`."""
        self.shared.unstage(ref)

    def open_body(self, ref: BlobRef) -> BlobReader:
        """See `Log.open_body`."""
        return self.shared.open_body(ref)

    def expire_due(self) -> float | None:
        """See `Log.expire_due`."""
        due = [seconds for log in (self.shared, self.own) if (seconds := log.expire_due()) is not None]
        return min(due, default=None)

    def on_due(self, wake: Callable[[], None]) -> None:
        """See `Log.on_due`."""
        self.shared.on_due(wake)
        self.own.on_due(wake)

    def watch(self, topic: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Log.watch`."""
        return self._at(topic).watch(topic, wake)

    def watch_parent(self, parent: str, heard: Callable[[str, int], None]) -> Callable[[], None]:
        """See `Log.watch_parent`."""
        return self.of(parent).watch_parent(parent, heard)

    def revision(self) -> int:
        """See `Log.revision`."""
        return self.shared.revision() + self.own.revision()

    def close(self) -> None:
        """See `Log.close`."""
        self.shared.close()
        self.own.close()
