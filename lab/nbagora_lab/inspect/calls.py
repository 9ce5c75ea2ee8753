"""Who called whom: the tasks of one trace as a tree, by the tasks that they name as their parents."""

from __future__ import annotations

from collections import defaultdict

from nbagora_lab.inspect.directory import DirectoryEntry

__all__ = ["Traces"]


class Traces:
    """The tasks of each trace; an index over the directory that takes in what has come since."""

    def __init__(self) -> None:
        self._known = 0
        self._of: defaultdict[str, list[str]] = defaultdict(list)

    def tree(self, entries: dict[str, DirectoryEntry], task_id: str) -> list[tuple[DirectoryEntry, int]]:
        """The tasks of a task's trace, each below the one that called for it, with its depth; in the order of opening.

        Args:
            entries: The directory, in the order in which tasks were opened.
            task_id: One of the trace's tasks.
        """
        for entry in list(entries.values())[self._known :]:
            self._of[_trace(entry)].append(entry.task)
        self._known = len(entries)
        found = [entries[one] for one in self._of[_trace(entries[task_id])]]
        there = {entry.task for entry in found}
        below: defaultdict[str, list[DirectoryEntry]] = defaultdict(list)
        for entry in found:
            below[entry.parent if entry.parent in there else ""].append(entry)
        tree: list[tuple[DirectoryEntry, int]] = []
        waiting = [(entry, 0) for entry in reversed(below[""])]
        while waiting:
            entry, depth = waiting.pop()
            tree.append((entry, depth))
            waiting += [(child, depth + 1) for child in reversed(below[entry.task])]
        return tree


def _trace(entry: DirectoryEntry) -> str:
    """The id of a task's trace; its own where it has none."""
    parts = entry.traceparent.split("-")
    return parts[1] if len(parts) == 4 else entry.task
