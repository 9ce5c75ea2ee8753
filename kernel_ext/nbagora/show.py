"""How the lab's objects look: plain text for terminals and logs, HTML for notebooks, one function of each per class.

The runtime knows no display, so the looks are told to IPython from here (`register`), by the classes' names and
without importing them. Every text that comes from an agent or a user is escaped; none is taken for markup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from nbagora.table import Table

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Json", "Note", "html", "moment", "payload", "plain", "pre", "register", "short_id", "task_lines"]

_LONGEST = 100_000  # characters of one text in a display; the object has all of it
_PRE = "white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.3em 0"


class Note(str):
    """One line that says what was done; displays as itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Json(dict[str, Any]):
    """A JSON object; displays indented, with its letters as they are."""

    def __repr__(self) -> str:
        return json.dumps(self, indent=2, ensure_ascii=False)

    def _repr_html_(self) -> str:
        return f'<pre style="{_PRE}">{escape(json.dumps(self, indent=2, ensure_ascii=False))}</pre>'


def moment(seconds: float) -> str:
    """A time as listings show it: UTC, to the millisecond.

    Example:
        >>> moment(0.25)
        '1970-01-01 00:00:00.250'
    """
    from nbagora_lab.core.clock import rfc3339

    return rfc3339(seconds).replace("T", " ").removesuffix("Z")


def payload(record: Any) -> str:
    """A record's body as a line: its text, or how many bytes it has where it is none."""
    try:
        return str(record.body.decode())
    except UnicodeDecodeError:
        return f"{len(record.body)} bytes of {record.datacontenttype}"


def short_id(task_id: str) -> str:
    """The part of a task's id that names it for people.

    Example:
        >>> short_id("ctx-4f2k.9hq1m0zv")
        '9hq1m0zv'
    """
    return task_id.rpartition(".")[2]


def _cut(text: str) -> str:
    left = len(text) - _LONGEST
    return f"{text[:_LONGEST]}\n… and {left:,} characters more, in .text" if left > 0 else text


def _task_lines(task: Any) -> tuple[str, list[str]]:
    """A task's text, and the lines below it: files, what it asks, and who it is."""
    lines = [f"data: {json.dumps(value, ensure_ascii=False, default=str)}" for value in task.data]
    lines += [f"file: {_file_line(file)}" for file in task.files]
    if task.question:
        lines += [f"asks: {task.question}", f"answer with: %task answer {short_id(task.id)} …"]
    elif task.state != "COMPLETED" and (why := task.error or task.status_text):
        lines.append(str(why))
    place = f" · task {short_id(task.id)}" if task.id else ""
    lines.append(f"{task.agent} · {task.state}{place} · context {task.context_id}")
    return _cut(task.text), [_cut(line) for line in lines]


def _file_line(file: Mapping[str, Any]) -> str:
    size = f"{len(file['content']):,} bytes" if "content" in file else file["url"]
    return " · ".join(part for part in (file["name"], file["media_type"], size) if part)


def task_lines(task: Any) -> list[str]:
    """What stands below a task's text: files, what it asks, and who it is."""
    return _task_lines(task)[1]


def _task_plain(task: Any) -> str:
    text, lines = _task_lines(task)
    return "\n".join([text, *lines] if text else lines)


def _task_html(task: Any) -> str:
    text, lines = _task_lines(task)
    return pre(text, *lines)


def pre(text: str, *lines: str) -> str:
    """A text as it stands, in HTML, and lines below it of which the last is small."""
    body = f'<pre style="{_PRE}">{escape(text)}</pre>' if text else ""
    *rest, last = lines
    below = "".join(f'<div style="overflow-wrap: anywhere">{escape(line)}</div>' for line in rest)
    return f"<div>{body}{below}<div><small>{escape(last)}</small></div></div>"


def _lab_plain(lab: Any) -> str:
    if not lab.running:
        where = f"the lab at {lab.joined} goes on" if lab.joined else f"its topics stay in {lab.store}"
        return f"lab stopped; {where}"
    if lab.joined:
        return f"joined the lab at {lab.joined} · store {lab.store} · this kernel's doors are at {lab.url}"
    return f"lab at {lab.url} · store {lab.store} · epoch {lab.epoch}"


