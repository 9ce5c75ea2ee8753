"""What a flow may spend: steps, levels of calls, tokens, money and time, kept by the flow and not by a prompt.

A limit counts what was asked for inside its block, in this process and in those before it: what a step spent stands in
its record, and a step that is not done again counts as it did. A step that is under way when a limit is reached is not
called back (but for `seconds`), so members that run side by side may overspend by what each of them takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from nbagora_lab.agents.task import running_task
from nbagora_lab.core.errors import LimitReached, UsageError
from nbagora_lab.inspect.steps import Step

__all__ = ["Limits", "Spent", "account", "levels_left", "spend", "tokens_left"]

_open: ContextVar[tuple[Spent, ...]] = ContextVar("nbagora_budgets", default=())


class Spent:
    """What was spent inside a step or a `Limits` block.

    Attributes:
        limits: What it may spend; None where it only counts.
        member: Whether it is the account of a member that is being asked: a level of calls.
        steps: Members that were asked.
        input_tokens, output_tokens: What their models took.
        cost: In US dollars, of those whose price is known.
    """

    def __init__(self, limits: Limits | None = None, *, member: bool = False) -> None:
        self.limits = limits
        self.member = member
        self.steps = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    def add(self, about: Mapping[str, Any]) -> None:
        """Counts what a step's record says."""
        usage = about.get("usage") or {}
        self.steps += int(usage.get("steps", 0))
        self.input_tokens += int(usage.get("input_tokens", 0))
        self.output_tokens += int(usage.get("output_tokens", 0))
        self.cost += float(about.get("cost") or 0.0)

    def as_json(self) -> dict[str, Any]:
        """For a step's record; what is nought is left out."""
        counted = {"steps": self.steps, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        usage = {name: number for name, number in counted.items() if number}
        return ({"usage": usage} if usage else {}) | ({"cost": round(self.cost, 9)} if self.cost else {})

    def __str__(self) -> str:
        said = [f"{self.steps} step{'' if self.steps == 1 else 's'}"]
        said += [f"{self.tokens} tokens"] if self.tokens else []
        said += [f"${self.cost:.4g}"] if self.cost else []
        return ", ".join(said)

    def check(self) -> None:
        """Refuses another step where nothing is left for it.

        Raises:
            LimitReached: A limit is used up.
        """
        limits = self.limits
        if limits is None:
            return
        for name, limit, spent in (
            ("steps", limits.steps, self.steps),
            ("tokens", limits.tokens, self.tokens),
            ("cost", limits.cost, self.cost),
        ):
            if limit is not None and spent >= limit:
                raise _reached(name, limit, self)


def _reached(name: str, limit: float, spent: Spent) -> LimitReached:
    unit = {"cost": f"a cost of ${limit:g}", "seconds": f"{limit:g} s"}.get(name, f"{limit:g} {name}")
    return LimitReached(
        f"the flow's limit of {unit} is reached, after {spent}", f"raise it: Limits({name}=…); or find what repeats"
    )


class Limits:
    """A block of a flow that may spend so much: ``async with Limits(steps=20, cost=0.50, seconds=60): ...``.

    Blocks within one another all count. What is reached raises `LimitReached` at the next step, which ends the task
    FAILED and says which limit it was; the flow may catch it, and answer with what it has.

    Args:
        steps: Members that may be asked.
        depth: Levels of calls below this block: 1 lets the flow ask members that ask nobody.
        tokens: Tokens in and out.
        cost: US dollars, of models whose price is known.
        seconds: Time in which a process worked on it; what is under way when it ends is cancelled.

    Raises:
        UsageError: A limit below nought.
    """

    def __init__(
        self,
        *,
        steps: int | None = None,
        depth: int | None = None,
        tokens: int | None = None,
        cost: float | None = None,
        seconds: float | None = None,
    ) -> None:
        self.steps, self.depth, self.tokens, self.cost, self.seconds = steps, depth, tokens, cost, seconds
        given = {"steps": steps, "depth": depth, "tokens": tokens, "cost": cost, "seconds": seconds}
        for name, limit in given.items():
            if limit is not None and not limit >= 0:
                raise UsageError(f"Limits({name}={limit})", "a limit is nought or more; leave it out for none")
        self._level = 0
        self._spent: Spent | None = None
        self._timeout: asyncio.Timeout | None = None
        self._before: tuple[Spent, ...] = ()

    async def __aenter__(self) -> Self:
        if self._spent is not None:
            raise UsageError("these Limits are in force already", "make new ones for each block")
        self._spent, self._before, self._level = Spent(self), _open.get(), _depth()
        if self.seconds is not None:
            left = self.seconds - _worked(running_task().journal.steps.values())
            self._timeout = asyncio.timeout(max(0.0, left))
            await self._timeout.__aenter__()
        _open.set((*self._before, self._spent))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.set(self._before)
        spent, self._spent = self._spent, None
        if self._timeout is not None:
            timeout, self._timeout = self._timeout, None
            try:
                await timeout.__aexit__(kind, error, trace)
            except TimeoutError:
                assert spent is not None
                assert self.seconds is not None
                raise _reached("seconds", self.seconds, spent) from None

    @property
    def levels(self) -> int | None:
        """Levels of calls that are left for a step asked for here; None where depth isn't limited."""
        return None if self.depth is None else self.depth - (_depth() - self._level)


def _depth() -> int:
    """How many members are inside one another here."""
    return sum(one.member for one in _open.get())


def _worked(steps: Iterable[Step]) -> float:
    """Seconds in which steps were under way, of all that earlier processes did; side by side they count once."""
    worked, until = 0.0, 0.0
    done = [step for step in steps if step.ended >= 0]
    for step in sorted(done, key=lambda step: step.began_at):
        worked += max(0.0, step.ended_at - max(step.began_at, until))
        until = max(until, step.ended_at)
    return worked


def levels_left() -> int | None:
    """Levels of calls that the limits in force leave; None where none limits them."""
    left = [one.limits.levels for one in _open.get() if one.limits is not None]
    return min((levels for levels in left if levels is not None), default=None)


def tokens_left() -> int | None:
    """Tokens that the limits in force leave; None where none limits them."""
    left = [one.limits.tokens - one.tokens for one in _open.get() if one.limits and one.limits.tokens is not None]
    return max(0, min(left)) if left else None


@contextmanager
def account(*, member: bool = False) -> Iterator[Spent]:
    """Counts what is spent inside, apart and in all accounts that are open.

    Raises:
        LimitReached: Nothing is left for another member.
    """
    before = _open.get()
    if member:
        for spent in before:
            spent.check()
        if (levels := levels_left()) is not None and levels <= 0:
            [limits] = [one.limits for one in before if one.limits is not None and one.limits.levels == levels][:1]
            assert limits.depth is not None
            raise _reached("depth", limits.depth, before[-1])
        for spent in before:
            spent.steps += 1
    own = Spent(member=member)
    token = _open.set((*before, own))
    try:
        yield own
    finally:
        _open.reset(token)


def spend(about: Mapping[str, Any]) -> None:
    """Counts what a step's record says in all accounts that are open."""
    for spent in _open.get():
        spent.add(about)
