"""What the registry tells of itself: each change, which is a line of its audit, and whether that is whole."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from nbagora_lab.registry.model import LOCAL, Kind

__all__ = ["Change", "ChangeType", "Seal", "Verdict"]

ChangeType = Literal[
    "published",
    "signed",
    "state.changed",
    "label.moved",
    "label.removed",
    "rule.changed",
    "endpoint.up",
    "endpoint.down",
    "endpoint.draining",
    "endpoint.health",
    "access.changed",
    "refused",
]
"""What a change can be of."""


class Change(BaseModel):
    """One change of the registry, and one line of its audit.

    Attributes:
        revision: Its place among all changes, dense from 1.
        time: Seconds since the Unix epoch.
        type: What changed.
        namespace: Namespace of the thing.
        name: The thing's name.
        version: The version that was published, that the label points at now, or that the endpoint serves.
        detail: ``published``: ``state``, where it is a draft. ``signed``: nothing; a version has other signatures.
            ``state.changed``: ``from`` and ``to``. ``label.moved``: ``label`` and, unless it is new, ``from`` (a
            version). ``label.removed``: ``label``. ``rule.changed``: ``from`` and ``to``, rules or None.
            ``endpoint.up``: ``id``, ``url``, ``transport`` and, where it took the place of one with an older lease,
            ``replaces`` (its id). The other endpoint changes: ``id``, ``url``, ``transport`` and ``reason``
            (``deregistered`` or ``expired`` of a ``down``), a health also ``state``. ``access.changed``: what was set.
            ``refused``: ``action`` and ``reason``; nothing changed.
        kind: What the thing is.
        who: Who asked for it.
        why: The reason that they gave.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    revision: int
    time: float
    type: ChangeType
    namespace: str
    name: str
    version: str
    detail: dict[str, Any] = {}
    kind: Kind = "agent"
    who: str = LOCAL.who
    why: str = ""


class Seal(NamedTuple):
    """A place in the audit, to be kept elsewhere.

    Attributes:
        revision: Revision of the change.
        chain: Its seal, in hex.
    """

    revision: int
    chain: str


class Verdict(NamedTuple):
    """What became of a check of the audit.

    Attributes:
        whole: Whether nothing was altered.
        changes: Number of changes that were checked.
        unsealed: Number of changes from before seals were introduced.
        broken: Revision of the first change that is not as it was written, None where all are.
        seal: The newest seal.
        reason: What is wrong, empty where nothing is.
    """

    whole: bool
    changes: int
    unsealed: int
    broken: int | None
    seal: Seal
    reason: str = ""