def _agent_plain(agent: Any) -> str:
    return f"agent {agent.name} {agent.version} ({agent.kind}) at {agent.url}"


def _fields(model: Any) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _topic_fields(info: Any) -> dict[str, Any]:
    fields = _fields(info) | {"created": moment(info.created), "last_write": moment(info.last_write)}
    return {"topic": info.topic, "records": info.count} | fields


def _version_fields(version: Any) -> dict[str, Any]:
    fields = _fields(version) | {"published": moment(version.published)}
    return fields | {"card": json.dumps(version.card, indent=2, ensure_ascii=False)}


def _status_fields(status: Any) -> dict[str, Any]:
    fields = _fields(status)
    agents = [f"{agent.name} {agent.version}" for agent in status.agents]
    log = [f"{moment(line.time)} {line.level} {line.logger}: {line.message}" for line in status.log]
    return fields | {"agents": agents, "log": "\n".join(log)}


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _fields_plain(fields: Mapping[str, Any]) -> str:
    width = max(map(len, fields))
    indent = "\n" + " " * (width + 2)
    return "\n".join(
        f"{name.replace('_', ' '):<{width}}  {_value_text(value).replace(chr(10), indent)}".rstrip()
        for name, value in fields.items()
    )


def _fields_html(fields: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left; vertical-align: top">{escape(name.replace("_", " "))}</th>'
        f'<td style="text-align: left; white-space: pre-wrap">{escape(_value_text(value))}</td></tr>'
        for name, value in fields.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


_Look = tuple[Callable[[Any], str], Callable[[Any], str] | None]


def _table(fields: Callable[[Any], dict[str, Any]]) -> _Look:
    return lambda item: _fields_plain(fields(item)), lambda item: _fields_html(fields(item))


_TASK = ("nbagora_lab.a2a.task", "Task")

_LOOKS: dict[tuple[str, str], _Look] = {
    ("nbagora_lab.lab", "Lab"): (_lab_plain, None),
    ("nbagora_lab.inspect.status", "LabStatus"): _table(_status_fields),
    ("nbagora_lab.inspect.status", "AgentInfo"): (_agent_plain, None),
    _TASK: (_task_plain, _task_html),
    ("nbagora_lab.broker.model", "TopicInfo"): _table(_topic_fields),
    ("nbagora_lab.registry.model", "AgentVersion"): _table(_version_fields),
}
"""Module and name of a class, and how it looks in plain text and in HTML."""


def _look(item: object) -> _Look | None:
    for parent in type(item).__mro__:
        if look := _LOOKS.get((parent.__module__, parent.__qualname__)):
            return look
    return None


def plain(item: object) -> str:
    """What a terminal shows of an object."""
    look = _look(item)
    return look[0](item) if look else repr(item)


def html(item: object) -> str | None:
    """What a notebook shows of an object, None where the plain text is all."""
    look = _look(item)
    if look:
        return look[1](item) if look[1] else None
    return item._repr_html_() if isinstance(item, Table | Json) else None


def register(shell: InteractiveShell, shown_already: Callable[[Any], None]) -> Callable[[], None]:
    """Tells a shell's formatters how the lab's objects look.

    Args:
        shell: The shell.
        shown_already: Called before a task is displayed; raises NotImplementedError where it is to be.

    Returns:
        What takes it back.
    """
    assert shell.display_formatter is not None
    text = shell.display_formatter.formatters["text/plain"]
    markup = shell.display_formatter.formatters["text/html"]
    itself = shell.display_formatter.ipython_display_formatter
    itself.for_type_by_name(*_TASK, shown_already)
    for (module, name), (as_text, as_html) in _LOOKS.items():
        text.for_type_by_name(module, name, lambda item, printer, _cycle, look=as_text: printer.text(look(item)))
        if as_html:
            markup.for_type_by_name(module, name, as_html)

    def take_back() -> None:
        for module, name in _LOOKS:
            for formatter in (text, markup, itself):
                formatter.pop(f"{module}.{name}", None)

    return take_back
