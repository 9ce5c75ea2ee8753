"""Routing: from a thing's name to one live endpoint, and what its calls teach about it.

A caller is led to a version by the thing's rule (`rules`), then to the endpoint of it that is up and has the fewest
open calls for its weight, in the caller's zone if one is there; where none is up, to one that is down. What becomes of
calls is told to `report`:

| told | what follows |
|---|---|
| `FAILURES` failed calls in a row at one endpoint | it goes ``down``; after `COOLING` seconds one call tries it again |
| a call or a probe that succeeds at one that is ``down`` | it is ``up`` |
| a guarded label's calls over the rule's budget | the release is taken back: its share in the rule, else its label |

What is counted lives in this process; what follows from it is written to the registry, so that all processes and
watchers see it, with the reason.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from nbagora_lab.core.errors import EndpointNotFound, LabError, VersionNotFound, WrongState
from nbagora_lab.core.log import logger
from nbagora_lab.registry.api import Catalog
from nbagora_lab.registry.model import LATEST, By, Endpoint, Thing
from nbagora_lab.registry.names import is_version
from nbagora_lab.registry.rules import Budget, Caller, Choice, Rule, rule_of

__all__ = ["COOLING", "FAILURES", "Outcome", "Resolution", "Router"]

FAILURES = 5
"""Failed calls in a row that take an endpoint down."""

COOLING = 15.0
"""Seconds until one call tries an endpoint that is down."""

_WATCHDOG = By("budget")
_CIRCUIT = By("circuit")
_log = logger.getChild("registry")


class Outcome(NamedTuple):
    """What became of a call.

    Attributes:
        ok: Whether it did what it was to; a refusal by the agent (REJECTED) and a cancellation count as that.
        seconds: How long it took; None where that is not known.
    """

    ok: bool
    seconds: float | None


class Resolution(NamedTuple):
    """Where to send a message, and why there.

    Attributes:
        endpoint: The endpoint.
        ref: The version or label that the rule chose.
        why: The reasons, the rule's first.
    """

    endpoint: Endpoint
    ref: str
    why: tuple[str, ...]

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        return self.endpoint.url

    @property
    def version(self) -> str:
        """The version that answers there."""
        return self.endpoint.version


@dataclass
class _Place:
    """What is known of one endpoint in this process."""

    open: int = 0
    failures: int = 0
    tried: float = 0.0  # when a call last tried it while it was down


@dataclass
class _Known:
    """A thing as it was at a revision."""

    revision: int
    until: float  # the first of its leases ends then
    labels: dict[str, str]
    rule: Rule
    endpoints: list[Endpoint]
    states: dict[str, str] = field(default_factory=dict)


class Router:
    """Leads callers and learns from their calls. Methods may be called from any thread.

    Args:
        catalog: The engine.
        now: Gives seconds since the Unix epoch, for leases.
        wrote: Is called after the engine was written to.
        elapsed: Gives seconds of a clock that only moves forward, for budgets and circuits.
    """

    def __init__(
        self,
        catalog: Catalog,
        now: Callable[[], float],
        wrote: Callable[[], None],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._now = now
        self._wrote = wrote
        self._elapsed = elapsed
        self._known: dict[Thing, _Known] = {}
        self._places: defaultdict[str, _Place] = defaultdict(_Place)
        self._calls: defaultdict[tuple[Thing, str], deque[tuple[float, Outcome]]] = defaultdict(deque)
        self._count = 0
        self._lock = threading.RLock()

    def resolve(self, thing: Thing, caller: Caller, ref: str | None = None) -> Resolution:
        """Where a caller is led.

        Args:
            thing: Kind, namespace and name.
            caller: Who asks.
            ref: A version or label that goes before the rule.

        Raises:
            AgentNotFound: There is no such thing.
            VersionNotFound: The rule leads to a version that there is not.
            WrongState: The version was withdrawn.
            EndpointNotFound: It answers nowhere, or all that answer are draining.
        """
        with self._lock:
            known = self._look(thing)
            self._count += 1
            choice = Choice(ref, "asked for") if ref else known.rule.choose(caller, default_key=f"#{self._count}")
            version = choice.ref if is_version(choice.ref) else known.labels.get(choice.ref, "")
            if not version:
                raise VersionNotFound(
                    f"'{thing[2]}' has no version labelled {choice.ref}", "point the label at one of its versions"
                )
            if (state := known.states.get(version)) is None:
                state = known.states[version] = self._catalog.get(thing[1], thing[2], version, kind=thing[0]).state
            if state == "withdrawn":
                raise WrongState(f"'{thing[2]}' {version} is withdrawn", "resolve a label, or another version")
            reasons = [
                f"{choice.ref} is {version}: {choice.why}" if choice.ref != version else f"{version}: {choice.why}"
            ]
            if state == "deprecated":
                reasons.append(f"{version} is deprecated")
            endpoint = self._pick(thing, known, version, caller, reasons)
            return Resolution(endpoint, choice.ref, tuple(reasons))

    def at(self, thing: Thing, version: str, below: str) -> Endpoint | None:
        """A version's endpoint whose URL begins with `below`.

        Raises:
            AgentNotFound: There is no such thing.
        """
        with self._lock:
            here = (one for one in self._look(thing).endpoints if one.version == version and one.url.startswith(below))
            return next(here, None)

    def _look(self, thing: Thing) -> _Known:
        revision, now = self._catalog.revision(), self._now()
        known = self._known.get(thing)
        if known is not None and known.revision == revision and now < known.until:
            return known
        kind, namespace, name = thing
        endpoints = self._catalog.endpoints(namespace, name, kind=kind)
        # a lease that is renewed is no change, so what was read holds for as long as the leases that it saw
        until = min((endpoint.expires for endpoint in endpoints), default=now + 1.0)
        known = _Known(
            revision,
            until,
            self._catalog.labels(namespace, name, kind=kind),
            rule_of(self._catalog.rule(namespace, name, kind=kind)),
            endpoints,
        )
        if len(self._known) >= 10_000:
            self._known.clear()
        self._known[thing] = known
        return known

    def _pick(self, thing: Thing, known: _Known, version: str, caller: Caller, reasons: list[str]) -> Endpoint:
        every = [endpoint for endpoint in known.endpoints if endpoint.version == version]
        fit = [endpoint for endpoint in every if endpoint.state == "up"]
        cold = [one for one in every if one.state == "down" and self._may_try(one)]
        if cold:
            reasons.append("it was down, and this call tries it again")
            self._places[cold[0].id].tried = self._elapsed()
            return cold[0]
        if not fit:
            fit = [endpoint for endpoint in every if endpoint.state == "down"]
            if not fit:
                raise _nowhere(thing[2], version, every, known.endpoints)
            reasons.append("all are down; one is tried all the same")  # better a failure than none who could succeed
        near = [endpoint for endpoint in fit if caller.zone and endpoint.zone == caller.zone]
        if near and len(near) < len(fit):
            reasons.append(f"in the zone {caller.zone}")
        fit = near or fit
        least = min(fit, key=lambda one: (self._places[one.id].open / one.weight, -one.weight, -one.epoch))
        if len(fit) > 1:
            reasons.append(
                f"the least loaded of {len(fit)}: {self._places[least.id].open} open, weight {least.weight:g}"
            )
        return least

    def _may_try(self, endpoint: Endpoint) -> bool:
        place = self._places[endpoint.id]
        if not place.tried:
            place.tried = self._elapsed()  # it went down elsewhere, or by a probe: the cooling begins with our knowing
        return self._elapsed() - place.tried >= COOLING

    def began(self, endpoint_id: str) -> None:
        """Tells that a call to an endpoint has begun."""
        with self._lock:
            self._places[endpoint_id].open += 1

    def report(self, endpoint: Endpoint, thing: Thing, outcome: Outcome) -> str | None:
        """Tells what became of a call that had begun.

        Returns:
            Why a release was taken back, or None where none was.
        """
        with self._lock:
            place = self._places[endpoint.id]
            place.open = max(0, place.open - 1)
            place.failures = 0 if outcome.ok else place.failures + 1
            try:
                if outcome.ok:
                    if endpoint.state == "down" or place.tried:
                        self._mark(endpoint.id, True, "a call succeeded")
                elif place.failures >= FAILURES or place.tried:
                    place.tried = self._elapsed()
                    self._mark(endpoint.id, False, f"{place.failures} failed calls in a row")
            except EndpointNotFound:
                self._places.pop(endpoint.id, None)
            return self._spend(thing, endpoint.version, outcome)

    def probed(self, endpoint_id: str, ok: bool, reason: str) -> bool:
        """Tells what a probe found; whether that changed the endpoint's state."""
        with self._lock:
            place = self._places[endpoint_id]
            if not ok:
                place.tried = self._elapsed()
            return self._mark(endpoint_id, ok, reason)

    def _mark(self, endpoint_id: str, up: bool, reason: str) -> bool:
        if up:
            self._places[endpoint_id].tried = 0.0
        changed = self._catalog.mark(endpoint_id, "up" if up else "down", reason, by=_CIRCUIT)
        if changed:
            self._wrote()
        return changed

    def _spend(self, thing: Thing, version: str, outcome: Outcome) -> str | None:
        """Counts a call against its thing's budget; takes the release back where that is spent."""
        known = self._look(thing)
        budget = known.rule.budget
        if budget is None or known.labels.get(budget.label) != version:
            return None
        calls, now = self._calls[thing, version], self._elapsed()
        calls.append((now, outcome))
        while calls and calls[0][0] <= now - budget.window:
            calls.popleft()
        reason = _spent(budget, [one for _, one in calls])
        if reason is None:
            return None
        del self._calls[thing, version]
        self._take_back(thing, known, budget.label, f"{budget.label} ({version}): {reason}")
        return reason

    def _take_back(self, thing: Thing, known: _Known, label: str, reason: str) -> None:
        kind, namespace, name = thing
        by = By(_WATCHDOG.who, reason)
        rest = {ref: weight for ref, weight in known.rule.weights.items() if ref != label}
        try:
            if label in known.rule.weights and label != known.rule.otherwise:
                left = {"weights": rest if sum(rest.values()) else {}, "budget": None, "slots": ()}
                rule = known.rule.model_copy(update=left).following(known.rule)
                self._catalog.set_rule(namespace, name, rule.stored(), kind=kind, by=by)
            else:
                self._catalog.rollback(namespace, name, label, kind=kind, by=by)
        except LabError as error:  # the version before was withdrawn, say: somebody must look
            _log.warning("%s of %s should be taken back, and can't: %s", label, name, error.what)
            return
        _log.warning("%s: taken back: %s", name, reason)
        self._wrote()


