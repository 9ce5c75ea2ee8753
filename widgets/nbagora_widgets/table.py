"""A snapshot as a plain table, in HTML and in text: what is read where no live view can be.

The same columns, order and words as the live view's first paint.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from nbagora_lab.inspect.model import STOPPED, TaskDetail, TasksSnapshot, first_words

__all__ = ["tasks_html", "tasks_text"]

_HEADS = ("State", "Agent", "Task", "Last words", "Events", "Updated")
_TEXT_ROWS = 20  # a terminal's worth
_TEXT_WORDS = 60  # characters


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _label(state: str) -> str:
    return state.lower().replace("_", " ")


def _title(snapshot: TasksSnapshot) -> str:
    lab = "the lab is not running" if snapshot.lab == STOPPED else snapshot.lab
    count = f"{snapshot.total:,} task{'' if snapshot.total == 1 else 's'}"
    if len(snapshot.rows) < snapshot.total:
        count = f"{len(snapshot.rows)} newest of {count}"
    return f"{count} ({lab})"


def _rows(snapshot: TasksSnapshot) -> list[tuple[str, ...]]:
    return [
        (_label(row.state), row.agent, row.id, row.question or row.text, str(row.events), _when(row.updated))
        for row in snapshot.rows
    ]


def _html_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "\n".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    table = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>"
    return f"<table>\n<caption>{escape(caption)}</caption>\n{table}\n</table>"


def _events(detail: TaskDetail) -> list[tuple[str, ...]]:
    return [
        (f"#{event.offset}", _when(event.time), _label(event.state) if event.state else event.kind, event.text)
        for event in detail.events
    ]


def tasks_html(snapshot: TasksSnapshot) -> str:
    """A table of the tasks, and one of the selected task's events; every text escaped."""
    html = _html_table(_title(snapshot), _HEADS, _rows(snapshot))
    if snapshot.selected is not None:
        caption = f"Events of task {snapshot.selected.row.id}"
        if snapshot.selected.skipped:
            caption += f", without the first {snapshot.selected.skipped:,}"
        html += "\n" + _html_table(caption, ("Offset", "Time", "Event", "Text"), _events(snapshot.selected))
    return html


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def tasks_text(snapshot: TasksSnapshot) -> str:
    """The newest 20 tasks in aligned columns."""
    rows = [_HEADS]
    for state, agent, task, words, events, updated in _rows(snapshot)[:_TEXT_ROWS]:
        rows.append((state, agent, task, first_words(" ".join(words.split()), _TEXT_WORDS), events, updated))
    if len(rows) == 1:
        return _title(snapshot)
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join([_title(snapshot), *map(str.rstrip, lines)])
