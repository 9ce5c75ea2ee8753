"""Rules: which version a caller is led to, by whom they are, by chance that sticks, or by label.

A rule is tried in this order: its matches, on what the caller says of themselves; its weights, by a hash of the key
that sticks; else one version or label for all. The hash leads a key to one of `SLOTS` slots, and each target has slots
by its weight. A rule that follows on another keeps that one's slots, but for those that must change hands; so whatever
changes, no more keys move than the shares change. It must remember for that: a hash that does not (rendezvous, say)
moves up to 2s/(1 + s) of the keys where several shares change by s together, and no such hash does better (Bavarian
and others, "Optimality of correlated sampling strategies", 2020).
"""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from nbagora_lab.core.errors import LabError, UsageError
from nbagora_lab.registry.model import LATEST
from nbagora_lab.registry.names import check_label, check_version, is_version

__all__ = ["SLOTS", "Budget", "Caller", "Choice", "DryRun", "Match", "Rule", "make_rule", "rule_of", "share_of"]

SLOTS = 1 << 16
"""Parts into which all keys are cut; a target that has a weight has one of them at least."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Caller(NamedTuple):
    """What is known of who asks.

    Attributes:
        context: Id of the conversation.
        tenant: A2A's tenant.
        user: Who it is.
        metadata: Headers or metadata of the message.
        zone: Where the caller runs.
    """

    context: str = ""
    tenant: str = ""
    user: str = ""
    metadata: Mapping[str, str] = {}
    zone: str = ""


class Match(_Frozen):
    """Leads the callers whose metadata fits.

    Attributes:
        key: Name of a header or metadata entry, whatever its case; ``context``, ``tenant`` and ``user`` are these.
        value: Its value, or a pattern of one with ``*`` and ``?``.
        to: The version or label that they are led to.
    """

    key: str = Field(min_length=1)
    value: str
    to: str


class Budget(_Frozen):
    """What a release may cost before it is taken back by itself.

    Attributes:
        label: The label that is guarded; calls to the version that it points at count.
        errors: Largest share of failed calls, 0 to 1; None: any.
        latency: Largest 95th percentile of the calls' seconds; None: any.
        calls: Number of calls before it is judged.
        window: Seconds that a call counts.
    """

    label: str = LATEST
    errors: float | None = Field(None, ge=0, le=1)
    latency: float | None = Field(None, gt=0)
    calls: int = Field(20, ge=1)
    window: float = Field(300.0, gt=0)


class Rule(_Frozen):
    """How callers of a thing are led to its versions.

    Attributes:
        matches: Tried in their order; the first that fits leads.
        weights: Versions or labels with the share that each gets of all others.
        sticky: What of the caller the share sticks to.
        otherwise: Where everybody goes who is led nowhere else.
        budget: What takes a release back by itself.
        slots: Runs of slots, in order: a target and how many it has there; `following` gives them out.
    """

    matches: tuple[Match, ...] = ()
    weights: Annotated[dict[str, float], Field(max_length=256)] = {}
    sticky: Literal["context", "tenant", "user"] = "context"
    otherwise: str = LATEST
    budget: Budget | None = None
    slots: Annotated[tuple[tuple[str, PositiveInt], ...], Field(max_length=SLOTS)] = ()

    @property
    def needs(self) -> list[str]:
        """The versions and labels that it leads to, each once."""
        refs = [match.to for match in self.matches] + [ref for ref, weight in self.weights.items() if weight]
        guarded = [self.budget.label] if self.budget else []
        return list(dict.fromkeys([*refs, self.otherwise, *guarded]))

    def choose(self, caller: Caller, *, default_key: str = "") -> Choice:
        """Where a caller is led.

        Args:
            caller: Who asks.
            default_key: What stands in for the key of a caller who has none.
        """
        known = {key.lower(): value for key, value in caller.metadata.items()}
        known |= {"context": caller.context, "tenant": caller.tenant, "user": caller.user}
        for match in self.matches:
            value = known.get(match.key.lower(), "")
            if value and fnmatch.fnmatchcase(value, match.value):
                return Choice(match.to, f"{match.key} is {value}")
        if sum(self.weights.values()):
            key = str(known[self.sticky])
            targets, ends = self._layout
            ref = targets[bisect_right(ends, _slot_of(key or default_key))]
            share = 100 * self.weights[ref] / sum(self.weights.values())
            return Choice(ref, f"{share:.3g} % of all {self.sticky}s" + ("" if key else ", this call has none"))
        return Choice(self.otherwise, f"everybody goes to {self.otherwise}")

    def following(self, before: Rule) -> Rule:
        """This rule with its slots given out, so that it moves no more keys than it must of where `before` leads them.

        One that brings slots of its own, from an export, say, keeps these instead.
        """
        if not sum(self.weights.values()):
            return self.model_copy(update={"slots": ()})
        own = self.slots if sum(count for _, count in self.slots) == SLOTS else ()
        base = own or before.slots or ((before.otherwise, SLOTS),)
        return self.model_copy(update={"slots": _shared_out(base, _counts(self.weights))})

    @cached_property
    def _layout(self) -> tuple[list[str], list[int]]:
        """The targets of the runs of slots, and the slot after each run."""
        runs = self.slots or self.following(Rule(otherwise=self.otherwise)).slots
        return [ref for ref, _ in runs], list(itertools.accumulate(count for _, count in runs))

    def stored(self) -> dict[str, Any]:
        """The rule as an engine keeps it."""
        return self.model_dump(mode="json") | {"needs": sorted(self.needs)}


class Choice(NamedTuple):
    """What a rule chose.

    Attributes:
        ref: A version or label.
        why: Because of what.
    """

    ref: str
    why: str


class DryRun(NamedTuple):
    """What a rule would do.

    Attributes:
        shares: Number of callers by the version or label that they would be led to.
        moved: Number of callers who would be led elsewhere than now.
        callers: Number of callers that it was tried on.
    """

    shares: dict[str, int]
    moved: int
    callers: int


def make_rule(given: Mapping[str, Any]) -> Rule:
    """A rule that may be set.

    Raises:
        UsageError: It is none; names all that does not fit.
    """
    try:
        rule = Rule.model_validate({name: value for name, value in given.items() if name != "needs"})
    except ValidationError as error:
        problems = "; ".join(f"/{'/'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UsageError(
            f"a rule that does not fit: {problems}", "give matches, weights, sticky, otherwise, budget"
        ) from None
    weights = rule.weights.values()
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise UsageError("a weight that is no share", "weights are numbers from 0 on")
    if rule.weights and not (sum(weights) > 0 and math.isfinite(sum(weights))):
        raise UsageError("the weights sum to 0, so that nobody would be led anywhere", "give one of them a share")
    for ref in (*rule.needs, *rule.weights):
        try:
            (check_version if is_version(ref) else check_label)(ref)
        except LabError as error:
            raise UsageError(f"a rule that leads to no version: {error.what}", error.hint) from None
    return rule


def rule_of(stored: dict[str, Any] | None) -> Rule:
    """The rule that an engine keeps; where there is none, all go to ``latest``."""
    return Rule() if stored is None else Rule.model_validate({k: v for k, v in stored.items() if k != "needs"})


def share_of(rule: Rule, before: Rule, callers: Iterable[Caller]) -> DryRun:
    """What a rule would do with callers, and how many of them it would move."""
    rule = rule.following(before)
    shares: Counter[str] = Counter()
    moved = count = 0
    for count, caller in enumerate(callers, 1):
        ref = rule.choose(caller, default_key=str(count)).ref
        shares[ref] += 1
        moved += ref != before.choose(caller, default_key=str(count)).ref
    return DryRun(dict(shares.most_common()), moved, count)


def _slot_of(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=2).digest())


def _counts(weights: Mapping[str, float]) -> dict[str, int]:
    """How many slots each target has: by largest remainders, and one at least."""
    total = sum(weights.values())
    exact = {ref: SLOTS * weight / total for ref, weight in sorted(weights.items()) if weight > 0}
    counts = {ref: max(1, int(share)) for ref, share in exact.items()}
    by_rest = sorted(exact, key=lambda ref: exact[ref] - counts[ref], reverse=True)
    for ref in itertools.islice(itertools.cycle(by_rest), max(0, SLOTS - sum(counts.values()))):
        counts[ref] += 1
    while sum(counts.values()) > SLOTS:  # many targets of next to nothing: the largest makes room for them
        counts[max(counts, key=lambda ref: counts[ref])] -= 1
    return counts


def _shared_out(runs: Iterable[tuple[str, int]], wanted: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Runs of slots in which each target has as many as wanted; who has too many gives up those furthest back."""
    had: Counter[str] = Counter()
    for ref, count in runs:
        had[ref] += count
    spare = {ref: count - wanted.get(ref, 0) for ref, count in had.items()}
    takers = iter([(ref, count - had[ref]) for ref, count in wanted.items() if count > had[ref]])
    taker, short = next(takers, ("", 0))
    backwards: list[tuple[str, int]] = []
    for ref, count in reversed(tuple(runs)):
        given = min(count, max(0, spare[ref]))
        spare[ref] -= given
        kept = count - given
        while given:
            handed = min(given, short)
            backwards.append((taker, handed))
            given, short = given - handed, short - handed
            if not short:
                taker, short = next(takers, ("", 0))
        backwards.append((ref, kept))
    joined: list[tuple[str, int]] = []
    for ref, group in itertools.groupby((run for run in reversed(backwards) if run[1]), key=lambda run: run[0]):
        joined.append((ref, sum(count for _, count in group)))
    return tuple(joined)
