"""A snapshot as a plain table, in HTML and in text: what is read where no live view can be.

The same columns, order and words as the live view's first paint.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from nbagora_lab.inspect.model import AWAY, STOPPED, Snapshot, TaskDetail, TasksSnapshot, first_words
from nbagora_lab.inspect.topicview import Payload, TopicsSnapshot

__all__ = [
    "aligned",
    "html_table",
    "lab_of",
    "tasks_html",
    "tasks_text",
    "topics_html",
    "topics_text",
    "when",
]

_TOPIC_HEADS = ("Topic", "Records", "State", "Lag", "Last write")
_RECORD_HEADS = ("Offset", "Time", "Type", "Bytes", "Text")
_HEADS = ("State", "Agent", "Task", "Last words", "Events", "Updated")
_TEXT_ROWS = 20  # a terminal's worth
_TEXT_WORDS = 60  # characters


def when(seconds: float) -> str:
    """A time as tables show it, here."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _label(state: str) -> str:
    return state.lower().replace("_", " ")


def lab_of(snapshot: Snapshot) -> str:
    """Which lab a snapshot is of."""
    if snapshot.lab == AWAY:
        return "the lab that was joined does not answer"
    return "the lab is not running" if snapshot.lab == STOPPED else snapshot.lab


def _title(snapshot: TasksSnapshot) -> str:
    count = f"{snapshot.total:,} task{'' if snapshot.total == 1 else 's'}"
    if len(snapshot.rows) < snapshot.total:
        count = f"{len(snapshot.rows)} newest of {count}"
    return f"{count} ({lab_of(snapshot)})"


def _rows(snapshot: TasksSnapshot) -> list[tuple[str, ...]]:
    return [
        (_label(row.state), row.agent, row.id, row.question or row.text, str(row.events), when(row.updated))
        for row in snapshot.rows
    ]


def html_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; every text escaped."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "\n".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    table = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>"
    return f"<table>\n<caption>{escape(caption)}</caption>\n{table}\n</table>"


def _events(detail: TaskDetail) -> list[tuple[str, ...]]:
    return [
        (
            str(event.generation or ""),
            f"#{event.offset}",
            when(event.time),
            _label(event.state) if event.state else event.kind,
            event.text,
            "; ".join(event.problems) or ("fits" if event.checked else ""),
        )
        for event in detail.events
    ]


def _artifacts(detail: TaskDetail) -> list[tuple[str, ...]]:
    return [
        (
            artifact.name or artifact.id,
            part.name or part.media,
            f"[{part.media}]" if part.kind == "image" else part.text,
        )
        for artifact in detail.artifacts
        for part in artifact.parts
    ]


def _calls(detail: TaskDetail) -> list[tuple[str, ...]]:
    return [("\u2003" * call.depth + call.agent, call.id, _label(call.state)) for call in detail.calls]


def tasks_html(snapshot: TasksSnapshot) -> str:
    """A table of the tasks, and one of the selected task's events; every text escaped."""
    html = html_table(_title(snapshot), _HEADS, _rows(snapshot))
    if snapshot.selected is not None:
        caption = f"Events of task {snapshot.selected.row.id}"
        if snapshot.selected.skipped:
            caption += f", without the first {snapshot.selected.skipped:,}"
        heads = ("Generation", "Offset", "Time", "Event", "Text", "Specification")
        html += "\n" + html_table(caption, heads, _events(snapshot.selected))
        if snapshot.selected.artifacts:
            html += "\n" + html_table("Artifacts", ("Artifact", "Part", "Content"), _artifacts(snapshot.selected))
        if snapshot.selected.calls:
            html += "\n" + html_table("Who called whom", ("Agent", "Task", "State"), _calls(snapshot.selected))
    return html


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def aligned(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A title and columns that stand below each other; the title alone where there are no rows."""
    if not rows:
        return [title]
    lines = [heads, *rows]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return [
        title,
        *(
            "  ".join(text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ),
    ]


def tasks_text(snapshot: TasksSnapshot) -> str:
    """The newest 20 tasks in aligned columns."""
    rows = []
    for state, agent, task, words, events, updated in _rows(snapshot)[:_TEXT_ROWS]:
        rows.append((state, agent, task, first_words(" ".join(words.split()), _TEXT_WORDS), events, updated))
    return "\n".join(aligned(_title(snapshot), _HEADS, rows))


def _topics_title(snapshot: TopicsSnapshot) -> str:
    of = f"Topics of {snapshot.parent}" if snapshot.parent else "No topics"
    return f"{of}{', and more' if snapshot.until else ''} ({lab_of(snapshot)})"


def _topics(snapshot: TopicsSnapshot) -> list[tuple[str, ...]]:
    return [
        (
            row.lite,
            f"{row.next - row.first:,}",
            row.state,
            "" if row.lag is None else f"{row.lag:,}",
            when(row.last_write),
        )
        for row in snapshot.topics
    ]


def _records_title(snapshot: TopicsSnapshot) -> str:
    if snapshot.selected is None:
        return f"{snapshot.topic} does not exist"
    row, records = snapshot.selected.row, snapshot.selected.records
    part = f", shown from #{records[0].offset}" if 0 < len(records) < row.next - row.first else ""
    return f"{row.next - row.first:,} record{'' if row.next - row.first == 1 else 's'} of {row.topic}{part}"


def _records(snapshot: TopicsSnapshot) -> list[tuple[str, ...]]:
    if snapshot.selected is None:
        return []
    return [
        (f"#{each.offset}", when(each.time), each.type, f"{each.size:,}", each.text)
        for each in snapshot.selected.records
    ]


def _groups(snapshot: TopicsSnapshot) -> list[tuple[str, ...]]:
    return [
        (
            group.group,
            group.state,
            "" if group.committed is None else f"#{group.committed}",
            f"{group.lag:,}",
            group.lock.client if group.lock else "",
        )
        for group in snapshot.groups
    ]


def topics_html(snapshot: TopicsSnapshot, picked: Payload | None = None) -> str:
    """A table of the topics, one of the records of the topic that is shown, and its groups; every text escaped."""
    tables = [html_table(_topics_title(snapshot), _TOPIC_HEADS, _topics(snapshot))]
    if snapshot.topic is not None:
        tables.append(html_table(_records_title(snapshot), _RECORD_HEADS, _records(snapshot)))
    if snapshot.groups:
        tables.append(html_table("Groups", ("Group", "State", "Next", "Lag", "Locked by"), _groups(snapshot)))
    if picked is not None and picked.kind != "image":
        caption = f"#{picked.offset} of {picked.topic}, {picked.media}, {picked.size:,} bytes"
        tables.append(f"<p>{escape(caption)}</p>\n<pre>{escape(picked.text)}</pre>")
    return "\n".join(tables)


def topics_text(snapshot: TopicsSnapshot, picked: Payload | None = None) -> str:
    """The first 20 topics, the last 20 records of the window, and the record that is looked at, as plain text."""
    lines = aligned(_topics_title(snapshot), _TOPIC_HEADS, _topics(snapshot)[:_TEXT_ROWS])
    if snapshot.topic is not None:
        rows = [(*row[:-1], first_words(row[-1], _TEXT_WORDS)) for row in _records(snapshot)[-_TEXT_ROWS:]]
        lines += ["", *aligned(_records_title(snapshot), _RECORD_HEADS, rows)]
    if picked is not None and picked.kind != "image":
        lines += ["", f"#{picked.offset} of {picked.topic}", first_words(picked.text)]
    return "\n".join(lines)
