"""What a benchmark prints: where it ran, its table, and each goal beside the ratio that was measured."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version

__all__ = ["conditions", "goal", "quantile", "spread", "table"]


def conditions(*packages: str) -> None:
    """Prints machine, load and versions: what a figure is worth without which nobody can say."""
    load = f", load {os.getloadavg()[0]:.1f} as it began" if hasattr(os, "getloadavg") else ""
    print(
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs{load}"
    )
    print(", ".join(f"{name} {version(name)}" for name in packages))
    assert not sys.gettrace(), "a debugger or coverage is on: figures would be its own"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints rows under a head, the first column to the left, the others to the right."""
    texts = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[at]) for row in texts) for at in range(len(head))]
    print()
    for number, row in enumerate(texts):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def goal(what: str, measured: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
    """Prints a measured figure beside its goal."""
    if at_most is not None:
        print(f"{what}: {measured:.3g}, goal at most {at_most:g}: {'met' if measured <= at_most else 'MISSED'}")
    if at_least is not None:
        print(f"{what}: {measured:.3g}, goal at least {at_least:g}: {'met' if measured >= at_least else 'MISSED'}")


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, counting the value itself."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, and the least and the largest in brackets."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"
