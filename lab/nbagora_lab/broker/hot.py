"""Topics in use: a bounded cache of small objects, so that a cold topic costs nothing but its bytes on disk."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nbagora_lab.broker import keys
from nbagora_lab.broker.api import Stored
from nbagora_lab.broker.model import EVENTS
from nbagora_lab.broker.parent import Parent

if TYPE_CHECKING:
    from nbagora_lab.broker.dispatch import Dispatch

__all__ = ["LAST_OFFSET", "HotTopic", "HotTopics"]

LAST_OFFSET = (1 << 64) - 1
"""No record's offset: the end of a topic's range of keys."""

_EVENTS = f"/{EVENTS}"
_SOME = 3  # cold topics that are worth a step for all
_CAPACITY = 131_072
"""Some 30 MB at most; a cold topic costs a read or two when it is written again."""

_PAGE = 4096  # topics whose next offsets are kept together
_PAGES = 512  # of 32 KiB each


class HotTopic:
    """A topic in use.

    Attributes:
        number: Its number in the keys.
        next: The offset that its next record gets; while a write is under way, perhaps more (`HotTopics.writing`).
        parent: Its parent topic.
        groups: Those that read it.
        listed: Bits of the groups whose index of what waits is known to have it.
    """

    __slots__ = ("groups", "listed", "next", "number", "parent")

    def __init__(self, topic: str, number: int, following: int, parent: Parent) -> None:
        self.number = number
        self.next = following
        self.parent = parent
        self.groups: Sequence[Dispatch] = parent.hearing if topic.endswith(_EVENTS) else parent.groups
        self.listed = 0


class _Followings:
    """Next offsets of topics that were hot, by topic number: eight bytes each, where finding the last record on the
    disk would take half of what sending to a cold topic does. What is hot is not here, so nothing here lags behind.
    """

    def __init__(self) -> None:
        self._pages: OrderedDict[int, array[int]] = OrderedDict()

    def clear(self) -> None:
        """Forgets all of them."""
        self._pages.clear()

    def put(self, number: int, following: int) -> None:
        """A topic is hot no more."""
        page = self._pages.get(number // _PAGE)
        if page is None:
            page = self._pages[number // _PAGE] = array("Q", bytes(8 * _PAGE))
            if len(self._pages) > _PAGES:
                self._pages.popitem(last=False)
        page[number % _PAGE] = following

    def take(self, number: int) -> int:
        """Its next offset, which is told once, as it is about to be hot; 0: the disk knows."""
        page = self._pages.get(number // _PAGE)
        if page is None:
            return 0
        following, page[number % _PAGE] = page[number % _PAGE], 0
        return following


class HotTopics:
    """The topics in use; the least recently written go first. Changed under the engine's lock, read without.

    Args:
        topics: The family of topics.
        records: The family of records.
        parent_of: The parent of a topic that exists.

    Attributes:
        writing: Topics on which a write is under way; what stays here was interrupted: the disk knows. Who reads
            without the lock looks here first, and trusts `HotTopic.next` only where nothing is written.
    """

    def __init__(self, topics: Any, records: Any, parent_of: Callable[[str], Parent]) -> None:
        self._topics = topics
        self._records = records
        self._parent_of = parent_of
        self._hot: OrderedDict[str, HotTopic] = OrderedDict()
        self._followings = _Followings()
        self.writing: Collection[str] = ()

    def settle(self) -> None:
        """Forgets what an interrupted write may have changed. Under the engine's lock."""
        for topic in self.writing:
            self._hot.pop(topic, None)
        self._followings.clear()
        self.writing = ()

    def written(self) -> None:
        """The write is over. Of a larger one than is kept hot, some topics may have gone cold before it was."""
        if len(self.writing) > _CAPACITY:
            self.settle()
        self.writing = ()

    def load(self, topic: str) -> HotTopic | None:
        """The topic, settled and hot from now on; None if there is none. Under the engine's lock."""
        if self.writing:
            self.settle()
        hot = self._hot.get(topic)
        if hot is not None:
            self._hot.move_to_end(topic)
        elif (number := self._number(topic)) is not None:
            hot = self._new(topic, number, self._followings.take(number) or self._following(number))
            self.remember(topic, hot)
        return hot

    def warm(self, topics: Iterable[str]) -> None:
        """Makes these hot, as far as they exist, in fewer steps than one by one. Under the engine's lock."""
        if self.writing:
            self.settle()
        cold = [topic for topic in dict.fromkeys(topics) if topic not in self._hot]
        if len(cold) < _SOME:
            return
        try:
            names = [topic.encode() for topic in cold]
        except UnicodeEncodeError:  # no topic's name; whoever asks for it is told
            return
        values, found = self._topics.get(names), [self._records.iter()]
        take, following = self._followings.take, self._following
        try:
            for topic, value in zip(cold, values, strict=True):
                if value is not None:
                    number = keys.topic_number(value)
                    self.remember(topic, self._new(topic, number, take(number) or following(number, *found)))
        finally:
            found.clear()  # a traceback must not keep the store open

    def look(self, topic: str) -> HotTopic | None:
        """The topic without making it hot; None if there is none. From any thread."""
        hot = None if self.writing else self._hot.get(topic)
        if hot is None and (number := self._number(topic)) is not None:
            hot = self._new(topic, number, self._following(number))
        return hot

    def hot(self, topic: str) -> HotTopic | None:
        """The topic if it is hot."""
        return self._hot.get(topic)

    def remember(self, topic: str, hot: HotTopic) -> None:
        """Makes a topic hot. Under the engine's lock."""
        self._hot[topic] = hot
        if len(self._hot) > _CAPACITY:
            _, cold = self._hot.popitem(last=False)
            self._followings.put(cold.number, cold.next)

    def forget(self, topic: str) -> None:
        """Lets go of a topic that is no more. Under the engine's lock."""
        self._hot.pop(topic, None)

    def clear(self) -> None:
        """Lets go of everything, the store's families included."""
        self._hot.clear()
        self._topics = self._records = None

    def end(self, number: int, *, backwards: bool) -> Stored | None:
        """A topic number's last record, or its first; None if it has none."""
        return self._end(self._records.iter(), number, backwards=backwards)

    @staticmethod
    def _end(found: Any, number: int, *, backwards: bool) -> Stored | None:
        """The same by an iterator: `items` would go one further, which behind removed topics is a long way."""
        if backwards:
            found.seek_for_prev(keys.record_key(number, LAST_OFFSET))
        else:
            found.seek(keys.record_key(number, 0))
        key = found.key() if found.valid() else None
        return (keys.record_offset(key), found.value()) if key is not None and key[:8] == keys.u64(number) else None

    def records(self, number: int) -> Iterator[bytes]:
        """All of a topic number's records, in order."""
        prefix = keys.u64(number)
        for key, stored in self._records.items(from_key=keys.record_key(number, 0)):
            if key[:8] != prefix:
                return
            yield stored

    def _number(self, topic: str) -> int | None:
        """A topic's number; None if there is none."""
        try:
            value = self._topics.get(topic.encode())
        except UnicodeEncodeError:  # no topic's name
            return None
        return None if value is None else keys.topic_number(value)

    def _following(self, number: int, *found: Any) -> int:
        """The offset that its next record gets, as the disk knows it; by an iterator, where there is one."""
        last = self._end(found[0] if found else self._records.iter(), number, backwards=True)
        return last[0] + 1 if last else 0

    def _new(self, topic: str, number: int, following: int) -> HotTopic:
        return HotTopic(topic, number, following, self._parent_of(topic.partition("/")[0]))
