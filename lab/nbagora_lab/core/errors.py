"""Every error that nbagora raises, as one tree.

    LabError
    ├── UsageError              a command, option or argument that does not fit
    │   ├── UnknownVerb
    │   └── BadName             a topic, agent or other name that breaks the rules for names
    ├── NotFound                the thing named does not exist (says which name is near)
    │   ├── AgentNotFound
    │   ├── BodyNotFound        a large body that no record refers to
    │   ├── EndpointNotFound
    │   ├── GroupNotFound
    │   ├── NotSubscribed       a client that its consumer group does not know
    │   ├── TaskNotFound
    │   ├── TopicNotFound
    │   └── VersionNotFound
    ├── Conflict                the thing is there already, and differs
    │   ├── GroupExists
    │   ├── InUse               something else needs it as it is
    │   ├── TopicExists
    │   ├── VersionExists
    │   ├── WrongState          it is too early or too late in its life for that
    │   ├── LeaseLost           a delivery that is not, or no longer, leased to who names it
    │   └── LabRunning
    ├── Forbidden               the caller is known, and may not
    ├── TooLarge                a body or name above its limit
    ├── QuotaExceeded           more topics, bytes or subscriptions than are allowed
    ├── Suspend                 what a handler raises to have its topic suspended
    ├── Unsupported             what the engine in use can't do
    ├── StoreError              the store on disk can't serve
    │   ├── StoreLocked         another process holds it
    │   ├── StoreReadOnly
    │   ├── StoreCorrupt
    │   ├── StoreTooNew         written by a later version of nbagora
    │   ├── ServerGone          the server behind the engine can't be reached
    │   └── StoreClosed
    ├── ServiceError            the lab's own services
    │   ├── NotJoined           a lab that the one it had joined takes for gone
    │   ├── NotStarted
    │   ├── PortInUse
    │   ├── StartTimeout
    │   └── WrongThread
    ├── AgentError              what an agent did
    │   ├── BadAgent            a cell or file that defines no usable agent
    │   ├── BadYield            a yielded value of a type that has no meaning
    │   ├── AgentChanged        an agent that is no longer the one whose run is to go on
    │   ├── StepFailed          a step of a run that failed, as its record tells it
    │   ├── GivenUp             a step whose outcome nobody knows, and which the user gave up
    │   ├── FlowFailed          a flow whose members could not do it: no route, no quorum, a broken plan
    │   │   └── GateClosed      a chain that a gate stopped
    │   ├── LimitReached        a flow, or calls within calls, that may go no further
    │   ├── NotRecorded         what a model is asked and its tape does not have
    │   ├── EndOfTask           what an agent raises to end its task; carries `.state`
    │   └── TaskEnded           output for a task that has already ended
    ├── TimedOut                a wait ran out of time; what was waited for goes on
    ├── TaskFailed              a task ended FAILED, REJECTED or CANCELED; carries `.task`
    ├── RemoteError             an A2A peer answered with an error
    │   ├── Unreachable
    │   └── Unauthorized
    └── ScenarioError           a notebook run as a scenario failed
        ├── UnknownParameter
        ├── CellFailed
        ├── CellsPending
        ├── ServicesLeaked
        └── TraceDiffers

Each prints as two lines: what happened, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

__all__ = [
    "AgentChanged",
    "AgentError",
    "AgentNotFound",
    "BadAgent",
    "BadName",
    "BadYield",
    "BodyNotFound",
    "CellFailed",
    "CellsPending",
    "Conflict",
    "EndOfTask",
    "EndpointNotFound",
    "FlowFailed",
    "Forbidden",
    "GateClosed",
    "GivenUp",
    "GroupExists",
    "GroupNotFound",
    "InUse",
    "LabError",
    "LabRunning",
    "LeaseLost",
    "LimitReached",
    "NotFound",
    "NotJoined",
    "NotRecorded",
    "NotStarted",
    "NotSubscribed",
    "PortInUse",
    "QuotaExceeded",
    "RemoteError",
    "ScenarioError",
    "ServerGone",
    "ServiceError",
    "ServicesLeaked",
    "StartTimeout",
    "StepFailed",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreLocked",
    "StoreReadOnly",
    "StoreTooNew",
    "Suspend",
    "TaskEnded",
    "TaskFailed",
    "TaskNotFound",
    "TimedOut",
    "TooLarge",
    "TopicExists",
    "TopicNotFound",
    "TraceDiffers",
    "Unauthorized",
    "UnknownParameter",
    "UnknownVerb",
    "Unreachable",
    "Unsupported",
    "UsageError",
    "VersionExists",
    "VersionNotFound",
    "WrongState",
    "WrongThread",
    "did_you_mean",
]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The sentence that names what was probably meant, or what there is.

    Args:
        name: What was asked for.
        known: The names that exist.

    Returns:
        ``did you mean 'weather'?``, ``there are: hotels, weather`` (ten at most), or ``there are none yet``.
    """
    names = sorted(known)
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"did you mean '{near[0]}'?"
    if not names:
        return "there are none yet"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"there are: {', '.join(names[:10])}{more}"


