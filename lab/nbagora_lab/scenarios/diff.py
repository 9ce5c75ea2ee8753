"""How two traces differ, told so that a reader knows where to look: which topic, which offset, what kind of change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

from nbagora_lab.core.errors import TraceDiffers
from nbagora_lab.scenarios.trace import Trace, TraceLine

__all__ = ["Difference", "TraceDiff", "diff_traces"]

_ALIGNED = 2000  # lines of one topic that are aligned at most; the rest of a longer one is compared pair by pair


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        kind: ``header`` (what the traces were made from), ``missing`` (only in the first), ``extra`` (only in the
            second), ``changed``.
        what: One line that tells it.
        before: The first trace's line; None for ``header`` and ``extra``.
        after: The second trace's line; None for ``header`` and ``missing``.
    """

    kind: Literal["header", "missing", "extra", "changed"]
    what: str
    before: TraceLine | None = None
    after: TraceLine | None = None


@dataclass(frozen=True, slots=True)
class TraceDiff:
    """All differences of two traces, the header's first, then by topic and offset."""

    differences: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        """Whether there is none."""
        return not self.differences

    @property
    def first(self) -> Difference | None:
        """The first one, where a reader should look."""
        return self.differences[0] if self.differences else None

    def check(self, name: str = "the trace") -> None:
        """Raises if there is a difference.

        Raises:
            TraceDiffers: Tells the first.
        """
        if not self.same:
            raise TraceDiffers(f"{name} differs: {self}", "look at that record in both runs with %topic read")

    def __str__(self) -> str:
        if self.first is None:
            return "no difference"
        more = len(self.differences) - 1
        return self.first.what + (f" (and {more} more)" if more else "")


def diff_traces(a: Trace, b: Trace) -> TraceDiff:
    """What is in `a` and not so in `b`, and the other way round."""
    before, after = asdict(a.header), asdict(b.header)
    found = [
        Difference("header", f"{name} was {before[name]!r}, is {after[name]!r}")
        for name in before
        if before[name] != after[name]
    ]
    theirs, ours = _by_topic(a), _by_topic(b)
    for topic in sorted(theirs.keys() | ours.keys()):
        found += _diff_topic(topic, theirs.get(topic, []), ours.get(topic, []))
    return TraceDiff(tuple(found))


def _by_topic(trace: Trace) -> dict[str, list[TraceLine]]:
    return {topic: list(lines) for topic, lines in groupby(trace.lines, lambda line: line.topic)}


def _diff_topic(topic: str, before: list[TraceLine], after: list[TraceLine]) -> list[Difference]:
    if not after:
        return [Difference("missing", f"the topic {topic} with {_records(before)} is missing", before[0])]
    if not before:
        return [Difference("extra", f"the topic {topic} with {_records(after)} is extra", None, after[0])]
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    before, after = before[start:], after[start:]
    found: list[Difference] = []
    for tag, a1, a2, b1, b2 in _blocks(before, after):
        if tag == "equal":
            continue
        pairs = min(a2 - a1, b2 - b1)
        found += _pairwise(before[a1 : a1 + pairs], after[b1 : b1 + pairs])
        found += [Difference("missing", f"{_place(old)} is missing", old) for old in before[a1 + pairs : a2]]
        found += [Difference("extra", f"{_place(new)} is extra", None, new) for new in after[b1 + pairs : b2]]
    if not found:  # the same was said in the same order, and yet the lines differ: in generation or offset
        found += _pairwise(before, after)
    return found


def _pairwise(before: list[TraceLine], after: list[TraceLine]) -> list[Difference]:
    return [
        Difference("changed", f"{_place(new)}: {_changes(old, new)}", old, new)
        for old, new in zip(before, after, strict=True)
        if old != new
    ]


def _blocks(before: list[TraceLine], after: list[TraceLine]) -> Sequence[tuple[str, int, int, int, int]]:
    """Alignment by what was said; offset and generation shift with every record in between."""
    if max(len(before), len(after)) > _ALIGNED:
        return [("replace", 0, len(before), 0, len(after))]
    said_before = [(line.type, line.subject, line.sha256) for line in before]
    said_after = [(line.type, line.subject, line.sha256) for line in after]
    return SequenceMatcher(None, said_before, said_after, autojunk=False).get_opcodes()


def _place(line: TraceLine) -> str:
    about = f" of {line.subject}" if line.subject else ""
    return f"{line.topic}@{line.offset} ({line.type}{about})"


def _changes(old: TraceLine, new: TraceLine) -> str:
    changes = [
        f"{name} was {getattr(old, name)!r}"
        for name in ("offset", "type", "subject", "generation")
        if getattr(old, name) != getattr(new, name)
    ]
    if old.sha256 != new.sha256:
        changes.append("its body changed")
    return ", ".join(changes)


def _records(lines: list[TraceLine]) -> str:
    return f"{len(lines)} record{'s' if len(lines) > 1 else ''}"
