"""A group's memory: who reads, what is ready, what is out under which lease, what is held back and until when.

All of it can be thrown away and made again from the store (`waiting`, `progress`). Everything here is called under the
engine's lock and writes nothing.

A topic becomes ready by exactly these events: a subscriber comes, a record arrives, an ack leaves more, a lease ends,
a quota is refilled, a suspension or back-off is over. Nothing else looks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from nbagora_lab.broker.audience import Audience, Audiences, Client, Wake
from nbagora_lab.broker.grant import Ended, Grant
from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.group_store import GroupStore
from nbagora_lab.broker.meters import Meters
from nbagora_lab.broker.parent import Parent
from nbagora_lab.broker.pattern import Pattern
from nbagora_lab.broker.ready import Ready, ticks
from nbagora_lab.broker.shares import Shares
from nbagora_lab.broker.tally import Tally
from nbagora_lab.broker.timers import Timer, Timers
from nbagora_lab.broker.turn import UNKNOWN, Turn, TurnKey
from nbagora_lab.core.errors import NotSubscribed
from nbagora_lab.core.events import Scheduling

if TYPE_CHECKING:
    from nbagora_lab.broker.hot import HotTopic

__all__ = ["Dispatch", "News"]

News = tuple[str, "HotTopic", int, list[Scheduling]]
"""What was appended to a topic: its name, the topic, the first offset, and each record's scheduling fields."""