class LabError(Exception):
    """Base of all errors that nbagora raises.

    Args:
        what: What happened, one line.
        hint: What to do about it, one line; or what makes it, where that takes long and few will read it.
    """

    def __init__(self, what: str, hint: str | Callable[[], str] = "") -> None:
        super().__init__(what)
        self.what = what
        self._hint = hint

    @property
    def hint(self) -> str:
        """What to do about it, one line."""
        if not isinstance(self._hint, str):
            self._hint = self._hint()
        return self._hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: shown in place of a traceback, by every front end and runner alike."""
        name = type(self).__name__
        what = " ".join(self.what.split())
        return [f"{name}: {what}", f"hint: {' '.join(self.hint.split()) or 'see %lab status'}"]


class UsageError(LabError):
    """A command, option or argument that does not fit."""


class UnknownVerb(UsageError):
    """A verb that its noun does not have."""


class BadName(UsageError):
    """A name that breaks the rules for names."""


class NotFound(LabError):
    """The thing named does not exist."""


class AgentNotFound(NotFound):
    """No agent of that name is registered."""


class BodyNotFound(NotFound):
    """No large body of that name is stored: no record refers to it, or none does any more."""


class EndpointNotFound(NotFound):
    """An agent answers nowhere, or an endpoint's lease has ended."""


class GroupNotFound(NotFound):
    """No consumer group of that name exists."""


class NotSubscribed(NotFound):
    """A client that its consumer group does not know, or has dropped."""


class TaskNotFound(NotFound):
    """No task of that id is visible to the caller."""


class TopicNotFound(NotFound):
    """No topic of that name exists."""


class VersionNotFound(NotFound):
    """The registry has no such version or label."""


class Conflict(LabError):
    """The thing is there already, and differs."""


class InUse(Conflict):
    """Something else needs the thing as it is."""


class WrongState(Conflict):
    """The thing is too early or too late in its life for that."""


class Forbidden(LabError):
    """The caller is known, and may not do that."""


class GroupExists(Conflict):
    """A consumer group of that name exists with other settings."""


class TopicExists(Conflict):
    """A topic of that name exists with other settings, or already holds records."""


class VersionExists(Conflict):
    """That version is published with other content; versions never change."""


class LeaseLost(Conflict):
    """Deliveries that are not, or no longer, leased under the number that was named.

    Args:
        what: What happened.
        hint: What to do.
        handles: Of those deliveries.
    """

    def __init__(self, what: str, hint: str = "", handles: Iterable[object] = ()) -> None:
        super().__init__(what, hint)
        self.handles = list(handles)


class LabRunning(Conflict):
    """A lab runs in this kernel already, with other settings."""


class TooLarge(LabError):
    """A body above its limit."""


class Suspend(LabError):
    """What a handler raises to have its topic suspended for so many `seconds`; `counted`, as a failed attempt."""

    def __init__(self, what: str = "suspended", hint: str = "", seconds: float = 1.0, *, counted: bool = False) -> None:
        super().__init__(what, hint)
        self.seconds, self.counted = seconds, counted


