"""The ready set of a group: what could be handed out now, and in which order.

Strictly by priority; within one priority by tenants' shares (where the group has them), within one tenant by deadline,
the rest by age. With aging the oldest of each priority counts as one higher for every so many seconds that it has
waited, so that nobody waits for ever: with p priorities below it, at most ``p * aging`` longer than what is as old.

A thing in the set is a `Unit`. Adding and taking cost O(1) where nothing is scheduled, O(log tenants) where shares or
quotas are. Nothing ever walks the set but what takes a unit out from the middle of it, by hand or with its topic.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from nbagora_lab.broker.group import GroupSpec
from nbagora_lab.broker.shares import Shares
from nbagora_lab.core.events import PLAIN, Scheduling

__all__ = ["Ready", "Unit", "ticks"]

_age = attrgetter("tick")

ticks = itertools.count(1)
"""What tells which of two became ready first."""


class Unit:
    """What waits for its turn: a lite topic, or on a PRIORITY parent one record.

    Attributes:
        topic: Full name.
        plan: Scheduling fields of the record that is next.
        since: When it became ready, in seconds since the Unix epoch.
        tick: Grows with each time that anything becomes ready; `since` grows with it.
        level: Where in the ready set it is; None: nowhere.
    """

    __slots__ = ("level", "plan", "since", "tick", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.plan: Scheduling = PLAIN
        self.since = 0.0
        self.tick = 0
        self.level: object = None

    @property
    def ready(self) -> bool:
        """Whether it is in the ready set."""
        return self.level is not None


class _Line:
    """One tenant's units of one priority."""

    __slots__ = ("by_age", "held", "listed", "mixed", "priority", "tenant", "urgent")

    def __init__(self, priority: int, tenant: str) -> None:
        self.priority = priority
        self.tenant = tenant
        self.by_age: deque[Unit] = deque()
        self.urgent: list[tuple[float, int, Unit]] = []
        self.listed = False  # whether its level's heap has it
        self.held = False  # whether the tenant's quota holds it
        self.mixed = False  # whether `by_age` is to be sorted before it is looked at

    def __len__(self) -> int:
        return len(self.by_age) + len(self.urgent)

    def head(self) -> Unit:
        """The unit that is next."""
        if self.mixed:
            self.by_age = deque(sorted(self.by_age, key=_age))
            self.mixed = False
        return self.urgent[0][2] if self.urgent else self.by_age[0]

    def remove(self, unit: Unit) -> None:
        """Takes a unit out, quickly where it is near the head."""
        if unit.plan.deadline is None:
            if self.by_age[0] is unit:
                self.by_age.popleft()
            else:
                self.by_age.remove(unit)
        elif self.urgent[0][2] is unit:
            heapq.heappop(self.urgent)
        else:
            self.urgent = [entry for entry in self.urgent if entry[2] is not unit]
            heapq.heapify(self.urgent)


