"""The lanes of a task without a live view: a picture, a table, and text. Every text is escaped."""

from __future__ import annotations

from html import escape

from nbagora_lab.inspect.lanesview import LanesSnapshot, StepRow
from nbagora_widgets.table import aligned, html_table

__all__ = ["lanes_html", "lanes_text"]

_HEADS = ("Step", "Who", "State", "Input", "Came of it", "Tokens", "Time", "Records")
_TEXT_HEADS = ("Step", "Who", "State", "Came of it")
_LANE, _LEFT, _WIDTH = 22, 130, 720  # pixels: height of a lane, width of the names, of the bars
_SHORT = 40  # characters of a cell in text
_FILL = {"done": "#388e3c", "running": "#1976d2", "failed": "#d32f2f"}


def _title(snapshot: LanesSnapshot) -> str:
    count = len(snapshot.steps) + snapshot.skipped
    said = [f"task {snapshot.task} of {snapshot.agent}", snapshot.state.lower().replace("_", " ")]
    said += [f"{count} steps", f"{len(snapshot.lanes)} lanes"]
    said += [f"{snapshot.tokens:,} tokens"] if snapshot.tokens else []
    said += [f"${snapshot.cost:.4f}"] if snapshot.cost is not None else []
    return ", ".join(said)


def _name(row: StepRow) -> str:
    return "\u2003" * row.depth + row.name


def _time(row: StepRow) -> str:
    if row.seconds is None:
        return ""
    return f"{row.seconds * 1000:.0f} ms" if row.seconds < 1 else f"{row.seconds:.1f} s"


def lanes_html(snapshot: LanesSnapshot) -> str:
    """The lanes as a picture, and the steps as a table."""
    rows = [
        (
            _name(row),
            f"{row.lane} ({row.model})" if row.model else row.lane,
            row.state,
            row.input,
            row.output,
            f"{row.tokens:,}" if row.tokens else "",
            _time(row),
            f"{row.topic}@{row.offset}" + (f"–{row.until}" if row.until >= 0 else ""),
        )
        for row in snapshot.steps
    ]
    return f"{_picture(snapshot)}\n{html_table(_title(snapshot), _HEADS, rows)}"


def _picture(snapshot: LanesSnapshot) -> str:
    places = {lane.name: number for number, lane in enumerate(snapshot.lanes)}
    unit = _WIDTH / max(1, snapshot.length)
    marks = []
    for lane, place in places.items():
        y = place * _LANE + 15
        marks.append(f'<text x="0" y="{y}" font-size="12" fill="currentColor">{escape(lane[:18])}</text>')
    for row in snapshot.steps:
        end = snapshot.length if row.ended < 0 else row.ended + 1
        inset = 3 if row.kind == "task" else 6
        marks.append(
            f'<rect x="{_LEFT + row.began * unit:.1f}" y="{places[row.lane] * _LANE + inset}"'
            f' width="{max(2.0, (end - row.began) * unit):.1f}" height="{_LANE - 2 * inset}" rx="3"'
            f' fill="{_FILL[row.state]}" fill-opacity="{0.15 if row.kind == "task" else 0.45}"'
            f' stroke="{_FILL[row.state]}"><title>{escape(row.name)}: {row.state}</title></rect>'
        )
    height = max(1, len(places)) * _LANE
    return (
        f'<svg viewBox="0 0 {_LEFT + _WIDTH} {height}" width="100%" role="img"'
        f' aria-label="{escape(_title(snapshot), quote=True)}">{"".join(marks)}</svg>'
    )


def lanes_text(snapshot: LanesSnapshot) -> str:
    """The steps in aligned columns."""
    rows = [
        (
            "  " * row.depth + row.name,
            row.lane,
            row.state,
            row.output if len(row.output) <= _SHORT else row.output[: _SHORT - 1] + "…",
        )
        for row in snapshot.steps
    ]
    return "\n".join(aligned(_title(snapshot), _TEXT_HEADS, rows))