def _spent(budget: Budget, calls: list[Outcome]) -> str | None:
    """Why a budget is spent, None where it is not."""
    if len(calls) < budget.calls:
        return None
    failed = sum(not call.ok for call in calls)
    if budget.errors is not None and failed > budget.errors * len(calls):
        return f"{failed} of {len(calls)} calls failed, the budget is {100 * budget.errors:g} %"
    if budget.latency is not None:
        times = sorted(call.seconds for call in calls if call.seconds is not None)
        if len(times) >= budget.calls and (slow := times[int(0.95 * (len(times) - 1))]) > budget.latency:
            return f"the 95th percentile of {len(times)} calls is {slow:.3g} s, the budget is {budget.latency:g} s"
    return None


def _nowhere(name: str, version: str, every: list[Endpoint], others: list[Endpoint]) -> EndpointNotFound:
    """The error for a version that answers nowhere."""
    if every:
        states = "; ".join(f"{one.url} is {one.state}{f' ({one.reason})' if one.reason else ''}" for one in every[:3])
        return EndpointNotFound(f"'{name}' {version} has no endpoint that takes calls: {states}", "mend or add one")
    elsewhere = sorted({endpoint.version for endpoint in others})
    return EndpointNotFound(
        f"'{name}' {version} has no live endpoint",
        f"other versions have: {', '.join(elsewhere)}; move the label {LATEST} to one, or start {version}"
        if elsewhere
        else "start the agent: run its cell, or nbagora serve its file",
    )
