"""What a receive is handed: the records whose turn it is, taken out of the ready set, charged to tenants and quotas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

from nbagora_lab.broker.audience import Audience, Client
from nbagora_lab.broker.dispatch import Dispatch
from nbagora_lab.broker.ready import Ready
from nbagora_lab.broker.turn import UNKNOWN, Turn

__all__ = ["Pick", "pick"]

Pick = tuple[Turn, int]
"""A record whose turn it is: the turn, and its offset."""


def pick(group: Dispatch, client: Client, limit: int, now: float, held: dict[str, int]) -> list[Pick]:
    """The records whose turn it is, in order, each taken out of the ready set.

    Args:
        group: The group's memory.
        client: For whom.
        limit: Records at most.
        now: Seconds since the Unix epoch.
        held: Gets what holds the group as a whole.
    """
    if len(client.audiences) == 1 and not group.spec.scheduled and not group.single:
        [audience] = client.audiences
        if audience.ready.plain:
            return _pick_by_age(group, audience.ready, limit, now)
    return list(_pick_by_plan(group, client, limit, now, held))


def _pick_by_age(group: Dispatch, ready: Ready, limit: int, now: float) -> list[Pick]:
    """Where nothing but age decides: whole runs of records at a time."""
    picks: list[Pick] = []
    left, unsure, serve = limit, group.unsure, group.tally.serve
    while left > 0 and (unit := ready.pop()) is not None:
        turn = cast("Turn", unit)
        unsure.add(turn.topic)
        turn.audience = None
        if turn.end == UNKNOWN:
            group.stored.load(turn)
        offsets = turn.waiting(left)
        count = len(offsets)
        left -= count
        picks += [(turn, offset) for offset in offsets]
        serve("", count, float(count), max(0.0, now - turn.since), missed=False)
    return picks


def _pick_by_plan(group: Dispatch, client: Client, limit: int, now: float, held: dict[str, int]) -> Iterator[Pick]:
    """Where more decides: record by record."""
    taken: dict[Turn, list[int]] = {}
    left = limit
    while left > 0 and (found := _next(group, client, now)) is not None:
        audience, turn = found
        if turn.end == UNKNOWN:
            group.stored.load(turn)
        cost = audience.ready.cost(turn.plan)
        if (seconds := group.meters.group_wait(cost, now)) > 0:
            held["quota"] = sum(one.ready.count for one in client.audiences)
            group.empty(now + seconds)
            break
        if (seconds := group.meters.topic_wait(turn.topic, cost, now)) > 0:
            group.park(turn, "topic quota", now + seconds)
            continue
        plain = audience.ready.plain
        group.unsure.add(turn.topic)
        group.withdraw(turn)
        before = taken.setdefault(turn, [])
        offsets = list(turn.waiting(left if plain else len(before) + 1))[len(before) :]
        left -= len(offsets)
        before += offsets
        _charge(group, turn, len(offsets), cost, now)
        for offset in offsets:
            yield turn, offset
        if not plain and not turn.single and turn.waiting(len(before) + 1)[len(before) :]:
            turn.plan = group.stored.plan(turn, turn.waiting(len(before) + 1)[-1])
            turn.since = group.latest = max(group.latest, now)
            turn.tick = 0
            turn.audience = audience
            audience.ready.add(turn)
    for turn in taken:
        group.withdraw(turn)


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
    if group.spec.scheduled:
        group.shares.charge(plan.tenant, total, plan.priority)
        group.meters.take(turn.topic, plan.tenant, total)
    missed = plan.deadline is not None and now > plan.deadline
    group.tally.serve(plan.tenant, records, total, max(0.0, now - turn.since), missed=missed)
