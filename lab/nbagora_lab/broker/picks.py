"""What a receive is handed: the records whose turn it is, taken out of the ready set, charged to tenants and quotas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from nbagora_lab.broker.audience import Audience, Client
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.group_store import GroupStore
from nbagora_lab.broker.turn import UNKNOWN, Turn

__all__ = ["Pick", "Room", "pick"]

Pick = tuple[Turn, Sequence[int]]
"""Records whose turn it is: the turn, and their offsets, one at least."""


class Room:
    """How many bytes a receive may still be handed; the first record fits however large it is.

    Args:
        group: What is stored of the group.
        size: Bytes.
    """

    def __init__(self, group: GroupStore, size: int) -> None:
        self._group = group
        self._left = size
        self._taken = False

    def take(self, turn: Turn, offsets: Sequence[int]) -> Sequence[int]:
        """As many of these records as there is room for, the first ones."""
        for index, size in enumerate(self._group.sizes(turn, offsets)):
            if size > self._left and self._taken:
                return offsets[:index]
            self._left -= size
            self._taken = True
        return offsets


def pick(
    group: Dispatch, client: Client, limit: int, now: float, held: dict[str, int], room: Room | None = None
) -> list[Pick]:
    """The records whose turn it is, in order, each taken out of the ready set; a turn may come several times.

    Args:
        group: The group's memory.
        client: For whom.
        limit: Records at most.
        now: Seconds since the Unix epoch.
        held: Gets what holds the group as a whole.
        room: For how many bytes; None: for any number.
    """
    if len(client.audiences) == 1 and not group.scheduled and not group.single:
        [audience] = client.audiences
        if audience.ready.plain:
            return _pick_by_age(group, audience, limit, now, room)
    return _pick_by_plan(group, client, limit, now, held, room)


def _pick_by_age(group: Dispatch, audience: Audience, limit: int, now: float, room: Room | None) -> list[Pick]:
    """Where nothing but age decides: whole runs of records at a time."""
    picks: list[Pick] = []
    waits = []
    left, ready, taken = limit, audience.ready, 0
    for unit in ready.oldest_first():
        turn = cast("Turn", unit)
        turn.audience = None
        if turn.end == UNKNOWN:
            coming = cast("list[Turn]", ready.coming(left))
            group.stored.load([turn, *(one for one in coming if one.end == UNKNOWN)])
        offsets: Sequence[int] = turn.waiting(left)
        if room is not None and len(fitting := room.take(turn, offsets)) < len(offsets):
            if not fitting:
                turn.audience = audience
                ready.add(turn)  # as old as it was
                break
            offsets, left = fitting, len(fitting)
        picks.append((turn, offsets))
        waits.append(now - turn.since)
        taken += len(offsets)
        left -= len(offsets)
        if left <= 0:
            break
    if taken:
        group.tally.serve("", taken, float(taken), waits, missed=0)
    return picks


def _pick_by_plan(
    group: Dispatch, client: Client, limit: int, now: float, held: dict[str, int], room: Room | None
) -> list[Pick]:
    """Where more decides: record by record."""
    picks: list[Pick] = []
    taken: dict[Turn, list[int]] = {}
    left = limit
    while left > 0 and (found := _next(group, client, now)) is not None:
        audience, turn = found
        if turn.end == UNKNOWN:
            group.stored.load([turn])
        cost = audience.ready.cost(turn.plan)
        if (seconds := group.meters.group_wait(cost, now)) > 0:
            held["quota"] = sum(one.ready.count for one in client.audiences)
            group.empty(now + seconds)
            break
        if (seconds := group.meters.topic_wait(turn.topic, cost, now)) > 0:
            group.park(turn, "topic quota", now + seconds)
            continue
        plain = audience.ready.plain
        before = taken.get(turn) or []
        offsets: Sequence[int]
        if not before and not plain and not turn.done:
            offsets = (turn.committed,)
        else:
            offsets = turn.waiting(left if plain else len(before) + 1)[len(before) :]
        if room is not None and len(fitting := room.take(turn, offsets)) < len(offsets):
            if not fitting:
                break
            offsets, left = fitting, len(fitting)
        group.withdraw(turn)
        left -= len(offsets)
        before += offsets
        taken[turn] = before
        _charge(group, turn, len(offsets), cost, now)
        picks.append((turn, offsets))
        if (
            not plain
            and not turn.single
            and offsets[-1] + 1 < turn.end
            and (more := turn.waiting(len(before) + 1)[len(before) :])
        ):
            turn.plan = group.stored.plan(turn, more[0])
            turn.since = group.latest = max(group.latest, now)
            turn.tick = 0
            turn.audience = audience
            audience.ready.add(turn)
    for turn in taken:
        group.withdraw(turn)
    return picks


def _next(group: Dispatch, client: Client, now: float) -> tuple[Audience, Turn] | None:
    best: tuple[Audience, Turn] | None = None
    for audience in client.audiences:
        if audience.ready.count and (unit := audience.ready.next(now)) is not None:
            turn = cast("Turn", unit)
            if best is None or _rank(group, turn, now) < _rank(group, best[1], now):
                best = audience, turn
    return best


def _rank(group: Dispatch, turn: Turn, now: float) -> tuple[float, float, float, int]:
    raised = (now - turn.since) // group.spec.aging if group.spec.aging is not None else 0
    fair = group.spec.fair or group.spec.weights
    start = group.shares.start(turn.plan.tenant, turn.plan.priority) if fair else 0.0
    deadline = math.inf if turn.plan.deadline is None else turn.plan.deadline
    return -(turn.plan.priority + raised), start, deadline, turn.tick


def _charge(group: Dispatch, turn: Turn, records: int, cost: float, now: float) -> None:
    plan = turn.plan
    total = cost * records
    if group.scheduled:
        group.shares.charge(plan.tenant, total, plan.priority)
        group.meters.take(turn.topic, plan.tenant, total)
    missed = plan.deadline is not None and now > plan.deadline
    group.tally.serve(plan.tenant, records, total, (now - turn.since,), missed=missed)
