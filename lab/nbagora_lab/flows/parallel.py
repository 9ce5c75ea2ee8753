"""Workflows side by side: parallel, each, vote, orchestrate.

Members begin in their order, end in any, and are given back in theirs. Each has a path of its own among the steps, so
that the same one goes on after a crash; a trace tells what they did by path, whoever was first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nbagora_lab.core.errors import FlowFailed, LimitReached, UsageError
from nbagora_lab.flows.member import Asked, Member, ask, container, member_of, plain, reason, text_of_value

__all__ = ["each", "majority", "orchestrate", "parallel", "vote"]


async def parallel(message: object, *members: Asked, otherwise: object = ..., **named: Asked) -> dict[str, Any]:
    """All members at once, on the same question.

    Args:
        message: What each is asked.
        members: They go by their own names.
        otherwise: What stands in for the answer of one that fails; by default the flow fails once all have ended.
        named: More members, by the names that they have in the result.

    Returns:
        The answers by name, in the order of the members, whoever was first.

    Raises:
        FlowFailed: Some failed; names them.

    Example:
        >>> async def trip(message, task):
        ...     found = await parallel(message, trains=find_trains, hotels="hotels")
        ...     return await ask(plan, found)
    """
    branches = [member_of(one) for one in members] + [member_of(one, name) for name, one in named.items()]
    if double := [name for name, count in Counter(one.name for one in branches).items() if count > 1]:
        raise UsageError(
            f"parallel() has two members called '{double[0]}'", f"name them: parallel(..., first={double[0]})"
        )

    async def run() -> dict[str, Any]:
        given = await _at_once([(one.name, _asking(one, message)) for one in branches])
        return _answers(dict(zip([one.name for one in branches], given, strict=True)), otherwise)

    answers: dict[str, Any] = await container("parallel", run, message, side_by_side=True)
    return answers


def _asking(member: Member, value: object, key: str = "") -> Callable[[], Awaitable[Any]]:
    return lambda: ask(member, value, key=key)


async def _at_once(calls: Sequence[tuple[str, Callable[[], Awaitable[Any]]]], most: int = 0) -> list[Any]:
    """Answers or errors of calls that run side by side, in their order; they begin in their order, too."""
    room = asyncio.Semaphore(most) if most else None

    async def one(call: Callable[[], Awaitable[Any]]) -> Any:
        if room is None:
            return await call()
        async with room:
            return await call()

    return await asyncio.gather(*(one(call) for _, call in calls), return_exceptions=True)


def _answers(given: Mapping[str, Any], otherwise: object) -> dict[str, Any]:
    failed = {name: reason(one) for name, one in given.items() if isinstance(one, BaseException)}
    if failed and otherwise is ...:
        said = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise FlowFailed(f"{len(failed)} of {len(given)} members failed: {said}", "say what stands in: otherwise=")
    return {name: plain(otherwise) if name in failed else one for name, one in given.items()}


async def each(values: Sequence[object], member: Asked, *, at_once: int = 8, otherwise: object = ...) -> list[Any]:
    """One member on many values, so many at once.

    Args:
        values: What it is asked, each.
        member: Who is asked.
        at_once: How many run side by side.
        otherwise: What stands in for an answer that failed.

    Returns:
        The answers, in the order of the values.

    Raises:
        FlowFailed: Some failed.
    """
    one, asked = member_of(member), [plain(value) for value in values]
    if at_once < 1:
        raise UsageError(f"at_once={at_once}", "at least one runs")

    async def run() -> list[Any]:
        names = [f"{one.name}-{number}" for number in range(1, len(asked) + 1)]
        calls = [(name, _asking(one, value, name)) for name, value in zip(names, asked, strict=True)]
        given = await _at_once(calls, at_once)
        return list(_answers(dict(zip(names, given, strict=True)), otherwise).values())

    answers: list[Any] = await container("each", run, asked, side_by_side=True)
    return answers


def majority(votes: Sequence[Any]) -> Any:
    """What most of the votes say; of several with as many, the one that was said first."""
    counts = Counter(map(text_of_value, votes))
    best = max(counts.values())
    return next(vote for vote in votes if counts[text_of_value(vote)] == best)


async def vote(
    message: object,
    *members: Asked,
    choose: Callable[[Sequence[Any]], Any] = majority,
    quorum: int | None = None,
) -> Any:
    """All members at once, and one answer chosen from theirs. One that fails abstains.

    Args:
        message: What each is asked.
        members: Who votes; the same member may stand there more than once.
        choose: Picks from the votes, in the order of the members.
        quorum: Votes that it takes; by default more than half of the members.

    Raises:
        FlowFailed: Too few voted.
    """
    voters = [member_of(one) for one in members]
    needed = len(voters) // 2 + 1 if quorum is None else quorum

    async def run() -> Any:
        given = await _at_once(
            [(one.name, _asking(one, message, f"{one.name}-{n}")) for n, one in enumerate(voters, 1)]
        )
        votes = [one for one in given if not isinstance(one, BaseException)]
        reasons = "; ".join(reason(one) for one in given if isinstance(one, BaseException))
        if not votes or len(votes) < needed:
            raise FlowFailed(f"{len(votes)} of {len(voters)} voted, {needed} must: {reasons}", "lower the quorum=")
        return plain(choose(votes))

    return await container("vote", run, message, side_by_side=True)


async def orchestrate(
    message: object,
    plan: Asked,
    work: Asked | Mapping[str, Asked],
    merge: Asked | None = None,
    *,
    at_once: int = 8,
    at_most: int = 20,
    otherwise: object = ...,
) -> Any:
    """One plans what is to be done, workers do it side by side, one puts it together.

    Args:
        message: What is asked.
        plan: Gives the tasks: a list, ``{"tasks": [...]}``, or a text with one in each line.
        work: Does one task; or who does it, by kind, where a task is ``{"to": kind, "task": …}``.
        merge: Is asked with ``{"task", "results": [{"task", "result"}, …]}``; by default the results are the answer.
        at_once: How many workers run side by side.
        at_most: Tasks of a plan at most; a longer one is refused.
        otherwise: What stands in for the result of a worker that fails.

    Raises:
        FlowFailed: The plan has no task, names a worker that there isn't, or a worker failed.
        LimitReached: The plan is too long.
    """
    planner = member_of(plan)
    team = work if isinstance(work, Mapping) else None
    hands = {kind: member_of(one, kind) for kind, one in team.items()} if team else {}
    worker = None if team is not None else member_of(work)
    merger = member_of(merge) if merge is not None else None

    async def run() -> Any:
        tasks = _tasks_of(await ask(planner, message))
        if not tasks:
            raise FlowFailed(f"'{planner.name}' planned nothing", "a plan is a list of tasks")
        if len(tasks) > at_most:
            raise LimitReached(f"the plan has {len(tasks)} tasks, {at_most} are allowed", "raise at_most=")
        jobs = [_job(hands, worker, task) for task in tasks]
        calls = [
            (f"{hand.name}-{number}", _asking(hand, asked, f"{hand.name}-{number}"))
            for number, (hand, asked) in enumerate(jobs, 1)
        ]
        given = _answers(dict(zip([name for name, _ in calls], await _at_once(calls, at_once), strict=True)), otherwise)
        results = [{"task": task, "result": result} for task, result in zip(tasks, given.values(), strict=True)]
        if merger is None:
            return results
        return await ask(merger, merger.given({"task": plain(message), "results": results}))

    return await container("orchestrate", run, message, side_by_side=True)


def _tasks_of(plan: Any) -> list[Any]:
    if isinstance(plan, Mapping):
        plan = plan.get("tasks", [])
    if isinstance(plan, str):
        return [line.strip(" -*•\t") for line in plan.splitlines() if line.strip(" -*•\t")]
    return list(plan) if isinstance(plan, list) else []


def _job(hands: Mapping[str, Member], worker: Member | None, task: Any) -> tuple[Member, Any]:
    if worker is not None:
        return worker, task
    kind = task.get("to") if isinstance(task, Mapping) else None
    if kind not in hands:
        raise FlowFailed(f"the plan names the worker {kind!r}; there are {', '.join(hands)}", "mend the plan")
    assert isinstance(task, Mapping)
    return hands[str(kind)], task.get("task", "")