class QuotaExceeded(LabError):
    """More topics, bytes or subscriptions than are allowed; nothing was stored."""


class Unsupported(LabError):
    """Something that the engine in use can't do."""


class StoreError(LabError):
    """The store on disk can't serve."""


class StoreLocked(StoreError):
    """Another process, or this one, holds the store open."""


class StoreReadOnly(StoreError):
    """The store's folder can't be written."""


class StoreCorrupt(StoreError):
    """The store's files are damaged in more than their unfinished tail."""


class StoreTooNew(StoreError):
    """The store was written by a later version of nbagora."""


class ServerGone(StoreError):
    """The server behind the engine can't be reached, or broke off."""


class StoreClosed(StoreError):
    """The store was closed."""


class ServiceError(LabError):
    """The lab's own services."""


class NotStarted(ServiceError):
    """No lab runs in this kernel."""


class NotJoined(ServiceError):
    """A lab that the one it had joined takes for gone; it joins anew by itself."""


class PortInUse(ServiceError):
    """The port asked for is taken."""


class StartTimeout(ServiceError):
    """A service did not become ready in time."""


class WrongThread(ServiceError):
    """A blocking call from the service thread, which would wait for itself."""


class AgentError(LabError):
    """What an agent did."""


class BadAgent(AgentError):
    """A cell, function or file that defines no usable agent."""


class BadYield(AgentError):
    """A yielded value of a type that has no meaning."""


class AgentChanged(AgentError):
    """An agent, its prompts or its tools are no longer those with which the run that is to go on began."""


class StepFailed(AgentError):
    """A step of a run failed, in a way that its record tells in words only.

    Args:
        what: What happened.
        hint: What to do.
        kind: Name of the exception's class.
    """

    def __init__(self, what: str, hint: str = "", kind: str = "") -> None:
        super().__init__(what, hint)
        self.kind = kind


class GivenUp(AgentError):
    """The user gave up a step of which nobody knows whether it happened."""


class FlowFailed(AgentError):
    """A flow's members could not do what was asked: no route, no quorum, a plan that names nobody."""


class GateClosed(FlowFailed):
    """A gate stopped a chain."""


class LimitReached(AgentError):
    """A limit of steps, depth, tokens, money or time: a flow, or calls within calls, may go no further."""


class NotRecorded(AgentError):
    """A model that answers from a tape is asked what is not on it."""


class EndOfTask(AgentError):
    """What `task.reject` and `task.fail` return, for an agent to raise.

    Args:
        what: Why.
        hint: What to do.
        state: Full name of the A2A state in which the task ends.
    """

    def __init__(self, what: str, hint: str = "", state: str = "TASK_STATE_FAILED") -> None:
        super().__init__(what, hint)
        self.state = state


class TaskEnded(AgentError):
    """Output for a task that has already ended."""


class TaskFailed(LabError):
    """A task ended FAILED, REJECTED or CANCELED.

    Args:
        what: What happened.
        hint: What to do.
        task: The task as it ended.
    """

    def __init__(self, what: str, hint: str = "", task: object = None) -> None:
        super().__init__(what, hint)
        self.task = task


class TimedOut(LabError, TimeoutError):
    """A wait ran out of time; what was waited for goes on."""


class RemoteError(LabError):
    """An A2A peer answered with an error."""


class Unreachable(RemoteError):
    """A peer could not be reached, or stayed cut off."""


class Unauthorized(RemoteError):
    """A peer refused the credentials."""


class ScenarioError(LabError):
    """A notebook run as a scenario failed."""


class UnknownParameter(ScenarioError):
    """A parameter that the notebook's parameters cell does not name."""


class CellFailed(ScenarioError):
    """A cell raised."""


class CellsPending(ScenarioError):
    """Cells did not run."""


class ServicesLeaked(ScenarioError):
    """A notebook left services running."""


class TraceDiffers(ScenarioError):
    """The run's trace is not the blessed one."""
