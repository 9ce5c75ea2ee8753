"""Who reads what: the clients of a group, and for each lite topic the audience that it may be handed to.

An audience is a set of clients with a ready set of its own. Most groups have one, whatever the number of topics;
clients with lists of their own have one each. So a receive looks at few ready sets, and never at what others read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from nbagora_lab.broker.model import EVENTS
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.broker.ready import Ready

__all__ = ["Audience", "Audiences", "Client", "Evicted", "Wake"]

Wake = Callable[[], None]
Evicted = Callable[[list[str]], None]


class Client:
    """A client of a group.

    Attributes:
        name: Its name.
        patterns: What it subscribes to, by text; with each the number of its subscribing, which grows.
        seen: When it was heard of last, in seconds since the Unix epoch.
        durable: Whether its subscriptions are stored.
        evicted: Called with patterns that another client took over.
        audiences: Those that it is in.
        waiters: Called, one for each thing that becomes ready.
    """

    __slots__ = ("audiences", "durable", "evicted", "name", "patterns", "seen", "waiters")

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.patterns: dict[str, int] = {}
        self.seen = now
        self.durable = False
        self.evicted: Evicted | None = None
        self.audiences: set[Audience] = set()
        self.waiters: deque[Wake] = deque()


class Audience:
    """Clients that read the same topics.

    Attributes:
        clients: Them.
        ready: What may be handed to any of them.
    """

    __slots__ = ("clients", "ready")

    def __init__(self, clients: frozenset[Client], ready: Ready) -> None:
        self.clients = clients
        self.ready = ready


class Audiences:
    """The subscriptions of a group. Changed under the engine's lock.

    Args:
        exclusive: Whether a topic goes to its newest subscriber alone.
        new_ready: Makes a ready set.
    """

    def __init__(self, *, exclusive: bool, new_ready: Callable[[], Ready]) -> None:
        self._exclusive = exclusive
        self._new_ready = new_ready
        self._names: dict[str, dict[Client, int]] = {}
        self._globs: dict[str, tuple[Pattern, dict[Client, int]]] = {}
        self._known: dict[frozenset[Client], Audience] = {}
        self._only: tuple[Pattern, Audience] | None = None  # of every topic, where only this glob is subscribed to
        self._count = 0

    def all(self) -> list[Audience]:
        """Those that have been asked for."""
        return list(self._known.values())

    def of(self, lite: str) -> Audience | None:
        """Who may be handed a lite topic; None: nobody."""
        if self._only is not None:
            return self._only[1] if self._only[0].matches(lite) and lite != EVENTS else None
        found = dict(self._names.get(lite, ()))
        for pattern, readers in self._globs.values():
            if pattern.matches(lite) and lite != EVENTS:
                for client, number in readers.items():  # by its newest subscription, name or glob
                    found[client] = max(number, found.get(client, 0))
        if not found:
            return None
        clients: frozenset[Client] = frozenset([max(found, key=found.__getitem__)] if self._exclusive else found)
        audience = self._known.get(clients)
        if audience is None:
            audience = self._known[clients] = Audience(clients, self._new_ready())
            for client in clients:
                client.audiences.add(audience)
        if not self._names and len(self._globs) == 1:
            self._only = next(iter(self._globs.values()))[0], audience
        return audience

    def clear(self, clients: Iterable[Client]) -> None:
        """Forgets all audiences; subscriptions stay, and who reads what is found again when it is asked for."""
        self._known.clear()
        self._only = None
        for client in clients:
            client.audiences.clear()

    def renew(self, new_ready: Callable[[], Ready]) -> None:
        """Gives every audience a new ready set with what the former one held."""
        self._new_ready = new_ready
        for audience in self._known.values():
            former, audience.ready = audience.ready, new_ready()
            for unit in sorted(former.units(), key=lambda unit: unit.tick):
                audience.ready.add(unit)

    def join(self, client: Client, patterns: Collection[Pattern]) -> bool:
        """Subscribes a client to patterns.

        Returns:
            Whether topics may have changed their audience; False where only topics named here have.
        """
        twin = self._twin(client, patterns)
        for pattern in patterns:
            self._count += 1
            client.patterns[pattern.text] = self._count
            if pattern.name is not None:
                self._names.setdefault(pattern.name, {})[client] = self._count
            else:
                self._globs.setdefault(pattern.text, (pattern, {}))[1][client] = self._count
        if twin is not None:
            self._rename(lambda clients: clients | {client} if twin in clients else clients)
            return False
        self._only = None
        return any(pattern.name is None for pattern in patterns)

    def leave(self, client: Client, patterns: Collection[Pattern]) -> list[Audience]:
        """Ends subscriptions of a client.

        Returns:
            The audiences that it was in, whose topics may have lost theirs; none where others read the same.
        """
        for pattern in patterns:
            client.patterns.pop(pattern.text, None)
            held: dict[Client, int] = {}
            if pattern.name is not None:
                held = self._names.get(pattern.name, held)
            elif pattern.text in self._globs:
                held = self._globs[pattern.text][1]
            held.pop(client, None)
            if not held:
                self._names.pop(pattern.name or "", None)
                self._globs.pop(pattern.text, None)
        self._only = None
        if not client.patterns and not self._exclusive:
            left = [one.clients - {client} for one in client.audiences]
            if all(left) and not any(clients in self._known for clients in left):
                self._rename(lambda clients: clients - {client})
                client.audiences.clear()
                return []
        return list(client.audiences)

    def drop(self, audience: Audience) -> None:
        """Forgets an audience; what it held has been moved."""
        self._known.pop(audience.clients, None)
        for client in audience.clients:
            client.audiences.discard(audience)
        self._only = None

    def holders(self, pattern: Pattern) -> list[Client]:
        """Who subscribes to this very pattern."""
        if pattern.name is not None:
            return list(self._names.get(pattern.name, ()))
        return list(self._globs[pattern.text][1]) if pattern.text in self._globs else []

    def _twin(self, client: Client, patterns: Collection[Pattern]) -> Client | None:
        """A client that reads just what a new one is about to read, so that audiences need only take it in."""
        if client.patterns or client.audiences or self._exclusive or not patterns:
            return None
        wanted = {pattern.text for pattern in patterns}
        for other in self.holders(next(iter(patterns))):
            if other.patterns.keys() == wanted:
                return other
        return None

    def _rename(self, change: Callable[[frozenset[Client]], frozenset[Client]]) -> None:
        """Changes who audiences are, no two of which become one."""
        renamed: dict[frozenset[Client], Audience] = {}
        for clients, audience in self._known.items():
            audience.clients = change(clients)
            renamed[audience.clients] = audience
            for client in audience.clients:
                client.audiences.add(audience)
        self._known = renamed
        self._only = None
