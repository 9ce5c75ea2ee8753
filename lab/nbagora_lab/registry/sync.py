"""Two registries made equal, one way or both ways, with a report of where they differ.

    one ──▶ other      versions that the other lacks are published there; labels and rules go where the one has them
    one ◀─▶ other      each gets what it lacks; where a label or a rule differs, both stay, and the report says so

A version that both have with other content stays as it is on both sides and is reported: versions never change.
Endpoints are leases and stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nbagora_lab.core.errors import LabError
from nbagora_lab.registry.model import NAMESPACE, NOUNS, AgentVersion, Kind
from nbagora_lab.registry.registry import Registry
from nbagora_lab.registry.rules import Rule

__all__ = ["Difference", "Report", "sync"]


class Difference(NamedTuple):
    """One place where the registries differed.

    Attributes:
        kind: Kind of the thing.
        name: Its name.
        what: ``version``, ``label``, ``state``, ``rule`` or ``content``.
        here: What the one had.
        there: What the other had.
        done: ``sent``, ``taken``, or why it stays.
    """

    kind: Kind
    name: str
    what: str
    here: str
    there: str
    done: str


class Report(NamedTuple):
    """What a sync found and did.

    Attributes:
        things: Number of things that were compared.
        differences: Where they differed, by kind and name.
    """

    things: int
    differences: list[Difference]

    @property
    def open(self) -> list[Difference]:
        """The differences that are still there."""
        return [one for one in self.differences if one.done not in {"sent", "taken"}]


def sync(
    here: Registry, there: Registry, *, both: bool = False, dry: bool = False, namespace: str = NAMESPACE
) -> Report:
    """Makes another registry what this one is; or both of them what they are together.

    Args:
        here: This one.
        there: The other.
        both: Whether what the other alone has is taken, too.
        dry: Changes nothing; says what differs.
        namespace: The namespace that is compared.
    """
    report = Report(0, [])
    count = 0
    for kind in NOUNS:
        ours, theirs = (_names(one, kind, namespace) for one in (here, there))
        for name in sorted(ours | theirs):
            count += 1
            pair = _Pair(here, there, kind, name, namespace, both=both, dry=dry)
            report.differences.extend(pair.compare())
    return report._replace(things=count)


def _names(registry: Registry, kind: Kind, namespace: str) -> set[str]:
    names: set[str] = set()
    after = ""
    while page := registry.ls(kind=kind, namespace=namespace, after=after):
        names |= {one.name for one in page}
        after = page[-1].name
    return names


class _Pair:
    """A thing on both sides."""

    def __init__(
        self, here: Registry, there: Registry, kind: Kind, name: str, namespace: str, *, both: bool, dry: bool
    ) -> None:
        self.here, self.there, self.kind, self.name, self.namespace = here, there, kind, name, namespace
        self.both, self.dry = both, dry
        self.where: dict[str, Any] = {"kind": kind, "namespace": namespace}
        self.found: list[Difference] = []

    def compare(self) -> list[Difference]:
        """Compares, and does what may be done."""
        ours, theirs = self._versions(self.here), self._versions(self.there)
        before = {id(self.here): self._labels(self.here), id(self.there): self._labels(self.there)}
        for version in [*ours, *(one for one in theirs if one not in ours)]:
            mine, other = ours.get(version), theirs.get(version)
            if mine is None or other is None:
                self._version(version, mine, other)
            elif mine.hash != other.hash:
                self._tell(
                    "content", f"{version} {mine.hash[:12]}", f"{version} {other.hash[:12]}", "versions never change"
                )
            elif mine.state != other.state:
                self._tell("state", f"{version} {mine.state}", f"{version} {other.state}", "each side has its own")
        self._all_labels(before[id(self.here)], before[id(self.there)])
        self._rule()
        return self.found

    def _versions(self, registry: Registry) -> dict[str, AgentVersion]:
        try:
            return {one.version: one for one in reversed(registry.versions(self.name, **self.where))}
        except LabError:
            return {}

    def _labels(self, registry: Registry) -> dict[str, str]:
        try:
            return registry.labels(self.name, **self.where)
        except LabError:
            return {}

    def _version(self, version: str, mine: AgentVersion | None, other: AgentVersion | None) -> None:
        given, to, done = (mine, self.there, "sent") if mine is not None else (other, self.here, "taken")
        assert given is not None
        if done == "taken" and not self.both:
            done = "only the other has it"
        elif given.state not in {"published", "deprecated"}:
            done = f"it is {given.state}"
        elif not self.dry:
            done = self._try(lambda: self._publish(to, given), done)
        self._tell("version", version if mine else "", version if other else "", done)

    def _publish(self, to: Registry, given: AgentVersion) -> object:
        latest = self._labels(to).get("latest")
        there = self.here if to is self.there else self.there
        signed = there.signed(self.name, given.version, namespace=given.namespace) if given.kind == "agent" else None
        to.publish(signed or given.card | {"version": given.version}, version=given.version, **self.where)
        if latest is not None:  # a version that comes by itself leads nobody anywhere
            to.label(self.name, "latest", latest, **self.where)
        return None

    def _all_labels(self, ours: dict[str, str], theirs: dict[str, str]) -> None:
        for label in sorted(ours.keys() | theirs.keys()):
            mine, other = ours.get(label), theirs.get(label)
            if mine == other:
                continue
            if mine is not None and (other is None or not self.both):
                self._move(self.there, label, mine, other or "", "sent")
            elif mine is None and self.both:
                self._move(self.here, label, other or "", "", "taken")
            elif mine is None:
                self._tell("label", "", f"{label} {other}", "only the other has it")
            else:
                self._tell("label", f"{label} {mine}", f"{label} {other}", "both have it: move one of them")

    def _move(self, to: Registry, label: str, version: str, before: str, done: str) -> None:
        if not self.dry:
            done = self._try(lambda: to.label(self.name, label, version, **self.where), done)
        here, there = f"{label} {version}", f"{label} {before}".strip() if before else ""
        self._tell("label", *((here, there) if to is self.there else (there, here)), done)

    def _rule(self) -> None:
        try:
            mine, other = (one.rule(self.name, **self.where) for one in (self.here, self.there))
        except LabError:  # one of them has nothing of it
            return
        if mine == other:
            return
        nobodys = Rule()
        done = "sent" if other == nobodys or not self.both else "taken" if mine == nobodys else "each side has its own"
        if done in {"sent", "taken"} and not self.dry:
            to, rule = (self.there, mine) if done == "sent" else (self.here, other)
            done = self._try(lambda: to.set_rule(self.name, None if rule == nobodys else rule, **self.where), done)
        here, there = ("" if one == nobodys else "a rule" for one in (mine, other))
        self._tell("rule", here, there, done)

    def _try(self, act: Callable[[], object], done: str) -> str:
        try:
            act()
        except LabError as error:
            return error.what
        return done

    def _tell(self, what: str, here: str, there: str, done: str) -> None:
        self.found.append(Difference(self.kind, self.name, what, here, there, done))