class Dispatch:
    """The memory of one group.

    Args:
        name: Its name.
        number: Its number in the keys.
        spec: Its settings.
        parent: What it reads.
        stored: What is stored of it.
        now: Seconds since the Unix epoch.

    Attributes:
        bit: Its own, in `HotTopic.listed`.
        single: Whether its parent is of type PRIORITY.
        scheduled: As its settings say.
        turns: What has something to read and somebody to read it.
        clients: Those that are subscribed.
        dormant: Patterns of durable subscribers that are not here.
        torn: Whether this memory is being changed. If it is so when somebody comes, a write failed or a thread was
            interrupted in the midst of that, and it is made again from the store.
        strays: Whether something may wait that is not among `turns`, as nobody reads it.
        grants: The leases that are out, by number.
        over: Numbers of those that are over and still in `handed`, whose attempts are all counted elsewhere.
    """

    def __init__(
        self, name: str, number: int, spec: GroupSpec, parent: Parent, stored: GroupStore, *, now: float
    ) -> None:
        self.name = name
        self.number = number
        self.spec = spec
        self.parent = parent
        self.stored = stored
        self.single = stored.single
        self.scheduled = spec.scheduled
        self.bit = 1 << number
        self.turns: dict[TurnKey, Turn] = {}
        self.clients: dict[str, Client] = {}
        self.dormant: dict[str, list[str]] = {}
        self.torn = False
        self.strays = True
        self.grants: dict[int, Grant] = {}
        self.over: list[int] = []
        self.tally = Tally()
        self.timers = Timers()
        self._ended = Ended()
        self._refill: Timer | None = None
        self.latest = now
        self._cut = len(parent.name) + 1  # where the names of lite topics begin
        self._suspended: dict[str, float] = {}
        self._parked: dict[str, int] = {}
        self.shares = Shares(spec.weights)
        self.meters = Meters(spec, now)
        self.audiences = Audiences(exclusive=spec.mode == "exclusive", new_ready=self._new_ready)

    # -- settings ---------------------------------------------------------------------------------------------------

    def alter(self, spec: GroupSpec, now: float) -> None:
        """Goes on under other settings."""
        self.spec = spec
        self.scheduled = spec.scheduled
        self.shares.weights = spec.weights
        self.meters.alter(spec, now)
        self.audiences.renew(self._new_ready)
        self._refilled()
        for turn in list(self.turns.values()):
            if turn.parked == "topic quota":
                self.unpark(turn)
                self.make_ready([turn], now)
        for audience in self.audiences.all():
            self._wake(audience, audience.ready.count)

    def _new_ready(self) -> Ready:
        return Ready(self.spec, self.shares, self.meters.tenant_wait, self._hold)

    def _hold(self, until: float, release: Callable[[], None]) -> None:
        def over() -> None:
            release()
            for audience in self.audiences.all():
                self._wake(audience)

        self.timers.at(until, over)

    def empty(self, until: float) -> None:
        """The group's quota lets nothing through until a time."""
        if self._refill is not None:
            self.timers.cancel(self._refill)
        self._refill = self.timers.at(until, self._refilled)

    def _refilled(self) -> None:
        if self._refill is not None:
            self.timers.cancel(self._refill)
            self._refill = None
            for audience in self.audiences.all():
                self._wake(audience)

    # -- clients ----------------------------------------------------------------------------------------------------

    def client(self, name: str, now: float) -> Client:
        """A client that lives.

        Raises:
            NotSubscribed: It is unknown, or was dropped.
        """
        client = self.clients.get(name)
        if client is None:
            raise NotSubscribed(
                f"the client '{name}' does not subscribe to the group '{self.name}', or was silent for too long",
                "subscribe again; what it had leased is handed out anew",
            )
        client.seen = now
        return client

    def watch(self, client: Client, wake: Wake) -> Callable[[], None]:
        """Has `wake` called once, by the next thing that becomes ready for the client."""
        woken = ended = False

        def once() -> None:
            nonlocal woken
            woken = True
            wake()

        def end() -> None:
            nonlocal ended
            if not woken and not ended:
                client.waiters.remove(once)
            elif not ended:  # perhaps it does not look any more, so somebody else should
                self.wake(client)
            ended = True

        client.waiters.append(once)
        return end

    def wake_all(self) -> None:
        """Wakes everybody who waits."""
        for client in self.clients.values():
            while client.waiters:
                client.waiters.popleft()()

    def wake(self, client: Client) -> None:
        """Wakes a client, and who reads the same, for all that could be handed out.

        Not for what quotas hold: those who are woken in vain wake the next as they go, and would do so for ever.
        """
        if self._refill is None:
            for audience in client.audiences:
                self._wake(audience, audience.ready.count - audience.ready.held)

    def _wake(self, audience: Audience, count: int = 1) -> None:
        for client in audience.clients:
            while client.waiters and count > 0:
                client.waiters.popleft()()
                count -= 1

    # -- what becomes ready -----------------------------------------------------------------------------------------

    def arrived(self, news: Collection[News], now: float) -> None:
        """Records have been appended."""
        if not self.clients:
            self.strays = True
            return
        turns, fresh = self.turns, []
        for topic, hot, first, plans in news:
            if self.single:
                for offset, plan in enumerate(plans, first):
                    turn = Turn(topic, hot.number, offset, offset + 1, single=True)
                    turn.plan = plan
                    turns[turn.key] = turn
                    fresh.append(turn)
            elif (known := turns.get(topic)) is None:  # there was nothing to read, or there would be a turn
                turns[topic] = turn = Turn(topic, hot.number, first, first + len(plans))
                turn.plan = plans[0]
                fresh.append(turn)
            elif known.end != UNKNOWN:
                known.end = first + len(plans)
        if fresh:
            self._admit(fresh, now)

    def found(self, turns: Iterable[Turn], now: float) -> None:
        """What waits was found in the store."""
        fresh = [turn for turn in turns if turn.key not in self.turns]
        self.turns.update((turn.key, turn) for turn in fresh)
        self.make_ready(fresh, now)

    def find_all(self, now: float) -> None:
        """Takes over from the store all that waits and is not known."""
        self.strays = False
        self.found(self.stored.all(), now)

    def move(self, turn: Turn, now: float) -> None:
        """Gives a turn that is ready to the audience that it has now; its place by age stays."""
        self.withdraw(turn)
        self._admit([turn], now, aged=True)

    def make_ready(self, turns: Iterable[Turn], now: float) -> None:
        """Puts turns into the ready set, if nothing keeps them back; forgets them where nobody reads them."""
        free = [turn for turn in turns if turn.grant is None and turn.level is None and not turn.parked]
        if self.parent.scheduled:
            self.stored.load([turn for turn in free if turn.end == UNKNOWN])
            self.stored.plans(free)
        if free:
            self._admit(free, now)

    def _admit(self, turns: Sequence[Turn], now: float, *, aged: bool = False) -> None:
        """The same for turns that are out of it and whose plans are known; those that are `aged` keep their age."""
        since = self.latest = max(self.latest, now)  # a clock that jumped back puts nobody in front of those who wait
        suspended, audience_of, cut = self._suspended, self.audiences.of, self._cut
        admitted: dict[Audience, list[Turn]] = {}
        for turn in turns:
            audience = audience_of(turn.topic[cut:])
            if audience is None:  # first, as what comes next on a topic without a turn is taken for its first
                self.turns.pop(turn.key, None)
                self.strays = True
                continue
            if suspended and (until := suspended.get(turn.topic, 0.0)) > now:
                self.park(turn, "suspended", until)
                continue
            if not aged:
                turn.since, turn.tick = since, next(ticks)
            turn.audience = audience
            admitted.setdefault(audience, []).append(turn)
        for audience, those in admitted.items():
            audience.ready.extend(those)
            self._wake(audience, len(those))

    def park(self, turn: Turn, why: str, until: float) -> None:
        """Keeps a turn back until a time, for no other reason any more; who waits is woken if nothing is due sooner."""
        self.withdraw(turn)
        self.unpark(turn)
        turn.parked, turn.until = why, until
        self._parked[why] = self._parked.get(why, 0) + 1

        def over() -> None:
            if turn.parked == why and turn.until == until:  # else it is kept back for something else since
                self.unpark(turn)
                if self.turns.get(turn.key) is turn:
                    self.make_ready([turn], until)

        if self.timers.at(until, over).when == self.timers.first and why != "topic quota":
            self.wake_all()

    def unpark(self, turn: Turn) -> None:
        """Ends what keeps a turn back; it is not ready yet."""
        if turn.parked:
            self._parked[turn.parked] -= 1
            turn.parked = ""

    def withdraw(self, turn: Turn) -> None:
        """Takes a turn out of the ready set; one that is not in does no harm."""
        if turn.audience is not None:
            turn.audience.ready.discard(turn)
            turn.audience = None

    def forget(self, turn: Turn) -> None:
        """Lets go of a turn."""
        self.withdraw(turn)
        self.unpark(turn)
        self.end_grant(turn)
        if self.turns.get(turn.key) is turn:
            del self.turns[turn.key]

    def expired(self, topic: str) -> None:
        """A topic is no more."""
        for turn in self.turns_of(topic):
            self.forget(turn)
        pattern = Pattern.literal(topic.partition("/")[2])
        for client in [one for one in self.audiences.holders(pattern) if not one.durable]:
            self.audiences.leave(client, [pattern])

    def drop(self, audiences: list[Audience], now: float) -> None:
        """Gives what is ready for audiences that may be no more to those that there are."""
        for audience in audiences:
            units = sorted(audience.ready.units(), key=lambda unit: unit.tick)
            self.audiences.drop(audience)
            for unit in units:
                self.move(cast("Turn", unit), now)

    def turns_of(self, topic: str) -> list[Turn]:
        """The turns of a topic: one, or on a PRIORITY parent one for each record."""
        if self.single:
            return [turn for turn in self.turns.values() if turn.topic == topic]
        return [self.turns[topic]] if topic in self.turns else []

    def suspend(self, topic: str, until: float, now: float) -> None:
        """Keeps a topic back until a time; a time that is over ends that."""
        self._suspended.pop(topic, None)
        if until > now:
            self._suspended[topic] = until
            self.timers.at(until, lambda: self._resume(topic, until))
        for turn in self.turns_of(topic):
            if until > now and turn.parked in {"", "suspended"}:  # the others look here when their time is over
                self.park(turn, "suspended", until)
            elif until <= now and turn.parked == "suspended":
                self.unpark(turn)
                self.make_ready([turn], now)

    def _resume(self, topic: str, until: float) -> None:
        if self._suspended.get(topic) == until:
            del self._suspended[topic]

    # -- what is handed out -----------------------------------------------------------------------------------------

    def correct(self, topic: str, plan: Scheduling, difference: float) -> None:
        """A record turned out to cost that much more than was said, or less."""
        self.shares.correct(plan.tenant, difference, plan.priority)
        self.meters.take(topic, plan.tenant, difference)
        self.tally.correct(plan.tenant, difference)

    def end_grant(self, turn: Turn, *, acked: bool = False) -> None:
        """A turn is not out any more; it is not ready yet."""
        grant = turn.grant
        if grant is not None:
            turn.grant = None
            grant.turns.pop(turn, None)
            if not acked:
                grant.lost |= {(turn.topic, offset) for offset in turn.out()}
            if not grant.turns:
                self.finish(grant)

    def finish(self, grant: Grant) -> None:
        """Nothing is out under a lease any more."""
        if self.grants.pop(grant.number, None) is not None:
            if grant.timer is not None:
                self.timers.cancel(grant.timer)
            self._ended.add(grant)
            self.over.append(grant.number)

    def start_anew(self) -> list[Turn]:
        """Throws away what may be half done, after an interruption; returns the turns that are out or held back."""
        for grant in list(self.grants.values()):
            grant.timer = None
            grant.turns = {turn: end for turn, end in grant.turns.items() if turn.grant is grant}
            if not grant.turns:
                self.finish(grant)
        self._refill = None
        kept = dict.fromkeys(turn for grant in self.grants.values() for turn in grant.turns)
        kept |= dict.fromkeys(turn for turn in self.turns.values() if turn.parked)
        self.turns = {turn.key: turn for turn in kept}
        self.audiences.clear(self.clients.values())
        self._parked.clear()
        for turn in kept:
            turn.level = turn.audience = None
            if why := turn.parked:
                turn.parked = ""
                self.park(turn, why, turn.until)
        return list(kept)

    def was_acked(self, topic: str, offset: int, number: int) -> bool:
        """Whether what is not out any more under a lease of not long ago ended by an ack, if it was out at all."""
        grant = self.grants.get(number)
        lost = self._ended.lost(number) if grant is None else grant.lost
        return lost is not None and (topic, offset) not in lost

    def held(self, audiences: Iterable[Audience]) -> dict[str, int]:
        """What is kept back or held by tenants' quotas, by rule."""
        held = {why: count for why, count in self._parked.items() if count}
        if tenants := sum(audience.ready.held for audience in audiences):
            held["tenant quota"] = tenants
        return held