class _Level:
    """The units of one priority."""

    __slots__ = ("ages", "heap", "lines", "mixed", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.lines: dict[str, _Line] = {}
        self.heap: list[tuple[float, int, _Line]] = []  # by the tag of the line's head; may lag behind
        self.ages: deque[tuple[int, Unit]] = deque()  # by age, where the group has aging; may lag behind
        self.mixed = False  # whether `ages` is to be sorted before it is looked at

    def oldest(self) -> Unit | None:
        """The unit that has waited longest."""
        if self.mixed:
            self.ages = deque(sorted(self.ages))
            self.mixed = False
        while self.ages:
            tick, unit = self.ages[0]
            if unit.level is self and unit.tick == tick:
                return unit
            self.ages.popleft()
        return None


class Ready:
    """A ready set. Changed under the engine's lock.

    Args:
        spec: The group's settings.
        shares: The tags of the group's tenants.
        tenant_wait: Seconds until a tenant's quota lets a cost through at a time; 0: now.
        hold: Called with the time until which a tenant's quota holds its line, and what ends that.
    """

    def __init__(
        self,
        spec: GroupSpec,
        shares: Shares,
        tenant_wait: Callable[[str, float, float], float],
        hold: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.count = 0
        self.held = 0
        self._spec = spec
        self._shares = shares
        self._tenant_wait = tenant_wait
        self._hold = hold
        self._scheduled = spec.scheduled
        self._fair = spec.fair or bool(spec.weights)
        self._messages = spec.unit == "messages"
        self._levels: dict[int, _Level] = {}
        self._order: list[tuple[_Level, bool]] = []  # the highest priority first; as `_tried` gives them
        self._urgent = False  # whether anything ever had a deadline

    @property
    def plain(self) -> bool:
        """Whether nothing but age decides, so that a topic's records may be taken many at a time."""
        return not (self._scheduled or self._urgent) and (
            not self._levels or (len(self._levels) == 1 and 0 in self._levels)
        )

    def cost(self, plan: Scheduling) -> float:
        """What a record costs in the unit of the group."""
        return 1.0 if self._messages else plan.cost

    def add(self, unit: Unit) -> None:
        """Puts a unit into the set; `plan` and `since` are set, and `tick` where its age stays as it was."""
        plan = unit.plan
        level = self._levels.get(plan.priority)
        if level is None:
            level = self._levels[plan.priority] = _Level(plan.priority)
            self._order = [(self._levels[priority], False) for priority in sorted(self._levels, reverse=True)]
        tenant = plan.tenant if self._scheduled else ""
        line = level.lines.get(tenant)
        if line is None:
            line = level.lines[tenant] = _Line(plan.priority, tenant)
        unit.level = level
        unit.tick = unit.tick or next(ticks)
        self.count += 1
        if plan.deadline is None:
            line.mixed |= bool(line.by_age) and line.by_age[-1].tick > unit.tick
            line.by_age.append(unit)
        else:
            self._urgent = True
            heapq.heappush(line.urgent, (plan.deadline, unit.tick, unit))
        if self._spec.aging is not None:
            level.mixed |= bool(level.ages) and level.ages[-1][0] > unit.tick
            level.ages.append((unit.tick, unit))
        if line.held:
            self.held += 1
        elif not line.listed:
            self._list(level, line)

    def extend(self, units: Sequence[Unit]) -> None:
        """Puts units into the set, quickly where they have no plan and come in the order of their age."""
        level = self._levels.get(0)
        line = level.lines.get("") if level is not None else None
        if line is None or not line.listed or line.held or self._scheduled or self._spec.aging is not None:
            for unit in units:
                self.add(unit)
            return
        last = line.by_age[-1].tick if line.by_age else 0
        for unit in units:
            if unit.plan is PLAIN and unit.tick > last:
                last = unit.tick
                unit.level = level
                line.by_age.append(unit)
                self.count += 1
            else:
                self.add(unit)

    def discard(self, unit: Unit) -> None:
        """Takes a unit out; one that is not in does no harm."""
        if unit.ready:
            self._remove(self._levels[unit.plan.priority].lines[unit.plan.tenant if self._scheduled else ""], unit)

    def units(self) -> list[Unit]:
        """All of them, for a set that takes this one's place."""
        lines = [line for level in self._levels.values() for line in level.lines.values()]
        return [unit for line in lines for unit in (*line.by_age, *(entry[2] for entry in line.urgent))]

    def tenants(self) -> dict[str, tuple[int, float]]:
        """For each tenant the number of its units, and since when the oldest waits."""
        found: dict[str, tuple[int, float]] = {}
        for level in self._levels.values():
            for line in level.lines.values():
                count, since = found.get(line.tenant, (0, math.inf))
                heads = [unit.since for unit in (*list(line.by_age)[:1], *(entry[2] for entry in line.urgent))]
                found[line.tenant] = count + len(line), min([since, *heads])
        return found

    def next(self, now: float) -> Unit | None:
        """The unit whose turn it is; None where nothing is ready, or quotas of tenants hold all of it."""
        for level, aged in self._tried(now):
            if aged:
                unit = self._aged(level, now)
            else:
                line = self._next(level, now) if level.heap else None
                unit = line.head() if line is not None else None
            if unit is not None:
                return unit
        return None

    def oldest_first(self) -> Iterator[Unit]:
        """Takes one unit out after the other, where the set is `plain`."""
        level = self._levels.get(0)
        line = level.lines.get("") if level is not None else None
        while line is not None and line.by_age and not (line.held or line.mixed or line.urgent):
            unit = line.by_age.popleft()
            unit.level = None
            self.count -= 1
            yield unit
        while (found := self.next(0.0)) is not None:
            self.discard(found)
            yield found

    def coming(self, count: int) -> list[Unit]:
        """About as many of those that `oldest_first` takes out next."""
        line = self._levels[0].lines.get("") if 0 in self._levels else None
        return list(itertools.islice(line.by_age, count)) if line is not None else []

    def _remove(self, line: _Line, unit: Unit) -> None:
        line.remove(unit)
        unit.level = None
        self.count -= 1
        self.held -= line.held

    def _tried(self, now: float) -> Iterable[tuple[_Level, bool]]:
        """Levels in the order to try, and whether the age of its oldest is what puts a level there."""
        aging = self._spec.aging
        if aging is None or len(self._order) < 2:
            return self._order
        ranked = []
        for level, _ in self._order:
            oldest = level.oldest()
            if oldest is not None:
                raised = int(max(0.0, now - oldest.since) / aging)
                ranked.append((-(level.priority + raised), oldest.since, level.priority, raised > 0))
        ranked.sort()
        tried = [(self._levels[priority], raised) for _, _, priority, raised in ranked]
        return tried + [(self._levels[priority], False) for _, _, priority, raised in ranked if raised]

    def _aged(self, level: _Level, now: float) -> Unit | None:
        """The level's oldest unit, unless a quota holds it."""
        unit = level.oldest()
        line = None if unit is None else level.lines[unit.plan.tenant if self._scheduled else ""]
        return None if unit is None or line is None or line.held or self._holds(line, unit, now) else unit

    def _next(self, level: _Level, now: float) -> _Line | None:
        """The line whose head is next."""
        heap = level.heap
        while heap:
            tag, _, line = heap[0]
            empty = not (line.by_age or line.urgent)
            if empty or line.held:
                heapq.heappop(heap)
                line.listed = False
                if empty:
                    level.lines.pop(line.tenant, None)
            elif not self._scheduled:
                return line
            elif (due := self._tag(line)) > tag:
                heapq.heapreplace(heap, (due, next(ticks), line))
            elif not self._holds(line, line.head(), now):
                return line
        return None

    def _holds(self, line: _Line, unit: Unit, now: float) -> bool:
        """Whether the tenant's quota holds the unit, and with it the line."""
        seconds = self._tenant_wait(line.tenant, self.cost(unit.plan), now)
        if seconds <= 0:
            return False
        line.held = True
        self.held += len(line)
        self._hold(now + seconds, lambda: self._release(line))
        return True

    def _release(self, line: _Line) -> None:
        line.held = False
        self.held -= len(line)
        if line and not line.listed:
            self._list(self._levels[line.priority], line)

    def _list(self, level: _Level, line: _Line) -> None:
        heapq.heappush(level.heap, (self._tag(line), next(ticks), line))
        line.listed = True

    def _tag(self, line: _Line) -> float:
        """What orders lines: the start tag where tenants share, else the age of the head."""
        return self._shares.start(line.tenant, line.priority) if self._fair else line.head().since
