"""The records of branches that ran side by side, in an order that two runs share.

Which branch of a `parallel` was first is a matter of threads, and no two runs agree. What each branch did is not. So a
trace takes the records of one branch after those of another, by the names that the branches have among the steps; what
isn't part of a branch stays where it was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from nbagora_lab.core.events import Flags, Record, RecordType

__all__ = ["side_by_side"]

_TOLD = frozenset(
    {RecordType.FLOW_STEP, RecordType.STEP_MODEL, RecordType.STEP_TOOL, RecordType.CALL, RecordType.RETURN}
)


def side_by_side(records: Sequence[Record]) -> list[Record]:
    """The records of a session topic, those of branches by branch.

    Args:
        records: As they stand on the topic.
    """
    ordered = list(records)
    paths: dict[int, tuple[str, str]] = {}  # by offset: the task and the path of the step that a record tells of
    forks: list[tuple[str, str]] = []  # steps whose inner ones run side by side, the outer ones first
    for record in records:
        if record.type not in _TOLD or record.flags & Flags.REFERENCE:
            continue
        body = json.loads(record.body)
        paths[record.offset] = record.subject, str(body.get("step", ""))
        if body.get("side_by_side") and paths[record.offset] not in forks:
            forks.append(paths[record.offset])
    for task, fork in forks:
        inside = f"{fork}/"
        slots = [
            number
            for number, record in enumerate(ordered)
            if (path := paths.get(record.offset)) is not None and path[0] == task and path[1].startswith(inside)
        ]
        branches = [ordered[number] for number in slots]
        branches.sort(key=lambda record: paths[record.offset][1].removeprefix(inside).partition("/")[0])
        for number, record in zip(slots, branches, strict=True):
            ordered[number] = record
    return ordered
