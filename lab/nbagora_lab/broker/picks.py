"""What a receive is handed: the records whose turn it is, taken out of the ready set, charged to tenants and quotas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from nbagora_lab.broker.audience import Audience, Client
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.ready import Ready
from nbagora_lab.broker.turn import UNKNOWN, Turn

__all__ = ["Pick", "pick"]

Pick = tuple[Turn, Sequence[int]]
"""Records whose turn it is: the turn, and their offsets, one at least."""


def pick(group: Dispatch, client: Client, limit: int, now: float, held: dict[str, int]) -> list[Pick]:
    """The records whose turn it is, in order, each taken out of the ready set; a turn may come several times.

    Args:
        group: The group's memory.
        client: For whom.
        limit: Records at most.
        now: Seconds since the Unix epoch.
        held: Gets what holds the group as a whole.
    """
    if len(client.audiences) == 1 and not group.scheduled and not group.single:
        [audience] = client.audiences
        if audience.ready.plain:
            return _pick_by_age(group, audience.ready, limit, now)
    return _pick_by_plan(group, client, limit, now, held)


def _pick_by_age(group: Dispatch, ready: Ready, limit: int, now: float) -> list[Pick]:
    """Where nothing but age decides: whole runs of records at a time."""
    picks: list[Pick] = []
    waits = []
    left = limit
    for unit in ready.oldest_first():
        turn = cast("Turn", unit)
        turn.audience = None
        if turn.end == UNKNOWN:
            coming = cast("list[Turn]", ready.coming(left))
            group.stored.load([turn, *(one for one in coming if one.end == UNKNOWN)])
        offsets = turn.waiting(left)
        picks.append((turn, offsets))
        waits.append(now - turn.since)
        left -= len(offsets)
        if left <= 0:
            break
    if picks:
        group.tally.serve("", limit - left, float(limit - left), waits, missed=0)
    return picks


def _pick_by_plan(group: Dispatch, client: Client, limit: int, now: float, held: dict[str, int]) -> list[Pick]:
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
        group.withdraw(turn)
        before = taken.setdefault(turn, [])
        offsets: Sequence[int]
        if not before and not plain and not turn.done:
            offsets = (turn.committed,)
        else:
            offsets = turn.waiting(left if plain else len(before) + 1)[len(before) :]
        left -= len(offsets)
        before += offsets
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
